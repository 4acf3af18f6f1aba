package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
	"holdfast/internal/errcode"
	"holdfast/internal/outbox"
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
	During      []PlanRef   `json:"during"`     // the plans that were in force in the period before, the ended one last

	dueAt time.Time // its place in the order of a sweep
	err   error
}

// Err says why it cannot be known what the subscription is due for: its time zone
// cannot be read. Then only Org, Member and Period.N stand.
func (d Due) Err() error { return d.err }

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
func (d Due) Cursor() Cursor { return Cursor{d.dueAt, d.Org, d.Member} }

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

// schedule is a subscription with the plans its organization was, is and will be
// on.
type schedule struct {
	org, member, zone string
	anchor, created   time.Time
	next              int       // the first period that has not been reset
	dueAt             time.Time // when it begins; a change of time zone may bring that forward
	history           []PlanChange
}

const selectSchedule = `
	SELECT s.org, s.member, o.time_zone, s.anchor, s.created_at, s.next_period, s.due_at, c.generations, c.plans, c.versions, c.sinces, c.at_ends
	FROM subscription s
	JOIN organization o ON o.id = s.org
	CROSS JOIN LATERAL (
		SELECT array_agg(generation ORDER BY generation) AS generations, array_agg(plan_id ORDER BY generation) AS plans,
			array_agg(plan_version ORDER BY generation) AS versions, array_agg(since ORDER BY generation) AS sinces,
			array_agg(at_period_end ORDER BY generation) AS at_ends
		FROM plan_change WHERE org = s.org) c`

func collectSchedules(rows pgx.Rows) ([]schedule, error) {
	schedules, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (schedule, error) {
		var s schedule
		var generations, versions []int
		var plans []string
		var sinces []*time.Time
		var atEnds []bool
		err := row.Scan(&s.org, &s.member, &s.zone, &s.anchor, &s.created, &s.next, &s.dueAt, &generations, &plans, &versions, &sinces, &atEnds)
		if err != nil {
			return s, err
		}
		s.history = make([]PlanChange, len(plans))
		for i := range plans {
			s.history[i] = PlanChange{generations[i], plans[i], versions[i], sinces[i], atEnds[i]}
		}
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the due subscriptions cannot be listed: %w", err)
	}
	return schedules, nil
}

// due is the subscription as it is when its period n begins.
func (s schedule) due(n int) (Due, error) {
	loc, err := location(s.zone)
	if err != nil {
		return Due{}, err
	}
	d := Due{Org: s.org, Member: s.member, TimeZone: s.zone, Anchor: s.anchor, Period: plan.PeriodN(s.anchor, n, loc)}
	due := d.Period.Start
	if n == s.next {
		due = s.dueAt
	}
	d.First = n == 0 || !due.After(s.created)
	begins := due
	if s.created.After(begins) {
		begins = s.created
	}
	current := allottedBy(s.history, begins)
	d.Plan, d.PlanVersion, d.Generation = current.PlanID, current.PlanVersion, current.Generation
	started := allottedBy(s.history, plan.PeriodN(s.anchor, n-1, loc).Start).Generation
	for _, c := range s.history[started:] {
		if c.Since == nil || c.Since.Before(due) {
			d.Ended = PlanRef{c.PlanID, c.PlanVersion}
			d.During = append(d.During, d.Ended)
		}
	}
	return d, nil
}

// firstDue is what each of the schedules is due for first. One that cannot be read
// says so and keeps no other from being reset.
func firstDue(schedules []schedule) []Due {
	list := make([]Due, len(schedules))
	for i, s := range schedules {
		due, err := s.due(s.next)
		if err != nil {
			due = Due{Org: s.org, Member: s.member, Period: plan.Period{N: s.next}, err: err}
		}
		due.dueAt = s.dueAt
		list[i] = due
	}
	return list
}

// dueByOwn is true of a subscription that is due by its organization's own time.
var dueByOwn = `s.due_at <= ` + clock.SQL("s.org", "$1")

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
			SELECT due_at FROM subscription s
			WHERE due_at <= $1 AND (due_at, org, member) > ($2, $3, $4) AND `+dueByOwn+`
			ORDER BY due_at, org, member
			LIMIT 1)`+selectSchedule+`
		WHERE s.due_at <= $1 AND (s.due_at, s.org, s.member) > ($2, $3, $4)
			AND s.due_at < (SELECT due_at + interval '27 days' FROM oldest) AND `+dueByOwn+`
		ORDER BY s.due_at, s.org, s.member
		LIMIT $5`, before, after.DueAt, after.Org, after.Member, limit)
	schedules, err := collectSchedules(rows)
	if err != nil {
		return nil, err
	}
	return firstDue(schedules), nil
}

// DueOf returns the subscriptions of one organization that fell due at or
// before a time, the zero time being the organization's own, in the order
// they fell due, each for the first period it has missed.
func (a *Accounts) DueOf(ctx context.Context, org string, before time.Time) ([]Due, error) {
	schedules, err := a.schedulesOf(ctx, org, before)
	if err != nil {
		return nil, err
	}
	return firstDue(schedules), nil
}

func (a *Accounts) schedulesOf(ctx context.Context, org string, before time.Time) ([]schedule, error) {
	var by *time.Time
	if !before.IsZero() {
		by = &before
	}
	rows, _ := a.pool.Query(ctx, selectSchedule+`
		WHERE s.org = $1 AND s.due_at <= coalesce($2, `+clock.SQL("$1", "clock_timestamp()")+`)
		ORDER BY s.due_at, s.member`, org, by)
	return collectSchedules(rows)
}

// Outlook returns every period of one organization's subscriptions that will
// have begun by a time and has not been reset, in order, under the plans as they
// are known now.
func (a *Accounts) Outlook(ctx context.Context, org string, by time.Time) ([]Due, error) {
	schedules, err := a.schedulesOf(ctx, org, by)
	if err != nil {
		return nil, err
	}
	var list []Due
	for _, s := range schedules {
		for n := s.next; ; n++ {
			d, err := s.due(n)
			if err != nil {
				return nil, err
			}
			if d.Period.Start.After(by) {
				break
			}
			if len(list) == maxOutlook {
				return nil, errcode.Say(ErrInvalid, "%s has more than %d periods up to that time; choose an earlier one.", org, maxOutlook)
			}
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(d, e Due) int { return d.Period.Start.Compare(e.Period.Start) })
	return list, nil
}

// maxOutlook is how many periods one look ahead covers.
const maxOutlook = 10_000

// Reset is a subscription whose credits have been reset for the period that was
// due.
type Reset struct {
	Due
	Credits []ResetCredit // by type; empty where the plan has nothing to reset
}

// ResetCredit is what a reset did to the credits of one type.
type ResetCredit = outbox.ResetCredit

// Advance notes that the credits of these subscriptions have been reset for
// the period they were due for and makes the next period due, each of them
// exactly once: a subscription that is past the period already is left alone.
// For each that moves and whose credits were reset a credits.reset event goes
// to the outbox in the same transaction. It returns how many moved.
func (a *Accounts) Advance(ctx context.Context, resets []Reset) (int64, error) {
	n := len(resets)
	orgs, members := make([]string, n), make([]string, n)
	periods, next := make([]int, n), make([]time.Time, n)
	for i, r := range resets {
		orgs[i], members[i], periods[i], next[i] = r.Org, r.Member, r.Period.N, r.Period.End
	}
	var moved []int
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			UPDATE subscription s SET next_period = d.period + 1, due_at = d.next
			FROM unnest($1::text[], $2::text[], $3::int[], $4::timestamptz[]) WITH ORDINALITY AS d (org, member, period, next, n)
			WHERE s.org = d.org AND s.member = d.member AND s.next_period = d.period
			RETURNING d.n - 1`, orgs, members, periods, next)
		var err error
		if moved, err = pgx.CollectRows(rows, pgx.RowTo[int]); err != nil {
			return err
		}
		slices.Sort(moved)
		var events []outbox.Event
		for _, i := range moved {
			if len(resets[i].Credits) == 0 {
				continue
			}
			event, err := resets[i].event()
			if err != nil {
				return err
			}
			events = append(events, event)
		}
		return outbox.Write(ctx, tx, events...)
	})
	if err != nil {
		return 0, fmt.Errorf("the subscriptions were not advanced: %w", err)
	}
	return int64(len(moved)), nil
}

// event says to those outside what a reset did.
func (r Reset) event() (outbox.Event, error) {
	return outbox.New(r.Org, outbox.CreditsReset, outbox.CreditsWereReset{
		Org: r.Org, Member: r.Member, Plan: r.Plan, Start: r.Period.Start.UTC(), End: r.Period.End.UTC(), Credits: r.Credits,
	}, r.Member, r.Period.N)
}

// NextDue is when, after a time and by another one, a subscription of an
// organization falls due or a change of plan comes into force; the zero time where
// none does.
func (a *Accounts) NextDue(ctx context.Context, org string, after, by time.Time) (time.Time, error) {
	var next *time.Time
	err := a.pool.QueryRow(ctx, `
		SELECT min(at) FROM (
			SELECT due_at AS at FROM subscription WHERE org = $1
			UNION ALL
			SELECT since FROM plan_change WHERE org = $1 AND applied_at IS NULL) due
		WHERE at > $2 AND at <= $3`, org, after, by).Scan(&next)
	if err != nil || next == nil {
		return time.Time{}, cannotTell(org, err)
	}
	return next.UTC(), nil
}

func cannotTell(org string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("what %s is due for next cannot be read: %w", org, err)
}
