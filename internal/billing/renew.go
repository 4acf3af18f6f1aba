package billing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
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

	err error
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
	resets, err := b.renewAll(ctx, due, &page.Failures)
	if err != nil {
		return Page{}, err
	}
	page.Reset = len(resets)
	for _, r := range resets {
		page.Credits = add(page.Credits, r.Credits)
	}
	_, err = b.accounts.Advance(ctx, resets)
	return page, err
}

// renewAll renews subscriptions in the ledger, many at a time, those of one
// organization in the order in which they fell due: its journal runs forward, so
// that what comes too late bears a later time. Those that cannot be renewed as they
// are go to the failures; any other error ends it.
func (b *Billing) renewAll(ctx context.Context, due []account.Due, failures *[]Failure) ([]account.Reset, error) {
	var mu sync.Mutex
	var resets []account.Reset
	var group *errgroup.Group
	var groupCtx context.Context
	var begun map[string]time.Time // by organization, when what the group renews fell due
	begin := func() {
		group, groupCtx = errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		begun = map[string]time.Time{}
	}
	begin()
	for _, d := range due {
		dueAt := d.Cursor().DueAt
		if earlier, there := begun[d.Org]; there && !earlier.Equal(dueAt) {
			if err := group.Wait(); err != nil {
				return resets, err
			}
			begin()
		}
		begun[d.Org] = dueAt
		renewing := groupCtx
		group.Go(func() error {
			credits, err := b.renew(renewing, d)
			if err != nil && !errcode.Permanent(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				*failures = append(*failures, Failure{d.Org, d.Member, d.Period.N, err.Error(), err})
				return nil
			}
			resets = append(resets, account.Reset{Due: d, Credits: credits})
			return nil
		})
	}
	return resets, group.Wait()
}

// CatchUp resets everything of one organization that fell due at or before a
// time, its own subscription and its members', every missed period in order.
// The zero time is now by the database's clock. It does what a sweep does, under
// the same keys, so that nothing waits for the next one.
func (b *Billing) CatchUp(ctx context.Context, org string, at time.Time) error {
	for {
		due, err := b.accounts.DueOf(ctx, org, at)
		if err != nil || len(due) == 0 {
			return err
		}
		var failures []Failure
		resets, err := b.renewAll(ctx, due, &failures)
		if err != nil {
			return err
		}
		if _, err := b.accounts.Advance(ctx, resets); err != nil {
			return err
		}
		if len(failures) > 0 {
			f := failures[0]
			return fmt.Errorf("the credits of period %d of %s were not reset: %w", f.Period, subscriber(f), f.err)
		}
	}
}

// Current returns an organization in the period that has begun: who reserves,
// quotes, or looks at credits finds what is due renewed, whether a sweep has run
// or not. What cannot be renewed as it is stays due; the sweep reports it.
func (b *Billing) Current(ctx context.Context, orgID string) (account.Org, error) {
	org, err := b.accounts.Org(ctx, orgID)
	if err != nil || !org.Due {
		return org, err
	}
	pending, err := b.accounts.PendingOf(ctx, orgID)
	if err != nil {
		return org, err
	}
	for _, p := range pending { // what a change brings belongs to its own period
		if _, err := b.apply(ctx, p); err != nil && !errcode.Permanent(err) {
			return org, err
		}
	}
	if err := b.CatchUp(ctx, orgID, time.Time{}); err != nil && !errcode.Permanent(err) {
		return org, err
	}
	return b.accounts.Org(ctx, orgID)
}

func subscriber(f Failure) string {
	if f.Member == "" {
		return f.Org
	}
	return f.Member + " of " + f.Org
}

// renew ends the period before and begins the one that is due, in the ledger,
// once per subscription and period.
func (b *Billing) renew(ctx context.Context, d account.Due) ([]account.ResetCredit, error) {
	if err := d.Err(); err != nil {
		return nil, err
	}
	op, err := b.renewal(ctx, d)
	if err != nil {
		return nil, err
	}
	var credits []account.ResetCredit
	if len(op.Lines) > 0 {
		renewed, err := b.ledger.Renew(ctx, op)
		if errors.Is(err, ledger.ErrKeyReused) {
			// What was booked for the period stays, should an earlier version of
			// this program have worked it out differently before it stopped.
			renewed, err = b.ledger.Renewed(ctx, op.Owner, op.Key)
		}
		if err != nil {
			return nil, err
		}
		credits = resetCredits(renewed)
	}
	if d.First {
		// Armed after the first allotment, so that an empty beginning is no event.
		begins, err := b.accounts.Plan(ctx, d.Plan, d.PlanVersion)
		if err != nil {
			return nil, err
		}
		err = b.arm(ctx, d.Org, d.Member, d.Generation, begins, nil, nil)
		return credits, err
	}
	return credits, nil
}

func resetCredits(renewed ledger.RenewResult) []account.ResetCredit {
	credits := make([]account.ResetCredit, len(renewed.Lines))
	for i, l := range renewed.Lines {
		credits[i] = account.ResetCredit{Type: l.Type, Granted: l.Granted, RolledOver: l.Rolled, Expired: l.Expired}
	}
	return credits
}

// renewal is the operation that gives a subscription the period that is due.
func (b *Billing) renewal(ctx context.Context, d account.Due) (ledger.Renew, error) {
	begins, err := b.accounts.Plan(ctx, d.Plan, d.PlanVersion)
	if err != nil {
		return ledger.Renew{}, err
	}
	during := make([]*plan.Plan, len(d.During))
	for i, ref := range d.During {
		if during[i], err = b.accounts.Plan(ctx, ref.ID, ref.Version); err != nil {
			return ledger.Renew{}, err
		}
	}
	return ledger.Renew{
		Owner: d.Org, Key: fmt.Sprintf("reset/%s/%d", d.Member, d.Period.N), Pool: d.Member,
		Lines: renewals(during, begins, d), At: d.Period.Start,
		Memo: ledger.Memo{Action: "reset", Member: d.Member, Reason: "period from " + d.Period.Start.UTC().Format(time.DateOnly)},
	}, nil
}

// renewals says what becomes of each credit type in a subscription's pool. What
// is left of the period that ends is treated as the plan says that was in force
// at its end, the last of those during it; the new period's allotment follows
// the plan with which it begins.
func renewals(during []*plan.Plan, begins *plan.Plan, d account.Due) []ledger.Renewal {
	owner := d.Owner()
	types := map[string]bool{}
	for _, p := range append(slices.Clone(during), begins) {
		for _, a := range p.Allotments(owner) {
			types[a.Type] = true
		}
	}
	lines := make([]ledger.Renewal, 0, len(types))
	for _, t := range slices.Sorted(maps.Keys(types)) {
		line := ledger.Renewal{Type: t, Amount: begins.Allotment(t, owner), Rollover: true, Cap: -1}
		if line.Amount > 0 {
			line.ExpiresAt, line.BurnBy = begins.GrantExpiry(t, d.Period), begins.BurnBy(t, d.Period)
		}
		// What a plan did not allot it does not take away either.
		if ends := during[len(during)-1]; ends.Allotment(t, owner) > 0 {
			line.Rollover, line.Cap = ends.Credits[t].RollsOver()
		}
		lines = append(lines, line)
	}
	return lines
}
