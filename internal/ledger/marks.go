package ledger

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Account names the credits of one type in one pool.
type Account struct{ Pool, Type string }

// CapturedBefore returns what had been charged from each account and not credited
// back when the period of its pool began, by the times given for the pools;
// accounts that are missing had nothing. Beside what is captured now, it tells
// what was used in the period.
//
// The journal is read once per pool and period, from the period's begin on. What
// comes of it is kept in memory and in table credit_mark.
func (l *Ledger) CapturedBefore(ctx context.Context, owner string, begins map[string]time.Time) (map[Account]int64, error) {
	for _, read := range []func(context.Context, string, map[string]time.Time) (map[string]mark, error){l.readMarks, l.makeMarks} {
		missing := l.marks.missing(owner, begins)
		if len(missing) == 0 {
			break
		}
		found, err := read(ctx, owner, missing)
		if err != nil {
			return nil, fmt.Errorf("what %q has used cannot be read: %w", owner, err)
		}
		l.marks.add(owner, found)
	}
	return l.marks.of(owner, begins), nil
}

// mark is what had been captured from the accounts of a pool at a time, by type.
type mark struct {
	at       time.Time
	captured map[string]int64
}

// readMarks returns the marks that others have made.
func (l *Ledger) readMarks(ctx context.Context, owner string, begins map[string]time.Time) (map[string]mark, error) {
	pools, times := unzip(begins)
	rows, _ := l.pool.Query(ctx, `
		SELECT m.pool, m.type, m.at, m.captured
		FROM unnest($2::text[], $3::timestamptz[]) b (pool, at)
		JOIN credit_mark m ON m.owner = $1 AND m.pool = b.pool AND m.at = b.at`, owner, pools, times)
	return collectMarks(rows)
}

// makeMarks works marks out from the journal: what is captured now, less what was
// since the periods began.
func (l *Ledger) makeMarks(ctx context.Context, owner string, begins map[string]time.Time) (map[string]mark, error) {
	pools, times := unzip(begins)
	earliest := times[0]
	for _, t := range times {
		if t.Before(earliest) {
			earliest = t
		}
	}
	first, _, err := l.between(ctx, owner, earliest, time.Time{})
	if err != nil {
		return nil, err
	}
	rows, _ := l.pool.Query(ctx, `
		WITH begin AS (SELECT * FROM unnest($2::text[], $3::timestamptz[]) b (pool, at)
		), since AS (
			SELECT b.pool, p.type, sum(CASE WHEN p.move IN ('capture', 'charge') THEN p.amount ELSE -p.amount END) AS captured
			FROM credit_entry e
			CROSS JOIN LATERAL json_to_recordset(e.postings) AS p (move text, pool text, type text, amount bigint)
			JOIN begin b ON b.pool = coalesce(p.pool, '') AND e.at >= b.at
			WHERE e.owner = $1 AND e.seq >= $4 AND e.kind IN ('capture', 'charge', 'reverse')
				AND p.move IN ('capture', 'charge', 'reverse', 'restore')
			GROUP BY 1, 2
		), now AS (
			SELECT g.pool, g.type, sum(g.captured) AS captured FROM credit_grant g JOIN begin b USING (pool)
			WHERE g.owner = $1 GROUP BY 1, 2)
		INSERT INTO credit_mark (owner, pool, type, at, captured)
		SELECT $1, b.pool, '', b.at, 0 FROM begin b
		UNION ALL
		SELECT $1, now.pool, now.type, b.at, now.captured - coalesce(since.captured, 0)
		FROM now JOIN begin b USING (pool) LEFT JOIN since USING (pool, type)
		ON CONFLICT (owner, pool, type) DO UPDATE SET at = excluded.at, captured = excluded.captured
		RETURNING pool, type, at, captured`, owner, pools, times, first)
	return collectMarks(rows)
}

func collectMarks(rows pgx.Rows) (map[string]mark, error) {
	found := map[string]mark{}
	var pool, kind string
	var at time.Time
	var captured int64
	_, err := pgx.ForEachRow(rows, []any{&pool, &kind, &at, &captured}, func() error {
		if _, ok := found[pool]; !ok {
			found[pool] = mark{at, map[string]int64{}}
		}
		found[pool].captured[kind] = captured
		return nil
	})
	return found, err
}

func unzip(begins map[string]time.Time) (pools []string, times []time.Time) {
	for pool, at := range begins {
		pools, times = append(pools, pool), append(times, at)
	}
	return pools, times
}

// marks keeps the marks of the organizations that were asked for, by pool. A mark
// is never changed, only replaced.
type marks struct {
	mu    sync.Mutex
	known map[string]map[string]mark
}

// missing is the part of the begins for which there is no mark.
func (m *marks) missing(owner string, begins map[string]time.Time) map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	missing := map[string]time.Time{}
	for pool, at := range begins {
		if known, ok := m.known[owner][pool]; !ok || !known.at.Equal(at) {
			missing[pool] = at
		}
	}
	return missing
}

func (m *marks) add(owner string, found map[string]mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxSums {
		m.known = map[string]map[string]mark{}
	}
	all := maps.Clone(m.known[owner])
	if all == nil {
		all = map[string]mark{}
	}
	maps.Copy(all, found)
	m.known[owner] = all
}

func (m *marks) of(owner string, begins map[string]time.Time) map[Account]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	captured := map[Account]int64{}
	for pool := range begins {
		for kind, n := range m.known[owner][pool].captured {
			captured[Account{pool, kind}] = n
		}
	}
	return captured
}
