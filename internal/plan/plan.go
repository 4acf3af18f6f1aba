// Package plan says what a credit plan means: what it allots per period, what
// each action costs, which verdicts are billable, and what happens to credits
// when a period, an order or the plan itself ends. A plan is data (YAML or
// JSON); nothing in this package does any I/O or asks for the time.
package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxAmount is the largest number of credits that one field of a plan, a grant
// or a budget may name; ledger.MaxAmount is the same. It is far below 2^53, up
// to which every JSON reader keeps whole numbers exact.
const MaxAmount int64 = 1_000_000_000_000

// Plan is one credit plan. Plans are immutable once stored: a change makes a
// new version, and an order keeps the version it started with.
type Plan struct {
	ID          string
	Name        string
	Description string
	Notes       []string // sentences for the customer
	Version     int      // given by the store; 0 = not stored
	Period      Cycle
	Credits     map[string]Credit // by credit type
	Actions     map[string]Action // by action name; an action that is missing is not sold

	RefundDelay  time.Duration // from completion to the refund of what an order did not use
	LateRelease  LateRelease
	ReinstateFor time.Duration // life of reinstated credits where the plan has no period
	BounceWindow time.Duration // how long after delivery a bounce is credited back; 0 = never
	Bounces      BounceRules   // who may report bounces
	PlanChange   ChangeMode    // how this plan is left for another
}

// BounceRules say who of an organization may report bounces, and how many.
type BounceRules struct {
	Members bool  `json:"members,omitempty"` // members' keys, too; without it admins' alone
	Most    int64 `json:"most,omitempty"`    // addresses that an organization may report within a bounce window
}

// MostBounces is BounceRules.Most where a plan says nothing.
const MostBounces int64 = 10_000

// Cycle is the length of a credit period.
type Cycle string

// The cycles. However long a customer pays in advance, credits are allotted
// by this cycle.
const (
	Month    Cycle = "month"
	NoPeriod Cycle = "none" // nothing is allotted and nothing resets
)

// Credit is what a plan says about one credit type.
type Credit struct {
	Allotment    int64     `json:"allotment,omitempty"`     // credits granted per period; 0 = none
	Owner        Owner     `json:"owner"`                   // who gets the allotment
	AtPeriodEnd  PeriodEnd `json:"at_period_end"`           // what happens to what is left of it
	RollOverCap  *int64    `json:"roll_over_cap,omitempty"` // most credits that roll over, 0 = none; nil = no cap
	Burn         []Owner   `json:"burn"`                    // pools in the order they are spent
	LowBalance   []int64   `json:"low_balance,omitempty"`   // thresholds of the credits.low alert, highest first
	MemberBudget int64     `json:"member_budget,omitempty"` // most a member may spend of the shared pool per period; 0 = no limit
}

// Owner says whose pool credits belong to.
type Owner string

// The owners.
const (
	Organization Owner = "organization" // the shared pool
	Member       Owner = "member"       // each member's own pool
)

// PeriodEnd says what happens to unused allotted credits when a period ends.
type PeriodEnd string

// What can happen at the end of a period.
const (
	Expire       PeriodEnd = "expire"
	RollOver     PeriodEnd = "roll_over"
	NeverExpires PeriodEnd = "never_expires"
)

// LateRelease says what becomes of credits that are released after the grant
// they came from has expired.
type LateRelease string

// The two answers to a late release.
const (
	Reinstate    LateRelease = "reinstate" // a new grant of the same amount
	ExpireOnLate LateRelease = "expire"    // they are gone
)

// ChangeMode says when leaving a plan for another takes effect.
type ChangeMode string

// The modes of a plan change.
const (
	Prorated    ChangeMode = "prorated"      // at once, the rest of the period counted by time
	AtPeriodEnd ChangeMode = "at_period_end" // with the organization's next period
)

// Verdicts are the outcomes of a verification that Action.Billable chooses from.
var Verdicts = []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"}

// Action is what a plan charges for one action.
type Action struct {
	Charges  []Charge `json:"charges"`
	Billable []string `json:"billable,omitempty"` // verdicts that are charged; empty = the action asks for no verdict
}

// Charge is one price: Amount credits of Type per unit of Per.
type Charge struct {
	Type   string  `json:"type"`
	Amount int64   `json:"amount"`
	Per    Measure `json:"per"`
	Once   Scope   `json:"scope"`
}

// Measure is the unit that a charge counts.
type Measure string

// The measures.
const (
	PerContact      Measure = "contact"      // each address or number that was delivered
	PerVerification Measure = "verification" // each verification carried out
	PerLead         Measure = "lead"         // each lead, however many addresses or numbers it has
)

// Scope says how often the same thing is charged.
type Scope string

// The scopes.
const (
	OncePerOrganization Scope = "once_per_organization"
	OncePerMember       Scope = "once_per_member"
	EveryTime           Scope = "every_time"
)

// FactScope is the ledger's scope of a charged fact: "" where the organization
// pays once, the member where each member pays once, the order where every
// order pays again.
func (c Charge) FactScope(member, orderID string) string {
	switch c.Once {
	case OncePerMember:
		return member
	case EveryTime:
		return orderID
	case OncePerOrganization:
		return ""
	}
	return ""
}

// Amount is a number of credits of one type.
type Amount struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
}

// Action returns what the plan charges for an action and whether it sells it.
func (p *Plan) Action(name string) (Action, bool) {
	a, ok := p.Actions[name]
	return a, ok
}

// CreditTypes lists the plan's credit types in alphabetical order.
func (p *Plan) CreditTypes() []string { return slices.Sorted(maps.Keys(p.Credits)) }

// Pools returns the pools that pay for credits of a type, in burn order: a
// member's own pool bears the member's id, the shared pool is "". Without a
// member only the shared pool pays.
func (p *Plan) Pools(creditType, member string) []string {
	if member == "" {
		return []string{""}
	}
	c, ok := p.Credits[creditType]
	if !ok {
		return []string{member, ""}
	}
	pools := make([]string, 0, len(c.Burn))
	for _, o := range c.Burn {
		switch o {
		case Member:
			pools = append(pools, member)
		case Organization:
			pools = append(pools, "")
		}
	}
	return pools
}

// Allotments lists what each period grants to a member's or to the shared pool.
func (p *Plan) Allotments(owner Owner) []Amount {
	var out []Amount
	for _, t := range p.CreditTypes() {
		if a := p.Allotment(t, owner); a > 0 {
			out = append(out, Amount{t, a})
		}
	}
	return out
}

// Allotment is the number of credits of a type that each period grants to the
// owner's pool.
func (p *Plan) Allotment(creditType string, owner Owner) int64 {
	if c := p.Credits[creditType]; c.Owner == owner && p.Period == Month {
		return c.Allotment
	}
	return 0
}

// GrantExpiry is when credits allotted for a period expire: at its end where
// the plan says so, otherwise never (the zero time). Credits that roll over
// carry no expiry, so that a reset that comes late takes nothing away.
func (p *Plan) GrantExpiry(creditType string, period Period) time.Time {
	if p.Period == Month && p.Credits[creditType].AtPeriodEnd == Expire {
		return period.End
	}
	return time.Time{}
}

// BurnBy is when some of the credits allotted for a period may be lost although
// they do not expire: at its end, where a cap limits what rolls over. The zero
// time is never.
func (p *Plan) BurnBy(creditType string, period Period) time.Time {
	if c := p.Credits[creditType]; p.Period == Month && c.AtPeriodEnd == RollOver && c.RollOverCap != nil {
		return period.End
	}
	return time.Time{}
}

// RollsOver says whether an allotment's unused credits outlive its period, and
// how many of them at most; -1 is all.
func (c Credit) RollsOver() (rolls bool, most int64) {
	switch {
	case c.AtPeriodEnd == Expire:
		return false, 0
	case c.AtPeriodEnd == RollOver && c.RollOverCap != nil:
		return true, *c.RollOverCap
	}
	return true, -1
}

// ReinstateUntil is when credits expire that are released at t, within period,
// after the grant they came from had expired.
func (p *Plan) ReinstateUntil(t time.Time, period Period) time.Time {
	if p.Period == Month {
		return period.End
	}
	return t.Add(p.ReinstateFor)
}

// HoldFor is what count units of an action cost at most, by credit type in
// alphabetical order. It fails where the plan does not sell the action, and
// where count is negative or the sum exceeds MaxAmount.
func (p *Plan) HoldFor(action string, count int64) ([]Amount, error) {
	a, ok := p.Actions[action]
	if !ok {
		return nil, fmt.Errorf("plan %s does not offer %s; choose a plan that does", p.ID, action)
	}
	if count < 0 {
		return nil, fmt.Errorf("a hold for %d units is not possible; count from 0", count)
	}
	var hold []Amount
	for _, c := range a.Charges {
		units := int64(len(c.Price(a.Billable).Due(Item{}, nil))) // of an item that nothing is known about
		var err error
		if hold, err = AddUnits(hold, c.Type, c.Amount, units*count); err != nil {
			return nil, err
		}
	}
	return hold, nil
}

// AddUnits adds what a number of units cost, each amount credits of a type, to
// a sum by credit type in alphabetical order. It fails where the sum exceeds
// MaxAmount.
func AddUnits(sum []Amount, creditType string, amount, units int64) ([]Amount, error) {
	i, found := slices.BinarySearchFunc(sum, creditType, func(a Amount, t string) int { return cmp.Compare(a.Type, t) })
	if !found {
		sum = slices.Insert(sum, i, Amount{Type: creditType})
	}
	if units > (MaxAmount-sum[i].Amount)/amount {
		return nil, fmt.Errorf("the order costs more than %d %s credits, the most that one order may cost; order less", MaxAmount, creditType)
	}
	sum[i].Amount += amount * units
	return sum, nil
}

// Hash identifies the content of the plan: equal content gives equal hashes,
// no matter how its file is laid out and which version the store gave it.
func (p *Plan) Hash() (string, error) {
	content := *p
	content.Version = 0
	body, err := content.MarshalJSON()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}
