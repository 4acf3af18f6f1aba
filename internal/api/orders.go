package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// longestWait is the most that a request waits for what it began.
const longestWait = time.Minute

func (a *API) orders() {
	add(a, route{
		method: http.MethodPost, path: "/orders", name: "createOrder", tag: "Orders", errors: []int{http.StatusPaymentRequired, http.StatusServiceUnavailable}, status: http.StatusCreated, needs: member, stream: true,
		summary: "Place an order",
		about: "What is delivered, and what the body has, depends on the kind. " +
			"Answers when the credits are held. Where they do not suffice the answer is 402 with the missing credits, and nothing is held. " +
			"With wait it answers when the order is delivered, or when the time is over, with the order as it then stands.",
	}, a.createOrder)
	add(a, route{
		method: http.MethodPost, path: "/quotes", name: "quoteOrder", tag: "Orders", needs: member,
		summary: "Say what an order would find, hold and probably be charged", about: "Takes an order's body. Nothing is held or changed.",
	}, func(ctx context.Context, in *struct{ Body order.Body }) (*answer[order.Quote], error) {
		c := callerOf(ctx)
		who, err := c.actsFor(in.Body.Member)
		if err != nil {
			return nil, err
		}
		return body(a.Intake.Quote(ctx, intake.Submission{Org: c.org.ID, Account: &c.org, Member: who, Licence: c.licenceOf(who), Request: in.Body.Request, Emails: in.Body.Emails, LeadIDs: in.Body.LeadIDs, Metadata: in.Body.Metadata}))
	})
	add(a, route{
		method: http.MethodGet, path: "/orders", name: "listOrders", tag: "Orders", needs: member, anyOrg: true,
		summary: "List orders, newest first", about: "With a member's key, that member's own. New orders do not shift the pages.",
	}, func(ctx context.Context, in *struct {
		Span
		LabelFilter
		Member string   `query:"member" maxLength:"100" doc:"Only this member's." example:"jane"`
		Status string   `query:"status" enum:"reserved,verifying,completed,settled,rejected,cancelled,failed"`
		Kind   kindName `query:"kind"`
		Cursor string   `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int      `query:"limit" minimum:"1" maximum:"500" default:"50"`
	},
	) (*answer[orderPage], error) {
		c := callerOf(ctx)
		whose, err := c.concerns(in.Member)
		if err != nil {
			return nil, err
		}
		labels, err := in.labels()
		if err != nil {
			return nil, err
		}
		list, next, err := a.Book.List(ctx, orderbook.Filter{
			Since: in.From.Time, Before: in.To.Time, Data: labels, Org: c.org.ID, Member: whose, Status: order.Status(in.Status), Kind: order.Kind(in.Kind), Cursor: in.Cursor, Limit: in.Limit,
		})
		return body(orderPage{append([]order.Order{}, list...), next}, err)
	})
	add(a, route{
		method: http.MethodGet, path: "/orders/{id}", name: "getOrder", tag: "Orders", tagged: true, needs: member, anyOrg: true,
		summary: "Show an order", about: "With If-None-Match and the ETag of before, the answer is 304 while nothing has changed.",
	}, func(ctx context.Context, in *struct {
		OrderID
		Tag string `header:"If-None-Match"`
	},
	) (*taggedOrder, error) {
		o, err := a.orderOf(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		tag, err := etag(o)
		if err != nil {
			return nil, err
		}
		if matches(in.Tag, tag) {
			return &taggedOrder{Status: http.StatusNotModified, Tag: tag}, nil
		}
		return &taggedOrder{Status: http.StatusOK, Tag: tag, Body: o}, nil
	})
}

// orderSteps are the routes that move an order.
func (a *API) orderSteps() {
	for _, step := range []struct {
		word, summary, about string
		idle                 string // what is said where there was nothing to do
		do                   func(ctx context.Context, org, id string) (changed bool, err error)
	}{
		{
			"cancel", "Cancel an order", "What was delivered stays; the rest of the hold is released moments later. An order that is delivered is refunded at once.",
			"The order was cancelled before; nothing was changed.", a.Intake.Cancel,
		},
		{
			"pause", "Pause an order", "Batches under way are finished and charged; no new ones begin.",
			"The order was paused before; nothing was changed.", a.Intake.Pause,
		},
		{
			"resume", "Resume a paused order", "An order that waits for an outage to end tries again at once.",
			"The order is not paused; nothing was changed.", a.Intake.Resume,
		},
	} {
		add(a, route{
			method: http.MethodPost, path: "/orders/{id}/" + step.word, name: step.word + "Order", tag: "Orders", errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, needs: member, anyOrg: true,
			status: http.StatusAccepted, summary: step.summary, about: step.about + " Repeated, it answers alike, with a note that nothing was changed. An order that is over is 409.",
		}, func(ctx context.Context, in *struct {
			OrderID
			StepKey
		},
		) (*answer[movedOrder], error) {
			o, err := a.orderOf(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			changed, err := step.do(ctx, o.Org, o.ID)
			if err != nil {
				return nil, err
			}
			o, err = a.Book.Get(ctx, o.Org, o.ID)
			moved := movedOrder{Order: o}
			if !changed {
				moved.Note = step.idle
			}
			return body(moved, err)
		})
	}
	add(a, route{
		method: http.MethodPost, path: "/orders/{id}/reverse", name: "reverseOrder", tag: "Orders", errors: []int{http.StatusConflict}, needs: operator, anyOrg: true,
		summary: "Credit back what an order charged, or a part of it", about: "Leads that are credited back are no longer paid for: ordered again, they cost again.",
	}, func(ctx context.Context, in *struct {
		OrderID
		Idempotent
		Body struct {
			Reason string   `json:"reason" minLength:"1" maxLength:"500" doc:"For the journal; no contact data."`
			Leads  []string `json:"lead_ids,omitempty" maxItems:"10000" doc:"Only what these leads cost."`
			Type   string   `json:"type,omitempty" doc:"Only credits of this type."`
			Amount int64    `json:"amount,omitempty" minimum:"1" maximum:"1000000000000" doc:"Only so many credits of the type."`
		}
	},
	) (*answer[billing.Reversed], error) {
		o, err := a.orderOf(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return body(a.Billing.Reverse(ctx, billing.Reversal{
			OrderID: o.ID, Key: in.Key, Reason: in.Body.Reason, Type: in.Body.Type, Amount: in.Body.Amount, Leads: in.Body.Leads,
		}, time.Now()))
	})
}

// OrderID is the order that a route is about.
type OrderID struct {
	ID string `path:"id" maxLength:"100" example:"ord_4k2n6v"`
}

// StepKey is what a request carries that moves an order.
type StepKey struct {
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"Makes the request safe to repeat at any time: a copy that arrives late, when another step was taken after it, changes nothing. With another order or step 422." example:"4c1f7e0a"`
}

func (s StepKey) repeats() string { return s.Key }

// movedOrder is an order after a step.
type movedOrder struct {
	order.Order
	Note string `json:"note,omitempty" doc:"Set where there was nothing to do."`
}

type orderPage struct {
	Orders     []order.Order `json:"orders"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

type taggedOrder struct {
	Status int
	Tag    string `header:"ETag"`
	Body   order.Order
}

// orderOf returns an order that the caller may see, or orderbook.ErrNotFound.
// Every route about one order begins with it.
func (a *API) orderOf(ctx context.Context, id string) (order.Order, error) {
	c := callerOf(ctx)
	o, err := a.Book.Get(ctx, c.org.ID, id)
	if err == nil && c.only() != "" && o.Member != c.only() {
		return order.Order{}, orderbook.ErrNotFound
	}
	return o, err
}

// etag says what an order is like; its rate and its expected end, which change
// with time alone, do not count.
func etag(o order.Order) (string, error) {
	if o.Progress != nil {
		o.Progress = &order.Pace{Done: o.Progress.Done, Total: o.Progress.Total}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`, nil
}

// matches says whether If-None-Match names the tag (RFC 9110, section 13.1.2).
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}

type placedOrder struct {
	Location string `header:"Location"`
	Body     order.Order
}

func (a *API) createOrder(ctx context.Context, in *struct {
	Idempotent
	Wait string `query:"wait" doc:"How long to wait for the order to be delivered, such as 30s; at most 1m."`
	Body order.Body
},
) (*placedOrder, error) {
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin+wait)
	defer cancel()
	c := callerOf(ctx)
	who, err := c.actsFor(in.Body.Member)
	if err != nil {
		return nil, err
	}
	o, err := a.Intake.Submit(ctx, intake.Submission{
		Org: c.org.ID, Account: &c.org, Member: who, Licence: c.licenceOf(who), Key: in.Key, Request: in.Body.Request, Emails: in.Body.Emails, LeadIDs: in.Body.LeadIDs,
		Metadata: in.Body.Metadata, Together: wait > 0,
	})
	switch {
	case err != nil:
		return nil, err
	case o.Member != who: // another member of the organization used the key before
		return nil, intake.ErrKeyReused
	case o.Status == order.Rejected:
		return nil, rejected(o)
	}
	if o, err = a.await(ctx, o, wait); err != nil {
		return nil, err
	}
	return &placedOrder{Location: prefix + "/orders/" + o.ID, Body: o}, nil
}

// parseWait reads how long a request is to wait for what it began; empty is not at
// all.
func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, invalid("query.wait", "The wait is a duration from 0s to 1m, such as 30s.")
	}
	return wait, nil
}

// rejected is the answer to an order that the credits do not cover.
func rejected(o order.Order) *Problem {
	p := newProblem(http.StatusPaymentRequired, "The credits do not cover the order; nothing was held.")
	p.OrderID = o.ID
	if o.Failure != nil {
		p.Detail, p.Missing, p.Over = sentence(o.Failure.Message), o.Failure.Missing, o.Failure.OverBudget
	}
	return p
}

// await returns an order when it is delivered or over, or as it stands after
// wait.
func (a *API) await(ctx context.Context, o order.Order, wait time.Duration) (order.Order, error) {
	end, landed, pause := time.After(wait), a.Intake.Landed(o.ID), 5*time.Millisecond
	if landed != nil {
		pause = 100 * time.Millisecond // seldom: it learns when the ride is over
	}
	for ; wait > 0 && !o.Status.Delivered() && !o.Status.Over(); pause = min(pause*3/2, time.Second) {
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-a.drain:
			return o, nil
		case <-end:
			return o, nil
		case <-landed:
			landed, pause = nil, 5*time.Millisecond
		case <-time.After(pause):
		}
		var err error
		if o, err = a.Book.Get(ctx, o.Org, o.ID); err != nil {
			return o, err
		}
	}
	return o, nil
}
