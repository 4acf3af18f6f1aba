package account

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/internal/errcode"
	"holdfast/internal/plan"
)

// SetBudget limits what a member may spend of the shared pool per credit month
// of the organization; amount 0 allows nothing. ErrNotFound where there is no
// such member, ErrInvalid where the organization's plan has no such type.
func (a *Accounts) SetBudget(ctx context.Context, org, member string, budget plan.Amount) error {
	_, p, err := a.memberUnderPlan(ctx, org, member)
	if err != nil {
		return err
	}
	if _, ok := p.Credits[budget.Type]; !ok {
		return errcode.Say(ErrInvalid, "The plan %s has no credits of type %q; use one of %s.", p.ID, budget.Type, strings.Join(p.CreditTypes(), ", "))
	}
	if budget.Amount < 0 || budget.Amount > plan.MaxAmount {
		return errcode.Say(ErrInvalid, "A budget of %d credits is not possible; give a number from 0 to %d.", budget.Amount, plan.MaxAmount)
	}
	if _, err := a.pool.Exec(ctx, `
		INSERT INTO budget (org, member, type, amount) VALUES ($1, $2, $3, $4)
		ON CONFLICT (org, member, type) DO UPDATE SET amount = excluded.amount`,
		org, member, budget.Type, budget.Amount); err != nil {
		return fmt.Errorf("the budget of %s was not set: %w", member, err)
	}
	return nil
}

// RemoveBudget takes a member's own limit away, so that the plan's holds
// again. Removing one that is not there changes nothing.
func (a *Accounts) RemoveBudget(ctx context.Context, org, member, creditType string) error {
	if _, err := a.pool.Exec(ctx, `
		DELETE FROM budget WHERE org = $1 AND member = $2 AND type = $3`, org, member, creditType); err != nil {
		return fmt.Errorf("the budget of %s was not removed: %w", member, err)
	}
	return nil
}

// Budgets are the member's limits per credit month of the organization, by type:
// their own, or else those of the plan that the organization has. A type that is
// not listed is not limited.
func (m Member) Budgets(p *plan.Plan) []plan.Amount {
	limits := map[string]int64{}
	for _, t := range p.CreditTypes() {
		if limit := p.Credits[t].MemberBudget; limit > 0 {
			limits[t] = limit
		}
	}
	for _, own := range m.Limits {
		limits[own.Type] = own.Amount
	}
	budgets := make([]plan.Amount, 0, len(limits))
	for _, t := range slices.Sorted(maps.Keys(limits)) {
		budgets = append(budgets, plan.Amount{Type: t, Amount: limits[t]})
	}
	return budgets
}

// Budgets are the budgets of a member under the plan of today.
func (a *Accounts) Budgets(ctx context.Context, org, member string) ([]plan.Amount, error) {
	m, p, err := a.memberUnderPlan(ctx, org, member)
	if err != nil {
		return nil, err
	}
	return m.Budgets(p), nil
}

func (a *Accounts) memberUnderPlan(ctx context.Context, org, member string) (m Member, p *plan.Plan, err error) {
	o, err := a.Org(ctx, org)
	if err != nil {
		return m, nil, err
	}
	if m, err = a.Member(ctx, org, member); err != nil {
		return m, nil, err
	}
	p, err = a.Plan(ctx, o.Plan, o.PlanVersion)
	return m, p, err
}
