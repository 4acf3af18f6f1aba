package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const (
	maxUpload    = 256 << 20        // bytes of a list
	uploadWithin = 15 * time.Minute // for a list to arrive and be stored

	uploadsAtOnce = 4                // of one organization, in one process
	maxUploads    = 32               // of all: each has a connection to the database
	verifyWithin  = 25 * time.Second // what a synchronous verification waits
)

func (a *API) lists() {
	add(a, route{
		method: http.MethodPost, path: "/lists", name: "uploadList", tag: "Verification", status: http.StatusCreated, needs: member, stream: true,
		upload: true, maxBody: maxUpload,
		summary: "Upload a list, to verify or enrich it with an order",
		about: "CSV with any columns, or plain text with an address a line; gzip with Content-Encoding. To be enriched, a row needs an address, a name with a company or a domain, " +
			"or a domain. The same list uploaded again is the same list. A list that no order uses is deleted after 7 days. " +
			"The plan must sell an action that takes a list.",
	}, a.uploadList)
	add(a, route{
		method: http.MethodDelete, path: "/lists/{id}", name: "deleteList", tag: "Lists", needs: member, errors: []int{http.StatusConflict},
		summary: "Delete a list", about: "Orders that used it keep their verdicts; their results lose the columns of the list. " +
			"A list that an open order uses cannot be deleted. A member's key deletes that member's own.",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"100" doc:"The list." example:"lst_7d2k4m"`
	},
	) (*struct{}, error) {
		c := callerOf(ctx)
		return nil, a.Catalogue.DeleteList(ctx, c.org.ID, c.only(), in.ID)
	})
	a.listLists()
	add(a, route{
		method: http.MethodPost, path: "/verify", name: "verifyEmail", tag: "Verification", errors: []int{http.StatusPaymentRequired, http.StatusGone, http.StatusServiceUnavailable}, needs: member,
		summary: "Verify one address", about: "It starts an order like any other. An address at a greylisting server is still verifying in the answer; read the order later. " +
			"Calls of one organization that come at the same time share work; each keeps its own key, answer, charge and history. Each result says its `order_id` and its `line` there.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Email string `json:"email" minLength:"1" maxLength:"320"`
			VerifyFor
		}
	},
	) (*answer[verified], error) {
		v, err := a.verify(ctx, in.Key, in.Body.VerifyFor, []string{in.Body.Email})
		var bad *order.InvalidError
		if errors.As(err, &bad) && bad.Field == "emails" { // the request has one only
			err = &order.InvalidError{Field: "email", Message: bad.Message}
		}
		return body(v, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/verify/batch", name: "verifyBatch", tag: "Verification", errors: []int{http.StatusPaymentRequired, http.StatusGone, http.StatusServiceUnavailable}, needs: member,
		summary: "Verify up to 100 addresses", about: "As for one address.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Emails []string `json:"emails" minItems:"1" maxItems:"100" example:"[\"ann@example.com\"]"`
			VerifyFor
		}
	},
	) (*answer[verified], error) {
		return body(a.verify(ctx, in.Key, in.Body.VerifyFor, in.Body.Emails))
	})
}

type listPage struct {
	Lists      []lead.List `json:"lists" doc:"The lists."`
	NextCursor string      `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) listLists() {
	add(a, route{
		method: http.MethodGet, path: "/lists", name: "listLists", tag: "Lists", needs: admin,
		summary: "List the uploaded lists, newest first", about: "Also those that were made of the emails and lead_ids of orders.",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[listPage], error) {
		lists, next, err := readPage(in.Page, func(before time.Time, id string, limit int) ([]lead.List, error) {
			return a.Catalogue.Lists(ctx, callerOf(ctx).org.ID, before, id, limit)
		}, func(l lead.List) (time.Time, string) { return l.CreatedAt, l.ID })
		return body(listPage{lists, next}, err)
	})
	add(a, route{
		method: http.MethodGet, path: "/lists/{id}", name: "getList", tag: "Lists", needs: member,
		summary: "Show a list: its columns and how many rows of what kind it has",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"100" doc:"The list." example:"lst_7d2k4m"`
	},
	) (*answer[lead.List], error) {
		list, err := a.Catalogue.List(ctx, callerOf(ctx).org.ID, in.ID)
		if errors.Is(err, lead.ErrNoList) {
			err = lead.ErrNoList // which one was asked for is left out of the answer
		}
		return body(list, err)
	})
}

func (a *API) uploadList(ctx context.Context, in *struct {
	Repeatable
	Column string `query:"column" maxLength:"200" doc:"The column that has the addresses; found by itself when left out."`
},
) (*answer[lead.List], error) {
	ctx, cancel := context.WithTimeout(ctx, uploadWithin)
	defer cancel()
	c := callerOf(ctx)
	most, err := a.mostRows(ctx, c)
	if err != nil {
		return nil, err
	}
	source, ok := ctx.Value(uploadKey{}).(io.Reader)
	if !ok {
		return nil, invalid("body", "The list is empty; send it as the body.")
	}
	leave, err := a.uploads.enter(c.org.ID)
	if err != nil {
		return nil, err
	}
	defer leave()
	return body(a.Catalogue.Upload(ctx, lead.Upload{Org: c.org.ID, Member: c.member, Column: in.Column, MaxRows: most}, source))
}

// mostRows is how many rows a list may have of which the organization's plan can
// make use. Where it sells nothing that takes a list, the upload is refused.
func (a *API) mostRows(ctx context.Context, c caller) (int64, error) {
	if err := c.org.MayOrder(); err != nil {
		return 0, err
	}
	p, err := a.Accounts.Plan(ctx, c.org.Plan, c.org.PlanVersion)
	if err != nil {
		return 0, err
	}
	var most int64
	for _, kind := range order.Kinds() {
		spec := kind.Spec()
		sold := slices.ContainsFunc(kind.Actions(), func(action string) bool { _, is := p.Action(action); return is })
		switch {
		case !sold || !spec.Has("list_id"):
		case spec.Source == order.FromFields:
			most = max(most, order.MaxLookups)
		default:
			most = lead.MaxListRows
		}
	}
	if most == 0 {
		return 0, invalid("", fmt.Sprintf("The plan %s does not offer anything that takes a list; choose a plan that does.", p.ID))
	}
	return most, nil
}

// uploadKey is under what readBody leaves the body of an upload.
type uploadKey struct{}

// describeUpload says in the description what a route's raw body is.
func describeUpload(op *huma.Operation, r route) {
	if r.upload {
		text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": text, "text/plain": text}}
	}
}

type verified struct {
	Order   order.Order      `json:"order" doc:"The order that is behind it."`
	Results []verifiedResult `json:"results" doc:"One for each address that has a verdict."`
}

// verifiedResult is the verdict on one address of a synchronous verification.
type verifiedResult struct {
	OrderID string `json:"order_id"`
	Line    int    `json:"line"`
	lead.Verified
}

// VerifyFor is what a synchronous verification may say besides its addresses.
type VerifyFor struct {
	Member   string `json:"member,omitempty" maxLength:"100" doc:"The member that orders, with an admin's or the operator's key; the key's own member when left out." example:"jane"`
	Metadata Labels `json:"metadata,omitempty" doc:"Up to 20 texts of your own, by name; no contact data."`
}

func (a *API) verify(ctx context.Context, key string, as VerifyFor, emails []string) (verified, error) {
	c := callerOf(ctx)
	who, err := c.actsFor(as.Member)
	if err != nil {
		return verified{}, err
	}
	o, err := a.Intake.Submit(ctx, intake.Submission{
		Org: c.org.ID, Account: &c.org, Member: who, Licence: c.licenceOf(who), Metadata: as.Metadata, Key: key, Request: order.Request{Kind: order.Verify}, Emails: emails, Together: true,
	})
	switch {
	case err != nil:
		return verified{}, err
	case o.Member != who:
		return verified{}, intake.ErrKeyReused
	case o.Status == order.Rejected:
		return verified{}, rejected(o)
	}
	if o, err = a.await(ctx, o, verifyWithin); err != nil {
		return verified{}, err
	}
	if o.ResultsRemovedAt != nil {
		return verified{}, orderbook.ErrResultsRemoved
	}
	rows, err := a.Catalogue.Verified(ctx, c.org.ID, o.ID)
	if err != nil {
		return verified{}, err
	}
	v := verified{Order: o, Results: make([]verifiedResult, len(rows))}
	for i, row := range rows {
		v.Results[i] = verifiedResult{OrderID: o.ID, Line: i + 1, Verified: row}
	}
	return v, nil
}
