package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/payment"
)

// stripeEvents is where Stripe reports events. It is no part of the description:
// only Stripe calls it, and its signature stands in place of a key.
const stripeEvents = "POST " + prefix + "/integrations/stripe/webhook"

func (a *API) payments() {
	add(a, route{
		method: http.MethodGet, path: "/purchases", name: "listPurchases", tag: "Payments", needs: admin,
		summary: "List what was bought, newest first", about: "Packs, paid periods of subscriptions, and grants that name a purchase; with what refunds and disputes have taken back.",
	}, func(ctx context.Context, in *struct {
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[purchasePage], error) {
		page, next, err := a.Payments.Purchases(ctx, callerOf(ctx).org.ID, in.Cursor, in.Limit)
		return body(purchasePage{page, next}, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/checkout", name: "createCheckout", tag: "Payments", status: http.StatusCreated, needs: admin,
		errors:  []int{http.StatusConflict, http.StatusBadGateway},
		summary: "Begin a purchase of credits or a plan", about: "The answer's `url` is a page of the payment service; send the buyer there. The credits come when the payment service reports the payment.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Price      string `json:"price" minLength:"1" maxLength:"255" example:"price_1" doc:"One that the operator has mapped."`
			Quantity   int64  `json:"quantity,omitempty" example:"2" minimum:"1" maximum:"1000000" doc:"1 when left out."`
			SuccessURL string `json:"success_url" minLength:"1" maxLength:"2000" format:"uri" example:"https://example.com/paid" doc:"Where the buyer goes after paying."`
			CancelURL  string `json:"cancel_url,omitempty" maxLength:"2000" format:"uri" example:"https://example.com/prices" doc:"Where a buyer who gives up goes."`
			SaveCard   bool   `json:"save_card,omitempty" example:"false" doc:"Keep the card at the payment service for automatic purchases (PUT /top-ups)."`
		}
	},
	) (*answer[payment.Checkout], error) {
		c := callerOf(ctx)
		if err := c.org.MayOrder(); err != nil {
			return nil, err
		}
		return body(a.Payments.Checkout(ctx, payment.NewCheckout{
			Org: c.org.ID, Member: c.member, Key: in.Key, Price: in.Body.Price, Quantity: max(in.Body.Quantity, 1),
			SuccessURL: in.Body.SuccessURL, CancelURL: in.Body.CancelURL, SaveCard: in.Body.SaveCard,
		}))
	})
	add(a, route{
		method: http.MethodGet, path: "/prices", name: "listPrices", tag: "Payments", needs: admin,
		summary: "List what can be bought", about: "Prices of the payment service for `POST /checkout`. What a price costs, its page at the payment service says.",
	}, a.listPrices)
	a.topUps()
	a.reports()
	a.stripe()
	a.stripeCustomers()
}

func (a *API) listPrices(ctx context.Context, in *struct{ Page }) (*answer[priceList], error) {
	list, err := a.Payments.Prices(ctx)
	if err != nil {
		return nil, err
	}
	page, next := pageOf(list, func(p payment.Price) string { return p.ID }, false, in.Page)
	return body(priceList{page, next}, nil)
}

// stripe are the operator's routes.
func (a *API) stripe() {
	add(a, route{
		method: http.MethodGet, path: "/integrations/stripe/prices", name: "listPaymentPrices", tag: "Payments", needs: operator, noOrg: true,
		summary: "List what the payment service's prices buy",
	}, a.listPrices)
	add(a, route{
		method: http.MethodPut, path: "/integrations/stripe/prices/{price}", name: "mapPaymentPrice", tag: "Payments", needs: operator, noOrg: true,
		summary: "Say what a price buys from now on",
		about:   "Either a plan, or credits of a type for each unit. Events that waited for it are carried out. What was bought before keeps its terms.",
	}, func(ctx context.Context, in *struct {
		Price string `path:"price" minLength:"1" maxLength:"255" example:"price_1" doc:"The id of the price at the payment service."`
		Body  struct {
			Plan              string `json:"plan,omitempty" example:"verified-leads" doc:"The plan that a subscription to the price stands for."`
			ThenPlan          string `json:"then_plan,omitempty" example:"workspace-free" doc:"With plan: the plan after the subscription has ended. When left out, the organization is suspended then."`
			Type              string `json:"type,omitempty" maxLength:"63" example:"email" doc:"The type of the credits that each unit brings."`
			Credits           int64  `json:"credits,omitempty" minimum:"1" maximum:"1000000000000" example:"5000" doc:"How many credits each unit brings."`
			ExpiresAfterDays  int32  `json:"expires_after_days,omitempty" example:"365" minimum:"1" maximum:"36500" doc:"Days from the purchase; never when left out."`
			ExpiresWithPeriod bool   `json:"expires_with_period,omitempty" example:"false" doc:"With a subscription: the credits expire with the period that was paid for."`
		}
	},
	) (*answer[payment.Price], error) {
		b := in.Body
		return body(a.Payments.MapPrice(ctx, payment.Price{
			ID: in.Price, Plan: b.Plan, ThenPlan: b.ThenPlan, Type: b.Type, Credits: b.Credits,
			ExpiresAfterDays: b.ExpiresAfterDays, ExpiresWithPeriod: b.ExpiresWithPeriod,
		}))
	})
}

// stripeCustomers are the routes about the payment service's customers and what it
// has reported.
func (a *API) stripeCustomers() {
	add(a, route{
		method: http.MethodGet, path: "/integrations/stripe/customers", name: "listPaymentCustomers", tag: "Payments", needs: operator, noOrg: true,
		summary: "List which organization each customer of the payment service is",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[customerList], error) {
		list, err := a.Payments.Customers(ctx)
		if err != nil {
			return nil, err
		}
		page, next := pageOf(list, func(c payment.Customer) string { return c.ID }, false, in.Page)
		return body(customerList{page, next}, nil)
	})
	add(a, route{
		method: http.MethodPut, path: "/integrations/stripe/customers/{customer}", name: "mapPaymentCustomer", tag: "Payments", needs: operator, noOrg: true,
		summary: "Say which organization a customer is", about: "A checkout of ours says it by itself. Events that waited for it are carried out.",
	}, func(ctx context.Context, in *struct {
		Customer string `path:"customer" minLength:"1" maxLength:"255" example:"cus_1" doc:"The id of the customer at the payment service."`
		Body     struct {
			Org string `json:"org" minLength:"1" maxLength:"63" example:"acme" doc:"The organization."`
		}
	},
	) (*answer[payment.Customer], error) {
		return body(a.Payments.MapCustomer(ctx, in.Customer, in.Body.Org))
	})
	add(a, route{
		method: http.MethodGet, path: "/integrations/stripe/events", name: "listPaymentEvents", tag: "Payments", needs: operator, noOrg: true,
		summary: "List what the payment service has reported, and what became of it",
	}, func(ctx context.Context, in *struct {
		Status string `query:"status" enum:"waiting,done,ignored" doc:"Only events in this state."`
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[paymentEventPage], error) {
		page, next, err := readPage(Page{in.Cursor, in.Limit}, func(before time.Time, id string, limit int) ([]payment.Event, error) {
			return a.Payments.Events(ctx, payment.Status(in.Status), before, id, limit)
		}, func(e payment.Event) (time.Time, string) { return e.ReceivedAt, e.ID })
		return body(paymentEventPage{page, next}, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/integrations/stripe/events/{event}/retry", name: "retryPaymentEvent", tag: "Payments", needs: operator, noOrg: true,
		errors: []int{http.StatusBadGateway}, summary: "Try an event again that waits",
	}, func(ctx context.Context, in *struct {
		Event string `path:"event" minLength:"1" maxLength:"255" example:"evt_1" doc:"The event."`
	},
	) (*answer[payment.Event], error) {
		return body(a.Payments.Retry(ctx, in.Event))
	})
}

type purchasePage struct {
	Purchases  []payment.Purchase `json:"purchases" doc:"Newest first."`
	NextCursor string             `json:"next_cursor,omitempty"`
}

type priceList struct {
	Prices     []payment.Price `json:"prices" doc:"By the id of the price."`
	NextCursor string          `json:"next_cursor,omitempty"`
}

type customerList struct {
	Customers  []payment.Customer `json:"customers" doc:"By the id of the customer."`
	NextCursor string             `json:"next_cursor,omitempty"`
}

type paymentEventPage struct {
	Events     []payment.Event `json:"events" doc:"Newest first."`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// paidFor is what a person who grants credits says about their purchase.
type paidFor struct {
	Amount   int64  `json:"amount" minimum:"0" maximum:"1000000000000" example:"4900" doc:"What was paid, in the smallest unit of the currency (cents)."`
	Currency string `json:"currency" pattern:"^[a-z]{3}$" example:"eur" doc:"ISO 4217, in small letters."`
	Invoice  string `json:"invoice,omitempty" maxLength:"100" example:"2026-0117" doc:"The number of the invoice."`
	BoughtBy string `json:"bought_by,omitempty" maxLength:"63" example:"ann" doc:"The member who bought it."`
}

// checkBuyer refuses a purchase by a member who does not exist, before anything
// is granted.
func (a *API) checkBuyer(ctx context.Context, org account.Org, p *paidFor) error {
	if p == nil || p.BoughtBy == "" {
		return nil
	}
	if _, err := a.Accounts.Member(ctx, org.ID, p.BoughtBy); err != nil {
		return invalid("body.purchase.bought_by", "There is no such member; leave it out or name one.")
	}
	return nil
}

// receiveStripe takes in an event. An event that Stripe
// cannot mend by sending it again is answered with 200 and waits.
func (a *API) receiveStripe(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeProblem(w, r, unread(err))
		return
	}
	if strings.TrimSpace(r.Header.Get("Stripe-Signature")) == "" {
		writeProblem(w, r, a.problem(r.Context(), payment.ErrSignature))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	e, err := a.Payments.Receive(ctx, text, r.Header.Get("Stripe-Signature"))
	if err != nil {
		writeProblem(w, r, a.problem(ctx, err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(e) // a client that is gone needs no answer
}
