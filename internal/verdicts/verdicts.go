// Package verdicts remembers what verification found out about addresses, for
// all organizations, as long as it can be relied on. What an order is charged
// does not depend on it: a remembered verdict counts like a fresh one.
package verdicts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/commit"
	"holdfast/internal/suppression"
	"holdfast/internal/verify"
)

// ages say how long a verdict is relied on. People leave companies slowly and
// come back to an address hardly ever; a full mailbox is emptied the next day.
// What is not listed (unknown) is not remembered at all.
var ages = map[verify.Verdict]time.Duration{
	verify.Valid:      30 * 24 * time.Hour,
	verify.Invalid:    90 * 24 * time.Hour,
	verify.CatchAll:   30 * 24 * time.Hour,
	verify.Disposable: 30 * 24 * time.Hour,
	verify.Risky:      24 * time.Hour,
}

// ahead is how far the clock of a worker may be ahead for its verdicts to be relied
// on: they would be for as much longer.
const ahead = 24 * time.Hour

// doubtfulAge is that of a doubtful verdict: the host may have lost its
// directory for a while.
const doubtfulAge = 24 * time.Hour

// FreshSQL selects in SQL what is remembered of an address and still relied on,
// one row or none. It knows addresses as they are mostly written; of others
// nothing is found, and they are verified.
func FreshSQL(address string) string {
	var lasts strings.Builder
	for _, v := range slices.Sorted(maps.Keys(ages)) {
		fmt.Fprintf(&lasts, ` WHEN '%s' THEN interval '%d hours'`, v, int64(ages[v].Hours()))
	}
	return `SELECT fresh.* FROM verdict fresh
		WHERE fresh.address = sha256(convert_to(split_part(` + address + `, '@', 1) || '@' || lower(split_part(` + address + `, '@', 2)), 'UTF8'))
			AND NOT (fresh.smtp_code >= 400 AND fresh.engine LIKE '` + ownEngines + `%' AND fresh.engine <> '` + verify.Version + `')
			AND fresh.checked_at < now() + interval '` + fmt.Sprint(int64(ahead.Hours())) + ` hours' AND fresh.checked_at > now() - CASE WHEN fresh.doubtful THEN interval '` + fmt.Sprint(int64(doubtfulAge.Hours())) + ` hours'
				ELSE CASE fresh.verdict` + lasts.String() + ` END END
		OFFSET 0`
}

// ownEngines begins the name of each version of Holdfast's engine.
var ownEngines, _, _ = strings.Cut(verify.Version, "/")

// isOutdated reports whether a verdict rests on a refusal that another version
// of the engine read (R7).
func (e entry) isOutdated() bool {
	return e.SMTPCode >= 400 && strings.HasPrefix(e.Engine, ownEngines) && e.Engine != verify.Version
}

// writeMost is how many new verdicts are written by one statement.
const writeMost = 500

// Verifier is what verdicts come from when they are not remembered.
type Verifier interface {
	Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error
	Preflight(ctx context.Context) error
}

// Memory answers from what is remembered and asks a verifier for the rest.
type Memory struct {
	pool *pgxpool.Pool
	ask  Verifier
	now  func() time.Time
}

// New returns a memory in the database behind pool, in front of a verifier.
func New(pool *pgxpool.Pool, ask Verifier) *Memory {
	return &Memory{pool: pool, ask: ask, now: time.Now}
}

// Preflight tells whether verification can work, see verify.Engine.
func (m *Memory) Preflight(ctx context.Context) error { return m.ask.Preflight(ctx) }

// Verify answers for every address like verify.Engine: each(i, result) is
// called once for emails[i], never two calls at a time. Remembered verdicts come
// first, with the time and the evidence of the check they were made by.
func (m *Memory) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	keys := make([][]byte, len(emails))
	for i, email := range emails {
		keys[i] = keyOf(email)
	}
	known, err := m.recall(ctx, keys)
	if err != nil {
		return err
	}
	shapes, err := m.shapes(ctx, emails)
	if err != nil {
		return err
	}
	each = m.scored(shapes, each)
	var unknown []int // indexes of the addresses to ask for
	var asked []string
	for i, email := range emails {
		if r, ok := known[string(keys[i])]; ok {
			r.Email = email
			verify.Describe(&r)
			each(i, r)
			continue
		}
		unknown, asked = append(unknown, i), append(asked, email)
	}
	if len(asked) == 0 {
		return nil
	}
	return m.askAndRemember(ctx, asked, func(j int, r verify.Result) { each(unknown[j], r) })
}

// askAndRemember passes results on as they come and writes those that last.
func (m *Memory) askAndRemember(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	var mu sync.Mutex
	var fresh []entry
	var writing error
	err := m.ask.Verify(ctx, emails, func(i int, r verify.Result) {
		each(i, r)
		if _, lasts := ages[r.Verdict]; !lasts {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if fresh = append(fresh, entryOf(emails[i], r)); len(fresh) == writeMost && writing == nil {
			writing = m.remember(ctx, fresh)
			fresh = fresh[:0]
		}
	})
	if writing == nil {
		writing = m.remember(ctx, fresh)
	}
	if err != nil {
		return err
	}
	return writing
}

// recentHosts is how many mail hosts RecentHosts returns at most.
const recentHosts = 6

// RecentHosts returns the names of mail hosts that accepted a mailbox within
// the last days, the latest first. They are worth asking when all others fail.
func RecentHosts(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	rows, _ := pool.Query(ctx, `
		SELECT mx_host FROM (
			SELECT mx_host, checked_at FROM verdict
			WHERE smtp_code = 250 AND mx_host <> '' AND checked_at BETWEEN now() - interval '7 days' AND now() + interval '1 day'
			ORDER BY checked_at DESC LIMIT 1000
		) latest GROUP BY mx_host ORDER BY max(checked_at) DESC LIMIT $1`, recentHosts)
	hosts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the mail hosts of remembered verdicts cannot be read: %w", err)
	}
	return hosts, nil
}

// removeMost is how many old verdicts are removed by one statement.
const removeMost = 5000

// RemoveOld removes the verdicts that are older than any that is relied on (R8), and
// returns how many.
func RemoveOld(ctx context.Context, pool *pgxpool.Pool) (removed int64, err error) {
	oldest := slices.Max(slices.Collect(maps.Values(ages)))
	for {
		tag, err := pool.Exec(ctx, `
			DELETE FROM verdict WHERE address IN (
				SELECT address FROM verdict WHERE checked_at < now() - $1::bigint * interval '1 second' LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			int64(oldest.Seconds()), removeMost)
		if err != nil {
			return removed, fmt.Errorf("old verdicts were not removed: %w", err)
		}
		removed += tag.RowsAffected()
		if tag.RowsAffected() < removeMost {
			return removed, nil
		}
	}
}

// Erase forgets everything about addresses, as their owner may demand. It says
// of how many there was anything. A mailbox may be spelled in several ways;
// only those given are found, because what is kept is a hash.
func Erase(ctx context.Context, tx pgx.Tx, emails []string) (erased int64, err error) {
	keys := make([][]byte, len(emails))
	for i, email := range emails {
		keys[i] = keyOf(email)
	}
	tag, err := tx.Exec(ctx, `DELETE FROM verdict WHERE address = ANY ($1)`, keys)
	if err != nil {
		return 0, fmt.Errorf("the verdicts on a person were not erased: %w", err)
	}
	return tag.RowsAffected(), nil
}

// entry is a row of the table verdict.
type entry struct {
	Address      []byte
	Subject      []byte `db:"-"` // by which the suppression lists know it
	Verdict      string
	Reason       string
	Role         bool
	Disposable   bool
	Free         bool
	Doubtful     bool
	MXHost       string `db:"mx_host"`
	SMTPCode     int    `db:"smtp_code"`
	SMTPEnhanced string `db:"smtp_enhanced"`
	SMTPText     string `db:"smtp_text"`
	CheckedAt    time.Time
	Engine       string
	Domain       string `db:"-"` // of a valid address that has a pattern, with its shape
	Shape        string `db:"-"`
}

func (m *Memory) recall(ctx context.Context, keys [][]byte) (map[string]verify.Result, error) {
	rows, _ := m.pool.Query(ctx, `SELECT * FROM verdict WHERE address = ANY ($1)`, keys)
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByName[entry])
	if err != nil {
		return nil, fmt.Errorf("remembered verdicts cannot be read: %w", err)
	}
	known := make(map[string]verify.Result, len(entries))
	now := m.now()
	for _, e := range entries {
		age := ages[verify.Verdict(e.Verdict)]
		if e.Doubtful {
			age = doubtfulAge
		}
		if old := now.Sub(e.CheckedAt); old > age || old < -ahead || e.isOutdated() {
			continue
		}
		known[string(e.Address)] = verify.Result{
			Verdict: verify.Verdict(e.Verdict), Reason: verify.Reason(e.Reason),
			Role: e.Role, Disposable: e.Disposable, Free: e.Free, Doubtful: e.Doubtful,
			MXHost: e.MXHost, SMTPCode: e.SMTPCode, SMTPEnhanced: e.SMTPEnhanced, SMTPText: e.SMTPText,
			CheckedAt: e.CheckedAt.UTC(), Engine: e.Engine,
		}
	}
	return known, nil
}

// remember writes verdicts, each unless a later one is there or the person was
// erased while it was found. Rows are sorted by address, so that two writers
// never wait for each other in a circle.
func (m *Memory) remember(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := commit.Through(ctx) // what is known is kept, cancelled or not
	defer cancel()
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(slices.Compare(a.Address, b.Address), b.CheckedAt.Compare(a.CheckedAt))
	})
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return slices.Equal(a.Address, b.Address) })
	n := len(entries)
	addresses, subjects := make([][]byte, n), make([][]byte, n)
	verdict, reason := make([]string, n), make([]string, n)
	role, disposable, free, doubtful := make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
	host, code, enhanced, text := make([]string, n), make([]int, n), make([]string, n), make([]string, n)
	at, engine := make([]time.Time, n), make([]string, n)
	for i, e := range entries {
		addresses[i], subjects[i] = e.Address, e.Subject
		verdict[i], reason[i] = e.Verdict, e.Reason
		role[i], disposable[i], free[i], doubtful[i] = e.Role, e.Disposable, e.Free, e.Doubtful
		host[i], code[i], enhanced[i], text[i] = e.MXHost, e.SMTPCode, e.SMTPEnhanced, e.SMTPText
		at[i], engine[i] = e.CheckedAt, e.Engine
	}
	// They may be lost, and are found out again then.
	err := commit.Begin(commit.Losable(ctx), m.pool, func(tx pgx.Tx) error {
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		if err := rememberShapes(ctx, tx, entries); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO verdict AS v (address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine, doubtful)
			SELECT address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine, doubtful
			FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bool[], $5::bool[], $6::bool[],
					$7::text[], $8::int[], $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::bytea[], $14::bool[])
				AS n (address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine, subject, doubtful)
			WHERE NOT EXISTS (SELECT FROM suppression s WHERE s.subject = n.subject AND s.org = '' AND s.reason = 'erased')
			ON CONFLICT (address) DO UPDATE SET
				verdict = excluded.verdict, reason = excluded.reason, role = excluded.role, disposable = excluded.disposable,
				free = excluded.free, mx_host = excluded.mx_host, smtp_code = excluded.smtp_code,
				smtp_enhanced = excluded.smtp_enhanced, smtp_text = excluded.smtp_text,
				checked_at = excluded.checked_at, engine = excluded.engine, doubtful = excluded.doubtful
			WHERE v.checked_at < excluded.checked_at OR v.checked_at > now() -- by a clock that was ahead`,
			addresses, verdict, reason, role, disposable, free, host, code, enhanced, text, at, engine, subjects, doubtful)
		return err
	})
	if err != nil {
		return fmt.Errorf("%d verdicts were not remembered: %w", n, err)
	}
	return nil
}

func entryOf(email string, r verify.Result) entry {
	e := entry{
		Address: keyOf(email), Subject: suppression.Subject(email), Verdict: string(r.Verdict), Reason: string(r.Reason),
		Role: r.Role, Disposable: r.Disposable, Free: r.Free, Doubtful: r.Doubtful,
		MXHost: clean(r.MXHost), SMTPCode: r.SMTPCode, SMTPEnhanced: r.SMTPEnhanced, SMTPText: clean(r.SMTPText),
		CheckedAt: r.CheckedAt, Engine: r.Engine,
	}
	if addr, _, err := verify.ReadAddress(email); err == nil && r.Verdict == verify.Valid && !r.Free && !r.Role {
		e.Domain, e.Shape = addr.Domain, verify.Shape(addr.Local)
	}
	return e
}

// keyOf identifies an address: the domain without regard to case, the local
// part as it is. Text that is no address is its own key.
func keyOf(email string) []byte {
	if a, _, err := verify.ReadAddress(email); err == nil {
		email = a.String()
	}
	sum := sha256.Sum256([]byte(email))
	return sum[:]
}

// clean makes a host's words fit to be kept: no address, no bytes that the
// database refuses.
func clean(text string) string {
	text = verify.WithoutAddresses(text)
	kept := make([]rune, 0, len(text))
	for _, r := range text { // broken UTF-8 becomes U+FFFD
		if r != 0 {
			kept = append(kept, r)
		}
	}
	return string(kept)
}
