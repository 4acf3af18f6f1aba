package billing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// MaxThresholds is how many thresholds a pool may have of one credit type.
const MaxThresholds = 10

// Watch is which balances of a pool are called low.
type Watch struct {
	Type       string           `json:"type" example:"email" doc:"Credit type."`
	Pool       string           `json:"pool" enum:"member,organization" example:"organization" doc:"Who has the credits: a member or the organization."`
	Member     string           `json:"member,omitempty" example:"jane" doc:"The member that has the pool."`
	Source     string           `json:"source" enum:"plan,own" example:"own" doc:"The plan's thresholds, or your own in their place."`
	Thresholds []WatchThreshold `json:"thresholds" doc:"Each is announced once when the balance falls to it, until the balance has risen above it."`
	Available  int64            `json:"available" example:"1500" doc:"Credits that can be spent now."`
	TopUpAt    *int64           `json:"top_up_at,omitempty" example:"500" doc:"The balance at which credits are bought automatically."`
}

// WatchThreshold is a threshold and the balance that it stands for.
type WatchThreshold struct {
	Credits *int64 `json:"credits,omitempty" example:"1000" doc:"The threshold, where it is a number of credits."`
	Percent *int64 `json:"percent,omitempty" example:"20" doc:"The threshold, where it is a part of the plan's allotment per period."`
	At      *int64 `json:"at,omitempty" example:"1000" doc:"The balance that it stands for; absent where the plan of today allots nothing to this pool."`
}

// Thresholds lists what is watched in the shared pool and, with a member, in
// that member's own.
func (b *Billing) Thresholds(ctx context.Context, org account.Org, member string) ([]Watch, error) {
	org, balances, _, err := b.balances(ctx, org)
	if err != nil {
		return nil, err
	}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return nil, err
	}
	set, err := b.lowBalances(ctx, org.ID)
	if err != nil {
		return nil, err
	}
	list := []Watch{}
	for _, pool := range slices.Compact([]string{"", member}) {
		for _, t := range terms.CreditTypes() {
			own, said := set[ledger.Account{Pool: pool, Type: t}]
			if !said && !slices.Contains(terms.Credits[t].Burn, ownerOf(pool)) {
				continue
			}
			w := Watch{Type: t, Pool: PoolName(pool), Member: pool, Source: "plan", Thresholds: []WatchThreshold{}, TopUpAt: own.TopUp}
			if own.Rules != nil {
				w.Source = "own"
			}
			for _, rule := range rulesOf(own, terms, pool, t) {
				w.Thresholds = append(w.Thresholds, WatchThreshold{rule.Credits, rule.Percent, resolve(rule, terms, pool, t)})
			}
			for _, have := range balances {
				if have.Pool == pool && have.Type == t {
					w.Available = have.Available
				}
			}
			list = append(list, w)
		}
	}
	return list, nil
}

// SetThresholds has the balances of a pool watched for an organization's own
// thresholds; nil = the plan's again. A threshold that is new and not below the
// balance makes an alert at once.
//
// Errors: account.ErrNotFound, account.ErrInvalid.
func (b *Billing) SetThresholds(ctx context.Context, org account.Org, member, creditType string, rules []account.Threshold) error {
	org, err := b.mayWatch(ctx, org, member, creditType, rules)
	if err != nil {
		return err
	}
	if err := b.accounts.SetLowBalance(ctx, org.ID, member, creditType, rules); err != nil {
		return err
	}
	return b.rewatch(ctx, org.ID)
}

// WatchTopUp has the shared pool watched for the balance at which credits are
// bought; nil = not any more.
//
// Errors: account.ErrInvalid.
func (b *Billing) WatchTopUp(ctx context.Context, org account.Org, creditType string, at *int64) error {
	var rules []account.Threshold
	if at != nil {
		rules = []account.Threshold{{Credits: at}}
		var err error
		if org, err = b.mayWatch(ctx, org, "", creditType, rules); err != nil {
			return err
		}
	}
	if err := b.accounts.SetTopUpAt(ctx, org.ID, creditType, at); err != nil {
		return err
	}
	return b.rewatch(ctx, org.ID)
}

// WatchRest completes changes of thresholds that were interrupted.
func (b *Billing) WatchRest(ctx context.Context) error {
	orgs, err := b.accounts.Unwatched(ctx, 100)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		if err := b.rewatch(ctx, org); err != nil && !errcode.Permanent(err) {
			return err
		}
	}
	return nil
}

// mayWatch checks thresholds, and returns the organization in the period that
// has begun: its first watch, by the plan, comes before any of its own.
func (b *Billing) mayWatch(ctx context.Context, org account.Org, member, creditType string, rules []account.Threshold) (account.Org, error) {
	if org.Status == account.StatusClosed {
		return org, org.MayOrder()
	}
	if member != "" {
		m, err := b.accounts.Member(ctx, org.ID, member)
		if err != nil {
			return org, err
		}
		if err := m.Active(); err != nil {
			return org, err
		}
	}
	org, err := b.Current(ctx, org.ID)
	if err != nil {
		return org, err
	}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return org, err
	}
	credit, sold := terms.Credits[creditType]
	switch {
	case !sold:
		return org, errcode.Say(account.ErrInvalid, "The plan %s has no credits of type %q; use one of %s.", terms.ID, creditType, strings.Join(terms.CreditTypes(), ", "))
	case member == "" && !slices.Contains(credit.Burn, plan.Organization):
		return org, errcode.Say(account.ErrInvalid, "Credits of type %s are personal on this plan; name a member.", creditType)
	case member != "" && !slices.Contains(credit.Burn, plan.Member):
		return org, errcode.Say(account.ErrInvalid, "Credits of type %s are shared on this plan; leave the member out.", creditType)
	case len(rules) > MaxThresholds:
		return org, errcode.Say(account.ErrInvalid, "A pool has at most %d thresholds of a type; leave some out.", MaxThresholds)
	}
	for _, rule := range rules {
		if err := checkRule(rule, terms, member, creditType); err != nil {
			return org, err
		}
	}
	return org, nil
}

func checkRule(rule account.Threshold, terms *plan.Plan, pool, creditType string) error {
	switch {
	case (rule.Credits == nil) == (rule.Percent == nil):
		return errcode.Say(account.ErrInvalid, "A threshold is either a number of credits or a percentage; give one of the two.")
	case rule.Credits != nil && (*rule.Credits < 0 || *rule.Credits > plan.MaxAmount):
		return errcode.Say(account.ErrInvalid, "A threshold of %d credits is not possible; give a number from 0 to %d.", *rule.Credits, plan.MaxAmount)
	case rule.Percent != nil && (*rule.Percent < 1 || *rule.Percent > 100):
		return errcode.Say(account.ErrInvalid, "A threshold of %d percent is not possible; give a number from 1 to 100.", *rule.Percent)
	case rule.Percent != nil && resolve(rule, terms, pool, creditType) == nil:
		return errcode.Say(account.ErrInvalid, "A percentage is of the allotment per period, and the plan allots no %s credits to this pool; give a number of credits.", creditType)
	}
	return nil
}

// resolve is the balance that a rule stands for under a plan, rounded down; nil
// where the plan allots nothing that a percentage could be of.
func resolve(rule account.Threshold, terms *plan.Plan, pool, creditType string) *int64 {
	if rule.Credits != nil {
		return rule.Credits
	}
	allotment := terms.Allotment(creditType, ownerOf(pool))
	if allotment == 0 || rule.Percent == nil {
		return nil
	}
	at := allotment/100**rule.Percent + allotment%100**rule.Percent/100
	return &at
}

// rulesOf are the rules that count for a pool and type: its own or the plan's.
func rulesOf(own account.LowBalance, terms *plan.Plan, pool, creditType string) []account.Threshold {
	if own.Rules != nil {
		return own.Rules
	}
	var rules []account.Threshold
	for _, low := range thresholds(terms, ownerOf(pool))[creditType] {
		rules = append(rules, account.Threshold{Credits: &low})
	}
	return rules
}

func ownerOf(pool string) plan.Owner {
	if pool == "" {
		return plan.Organization
	}
	return plan.Member
}

func (b *Billing) lowBalances(ctx context.Context, org string) (map[ledger.Account]account.LowBalance, error) {
	list, err := b.accounts.LowBalances(ctx, org)
	set := map[ledger.Account]account.LowBalance{}
	for _, l := range list {
		set[ledger.Account{Pool: l.Member, Type: l.Type}] = l
	}
	return set, err
}

// rewatch has the ledger watch for what an organization has changed, under the
// plan in force.
func (b *Billing) rewatch(ctx context.Context, org string) error {
	history, err := b.accounts.PlanChanges(ctx, org)
	if err != nil {
		return err
	}
	now, err := b.accounts.Time(ctx, org, time.Now())
	if err != nil {
		return err
	}
	force := history[0]
	for _, change := range history {
		if change.Since == nil || !change.Since.After(now) {
			force = change
		}
	}
	terms, err := b.accounts.Plan(ctx, force.PlanID, force.PlanVersion)
	if err != nil {
		return err
	}
	return b.accounts.Watching(ctx, org, func() error {
		list, err := b.accounts.LowBalances(ctx, org)
		if err != nil {
			return err
		}
		for _, own := range list {
			if own.Applied == own.Version {
				continue
			}
			if err := b.watch(ctx, org, own.Member, own.Type, force.Generation, terms, own, false); err != nil {
				return err
			}
			if err := b.accounts.MarkWatched(ctx, org, own); err != nil {
				return err
			}
		}
		return nil
	})
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
	return b.accounts.Watching(ctx, change.Org, func() error {
		set, err := b.lowBalances(ctx, change.Org)
		if err != nil {
			return err
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		group.Go(func() error { return b.arm(groupCtx, change.Org, "", change.Generation, next, last, set) })
		for _, m := range members {
			group.Go(func() error { return b.arm(groupCtx, change.Org, m.ID, change.Generation, next, last, set) })
		}
		return group.Wait()
	})
}

// arm watches one pool for the balances that are low by the organization or by
// a plan, and ends the watch over those that only the plan before it named.
func (b *Billing) arm(ctx context.Context, org, pool string, generation int, to, from *plan.Plan, set map[ledger.Account]account.LowBalance) error {
	types := map[string]bool{}
	for _, p := range []*plan.Plan{to, from} {
		if p != nil {
			for t := range thresholds(p, ownerOf(pool)) {
				types[t] = true
			}
		}
	}
	for account := range set {
		if account.Pool == pool {
			types[account.Type] = true
		}
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		if err := b.watch(ctx, org, pool, t, generation, to, set[ledger.Account{Pool: pool, Type: t}], from == nil); err != nil {
			return err
		}
	}
	return nil
}

// watch sets the alert of one account, once for each plan and version of what
// the organization said.
func (b *Billing) watch(ctx context.Context, org, pool, creditType string, generation int, terms *plan.Plan, own account.LowBalance, begin bool) error {
	var low []int64
	for _, rule := range rulesOf(own, terms, pool, creditType) {
		if at := resolve(rule, terms, pool, creditType); at != nil {
			low = append(low, *at)
		}
	}
	if own.TopUp != nil {
		low = append(low, *own.TopUp)
	}
	key := fmt.Sprintf("alert/%d/%s/%s", generation, pool, creditType)
	if own.Version > 0 {
		key += fmt.Sprintf("/%d", own.Version)
	}
	_, err := b.ledger.Alert(ctx, ledger.Alert{
		Owner: org, Key: key, Pool: pool, Type: creditType, Thresholds: low, Begin: begin,
		Memo: ledger.Memo{Action: "alert", Member: pool},
	})
	return err
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
