package account

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/outbox"
	"holdfast/internal/plan"
)

// PlanChange is one plan of an organization's history.
type PlanChange struct {
	Generation  int        `json:"generation"` // 0 is the plan the organization began with
	PlanID      string     `json:"plan"`
	PlanVersion int        `json:"plan_version"`
	Since       *time.Time `json:"since,omitempty"` // nil = from the beginning
	AtPeriodEnd bool       `json:"at_period_end"`   // takes effect with the period of each pool, so nothing is prorated
}

// TopUp is what a prorated plan change adds to one pool.
type TopUp struct {
	Member    string      `json:"member"` // "" = the shared pool
	Type      string      `json:"type"`   // credit type
	Amount    int64       `json:"amount"`
	Period    plan.Period `json:"period"`              // the pool's period in which the change falls
	ExpiresAt time.Time   `json:"expires_at,omitzero"` // zero = never
	BurnBy    time.Time   `json:"-"`                   // the cap on what rolls over may take some of it then; zero = never
}

// PlanChanges returns an organization's plans, oldest first. In force at a time
// is the last of them that began at or before it.
func (a *Accounts) PlanChanges(ctx context.Context, org string) ([]PlanChange, error) {
	if _, err := a.Org(ctx, org); err != nil {
		return nil, err
	}
	return planChanges(ctx, a.pool, org)
}

func planChanges(ctx context.Context, db database.Reader, org string) ([]PlanChange, error) {
	rows, _ := db.Query(ctx, `
		SELECT generation, plan_id, plan_version, since, at_period_end
		FROM plan_change WHERE org = $1 ORDER BY generation`, org)
	changes, err := pgx.CollectRows(rows, pgx.RowToStructByName[PlanChange])
	if err != nil {
		return nil, fmt.Errorf("the plans of %s cannot be listed: %w", org, err)
	}
	return changes, nil
}

// inForce is the last change of a history that began at or before t.
func inForce(history []PlanChange, t time.Time) PlanChange {
	for _, c := range slices.Backward(history) {
		if c.Since == nil || !c.Since.After(t) {
			return c
		}
	}
	return PlanChange{}
}

// allottedBy is the last change of a history under which a period that begins
// at t is allotted. A prorated change at that very moment comes after the
// allotment, no matter which of the two is carried out first.
func allottedBy(history []PlanChange, t time.Time) PlanChange {
	for _, c := range slices.Backward(history) {
		if c.Since == nil || c.Since.Before(t) || c.AtPeriodEnd && c.Since.Equal(t) {
			return c
		}
	}
	return PlanChange{}
}

// ChangePlan moves an organization to the newest version of a plan: at once,
// or, where the plan it leaves says so, with its next period. Asking for the
// plan it was last moved to changes nothing and returns the same change, so
// that a retry is harmless. What the change adds to the pools is for TopUps to
// say and for the caller to grant. ErrNotFound where there is no such
// organization or plan.
func (a *Accounts) ChangePlan(ctx context.Context, orgID, planID string, at time.Time) (PlanChange, error) {
	org, err := a.Org(ctx, orgID)
	if err != nil {
		return PlanChange{}, err
	}
	to, err := a.Plan(ctx, planID, 0)
	if err := cmp.Or(err, org.open()); err != nil {
		return PlanChange{}, err
	}
	var change PlanChange
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// One change at a time per organization.
		if _, err := tx.Exec(ctx, `SELECT FROM organization WHERE id = $1 FOR UPDATE`, orgID); err != nil {
			return err
		}
		history, err := planChanges(ctx, tx, orgID)
		if err != nil {
			return err
		}
		change = history[len(history)-1]
		if change.PlanID == to.ID && change.PlanVersion == to.Version {
			return nil
		}
		// Clocks differ: a change never goes behind a period that has been
		// allotted; it counts as coming after it.
		last, err := lastReset(ctx, tx, org)
		if err != nil {
			return err
		}
		if at.Before(last) {
			at = last
		}
		change, err = a.nextChange(ctx, tx, org, history, to, at)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO plan_change (org, generation, plan_id, plan_version, since, at_period_end)
			VALUES ($1, $2, $3, $4, $5, $6)`,
			orgID, change.Generation, change.PlanID, change.PlanVersion, change.Since, change.AtPeriodEnd)
		if err != nil {
			return err
		}
		return announce(ctx, tx, orgID, outbox.PlanChanged, func(of outbox.Org) any {
			return outbox.NewPlan{Org: of, Plan: change.PlanID, Version: change.PlanVersion, Since: change.Since.UTC(), AtPeriodEnd: change.AtPeriodEnd}
		})
	})
	if err != nil {
		return PlanChange{}, fmt.Errorf("the plan of %s was not changed: %w", orgID, err)
	}
	return change, nil
}

// lastReset is when the latest period of an organization's subscriptions began
// whose credits have been reset; the zero time where there was none.
func lastReset(ctx context.Context, db database.Reader, org Org) (last time.Time, err error) {
	loc, err := org.Location()
	if err != nil {
		return last, err
	}
	rows, _ := db.Query(ctx, `SELECT DISTINCT anchor, next_period, created_at FROM subscription WHERE org = $1`, org.ID)
	var anchor, created time.Time
	var next int
	_, err = pgx.ForEachRow(rows, []any{&anchor, &next, &created}, func() error {
		reset := plan.PeriodN(anchor, next-1, loc)
		if next > 0 && reset.End.After(created) && reset.Start.After(last) {
			last = reset.Start
		}
		return nil
	})
	if err != nil {
		return last, fmt.Errorf("the periods of %s cannot be read: %w", org.ID, err)
	}
	return last, nil
}

func (a *Accounts) nextChange(ctx context.Context, db database.Reader, org Org, history []PlanChange, to *plan.Plan, at time.Time) (PlanChange, error) {
	since := at.UTC().Truncate(time.Microsecond)
	for _, c := range history {
		// Clocks differ: a change never goes behind one that has taken effect.
		if c.Since != nil && !c.AtPeriodEnd && since.Before(*c.Since) {
			since = *c.Since
		}
	}
	change := PlanChange{
		Generation: history[len(history)-1].Generation + 1,
		PlanID:     to.ID, PlanVersion: to.Version, Since: &since,
	}
	current := inForce(history, since)
	from, err := a.readPlan(ctx, db, current.PlanID, current.PlanVersion)
	if err != nil {
		return PlanChange{}, err
	}
	if from.PlanChange == plan.AtPeriodEnd && from.Period == plan.Month {
		period, err := org.Period(since)
		if err != nil {
			return PlanChange{}, err
		}
		change.Since, change.AtPeriodEnd = &period.End, true
	}
	return change, nil
}

// PreviewChange is what ChangePlan would do and bring now; it changes nothing.
// The organization is the one that was read in its present period.
func (a *Accounts) PreviewChange(ctx context.Context, org Org, planID string, at time.Time) (PlanChange, []TopUp, error) {
	to, err := a.Plan(ctx, planID, 0)
	if err := cmp.Or(err, org.open()); err != nil {
		return PlanChange{}, nil, err
	}
	history, err := planChanges(ctx, a.pool, org.ID)
	if err != nil {
		return PlanChange{}, nil, err
	}
	if last := history[len(history)-1]; last.PlanID == to.ID && last.PlanVersion == to.Version {
		return last, nil, nil
	}
	last, err := lastReset(ctx, a.pool, org)
	if err != nil {
		return PlanChange{}, nil, err
	}
	if at.Before(last) {
		at = last
	}
	change, err := a.nextChange(ctx, a.pool, org, history, to, at)
	if err != nil {
		return PlanChange{}, nil, err
	}
	tops, err := a.topUps(ctx, org, append(history, change))
	return change, tops, err
}

// TopUps lists what a plan change adds to the pools of an organization: for a
// prorated upgrade the rest of the period's difference, otherwise nothing. It
// follows from the history alone, so a retry gets the same answer; granted
// under a key of generation, member and type, each of them happens once.
// ErrNotFound where there is no such change.
func (a *Accounts) TopUps(ctx context.Context, orgID string, generation int) ([]TopUp, error) {
	org, err := a.Org(ctx, orgID)
	if err != nil {
		return nil, err
	}
	history, err := planChanges(ctx, a.pool, orgID)
	if err != nil {
		return nil, err
	}
	if generation < 0 || generation >= len(history) {
		return nil, errcode.Say(ErrNotFound, "The organization %s has had no plan change number %d.", orgID, generation)
	}
	return a.topUps(ctx, org, history[:generation+1])
}

// topUps are what the last change of a history adds.
func (a *Accounts) topUps(ctx context.Context, org Org, history []PlanChange) ([]TopUp, error) {
	generation := len(history) - 1
	change := history[generation]
	if change.Since == nil || change.AtPeriodEnd {
		return nil, nil
	}
	plans, err := a.plansOf(ctx, history)
	if err != nil {
		return nil, err
	}
	loc, err := org.Location()
	if err != nil {
		return nil, err
	}
	rows, _ := a.pool.Query(ctx, `
		SELECT member, anchor, created_at FROM subscription
		WHERE org = $1 AND created_at <= $2 AND anchor <= $2 AND due_at < $3
		ORDER BY member`, org.ID, *change.Since, never)
	type subscription struct {
		Member            string
		Anchor, CreatedAt time.Time
	}
	subscriptions, err := pgx.CollectRows(rows, pgx.RowToStructByName[subscription])
	if err != nil {
		return nil, fmt.Errorf("the subscriptions of %s cannot be listed: %w", org.ID, err)
	}
	var tops []TopUp
	for _, s := range subscriptions {
		period := plan.PeriodAt(s.Anchor, *change.Since, loc)
		begin := period.Start
		if s.CreatedAt.After(begin) {
			begin = s.CreatedAt
		}
		owner := plan.Organization
		if s.Member != "" {
			owner = plan.Member
		}
		for _, t := range creditTypes(plans) {
			amount := topUp(history, plans, begin, period, t, owner)
			if amount > 0 {
				tops = append(tops, TopUp{
					Member: s.Member, Type: t, Amount: amount, Period: period,
					ExpiresAt: plans[generation].GrantExpiry(t, period), BurnBy: plans[generation].BurnBy(t, period),
				})
			}
		}
	}
	return tops, nil
}

// topUp is what the last change of a history adds to one pool, whose period's
// credits were allotted under the plan in force at begin.
func topUp(history []PlanChange, plans []*plan.Plan, begin time.Time, period plan.Period, creditType string, owner plan.Owner) int64 {
	start := plans[allottedBy(history, begin).Generation].Allotment(creditType, owner)
	switches := make([]plan.Switch, 0, len(history))
	for i, c := range history {
		// A change that waits for the period's end does not touch this period.
		if c.Since != nil && !c.Since.Before(begin) && !c.AtPeriodEnd {
			switches = append(switches, plan.Switch{At: *c.Since, Allotment: plans[i].Allotment(creditType, owner)})
		}
	}
	if len(switches) == 0 {
		return 0
	}
	tops := plan.TopUps(period, start, switches)
	return tops[len(tops)-1]
}

// Pending is a plan change that has come into force and whose top-ups and
// alerts may not have reached the pools.
type Pending struct {
	Org        string    `json:"org"`
	Generation int       `json:"generation"`
	Since      time.Time `json:"since"`
}

// PendingOf returns the plan changes of one organization that have come into
// force by the organization's time and were not marked as applied, in their order.
func (a *Accounts) PendingOf(ctx context.Context, org string) ([]Pending, error) {
	rows, _ := a.pool.Query(ctx, `
		SELECT org, generation, since FROM plan_change
		WHERE applied_at IS NULL AND org = $1 AND since <= `+clock.SQL("$1", "clock_timestamp()")+`
		ORDER BY generation`, org)
	pending, err := pgx.CollectRows(rows, pgx.RowToStructByName[Pending])
	if err != nil {
		return nil, fmt.Errorf("the pending plan changes of %s cannot be listed: %w", org, err)
	}
	return pending, nil
}

// PendingChanges returns up to limit plan changes that came into force at or
// before a time and were not marked as applied, by organization and generation,
// beginning after the one given; the zero Pending is the beginning.
func (a *Accounts) PendingChanges(ctx context.Context, before time.Time, after Pending, limit int) ([]Pending, error) {
	rows, _ := a.pool.Query(ctx, `
		SELECT org, generation, since FROM plan_change
		WHERE applied_at IS NULL AND since <= $1 AND since <= `+clock.SQL("org", "$1")+` AND (org, generation) > ($2, $3)
		ORDER BY org, generation
		LIMIT $4`, before, after.Org, after.Generation, limit)
	pending, err := pgx.CollectRows(rows, pgx.RowToStructByName[Pending])
	if err != nil {
		return nil, fmt.Errorf("the pending plan changes cannot be listed: %w", err)
	}
	return pending, nil
}

// MarkApplied notes that the pools have got what a plan change brings.
func (a *Accounts) MarkApplied(ctx context.Context, org string, generation int) error {
	if _, err := a.pool.Exec(ctx, `
		UPDATE plan_change SET applied_at = now()
		WHERE org = $1 AND generation = $2 AND applied_at IS NULL`, org, generation); err != nil {
		return fmt.Errorf("the plan change %d of %s was not marked as applied: %w", generation, org, err)
	}
	return nil
}

// plansOf returns the plan of each change, by generation.
func (a *Accounts) plansOf(ctx context.Context, history []PlanChange) ([]*plan.Plan, error) {
	plans := make([]*plan.Plan, len(history))
	for i, c := range history {
		var err error
		if plans[i], err = a.Plan(ctx, c.PlanID, c.PlanVersion); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

func creditTypes(plans []*plan.Plan) []string {
	types := map[string]bool{}
	for _, p := range plans {
		for _, t := range p.CreditTypes() {
			types[t] = true
		}
	}
	return slices.Sorted(maps.Keys(types))
}
