package billing

import (
	"context"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// Budgets says, by credit type, what a member may still draw from the shared
// pool in the organization's credit month that contains t: the ledger counts
// under the budget's name. A type that is missing is not limited; without a
// member nothing is.
func (b *Billing) Budgets(ctx context.Context, org account.Org, member string, t time.Time) (map[string]ledger.Budget, error) {
	if member == "" {
		return nil, nil
	}
	m, err := b.accounts.Member(ctx, org.ID, member)
	if err != nil {
		return nil, err
	}
	p, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return nil, err
	}
	limits := m.Budgets(p)
	if len(limits) == 0 {
		return nil, nil
	}
	name, err := budgetName(org, member, t)
	if err != nil {
		return nil, err
	}
	budgets := make(map[string]ledger.Budget, len(limits))
	for _, l := range limits {
		budgets[l.Type] = ledger.Budget{Name: name, Cap: l.Amount}
	}
	return budgets, nil
}

// budgetName is what the ledger counts a member's draws from the shared pool
// under, in the organization's credit month that contains t.
func budgetName(org account.Org, member string, t time.Time) (string, error) {
	period, err := org.Period(t)
	return member + "/" + period.Start.Format(time.DateOnly), err
}

// budgets are a member's limits with what is drawn under each.
func (b *Billing) budgets(ctx context.Context, p *plan.Plan, org account.Org, member account.Member, t time.Time) ([]Budget, error) {
	limits := member.Budgets(p)
	if len(limits) == 0 {
		return nil, nil
	}
	name, err := budgetName(org, member.ID, t)
	if err != nil {
		return nil, err
	}
	used, err := b.ledger.BudgetUse(ctx, org.ID, name)
	if err != nil {
		return nil, err
	}
	budgets := make([]Budget, len(limits))
	for i, l := range limits {
		budgets[i] = Budget{Type: l.Type, Amount: l.Amount, Used: used[l.Type]}
	}
	return budgets, nil
}
