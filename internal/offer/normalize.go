package offer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// notStored is the list of a request that was normalized without storing anything.
const notStored = "-"

// Normalize takes addresses and lead ids out of what a customer sends and keeps them
// as a list, so that the request holds no contact data and its count is known.
// With keep false nothing is stored: good for a quote alone.
//
// Errors: *order.InvalidError.
func (d *Pricer) Normalize(ctx context.Context, org string, body order.Body, keep bool) (order.Request, error) {
	r := body.Request
	if err := body.Misplaced(); err != nil {
		return r, err
	}
	switch {
	case len(body.Emails) > 0 && r.ListID != "":
		return r, &order.InvalidError{Field: "emails", Message: "Give either emails or a list_id, not both."}
	case len(body.LeadIDs) > 0 && r.ListID != "":
		return r, &order.InvalidError{Field: "lead_ids", Message: "Give either lead_ids or a list_id, not both."}
	case len(body.LeadIDs) > order.MaxLookups:
		return r, &order.InvalidError{Field: "lead_ids", Message: fmt.Sprintf("The order names %d leads; one order may name at most %d, so make several.", len(body.LeadIDs), order.MaxLookups)}
	}
	var err error
	switch {
	case len(body.Emails) > 0:
		return d.normalizeEmails(ctx, org, r, body.Emails, keep)
	case len(body.LeadIDs) > 0:
		return d.normalizeLeads(ctx, org, r, body.LeadIDs, keep)
	case r.Kind.Spec().Has("order_id") && r.OrderID != "":
		r.Count, err = d.deliveredBy(ctx, org, r.OrderID)
	case !r.Kind.Spec().Has("count") && r.ListID != "":
		r.Count, err = d.countOf(ctx, org, r)
	}
	return r, err
}

func (d *Pricer) normalizeEmails(ctx context.Context, org string, r order.Request, emails []string, keep bool) (order.Request, error) {
	distinct := lead.DistinctEmails(emails)
	if distinct == 0 {
		return r, &order.InvalidError{Field: "emails", Message: noneOf(emails)}
	}
	if !keep {
		r.ListID, r.Count = notStored, distinct
		return r, nil
	}
	list, err := d.catalogue.KeepEmails(ctx, org, emails)
	r.ListID, r.Count = list.ID, list.Unique
	return r, refusedAs("emails", err)
}

// noneOf says why none of the texts is an address that can be verified.
func noneOf(texts []string) string {
	if len(texts) == 1 {
		return fmt.Sprintf("The text cannot be verified: %s.", lead.NoAddress(texts[0]))
	}
	return fmt.Sprintf("None of the %d texts is an address; the first one cannot be verified: %s.", len(texts), lead.NoAddress(texts[0]))
}

func (d *Pricer) normalizeLeads(ctx context.Context, org string, r order.Request, ids []string, keep bool) (order.Request, error) {
	if !keep {
		distinct := map[string]bool{}
		for _, id := range ids {
			if id = strings.TrimSpace(id); id != "" {
				distinct[id] = true
			}
		}
		r.ListID, r.Count = notStored, int64(len(distinct))
		return r, nil
	}
	list, err := d.catalogue.KeepLeadIDs(ctx, org, ids)
	r.ListID, r.Count = list.ID, list.Rows
	return r, refusedAs("lead_ids", err)
}

// refusedAs makes a list that is refused an invalid field of the request.
func refusedAs(field string, err error) error {
	var refused *lead.ListError
	if errors.As(err, &refused) {
		return &order.InvalidError{Field: field, Message: refused.Message}
	}
	return err
}

func noList(id string) error {
	return &order.InvalidError{Field: "list_id", Message: fmt.Sprintf("There is no list %q; upload it first.", id)}
}

// countOf is how many addresses or rows of a list an order is for.
func (d *Pricer) countOf(ctx context.Context, org string, r order.Request) (int64, error) {
	list, err := d.catalogue.Want(ctx, org, r.ListID)
	switch {
	case errors.Is(err, lead.ErrNoList):
		return 0, noList(r.ListID)
	case r.Kind.Spec().Source == order.FromAddresses:
		return list.Unique, err
	}
	return list.Rows, err
}

// deliveredBy is how many leads an order has delivered that is exported.
func (d *Pricer) deliveredBy(ctx context.Context, org, id string) (int64, error) {
	refuse := func(format string, args ...any) (int64, error) {
		return 0, &order.InvalidError{Field: "order_id", Message: fmt.Sprintf(format, args...)}
	}
	o, err := d.book.Get(ctx, org, id)
	switch {
	case errors.Is(err, orderbook.ErrNotFound):
		return refuse("There is no order %q to export.", id)
	case err != nil:
		return 0, err
	case o.Kind.Spec().Source == order.FromAddresses:
		return refuse("The order %s verified addresses and delivered no leads; download its results.", id)
	case !o.Status.Over() && !o.Status.Delivered():
		return refuse("The order %s is still running; export it once it is completed.", id)
	}
	leads, err := d.book.DeliveredLeads(ctx, id)
	if err == nil && leads == 0 {
		return refuse("The order %s delivered no leads; there is nothing to export.", id)
	}
	return leads, err
}

const expireAtMax = 20 // lists that are deleted at a time, each of up to a million rows

// ExpireLists deletes some of the lists that were kept and never used.
func (d *Pricer) ExpireLists(ctx context.Context) error {
	_, err := d.catalogue.ExpireLists(ctx, expireAtMax)
	return err
}
