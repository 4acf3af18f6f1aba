package billing

import (
	"context"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
)

// Budgets says, by credit type, what a member may still draw from the shared
// pool in the organization's credit month that contains t: the ledger counts
// under the budget's name. A type that is missing is not limited; without a
// member nothing is.
func (b *Billing) Budgets(ctx context.Context, org account.Org, member string, t time.Time) (map[string]ledger.Budget, error) {
	if member == "" {
		return nil, nil
	}
	limits, err := b.accounts.Budgets(ctx, org.ID, member)
	if err != nil || len(limits) == 0 {
		return nil, err
	}
	period, err := org.Period(t)
	if err != nil {
		return nil, err
	}
	budgets := make(map[string]ledger.Budget, len(limits))
	for _, l := range limits {
		budgets[l.Type] = ledger.Budget{Name: member + "/" + period.Start.Format(time.DateOnly), Cap: l.Amount}
	}
	return budgets, nil
}
