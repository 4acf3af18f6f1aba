package billing

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/plan"
)

// Credits are what an organization, or one of its members, has: the answer to
// "how many are left". The command line and the API show the same.
type Credits struct {
	Org     string   `json:"org"`
	Member  string   `json:"member,omitempty"`
	Period  *Period  `json:"period,omitempty" doc:"Absent where the plan has no period."`
	Credits []Credit `json:"credits"`
}

// Period is a credit month.
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Credit is what there is of one type in one pool.
type Credit struct {
	Type      string     `json:"type"`
	Pool      string     `json:"pool" enum:"member,organization"`
	Member    string     `json:"member,omitempty" doc:"Whose pool it is."`
	Available int64      `json:"available"`
	Held      int64      `json:"held" doc:"Reserved by orders that are not settled."`
	Used      int64      `json:"used" doc:"Charged, less what was credited back."`
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

// Credits returns the credits of an organization: the shared ones and those of
// all members or, where member is not the zero value, of this one. A type that
// the plan knows and nobody has had yet is there, with nothing in it.
func (b *Billing) Credits(ctx context.Context, org account.Org, member account.Member, now time.Time) (Credits, error) {
	view := Credits{Org: org.ID, Member: member.ID, Credits: []Credit{}}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return view, err
	}
	if terms.Period == plan.Month {
		current, err := org.Period(now)
		if member.ID != "" {
			current, err = member.Period(now, org)
		}
		if err != nil {
			return view, err
		}
		view.Period = &Period{current.Start.UTC(), current.End.UTC()}
	}
	balances, err := b.ledger.Balances(ctx, org.ID)
	if err != nil {
		return view, err
	}
	for _, have := range balances {
		if member.ID != "" && have.Pool != "" && have.Pool != member.ID {
			continue
		}
		c := Credit{
			Type: have.Type, Pool: PoolName(have.Pool), Member: have.Pool, Available: have.Available,
			Held: have.Held, Used: have.Captured, Allotment: have.Allotment,
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
	return view, nil
}
