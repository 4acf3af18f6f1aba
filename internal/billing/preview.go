package billing

import (
	"context"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
)

// Preview is what the resets up to a time would do to an organization.
type Preview struct {
	Org    string         `json:"org"`
	At     time.Time      `json:"at"`
	Resets []PreviewReset `json:"resets" doc:"In the order in which the periods begin."`
}

// PreviewReset is one period of one subscription that would begin.
type PreviewReset struct {
	Member      string                `json:"member,omitempty" doc:"The member that has the licence; the organization's own subscription when left out."`
	Plan        string                `json:"plan" doc:"Under which the period begins."`
	PlanVersion int                   `json:"plan_version"`
	EndedPlan   string                `json:"ended_plan" doc:"In force when the period before ended; it decides what is kept."`
	Period      Period                `json:"period"`
	Credits     []account.ResetCredit `json:"credits" doc:"Empty where the plans allot nothing."`
}

// PreviewReset rehearses every reset of an organization that will have fallen due
// by a time, the zero time being now: what would expire, roll over and be
// granted, under the plans as they are known now and with the credits there are
// now. It changes nothing.
func (b *Billing) PreviewReset(ctx context.Context, orgID string, at time.Time) (Preview, error) {
	org, err := b.accounts.Org(ctx, orgID)
	if err != nil {
		return Preview{}, err
	}
	if at.IsZero() {
		at = org.Time(time.Now())
	}
	preview := Preview{Org: orgID, At: at.UTC(), Resets: []PreviewReset{}}
	due, err := b.accounts.Outlook(ctx, orgID, at)
	if err != nil {
		return preview, err
	}
	var ops []ledger.Renew
	var rehearsed []int // which of the resets each of the operations is of
	for i, d := range due {
		preview.Resets = append(preview.Resets, PreviewReset{
			Member: d.Member, Plan: d.Plan, PlanVersion: d.PlanVersion, EndedPlan: d.Ended.ID,
			Period: Period{d.Period.Start.UTC(), d.Period.End.UTC()}, Credits: []account.ResetCredit{},
		})
		op, err := b.renewal(ctx, d)
		if err != nil {
			return preview, err
		}
		if len(op.Lines) > 0 {
			ops, rehearsed = append(ops, op), append(rehearsed, i)
		}
	}
	results, err := b.ledger.Rehearse(ctx, orgID, ops, at)
	if err != nil {
		return preview, err
	}
	for i, r := range results {
		preview.Resets[rehearsed[i]].Credits = resetCredits(r)
	}
	return preview, nil
}
