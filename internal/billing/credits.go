package billing

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// Credits are what an organization, or one of its members, has: the answer to
// "how many are left", and what waits. The command line and the API show the same.
type Credits struct {
	Org       string     `json:"org"`
	Member    string     `json:"member,omitempty"`
	At        *time.Time `json:"at,omitempty" doc:"The past time that was asked for; absent where the credits are those of now."`
	Period    *Period    `json:"period,omitempty" doc:"The current credit period. Absent where the plan has none, or the first one is still to come."`
	NextReset *time.Time `json:"next_reset,omitempty" doc:"When the next credit period begins; the first one where there is no period yet."`
	NextPlan  *NextPlan  `json:"next_plan,omitempty" doc:"A change of plan that waits for the end of the organization's period."`
	Credits   []Credit   `json:"credits"`
	Budgets   []Budget   `json:"budgets,omitempty" doc:"What the member may spend of the shared pool in the organization's period; a type that is missing is not limited."`
}

// Period is a credit month.
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// NextPlan is the plan that a change of plan leads to, and when.
type NextPlan struct {
	Plan    string    `json:"plan"`
	Version int       `json:"plan_version"`
	At      time.Time `json:"at"`
}

// Budget is a member's limit on credits of one type from the shared pool.
type Budget struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount" doc:"The most that the member may spend in the period."`
	Used   int64  `json:"used" doc:"Of it, held or charged."`
}

// Credit is what there is of one type in one pool.
type Credit struct {
	Type      string     `json:"type"`
	Pool      string     `json:"pool" enum:"member,organization"`
	Member    string     `json:"member,omitempty" doc:"The member that has the pool."`
	Available int64      `json:"available"`
	Held      int64      `json:"held" doc:"Reserved by orders that are not settled."`
	Used      int64      `json:"used" doc:"Charged in the current period of this pool, less what was credited back; of all time where the plan has no period."`
	UsedTotal int64      `json:"used_total" doc:"Charged in all, less what was credited back."`
	Allotment int64      `json:"allotment" doc:"Of the current period."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"The soonest expiry of what is available."`
}

// PoolName is the word for a pool of the ledger.
func PoolName(pool string) string {
	if pool == "" {
		return string(plan.Organization)
	}
	return string(plan.Member)
}

// Credits returns the credits of an organization as they are now, in the period
// that has begun: the shared ones and those of all members or, where member is
// not the zero value, of this one. A type that the plan knows and that never
// arrived is there, with nothing in it.
func (b *Billing) Credits(ctx context.Context, org account.Org, member account.Member) (Credits, error) {
	org, balances, now, err := b.balances(ctx, org)
	if err != nil {
		return Credits{}, err
	}
	view := Credits{Org: org.ID, Member: member.ID, Credits: []Credit{}}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return view, err
	}
	if org.NextPlan != nil {
		view.NextPlan = &NextPlan{*org.NextPlan, *org.NextPlanVersion, org.NextPlanAt.UTC()}
	}
	if member.ID != "" {
		if view.Budgets, err = b.budgets(ctx, terms, org, member, now); err != nil {
			return view, err
		}
	}
	return view, b.fill(ctx, &view, terms, org, member, balances, now)
}

// CreditsAt returns the credits of an organization as they were at a past time,
// by its journal; which types and periods there are, its plan of today says. A
// time in the future is ledger.ErrInvalid.
func (b *Billing) CreditsAt(ctx context.Context, org account.Org, member account.Member, at time.Time) (Credits, error) {
	at = at.UTC()
	view := Credits{Org: org.ID, Member: member.ID, At: &at, Credits: []Credit{}}
	balances, err := b.ledger.BalancesAt(ctx, org.ID, at)
	if err != nil {
		return view, err
	}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return view, err
	}
	err = b.fill(ctx, &view, terms, org, member, balances, at)
	view.NextReset = nil // not known for a past time: plans and anchors may have changed since
	return view, err
}

// fill shows balances at a time, and the period then.
func (b *Billing) fill(ctx context.Context, view *Credits, terms *plan.Plan, org account.Org, member account.Member, balances []ledger.Balance, at time.Time) (err error) {
	balances = slices.DeleteFunc(balances, func(have ledger.Balance) bool {
		return member.ID != "" && have.Pool != "" && have.Pool != member.ID
	})
	earlier := map[ledger.Account]int64{}
	if terms.Period == plan.Month {
		if earlier, err = b.showPeriod(ctx, view, org, member, balances, at); err != nil {
			return err
		}
	}
	for _, have := range balances {
		c := Credit{
			Type: have.Type, Pool: PoolName(have.Pool), Member: have.Pool, Available: have.Available, Held: have.Held,
			Used:      max(0, have.Captured-earlier[ledger.Account{Pool: have.Pool, Type: have.Type}]),
			UsedTotal: have.Captured, Allotment: have.Allotment,
		}
		if !have.ExpiresAt.IsZero() {
			c.ExpiresAt = &have.ExpiresAt
		}
		view.Credits = append(view.Credits, c)
	}
	for _, t := range terms.CreditTypes() {
		if !slices.ContainsFunc(view.Credits, func(c Credit) bool { return c.Type == t }) {
			view.Credits = append(view.Credits, Credit{Type: t, Pool: string(plan.Organization)})
		}
	}
	return nil
}

// balances are an organization's balances now, and the organization with them:
// where a period has ended since it was read, as it is in the one that has begun.
func (b *Billing) balances(ctx context.Context, org account.Org) (account.Org, []ledger.Balance, time.Time, error) {
	for {
		balances, now, err := b.ledger.BalancesNow(ctx, org.ID)
		if err != nil || now.Before(org.DueAt) {
			return org, balances, now, err
		}
		if org, err = b.Current(ctx, org.ID); err != nil {
			return org, nil, now, err
		}
		if org.Due { // it cannot be renewed; the sweep reports it
			return org, balances, now, nil
		}
	}
}

// showPeriod fills in the current period, that of the member or, without one, of
// the organization. It returns what had been charged from the accounts before
// the current periods of their pools.
func (b *Billing) showPeriod(ctx context.Context, view *Credits, org account.Org, member account.Member, balances []ledger.Balance, now time.Time) (map[ledger.Account]int64, error) {
	pools := []string{"", member.ID}
	for _, have := range balances {
		pools = append(pools, have.Pool)
	}
	periods, err := b.accounts.Periods(ctx, org, now, pools)
	if err != nil {
		return nil, err
	}
	if current := periods[member.ID]; !current.End.IsZero() {
		end := current.End.UTC()
		view.NextReset = &end
		if current.N >= 0 {
			view.Period = &Period{current.Start.UTC(), end}
		}
	}
	begins := map[string]time.Time{}
	for _, have := range balances {
		begins[have.Pool] = periods[have.Pool].Start
	}
	if len(begins) == 0 {
		return nil, nil
	}
	return b.ledger.CapturedBefore(ctx, org.ID, begins)
}
