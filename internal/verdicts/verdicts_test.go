package verdicts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/suppression"
	"holdfast/internal/verify"
)

// oracle is a verifier that takes its answer from the local part and counts
// what it is asked.
type oracle struct {
	asked []string
	err   error
	now   func() time.Time
}

func (o *oracle) Preflight(context.Context) error { return o.err }

func (o *oracle) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	for i, email := range emails {
		o.asked = append(o.asked, email)
		verdict, _, _ := strings.Cut(email, ".")
		each(i, verify.Result{
			Email: email, Verdict: verify.Verdict(verdict), Reason: "accepted", CheckedAt: o.now(),
			MXHost: "mx.example", SMTPCode: 250, SMTPText: "2.1.5 <" + email + "> ok\x00\xff", Engine: verify.Version,
		})
	}
	return o.err
}

func setup(t *testing.T) (*Memory, *oracle) {
	o := &oracle{now: time.Now}
	return New(pgtest.New(t), o), o
}

func ask(t *testing.T, m *Memory, emails ...string) []verify.Result {
	results := make([]verify.Result, len(emails))
	answered := 0
	require.NoError(t, m.Verify(t.Context(), emails, func(i int, r verify.Result) {
		require.Equal(t, emails[i], r.Email)
		results[i] = r
		answered++
	}))
	require.Equal(t, len(emails), answered)
	return results
}

func TestWhatIsRememberedIsNotAskedAgain(t *testing.T) {
	m, o := setup(t)
	first := ask(t, m, "valid.a@Example.com", "invalid.b@example.com", "unknown.c@example.com", "valid.a@example.com")
	require.Len(t, o.asked, 4)
	again := ask(t, m, "unknown.c@example.com", "valid.a@EXAMPLE.com", "invalid.b@example.com", "VALID.a@example.com")
	require.Equal(t, []string{"unknown.c@example.com", "VALID.a@example.com"}, o.asked[4:], "an unknown, and a different local part")
	require.Equal(t, verify.Valid, again[1].Verdict)
	require.WithinDuration(t, first[3].CheckedAt, again[1].CheckedAt, time.Millisecond, "the time of the check")
	require.Equal(t, 250, again[1].SMTPCode)
	require.Equal(t, verify.Version, again[1].Engine)
}

// R1: the address is kept as a hash only, and taken out of the host's words.
func TestR1_NoAddressIsKept(t *testing.T) {
	m, _ := setup(t)
	ask(t, m, "valid.person@example.com")
	var dump string
	require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT string_agg(v::text, '') FROM verdict v`).Scan(&dump))
	require.NotContains(t, dump, "person")
	require.Contains(t, dump, "[address]")
}

// R2: each verdict has its age, and an unknown none.
func TestR2_VerdictsAge(t *testing.T) {
	m, o := setup(t)
	now := time.Now()
	m.now = func() time.Time { return now }
	o.now = m.now
	verdicts := []string{"valid.x@e.com", "invalid.x@e.com", "catch_all.x@e.com", "risky.x@e.com", "disposable.x@e.com"}
	ask(t, m, verdicts...)
	for _, step := range []struct {
		days  int
		asked []string
	}{
		{1, nil},
		{2, []string{"risky.x@e.com"}},
		{29, []string{"risky.x@e.com"}},
		{31, []string{"valid.x@e.com", "catch_all.x@e.com", "risky.x@e.com", "disposable.x@e.com"}},
	} {
		o.asked = nil
		checked := now
		now = checked.Add(time.Duration(step.days)*24*time.Hour - time.Minute)
		o.now = func() time.Time { return checked } // what is asked again is as old as before
		ask(t, m, verdicts...)
		require.Equal(t, step.asked, o.asked, "after %d days", step.days)
		now = checked
	}
	now = now.Add(91 * 24 * time.Hour)
	o.asked = nil
	ask(t, m, verdicts...)
	require.Len(t, o.asked, len(verdicts))
}

// R8: verdicts older than any that is relied on are removed, in as many steps as it
// takes, and no others.
func TestR8_OldVerdictsAreRemoved(t *testing.T) {
	m, _ := setup(t)
	_, err := m.pool.Exec(t.Context(), `
		INSERT INTO verdict (address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine)
		SELECT sha256(n::text::bytea), 'invalid', 'no_such_user', false, false, false, '', 550, '', '',
			now() - CASE WHEN n <= 3 THEN interval '89 days' ELSE interval '91 days' END, 'holdfast-smtp/1'
		FROM generate_series(1, $1) AS n`, removeMost+10)
	require.NoError(t, err)
	removed, err := RemoveOld(t.Context(), m.pool)
	require.NoError(t, err)
	require.EqualValues(t, removeMost+7, removed)
	var left int
	require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT count(*) FROM verdict`).Scan(&left))
	require.Equal(t, 3, left)
	removed, err = RemoveOld(t.Context(), m.pool)
	require.NoError(t, err)
	require.Zero(t, removed)
}

// R2: a verdict of a worker that was far ahead is not relied on for as much longer,
// and gives way to the next one.
func TestR2_AVerdictOfAnotherTimeIsAskedAgain(t *testing.T) {
	m, o := setup(t)
	o.now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	ask(t, m, "valid.x@e.com")
	var inSQL int
	require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT count(*) FROM (`+FreshSQL(`'valid.x@e.com'`)+`) fresh`).Scan(&inSQL))
	require.Zero(t, inSQL)
	o.now = time.Now
	for range 2 {
		ask(t, m, "valid.x@e.com")
		require.Len(t, o.asked, 2)
	}
}

// R6: a doubtful verdict is relied on for a day, here and in SQL.
func TestR6_DoubtfulVerdictsAgeInADay(t *testing.T) {
	m, o := setup(t)
	const address = "invalid.x@e.com"
	for age, fresh := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		require.NoError(t, pgx.BeginFunc(t.Context(), m.pool, func(tx pgx.Tx) error {
			_, err := Erase(t.Context(), tx, []string{address})
			return err
		}))
		r := verify.Result{Verdict: verify.Invalid, Reason: verify.NoSuchUser, Doubtful: true, CheckedAt: time.Now().Add(-age)}
		require.NoError(t, m.remember(t.Context(), []entry{entryOf(address, r)}))
		var found bool
		require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT EXISTS (`+FreshSQL("$1::text")+`)`, address).Scan(&found))
		require.Equal(t, fresh, found)
		o.asked = nil
		require.Equal(t, fresh, ask(t, m, address)[0].Doubtful)
		require.Equal(t, !fresh, len(o.asked) == 1)
	}
}

// R7: a refusal that other words read is asked for again, here and in SQL; what
// was accepted, and what another service said, stays.
func TestR7_RefusalsReadByOtherWordsAreAskedAgain(t *testing.T) {
	m, o := setup(t)
	for i, c := range []struct {
		engine string
		code   int
		used   bool
	}{
		{verify.Version, 550, true},
		{"holdfast-smtp/2", 550, false},
		{"holdfast-smtp/2", 452, false},
		{"holdfast-smtp/2", 250, true},
		{"holdfast-smtp/2", 0, true},
		{"reacher/0.11", 550, true},
	} {
		address := fmt.Sprintf("invalid.%d@e.com", i)
		r := verify.Result{Verdict: verify.Invalid, Reason: verify.NoSuchUser, SMTPCode: c.code, Engine: c.engine, CheckedAt: time.Now().Add(-time.Minute)}
		require.NoError(t, m.remember(t.Context(), []entry{entryOf(address, r)}))
		var found bool
		require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT EXISTS (`+FreshSQL("$1::text")+`)`, address).Scan(&found))
		require.Equal(t, c.used, found, "%v", c)
		o.asked = nil
		ask(t, m, address)
		require.Equal(t, c.used, len(o.asked) == 0, "%v", c)
	}
}

// R3: an address can be forgotten.
func TestR3_Erase(t *testing.T) {
	m, o := setup(t)
	ask(t, m, "valid.a@example.com", "valid.b@example.com")
	erase := func(addresses ...string) (erased int64) {
		require.NoError(t, pgx.BeginFunc(t.Context(), m.pool, func(tx pgx.Tx) (err error) {
			erased, err = Erase(t.Context(), tx, addresses)
			return err
		}))
		return erased
	}
	require.EqualValues(t, 1, erase("valid.a@EXAMPLE.com", "valid.c@example.com"))
	require.Zero(t, erase("valid.a@example.com"))
	o.asked = nil
	ask(t, m, "valid.a@example.com", "valid.b@example.com")
	require.Equal(t, []string{"valid.a@example.com"}, o.asked)

	// A verdict that comes in after its person was erased is not kept.
	require.NoError(t, pgx.BeginFunc(t.Context(), m.pool, func(tx pgx.Tx) error {
		_, err := suppression.Erase(t.Context(), tx, []string{"Valid.A@example.com"}, nil)
		return err
	}))
	require.EqualValues(t, 1, erase("valid.a@example.com"))
	ask(t, m, "valid.a@example.com", "valid.c@example.com")
	require.Zero(t, erase("valid.a@example.com"))
	require.EqualValues(t, 1, erase("valid.c@example.com"))
}

// R4: what was found out before a failure is remembered, and a late writer does
// not replace a newer verdict.
func TestR4_NothingKnownIsLost(t *testing.T) {
	m, o := setup(t)
	o.err = errors.New("the line went dead")
	err := m.Verify(t.Context(), []string{"valid.a@example.com"}, func(int, verify.Result) {})
	require.ErrorIs(t, err, o.err)
	require.ErrorIs(t, m.Preflight(t.Context()), o.err)
	o.err, o.asked = nil, nil
	ask(t, m, "valid.a@example.com")
	require.Empty(t, o.asked)

	old := entryOf("valid.a@example.com", verify.Result{Verdict: verify.Invalid, Reason: verify.NoSuchUser, CheckedAt: time.Now().Add(-time.Hour)})
	require.NoError(t, m.remember(t.Context(), []entry{old, old}))
	require.Equal(t, verify.Valid, ask(t, m, "valid.a@example.com")[0].Verdict)
}

func TestRecentHostsAreThoseOfAcceptedMailboxes(t *testing.T) {
	m, _ := setup(t)
	now := time.Now()
	entries := make([]entry, 0, 20)
	add := func(email, host string, code int, at time.Time) {
		entries = append(entries, entryOf(email, verify.Result{Verdict: verify.Valid, Reason: verify.Accepted, MXHost: host, SMTPCode: code, CheckedAt: at}))
	}
	add("a@one.example", "mx.old.example", 250, now.Add(-30*24*time.Hour))
	add("b@one.example", "mx.refuses.example", 550, now)
	add("c@one.example", "", 250, now)
	add("d@one.example", "mx.second.example", 250, now.Add(-2*time.Hour))
	add("e@one.example", "mx.first.example", 250, now.Add(-time.Hour))
	add("f@one.example", "mx.second.example", 250, now.Add(-3*time.Hour))
	require.NoError(t, m.remember(t.Context(), entries))
	hosts, err := RecentHosts(t.Context(), m.pool)
	require.NoError(t, err)
	require.Equal(t, []string{"mx.first.example", "mx.second.example"}, hosts)
}
