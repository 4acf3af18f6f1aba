// Package account keeps who may spend credits and on which terms:
// organizations, their members and licences, the plans they are on and were
// on, when their next allotment is due, budgets, and API keys.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // organizations live in time zones that the machine may not know

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/clock"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/metadata"
	"holdfast/internal/outbox"
	"holdfast/internal/plan"
)

// The errors of this package, for errors.Is. The text of an error
// is one sentence for the caller.
var (
	ErrNotFound = errcode.New(errcode.NotFound, "not found")
	ErrExists   = errcode.New(errcode.Conflict, "already exists")
	ErrInvalid  = errcode.New(errcode.Invalid, "invalid")
	// ErrSuspended is an organization that is suspended or closed.
	ErrSuspended = errcode.New(errcode.Suspended, "suspended")
)

// Accounts is the store of this package. It is safe for concurrent use.
type Accounts struct {
	pool  *pgxpool.Pool
	plans sync.Map // planKey → *plan.Plan; a stored version never changes

	periods periods

	watching chan struct{} // held by who changes what the ledger watches for
}

// New returns the accounts of a migrated database.
func New(pool *pgxpool.Pool) *Accounts {
	return &Accounts{pool: pool, watching: make(chan struct{}, 1)}
}

// Org is an organization.
type Org struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Plan        string    `json:"plan"`         // the plan in force now
	PlanVersion int       `json:"plan_version"` // its version; for CreateOrg 0 = the newest
	TimeZone    string    `json:"time_zone"`    // IANA name; "" = UTC
	Anchor      time.Time `json:"anchor"`       // its periods are counted from here, in whole seconds; zero = now
	CreatedAt   time.Time `json:"created_at"`   // zero = now
	Status      Status    `json:"status"`       // active, suspended or closed

	Metadata metadata.Data `json:"metadata,omitempty" doc:"Texts of your own, by name."`

	// What waits; filled in when the organization is read.
	NextReset       *time.Time `json:"next_reset,omitempty" doc:"When its next credit period begins, the first one where the anchor is still to come. Absent where the plan has no period."`
	NextPlan        *string    `json:"next_plan,omitempty" doc:"The plan that a change of plan leads to, which waits for the end of the period."`
	NextPlanVersion *int       `json:"next_plan_version,omitempty"`
	NextPlanAt      *time.Time `json:"next_plan_at,omitempty"`

	TestClock *time.Time `json:"test_clock,omitempty" doc:"The organization's own time, where it has a test clock."`

	DueAt time.Time `json:"-"` // when the next of its subscriptions falls due, members' included
	Due   bool      `json:"-"` // one of them was due when it was read, by the organization's time
}

// Time is the organization's time where everyone's is wall.
func (o Org) Time(wall time.Time) time.Time {
	if o.TestClock != nil {
		return *o.TestClock
	}
	return wall
}

// Time is the time of an organization, also of one that is still to be created,
// where everyone's is wall.
func (a *Accounts) Time(ctx context.Context, org string, wall time.Time) (time.Time, error) {
	var at time.Time
	if err := a.pool.QueryRow(ctx, `SELECT `+clock.SQL("$1", "$2::timestamptz"), org, wall).Scan(&at); err != nil {
		return at, fmt.Errorf("the time of the organization %s cannot be read: %w", org, err)
	}
	return at.UTC(), nil
}

// Location is the organization's time zone.
func (o Org) Location() (*time.Location, error) { return location(o.TimeZone) }

// Period is the organization's credit period that contains t.
func (o Org) Period(t time.Time) (plan.Period, error) {
	return periodAt(o.Anchor, o.CreatedAt, t, o.TimeZone)
}

// Role is what a member or a key may do.
type Role string

// The roles.
const (
	RoleAdmin  Role = "admin"  // sees and manages the whole organization
	RoleMember Role = "member" // sees and spends their own
)

// Member is a member of an organization, or a paid seat: a licence.
type Member struct {
	Org       string     `json:"org"`
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      Role       `json:"role"`                 // "" = member
	Anchor    time.Time  `json:"anchor"`               // the licence's anniversary, in whole seconds; zero = now
	CreatedAt time.Time  `json:"created_at"`           // zero = now
	RemovedAt *time.Time `json:"removed_at,omitempty"` // nil = the licence is in force

	Email    string        `json:"email,omitempty" doc:"The address by which single sign-on knows the member; absent where the member does not log in that way."`
	Metadata metadata.Data `json:"metadata,omitempty" doc:"Texts of your own, by name."`

	Limits []plan.Amount `json:"-"` // set for this member in place of the plan's; see Budgets
}

// Period is the member's own credit month that contains t.
func (m Member) Period(t time.Time, org Org) (plan.Period, error) {
	return periodAt(m.Anchor, m.CreatedAt, t, org.TimeZone)
}

// periodAt is the period that contains t. Before an anchor that is still to come
// no period runs: what contains t then is the time up to the first one.
func periodAt(anchor, created, t time.Time, zone string) (plan.Period, error) {
	loc, err := location(zone)
	if err != nil {
		return plan.Period{}, err
	}
	if t.Before(anchor) && created.Before(anchor) {
		return plan.Period{N: -1, Start: created, End: anchor}, nil
	}
	return plan.PeriodAt(anchor, t, loc), nil
}

func location(zone string) (*time.Location, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, errcode.Say(ErrInvalid, "There is no time zone %q; use an IANA name such as Europe/Berlin.", zone)
	}
	return loc, nil
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func checkID(what, id string) error {
	if !validID.MatchString(id) {
		return errcode.Say(ErrInvalid, "%q is not %s id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.", id, what)
	}
	return nil
}

// CheckOrgID is nil, or ErrInvalid where no organization can have this id.
func CheckOrgID(id string) error { return checkID("an organization", id) }

func checkName(what, name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 200 {
		return errcode.Say(ErrInvalid, "The name of %s is empty or longer than 200 bytes; give a shorter one that people recognise.", what)
	}
	return nil
}

func checkRole(role Role) error {
	if role != RoleAdmin && role != RoleMember {
		return errcode.Say(ErrInvalid, "There is no role %q; use admin or member.", role)
	}
	return nil
}

// began fills in the times of something new, as Postgres keeps them. An anchor
// that is not given is the beginning itself.
func began(created, anchor *time.Time, now time.Time) {
	if created.IsZero() {
		*created = now
	}
	if anchor.IsZero() {
		*anchor = *created
	}
	*created = created.UTC().Truncate(time.Microsecond)
	*anchor = anchor.UTC().Truncate(time.Second)
}

// violates reports whether a statement failed on the named constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// CreateOrg stores a new organization on the plan it names and returns it as
// stored. Its first allotment is due at once, for the period of its anchor
// that contains now; a past anchor is not caught up from. ErrExists where the
// id is taken, ErrInvalid where a field is wrong or the plan unknown.
func (a *Accounts) CreateOrg(ctx context.Context, org Org) (Org, error) {
	if err := cmp.Or(checkID("an organization", org.ID), checkName("the organization", org.Name)); err != nil {
		return Org{}, err
	}
	if org.TimeZone == "" {
		org.TimeZone = "UTC"
	}
	if _, err := org.Location(); err != nil {
		return Org{}, err
	}
	p, err := a.Plan(ctx, org.Plan, org.PlanVersion)
	if errors.Is(err, ErrNotFound) {
		return Org{}, errcode.Say(ErrInvalid, "The organization cannot be on this plan: %v", err)
	}
	if err != nil {
		return Org{}, err
	}
	now, err := a.Time(ctx, org.ID, time.Now())
	if err != nil {
		return Org{}, err
	}
	began(&org.CreatedAt, &org.Anchor, now)
	if _, again, err := idempotency.Find(ctx, a.pool, "", "organization"); err != nil {
		return Org{}, err
	} else if again {
		return a.Org(ctx, org.ID)
	}
	var again bool
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) (err error) {
		if _, again, err = idempotency.Claim(ctx, tx, "", "organization", idempotency.Made{ID: org.ID}); err != nil || again {
			return err
		}
		if err := metadata.Set(ctx, tx, org.ID, metadata.Organization, org.ID, org.Metadata); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO organization (id, name, time_zone, created_at) VALUES ($1, $2, $3, $4)`,
			org.ID, org.Name, org.TimeZone, org.CreatedAt); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO plan_change (org, generation, plan_id, plan_version, at_period_end, applied_at) VALUES ($1, 0, $2, $3, false, now())`,
			org.ID, p.ID, p.Version); err != nil {
			return err
		}
		return subscribe(ctx, tx, org, "", org.Anchor, org.CreatedAt)
	})
	if violates(err, "organization_pkey") {
		return Org{}, errcode.Say(ErrExists, "There is an organization %q already; choose another id.", org.ID)
	}
	if errors.Is(err, idempotency.ErrReused) {
		return Org{}, err
	}
	if err != nil {
		return Org{}, fmt.Errorf("the organization %s was not created: %w", org.ID, err)
	}
	return a.Org(ctx, org.ID)
}

var orgMetadata = metadata.SQL(metadata.Organization, "o.id", "o.id")

var selectOrg = `
	SELECT o.id, o.name, c.plan_id AS plan, c.plan_version, o.time_zone, s.anchor, o.created_at,
		CASE WHEN o.closed_at IS NOT NULL THEN 'closed' WHEN o.suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END AS status,
		s.due_at AS next_reset, w.plan_id AS next_plan, w.plan_version AS next_plan_version, w.since AS next_plan_at,
		d.due_at, d.due_at <= t.now AS due, t.test_clock, ` + orgMetadata + ` AS metadata
	FROM organization o
	JOIN subscription s ON s.org = o.id AND s.member = ''
	CROSS JOIN LATERAL (
		SELECT own.at AS test_clock, coalesce(own.at, now()) AS now FROM (SELECT ` + clock.SQL("o.id", "NULL") + ` AS at OFFSET 0) own OFFSET 0) t
	CROSS JOIN LATERAL (SELECT due_at FROM subscription WHERE org = o.id ORDER BY due_at LIMIT 1) d
	CROSS JOIN LATERAL (
		SELECT plan_id, plan_version FROM plan_change
		WHERE org = o.id AND (since IS NULL OR since <= t.now)
		ORDER BY generation DESC LIMIT 1) c
	CROSS JOIN LATERAL (SELECT max(generation) AS last FROM plan_change WHERE org = o.id) l
	LEFT JOIN plan_change w ON w.org = o.id AND w.generation = l.last AND w.since > t.now`

// orgOf leaves out the reset that a plan without periods, or a closed
// organization, does not have.
func (a *Accounts) orgOf(ctx context.Context, db database.Reader, org Org) Org {
	if p, err := a.readPlan(ctx, db, org.Plan, org.PlanVersion); err == nil && p.Period == plan.NoPeriod || org.Status == StatusClosed {
		org.NextReset = nil
	}
	return org
}

// Org returns an organization and the plan it is on now, or ErrNotFound.
func (a *Accounts) Org(ctx context.Context, id string) (Org, error) {
	return a.readOrg(ctx, a.pool, id)
}

// readOrg is Org, also within a transaction: one that holds a connection while it
// waits for another one of the pool may wait for ever.
func (a *Accounts) readOrg(ctx context.Context, db database.Reader, id string) (Org, error) {
	rows, _ := db.Query(ctx, selectOrg+` WHERE o.id = $1`, id)
	org, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Org])
	if errors.Is(err, pgx.ErrNoRows) {
		return Org{}, errcode.Say(ErrNotFound, "There is no organization %q; create it first.", id)
	}
	if err != nil {
		return Org{}, fmt.Errorf("the organization %s cannot be read: %w", id, err)
	}
	return a.orgOf(ctx, db, org), nil
}

// Orgs lists all organizations by id.
func (a *Accounts) Orgs(ctx context.Context) ([]Org, error) {
	rows, _ := a.pool.Query(ctx, selectOrg+` ORDER BY o.id`)
	return a.orgsOf(ctx, rows)
}

func (a *Accounts) orgsOf(ctx context.Context, rows pgx.Rows) ([]Org, error) {
	orgs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Org])
	if err != nil {
		return nil, fmt.Errorf("the organizations cannot be listed: %w", err)
	}
	for i := range orgs {
		orgs[i] = a.orgOf(ctx, a.pool, orgs[i])
	}
	return orgs, nil
}

// OrgFilter chooses organizations; zero fields do not restrict.
type OrgFilter struct {
	Status   Status
	Plan     string
	Metadata metadata.Data // all of these entries
	After    string        // the id of the last one of the page before
	Limit    int
}

// OrgPage lists organizations by id, a page at a time.
func (a *Accounts) OrgPage(ctx context.Context, f OrgFilter) ([]Org, error) {
	rows, _ := a.pool.Query(ctx, `SELECT * FROM (`+selectOrg+` WHERE o.id > $1) o
		WHERE ($2 = '' OR status = $2) AND ($3 = '' OR plan = $3) AND ($4 = '' OR metadata @> $4::text::jsonb)
		ORDER BY id LIMIT $5`, f.After, string(f.Status), f.Plan, f.Metadata.Text(), f.Limit)
	return a.orgsOf(ctx, rows)
}

// maxMembers is how many members an organization may have.
const maxMembers = 20_000

// CreateMember stores a new member with a licence of their own and returns it
// as stored. ErrNotFound where there is no such organization, ErrExists where
// the organization has a member of that id, ErrInvalid where a field is wrong.
func (a *Accounts) CreateMember(ctx context.Context, m Member) (Member, error) {
	if m.Role == "" {
		m.Role = RoleMember
	}
	m.Email = strings.ToLower(m.Email)
	if err := cmp.Or(checkID("a member", m.ID), checkName("the member", m.Name), checkRole(m.Role), checkEmail(m.Email)); err != nil {
		return Member{}, err
	}
	org, err := a.Org(ctx, m.Org)
	if err != nil {
		return Member{}, err
	}
	if err := org.open(); err != nil {
		return Member{}, err
	}
	began(&m.CreatedAt, &m.Anchor, org.Time(time.Now()))
	if _, again, err := idempotency.Find(ctx, a.pool, m.Org, "member"); err != nil {
		return Member{}, err
	} else if again {
		return a.Member(ctx, m.Org, m.ID)
	}
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, again, err := idempotency.Claim(ctx, tx, m.Org, "member", idempotency.Made{ID: m.ID}); err != nil || again {
			return err
		}
		if err := room(ctx, tx, m.Org, "members", maxMembers, `SELECT count(*) FROM member WHERE org = $1 AND removed_at IS NULL`); err != nil {
			return err
		}
		if err := metadata.Set(ctx, tx, m.Org, metadata.Member, m.ID, m.Metadata); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO member (org, id, name, role, created_at, email) VALUES ($1, $2, $3, $4, $5, nullif($6, ''))`,
			m.Org, m.ID, m.Name, m.Role, m.CreatedAt, m.Email); err != nil {
			return err
		}
		if err := announce(ctx, tx, m.Org, outbox.MemberCreated, func(of outbox.Org) any {
			return outbox.NewMember{Org: of, Member: m.ID, Role: string(m.Role)}
		}); err != nil {
			return err
		}
		return subscribe(ctx, tx, org, m.ID, m.Anchor, m.CreatedAt)
	})
	if errcode.Permanent(err) {
		return Member{}, err
	}
	if violates(err, "member_pkey") {
		return Member{}, errcode.Say(ErrExists, "The organization %s has a member %q already; choose another id.", m.Org, m.ID)
	}
	if violates(err, "member_email") {
		return Member{}, emailTaken(m.Org, m.Email)
	}
	if err != nil {
		return Member{}, fmt.Errorf("the member %s was not created: %w", m.ID, err)
	}
	return a.Member(ctx, m.Org, m.ID)
}

var selectMember = `
	SELECT m.org, m.id, m.name, m.role, s.anchor, m.created_at, m.removed_at, coalesce(m.email, '') AS email, ` + metadata.SQL(metadata.Member, "m.org", "m.id") + ` AS metadata,
		(SELECT jsonb_agg(jsonb_build_object('type', b.type, 'amount', b.amount)) FROM budget b WHERE b.org = m.org AND b.member = m.id) AS limits
	FROM member m JOIN subscription s ON s.org = m.org AND s.member = m.id`

// Member returns one member, also one that was removed, or ErrNotFound.
func (a *Accounts) Member(ctx context.Context, org, id string) (Member, error) {
	rows, _ := a.pool.Query(ctx, selectMember+` WHERE m.org = $1 AND m.id = $2`, org, id)
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Member])
	if errors.Is(err, pgx.ErrNoRows) {
		return Member{}, errcode.Say(ErrNotFound, "The organization %s has no member %q; create it first.", org, id)
	}
	if err != nil {
		return Member{}, fmt.Errorf("the member %s cannot be read: %w", id, err)
	}
	return m, nil
}

// Members lists an organization's members by id, without those that were removed; ErrNotFound where there is no
// such organization.
func (a *Accounts) Members(ctx context.Context, org string) ([]Member, error) {
	if _, err := a.Org(ctx, org); err != nil {
		return nil, err
	}
	rows, _ := a.pool.Query(ctx, selectMember+` WHERE m.org = $1 AND m.removed_at IS NULL ORDER BY m.id`, org)
	members, err := pgx.CollectRows(rows, pgx.RowToStructByName[Member])
	if err != nil {
		return nil, fmt.Errorf("the members of %s cannot be listed: %w", org, err)
	}
	return members, nil
}
