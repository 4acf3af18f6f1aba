package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
)

// bundle is a fresh database with the built-in plans in it.
type bundle struct {
	*account.Accounts
	pool *pgxpool.Pool
}

func setup(t *testing.T) bundle {
	t.Helper()
	pool := pgtest.New(t)
	a := account.New(pool)
	require.NoError(t, a.EnsurePresets(t.Context()))
	return bundle{a, pool}
}

func (b bundle) org(t *testing.T, id, planID string, anchor time.Time) account.Org {
	t.Helper()
	org, err := b.CreateOrg(t.Context(), account.Org{
		ID: id, Name: strings.ToUpper(id), Plan: planID, Anchor: anchor, CreatedAt: anchor,
	})
	require.NoError(t, err)
	return org
}

func (b bundle) member(t *testing.T, org, id string, anchor time.Time) account.Member {
	t.Helper()
	m, err := b.CreateMember(t.Context(), account.Member{Org: org, ID: id, Name: id, Anchor: anchor, CreatedAt: anchor})
	require.NoError(t, err)
	return m
}

func utc(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestOrganizationIsKept(t *testing.T) {
	b := setup(t)
	created, err := b.CreateOrg(t.Context(), account.Org{
		ID: "acme", Name: "Acme Ltd", Plan: "rollover-boost", TimeZone: "Europe/Berlin", Anchor: utc("2024-01-31T08:00:00.7Z"),
	})
	require.NoError(t, err)
	require.Equal(t, 1, created.PlanVersion)
	require.Equal(t, "2024-01-31T08:00:00Z", created.Anchor.UTC().Format(time.RFC3339Nano), "anchors are whole seconds")
	require.WithinDuration(t, time.Now(), created.CreatedAt, time.Minute)

	read, err := b.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, created, read)

	b.org(t, "aaa", "verified-leads", time.Time{})
	orgs, err := b.Orgs(t.Context())
	require.NoError(t, err)
	require.Len(t, orgs, 2)
	require.Equal(t, created, orgs[1])

	period, err := read.Period(utc("2024-03-01T00:00:00Z"))
	require.NoError(t, err)
	require.Equal(t, 1, period.N)
	require.Equal(t, "2024-03-31T09:00:00+02:00", period.End.Format(time.RFC3339))
}

// I2: what is wrong is said in one sentence and nothing is stored.
func TestOrganizationIsRefused(t *testing.T) {
	b := setup(t)
	b.org(t, "taken", "verified-leads", time.Time{})
	good := account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"}
	for _, c := range []struct {
		what   string
		change func(*account.Org)
		kind   error
		want   string
	}{
		{"id", func(o *account.Org) { o.ID = "Acme Ltd" }, account.ErrInvalid, `"Acme Ltd" is not an organization id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.`},
		{"empty id", func(o *account.Org) { o.ID = "" }, account.ErrInvalid, `"" is not an organization id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.`},
		{"long id", func(o *account.Org) { o.ID = strings.Repeat("a", 64) }, account.ErrInvalid, `"` + strings.Repeat("a", 64) + `" is not an organization id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.`},
		{"name", func(o *account.Org) { o.Name = "  " }, account.ErrInvalid, "The name of the organization is empty or longer than 200 bytes; give a shorter one that people recognise."},
		{"zone", func(o *account.Org) { o.TimeZone = "Mars/Olympus" }, account.ErrInvalid, `There is no time zone "Mars/Olympus"; use an IANA name such as Europe/Berlin.`},
		{"the machine's zone", func(o *account.Org) { o.TimeZone = "Local" }, account.ErrInvalid, `There is no time zone "Local"; use an IANA name such as Europe/Berlin.`},
		{"plan", func(o *account.Org) { o.Plan = "gold" }, account.ErrInvalid, `The organization cannot be on this plan: There is no plan "gold"; use one of licence-monthly, prepaid-verification, rollover-boost, rollover-ignite, rollover-power, verified-leads, workspace-free, workspace-paid.`},
		{"version", func(o *account.Org) { o.PlanVersion = 9 }, account.ErrInvalid, `The organization cannot be on this plan: There is no version 9 of plan "verified-leads"; choose one that is stored.`},
		{"taken", func(o *account.Org) { o.ID = "taken" }, account.ErrExists, `There is an organization "taken" already; choose another id.`},
	} {
		t.Run(c.what, func(t *testing.T) {
			org := good
			c.change(&org)
			_, err := b.CreateOrg(t.Context(), org)
			require.ErrorIs(t, err, c.kind)
			require.EqualError(t, err, c.want)
		})
	}
	orgs, err := b.Orgs(t.Context())
	require.NoError(t, err)
	require.Len(t, orgs, 1)

	_, err = b.Org(t.Context(), "missing")
	require.ErrorIs(t, err, account.ErrNotFound)
	require.EqualError(t, err, `There is no organization "missing"; create it first.`)
}

func TestMembers(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", utc("2024-01-01T00:00:00Z"))
	jane, err := b.CreateMember(t.Context(), account.Member{Org: "acme", ID: "jane", Name: "Jane", Role: account.RoleAdmin})
	require.NoError(t, err)
	bob := b.member(t, "acme", "bob", utc("2024-01-31T10:00:00Z"))
	require.Equal(t, account.RoleMember, bob.Role)

	members, err := b.Members(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, members, 2)
	require.Equal(t, "bob", members[0].ID)
	require.WithinDuration(t, jane.CreatedAt, members[1].CreatedAt, 0)
	read, err := b.Member(t.Context(), "acme", "jane")
	require.NoError(t, err)
	require.Equal(t, members[1], read)

	for _, c := range []struct {
		member account.Member
		kind   error
		want   string
	}{
		{account.Member{Org: "acme", ID: "bob", Name: "Bob"}, account.ErrExists, `The organization acme has a member "bob" already; choose another id.`},
		{account.Member{Org: "acme", ID: "", Name: "Bob"}, account.ErrInvalid, `"" is not a member id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.`},
		{account.Member{Org: "acme", ID: "max"}, account.ErrInvalid, "The name of the member is empty or longer than 200 bytes; give a shorter one that people recognise."},
		{account.Member{Org: "acme", ID: "max", Name: "Max", Role: "boss"}, account.ErrInvalid, `There is no role "boss"; use admin or member.`},
		{account.Member{Org: "missing", ID: "max", Name: "Max"}, account.ErrNotFound, `There is no organization "missing"; create it first.`},
	} {
		_, err := b.CreateMember(t.Context(), c.member)
		require.ErrorIs(t, err, c.kind)
		require.EqualError(t, err, c.want)
	}
	_, err = b.Member(t.Context(), "acme", "max")
	require.EqualError(t, err, `The organization acme has no member "max"; create it first.`)
	_, err = b.Members(t.Context(), "missing")
	require.ErrorIs(t, err, account.ErrNotFound)
}

// The database refuses by itself what the methods refuse, under the names of
// the README's invariants.
func TestConstraintsHold(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", utc("2024-01-01T00:00:00Z"))
	b.member(t, "acme", "bob", utc("2024-01-31T10:00:00Z"))
	for constraint, sql := range map[string]string{
		"account_i1_plan_version_counts_from_1":  `UPDATE plan SET version = 0 WHERE id = 'rollover-boost'`,
		"account_i1_plan_hash_is_sha256":         `UPDATE plan SET hash = 'x'`,
		"account_i2_organization_id":             `INSERT INTO organization VALUES ('A B', 'x', 'UTC', now())`,
		"account_i2_organization_name":           `UPDATE organization SET name = ''`,
		"account_i2_member_id":                   `INSERT INTO member VALUES ('acme', 'A B', 'x', 'admin', now())`,
		"account_i2_member_name":                 `UPDATE member SET name = ''`,
		"account_i2_member_role":                 `UPDATE member SET role = 'boss'`,
		"account_i3_first_plan_has_no_beginning": `UPDATE plan_change SET since = now()`,
		"account_i3_generation_not_negative":     `INSERT INTO plan_change VALUES ('acme', -1, 'rollover-boost', 1, now(), false)`,
		"plan_change_plan_id_plan_version_fkey":  `INSERT INTO plan_change VALUES ('acme', 1, 'rollover-boost', 7, now(), false)`,
		"account_i4_next_period_not_negative":    `UPDATE subscription SET next_period = -1`,
		"account_i4_due_from_anchor":             `UPDATE subscription SET due_at = anchor - interval '1 second'`,
		"account_i6_budget_not_negative":         `INSERT INTO budget VALUES ('acme', 'bob', 'email', -1)`,
		"budget_org_member_fkey":                 `INSERT INTO budget VALUES ('acme', 'max', 'email', 1)`,
		"account_i7_key_hash_is_sha256":          `INSERT INTO api_key (id, org, member, role, hash, prefix) VALUES ('k', 'acme', 'bob', 'admin', 'secret', 'hf_')`,
		"account_i7_key_prefix_is_short":         `INSERT INTO api_key (id, org, member, role, hash, prefix) VALUES ('k', 'acme', 'bob', 'admin', sha256('x'), 'hf_the_whole_secret')`,
		"account_i7_key_role":                    `INSERT INTO api_key (id, org, member, role, hash, prefix) VALUES ('k', 'acme', 'bob', 'boss', sha256('x'), 'hf_')`,
	} {
		_, err := b.pool.Exec(t.Context(), sql)
		require.ErrorContains(t, err, `"`+constraint+`"`, sql)
	}
}

func TestBudgets(t *testing.T) {
	b := setup(t)
	limited := *mustPlan(t, b, "workspace-paid")
	limited.ID = "limited"
	credits := limited.Credits["email"]
	credits.MemberBudget = 500
	limited.Credits = map[string]plan.Credit{
		"email": credits, "phone": limited.Credits["phone"],
		"direct_email": limited.Credits["direct_email"], "export": limited.Credits["export"],
	}
	_, err := b.SavePlan(t.Context(), &limited)
	require.NoError(t, err)
	b.org(t, "acme", "limited", time.Time{})
	b.member(t, "acme", "bob", time.Time{})
	budgets := func() []plan.Amount {
		list, err := b.Budgets(t.Context(), "acme", "bob")
		require.NoError(t, err)
		return list
	}
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 500}}, budgets(), "the plan's")
	require.NoError(t, b.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "email", Amount: 0}))
	require.NoError(t, b.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "phone", Amount: 7}))
	require.NoError(t, b.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "phone", Amount: 9}))
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 0}, {Type: "phone", Amount: 9}}, budgets(), "the member's own")
	require.NoError(t, b.RemoveBudget(t.Context(), "acme", "bob", "email"))
	require.NoError(t, b.RemoveBudget(t.Context(), "acme", "bob", "email"))
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 500}, {Type: "phone", Amount: 9}}, budgets())

	err = b.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "fax", Amount: 1})
	require.ErrorIs(t, err, account.ErrInvalid)
	require.EqualError(t, err, `The plan limited has no credits of type "fax"; use one of direct_email, email, export, phone.`)
	require.EqualError(t, b.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "email", Amount: -1}),
		"A budget of -1 credits is not possible; give a number from 0 to 1000000000000.")
	require.ErrorIs(t, b.SetBudget(t.Context(), "acme", "max", plan.Amount{Type: "email", Amount: 1}), account.ErrNotFound)
}

func mustPlan(t *testing.T, b bundle, id string) *plan.Plan {
	t.Helper()
	p, err := b.Plan(t.Context(), id, 0)
	require.NoError(t, err)
	return p
}
