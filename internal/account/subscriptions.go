package account

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/plan"
)

// Due is a subscription whose period has begun and whose credits have not been
// reset for it: the organization's own, or the licence of a member.
type Due struct {
	Org         string      `json:"org"`
	Member      string      `json:"member"` // "" = the organization's own subscription
	TimeZone    string      `json:"time_zone"`
	Anchor      time.Time   `json:"anchor"`
	Period      plan.Period `json:"period"` // the one that is due
	First       bool        `json:"first"`  // it is the subscription's first period
	Plan        string      `json:"plan"`   // the plan in force when the period began, or when the subscription did
	PlanVersion int         `json:"plan_version"`
	Generation  int         `json:"generation"` // of that plan in the organization's history
	Ended       PlanRef     `json:"ended"`      // the plan under which the period before ended
}

// PlanRef names a stored version of a plan.
type PlanRef struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// Owner says whose pool the allotment goes to.
func (d Due) Owner() plan.Owner {
	if d.Member == "" {
		return plan.Organization
	}
	return plan.Member
}

// Cursor returns the cursor that continues a sweep after d.
func (d Due) Cursor() Cursor { return Cursor{d.Period.Start, d.Org, d.Member} }

// Cursor is a place in the order of a sweep; the zero value is its beginning.
type Cursor struct {
	DueAt  time.Time `json:"due_at"`
	Org    string    `json:"org"`
	Member string    `json:"member"`
}

// subscribe begins a subscription with the period that contains its creation,
// or with period 0 where the anchor lies ahead of it.
func subscribe(ctx context.Context, tx pgx.Tx, org Org, member string, anchor, created time.Time) error {
	loc, err := org.Location()
	if err != nil {
		return err
	}
	first := plan.PeriodN(anchor, 0, loc)
	if anchor.Before(created) {
		first = plan.PeriodAt(anchor, created, loc)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO subscription (org, member, anchor, next_period, due_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		org.ID, member, anchor, first.N, first.Start, created)
	return err
}

const selectDue = `
	SELECT s.org, s.member, o.time_zone, s.anchor, s.next_period, s.next_period = 0 OR s.due_at <= s.created_at,
		c.plan_id, c.plan_version, c.generation, e.plan_id, e.plan_version
	FROM subscription s
	JOIN organization o ON o.id = s.org
	CROSS JOIN LATERAL (
		SELECT plan_id, plan_version, generation FROM plan_change
		WHERE org = s.org AND (since IS NULL OR since < greatest(s.due_at, s.created_at)
			OR at_period_end AND since = greatest(s.due_at, s.created_at)) -- see allottedBy
		ORDER BY generation DESC LIMIT 1) c
	CROSS JOIN LATERAL (
		SELECT plan_id, plan_version FROM plan_change
		WHERE org = s.org AND (since IS NULL OR since < s.due_at)
		ORDER BY generation DESC LIMIT 1) e`

// DueSubscriptions returns up to limit subscriptions that fell due at or before
// a time, in the order they fell due, beginning after the cursor. An empty page
// ends the sweep; a short one does not. A subscription that has missed several
// periods is returned for the first of them; once advanced, it comes again,
// later in the same sweep.
func (a *Accounts) DueSubscriptions(ctx context.Context, before time.Time, after Cursor, limit int) ([]Due, error) {
	// No period is shorter than 27 days. A page spans less than that, so what
	// advances while the page is worked on falls due behind its last row.
	rows, _ := a.pool.Query(ctx, `
		WITH oldest AS (
			SELECT due_at FROM subscription
			WHERE due_at <= $1 AND (due_at, org, member) > ($2, $3, $4)
			ORDER BY due_at, org, member
			LIMIT 1)`+selectDue+`
		WHERE s.due_at <= $1 AND (s.due_at, s.org, s.member) > ($2, $3, $4)
			AND s.due_at < (SELECT due_at + interval '27 days' FROM oldest)
		ORDER BY s.due_at, s.org, s.member
		LIMIT $5`, before, after.DueAt, after.Org, after.Member, limit)
	return collectDue(rows)
}

// DueOf returns the subscriptions of one organization that fell due at or
// before a time, in the order they fell due, each for the first period it has
// missed.
func (a *Accounts) DueOf(ctx context.Context, org string, before time.Time) ([]Due, error) {
	rows, _ := a.pool.Query(ctx, selectDue+`
		WHERE s.org = $1 AND s.due_at <= $2
		ORDER BY s.due_at, s.member`, org, before)
	return collectDue(rows)
}

func collectDue(rows pgx.Rows) ([]Due, error) {
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Due, error) {
		var d Due
		var n int
		if err := row.Scan(&d.Org, &d.Member, &d.TimeZone, &d.Anchor, &n, &d.First,
			&d.Plan, &d.PlanVersion, &d.Generation, &d.Ended.ID, &d.Ended.Version); err != nil {
			return Due{}, err
		}
		loc, err := location(d.TimeZone)
		d.Period = plan.PeriodN(d.Anchor, n, loc)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("the due subscriptions cannot be listed: %w", err)
	}
	return due, nil
}

// Reset is a subscription whose credits have been reset for the period that was
// due.
type Reset struct {
	Due
	Credits []ResetCredit // by type; empty where the plan has nothing to reset
}

// ResetCredit is what a reset did to the credits of one type.
type ResetCredit struct {
	Type       string `json:"type"`
	Granted    int64  `json:"granted"`
	RolledOver int64  `json:"rolled_over"`
	Expired    int64  `json:"expired"`
}

// Advance notes that the credits of these subscriptions have been reset for
// the period they were due for and makes the next period due, each of them
// exactly once: a subscription that is past the period already is left alone.
// For each that moves and whose credits were reset a credits.reset event goes
// to the outbox in the same transaction. It returns how many moved.
func (a *Accounts) Advance(ctx context.Context, resets []Reset) (int64, error) {
	n := len(resets)
	orgs, members, events := make([]string, n), make([]string, n), make([]*string, n)
	periods, next := make([]int, n), make([]time.Time, n)
	for i, r := range resets {
		orgs[i], members[i], periods[i], next[i] = r.Org, r.Member, r.Period.N, r.Period.End
		if len(r.Credits) > 0 {
			event, err := r.event()
			if err != nil {
				return 0, err
			}
			events[i] = &event
		}
	}
	var moved int64
	err := a.pool.QueryRow(ctx, `
		WITH moved AS (
			UPDATE subscription s SET next_period = d.period + 1, due_at = d.next
			FROM unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[], $5::text[]) AS d (org, member, period, next, event)
			WHERE s.org = d.org AND s.member = d.member AND s.next_period = d.period
			RETURNING d.*
		), told AS (
			INSERT INTO outbox (org, topic, key, payload)
			SELECT org, 'credits.reset', 'credits.reset/' || member || '/' || period, event::jsonb
			FROM moved WHERE event IS NOT NULL
			ON CONFLICT (org, key) DO NOTHING)
		SELECT count(*) FROM moved`,
		orgs, members, periods, next, events).Scan(&moved)
	if err != nil {
		return 0, fmt.Errorf("the subscriptions were not advanced: %w", err)
	}
	return moved, nil
}

// event is what a reset tells the outside.
func (r Reset) event() (string, error) {
	payload, err := json.Marshal(struct {
		Org     string        `json:"org"`
		Member  string        `json:"member,omitempty"`
		Plan    string        `json:"plan"`
		Start   time.Time     `json:"period_start"`
		End     time.Time     `json:"period_end"`
		Credits []ResetCredit `json:"credits"`
	}{r.Org, r.Member, r.Plan, r.Period.Start.UTC(), r.Period.End.UTC(), r.Credits})
	if err != nil {
		return "", fmt.Errorf("the reset of %s cannot be told: %w", r.Org, err)
	}
	return string(payload), nil
}
