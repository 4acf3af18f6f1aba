package api

import (
	"context"
	"encoding/csv"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
)

// history is a page of the history, with contacts where the filter asks for them.
func (a *API) history(ctx context.Context, filter ledger.HistoryFilter) (billing.History, error) {
	page, err := a.Billing.History(ctx, filter)
	if err != nil || !filter.Charged {
		return page, err
	}
	c := callerOf(ctx)
	terms, err := a.Accounts.Plan(ctx, c.org.Plan, c.org.PlanVersion)
	if err != nil {
		return page, err
	}
	var subjects []uuid.UUID
	orders := map[string]bool{}
	for _, e := range page.Entries {
		for _, fact := range e.Charged {
			subjects, orders[e.OrderID] = append(subjects, fact.Subject), true
		}
	}
	if len(subjects) == 0 {
		return page, nil
	}
	contacts, err := a.Catalogue.Contacts(ctx, viewer(c, terms), subjects, slices.Collect(maps.Keys(orders)))
	if err != nil {
		return page, err
	}
	for i := range page.Entries {
		e := &page.Entries[i]
		for _, fact := range e.Charged {
			found := contacts[fact.Subject]
			e.Contacts = append(e.Contacts, billing.Contact{LeadID: found.LeadID, Field: string(found.Field), Name: found.Name, Contact: found.Value, Cost: fact.Credits})
		}
	}
	return page, nil
}

var movementColumns = []string{"at", "kind", "type", "pool", "amount", "balance", "order_id", "action", "member", "source", "reason", "leads", "lead_id", "pool_member", "change"}

// movementLine is a movement as a line of a CSV.
func movementLine(e billing.Entry) [][]string {
	return [][]string{{
		e.At.Format(time.RFC3339Nano), e.Kind, e.Type, e.Pool, strconv.FormatInt(e.Amount, 10), strconv.FormatInt(e.Balance, 10),
		e.OrderID, e.Action, e.Member, e.Source, lead.Guard(e.Reason), strconv.FormatInt(e.Leads, 10), lead.Guard(e.LeadID), e.Holder, strconv.FormatInt(e.Change, 10),
	}}
}

var contactColumns = []string{"at", "kind", "action", "lead_id", "field", "name", "contact", "type", "cost", "pool", "pool_member", "source", "order_id", "member", "entry"}

// contactLines are a line for each contact of a movement. What it moved for none is
// a line of its own: the costs add up to the amount.
func contactLines(e billing.Entry) (lines [][]string) {
	contacts, rest := e.Contacts, e.Amount
	for _, c := range contacts {
		rest -= c.Cost
	}
	if rest > 0 {
		contacts = append(slices.Clone(contacts), billing.Contact{Cost: rest})
	}
	for _, c := range contacts {
		lines = append(lines, []string{
			e.At.Format(time.RFC3339Nano), e.Kind, e.Action, lead.Guard(c.LeadID), c.Field, lead.Guard(c.Name), lead.Guard(c.Contact), e.Type, strconv.FormatInt(c.Cost, 10),
			e.Pool, e.Holder, e.Source, e.OrderID, e.Member, strconv.FormatInt(e.Entry, 10),
		})
	}
	return lines
}

// historyCSV writes page after page: it holds one in memory.
func (a *API) historyCSV(ctx context.Context, in *struct{ HistoryFilter }) (*huma.StreamResponse, error) {
	filter, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	filter.Limit = 1000
	page, err := a.history(ctx, filter)
	if err != nil {
		return nil, err
	}
	return a.stream(ctx, "text/csv; charset=utf-8", "credits.csv", func(w *patient) error {
		out := csv.NewWriter(w)
		out.UseCRLF = true
		header, lines := movementColumns, movementLine
		if filter.Charged {
			header, lines = contactColumns, contactLines
		}
		_ = out.Write(header) // Error tells
		for {
			for _, e := range page.Entries {
				_ = out.WriteAll(lines(e)) // Error tells
			}
			out.Flush()
			if err := out.Error(); err != nil || page.NextCursor == "" {
				return err
			}
			filter.Cursor = page.NextCursor
			if page, err = a.history(ctx, filter); err != nil {
				return err
			}
		}
	}), nil
}
