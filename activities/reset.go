package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/verify"
)

// ResetPageInput is the input of ResetPage.
type ResetPageInput struct {
	Before time.Time      `json:"before"` // subscriptions that fell due by then
	After  account.Cursor `json:"after"`
	Limit  int            `json:"limit"`
}

// ResetPage is what one page of a reset came to.
type ResetPage = billing.Page

// ResetCursor is a place in a reset; the zero value is its beginning.
type ResetCursor = account.Cursor

// ResetCredit is what a reset did to the credits of one type.
type ResetCredit = account.ResetCredit

// ResetFailure is a subscription that cannot be reset as it is.
type ResetFailure = billing.Failure

// ResetPage gives a page of due subscriptions their new period, exactly once,
// however often the page is repeated. A subscription that cannot be reset is
// reported and left for the next sweep.
func (a *Activities) ResetPage(ctx context.Context, in ResetPageInput) (ResetPage, error) {
	defer heartbeat(ctx, noProgress)()
	page, err := a.billing().Sweep(ctx, in.Before, in.After, in.Limit)
	if err != nil {
		return ResetPage{}, toTemporal(err)
	}
	logFailures(ctx, "A subscription cannot be reset; the next sweep tries it again.", page.Failures)
	return page, nil
}

// ApplyChangesInput is the input of ApplyPlanChanges.
type ApplyChangesInput struct {
	Before time.Time       `json:"before"` // changes that came into force by then
	After  account.Pending `json:"after"`
	Limit  int             `json:"limit"`
}

// AppliedChanges is what applying a page of plan changes came to.
type AppliedChanges = billing.Applied

// ApplyPlanChanges completes plan changes that waited for their time or were
// interrupted.
func (a *Activities) ApplyPlanChanges(ctx context.Context, in ApplyChangesInput) (AppliedChanges, error) {
	defer heartbeat(ctx, noProgress)()
	applied, err := a.billing().ApplyChanges(ctx, in.Before, in.After, in.Limit)
	if err != nil {
		return AppliedChanges{}, toTemporal(err)
	}
	logFailures(ctx, "A plan change cannot be applied; the next sweep tries it again.", applied.Failures)
	return applied, nil
}

// logFailures logs every failure with what is needed to find it.
func logFailures(ctx context.Context, text string, failures []ResetFailure) {
	for i, f := range failures {
		activity.GetLogger(ctx).Error(text, "org", f.Org, "member", f.Member, "period", f.Period, "error", f.Reason)
		failures[i].Reason = verify.WithoutAddresses(f.Reason)
	}
}

func (a *Activities) billing() *billing.Billing { return billing.New(a.Accounts, a.Ledger, a.Book) }
