package billing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// atOnce is how many subscriptions of a page are renewed at the same time: so
// many that the ledger has its pick for every batch it commits.
const atOnce = 256

// Page is what one page of a sweep came to.
type Page struct {
	Cursor   account.Cursor        `json:"cursor"`  // the next page begins after it
	Seen     int                   `json:"seen"`    // subscriptions that were due; 0 ends the sweep
	Reset    int                   `json:"reset"`   // of them, those that are in their new period now
	Credits  []account.ResetCredit `json:"credits"` // by type
	Failures []Failure             `json:"failures,omitempty"`
}

// Failure is a subscription that cannot be reset as it is.
type Failure struct {
	Org    string `json:"org"`
	Member string `json:"member,omitempty"`
	Period int    `json:"period"`
	Reason string `json:"reason"`
}

// Sweep resets up to limit subscriptions that fell due at or before a time,
// beginning after a cursor: their credits in the ledger, many at a time, then
// all of them move on to the next period together. A subscription that cannot
// be reset stays where it is, is reported, and does not stop the others. Any
// other error ends the page; repeated, it goes on where it ended.
func (b *Billing) Sweep(ctx context.Context, before time.Time, after account.Cursor, limit int) (Page, error) {
	due, err := b.accounts.DueSubscriptions(ctx, before, after, limit)
	if err != nil || len(due) == 0 {
		return Page{Cursor: after}, err
	}
	page := Page{Cursor: due[len(due)-1].Cursor(), Seen: len(due)}
	var mu sync.Mutex
	var resets []account.Reset
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, d := range due {
		group.Go(func() error {
			credits, err := b.renew(groupCtx, d)
			if err != nil && !refusal(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				page.Failures = append(page.Failures, Failure{d.Org, d.Member, d.Period.N, err.Error()})
				return nil
			}
			resets = append(resets, account.Reset{Due: d, Credits: credits})
			page.Credits = add(page.Credits, credits)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Page{}, err
	}
	page.Reset = len(resets)
	_, err = b.accounts.Advance(ctx, resets)
	return page, err
}

// CatchUp resets everything of one organization that fell due at or before a
// time, its own subscription and its members', every missed period in order.
// It does what a sweep does, under the same keys, so that whoever has just been
// created or changed need not wait for the next one.
func (b *Billing) CatchUp(ctx context.Context, org string, at time.Time) error {
	for {
		due, err := b.accounts.DueOf(ctx, org, at)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, d := range due {
			credits, err := b.renew(ctx, d)
			if err != nil {
				return fmt.Errorf("the credits of period %d of %s were not reset: %w", d.Period.N, subscriber(d), err)
			}
			if _, err := b.accounts.Advance(ctx, []account.Reset{{Due: d, Credits: credits}}); err != nil {
				return err
			}
		}
	}
}

func subscriber(d account.Due) string {
	if d.Member == "" {
		return d.Org
	}
	return d.Member + " of " + d.Org
}

// renew ends the period before and begins the one that is due, in the ledger,
// once per subscription and period.
func (b *Billing) renew(ctx context.Context, d account.Due) ([]account.ResetCredit, error) {
	begins, err := b.accounts.Plan(ctx, d.Plan, d.PlanVersion)
	if err != nil {
		return nil, err
	}
	ends, err := b.accounts.Plan(ctx, d.Ended.ID, d.Ended.Version)
	if err != nil {
		return nil, err
	}
	var credits []account.ResetCredit
	if lines := renewals(ends, begins, d); len(lines) > 0 {
		renewed, err := b.ledger.Renew(ctx, ledger.Renew{
			Owner: d.Org, Key: fmt.Sprintf("reset/%s/%d", d.Member, d.Period.N), Pool: d.Member, Lines: lines,
			Memo: ledger.Memo{Action: "reset", Member: d.Member, Reason: "period from " + d.Period.Start.UTC().Format(time.DateOnly)},
		})
		if err != nil {
			return nil, err
		}
		for _, l := range renewed.Lines {
			credits = append(credits, account.ResetCredit{Type: l.Type, Granted: l.Granted, RolledOver: l.Rolled, Expired: l.Expired})
		}
	}
	if d.First {
		// Armed after the first allotment, so that an empty beginning is no news.
		err = b.arm(ctx, d.Org, d.Member, d.Generation, begins, nil)
	}
	return credits, err
}

// renewals says what becomes of each credit type in a subscription's pool. What
// is left of the period that ends is treated as its plan says; the new period's
// allotment follows the plan that is in force now.
func renewals(ends, begins *plan.Plan, d account.Due) []ledger.Renewal {
	owner := d.Owner()
	types := map[string]bool{}
	for _, p := range []*plan.Plan{ends, begins} {
		for _, a := range p.Allotments(owner) {
			types[a.Type] = true
		}
	}
	lines := make([]ledger.Renewal, 0, len(types))
	for _, t := range slices.Sorted(maps.Keys(types)) {
		line := ledger.Renewal{Type: t, Amount: begins.Allotment(t, owner), Rollover: true, Cap: -1}
		if line.Amount > 0 {
			line.ExpiresAt = begins.GrantExpiry(t, d.Period)
		}
		// What a plan did not allot it does not take away either.
		if ends.Allotment(t, owner) > 0 {
			switch c := ends.Credits[t]; {
			case c.AtPeriodEnd == plan.Expire:
				line.Rollover, line.Cap = false, 0
			case c.AtPeriodEnd == plan.RollOver && c.RollOverCap > 0:
				line.Cap = c.RollOverCap
			}
		}
		lines = append(lines, line)
	}
	return lines
}
