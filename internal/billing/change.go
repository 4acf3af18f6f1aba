package billing

import (
	"context"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// Change is a plan change and what it brought at once.
type Change struct {
	account.PlanChange
	TopUps []account.TopUp `json:"top_ups"`
}

// ChangePlan moves an organization to the newest version of a plan and gives
// its pools what the change brings: at once or, where the plan it leaves says
// so, with the next period. Asked again for the same plan it answers the same.
// ErrNotFound of account where there is no such organization or plan.
func (b *Billing) ChangePlan(ctx context.Context, org, planID string, at time.Time) (Change, error) {
	// A period that has begun gets its allotment first: what a change adds to it
	// must not be taken for a leftover of the period before.
	if err := b.CatchUp(ctx, org, at); err != nil {
		return Change{}, err
	}
	changed, err := b.accounts.ChangePlan(ctx, org, planID, at)
	if err != nil {
		return Change{}, err
	}
	c := Change{PlanChange: changed, TopUps: []account.TopUp{}}
	if changed.Since == nil || changed.Since.After(at) {
		return c, nil // the plan it began with, or one that waits for the period's end
	}
	tops, err := b.apply(ctx, account.Pending{Org: org, Generation: changed.Generation, Since: *changed.Since})
	c.TopUps = append(c.TopUps, tops...)
	return c, err
}

// Applied is what applying a page of plan changes came to.
type Applied struct {
	Cursor   account.Pending `json:"cursor"` // the next page begins after it
	Seen     int             `json:"seen"`   // changes that were pending; 0 ends the sweep
	TopUps   int             `json:"top_ups"`
	Failures []Failure       `json:"failures,omitempty"`
}

// ApplyChanges completes up to limit plan changes that came into force at or
// before a time: those that waited for a period's end, and those that a crash
// interrupted.
func (b *Billing) ApplyChanges(ctx context.Context, before time.Time, after account.Pending, limit int) (Applied, error) {
	pending, err := b.accounts.PendingChanges(ctx, before, after, limit)
	if err != nil || len(pending) == 0 {
		return Applied{Cursor: after}, err
	}
	applied := Applied{Cursor: pending[len(pending)-1], Seen: len(pending)}
	for _, p := range pending {
		tops, err := b.apply(ctx, p)
		switch {
		case err != nil && errcode.Permanent(err):
			applied.Failures = append(applied.Failures, Failure{Org: p.Org, Reason: err.Error()})
		case err != nil:
			return Applied{}, err
		}
		applied.TopUps += len(tops)
	}
	return applied, nil
}

// apply gives the pools what a plan change that is in force brings, each of it
// once, and arms the new plan's alerts.
func (b *Billing) apply(ctx context.Context, change account.Pending) ([]account.TopUp, error) {
	if err := b.CatchUp(ctx, change.Org, change.Since); err != nil {
		return nil, err
	}
	tops, err := b.accounts.TopUps(ctx, change.Org, change.Generation)
	if err != nil {
		return nil, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, t := range tops {
		group.Go(func() error {
			_, err := b.ledger.Grant(groupCtx, ledger.Grant{
				Owner: change.Org, Key: fmt.Sprintf("topup/%d/%s/%s", change.Generation, t.Member, t.Type),
				Pool: t.Member, Type: t.Type, Amount: t.Amount, Source: ledger.SourceAllotment, ExpiresAt: t.ExpiresAt, BurnBy: t.BurnBy,
				Memo: ledger.Memo{Action: "plan_change", Member: t.Member, Reason: "the rest of the period under the new plan"},
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := b.rearm(ctx, change); err != nil {
		return nil, err
	}
	return tops, b.accounts.MarkApplied(ctx, change.Org, change.Generation)
}

// rearm puts the alerts of the plan a change leads to in place of those of the
// plan it leaves.
func (b *Billing) rearm(ctx context.Context, change account.Pending) error {
	history, err := b.accounts.PlanChanges(ctx, change.Org)
	if err != nil {
		return err
	}
	to, from := history[change.Generation], history[change.Generation-1]
	next, err := b.accounts.Plan(ctx, to.PlanID, to.PlanVersion)
	if err != nil {
		return err
	}
	last, err := b.accounts.Plan(ctx, from.PlanID, from.PlanVersion)
	if err != nil {
		return err
	}
	members, err := b.accounts.Members(ctx, change.Org)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	group.Go(func() error { return b.arm(groupCtx, change.Org, "", change.Generation, next, last) })
	for _, m := range members {
		group.Go(func() error { return b.arm(groupCtx, change.Org, m.ID, change.Generation, next, last) })
	}
	return group.Wait()
}

// arm watches one pool for the balances that a plan calls low, and ends the
// watch over those that only the plan before it named.
func (b *Billing) arm(ctx context.Context, org, pool string, generation int, to, from *plan.Plan) error {
	owner := plan.Organization
	if pool != "" {
		owner = plan.Member
	}
	watch := map[string][]int64{}
	if from != nil {
		for t := range thresholds(from, owner) {
			watch[t] = nil
		}
	}
	maps.Copy(watch, thresholds(to, owner))
	for t, low := range watch {
		if _, err := b.ledger.Alert(ctx, ledger.Alert{
			Owner: org, Key: fmt.Sprintf("alert/%d/%s/%s", generation, pool, t), Pool: pool, Type: t, Thresholds: low, Begin: from == nil,
			Memo: ledger.Memo{Action: "alert", Member: pool},
		}); err != nil {
			return err
		}
	}
	return nil
}

// thresholds are the balances that a plan calls low, by credit type of a pool.
func thresholds(p *plan.Plan, owner plan.Owner) map[string][]int64 {
	low := map[string][]int64{}
	for t, c := range p.Credits {
		if c.Owner == owner && len(c.LowBalance) > 0 {
			low[t] = c.LowBalance
		}
	}
	return low
}
