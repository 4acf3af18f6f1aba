package billing

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
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

// PreviewChange is what ChangePlan would do and bring; it changes nothing but
// renews what is due.
func (b *Billing) PreviewChange(ctx context.Context, orgID, planID string, at time.Time) (Change, error) {
	org, err := b.Current(ctx, orgID)
	if err != nil {
		return Change{}, err
	}
	changed, tops, err := b.accounts.PreviewChange(ctx, org, planID, at)
	return Change{PlanChange: changed, TopUps: append([]account.TopUp{}, tops...)}, err
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
