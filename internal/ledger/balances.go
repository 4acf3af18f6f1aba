package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Balance is what an account holds at the database's time.
type Balance struct {
	Pool      string
	Type      string
	Available int64     // can be spent now
	Held      int64     // reserved by open holds
	Captured  int64     // charged and not reversed, over all time
	Allotment int64     // size of the allotments that are valid now
	Used      int64     // of those allotments, charged or held
	ExpiresAt time.Time // soonest expiry of available credits; zero = none
}

// Balances returns the accounts of an organization, by pool and type. An
// organization unknown to the ledger has none.
//
// They are added up once and follow the journal from there: the head of an
// organization's chain stands for everything that was ever booked, so only the
// accounts that later entries name, and those of which credits have started or
// expired since, are added up again.
func (l *Ledger) Balances(ctx context.Context, owner string) ([]Balance, error) {
	balances, _, err := l.BalancesNow(ctx, owner)
	return balances, err
}

// BalancesNow is Balances, together with the organization's time.
func (l *Ledger) BalancesNow(ctx context.Context, owner string) ([]Balance, time.Time, error) {
	var head []byte
	var seq *int64
	var now time.Time
	err := l.pool.QueryRow(ctx, `
		SELECT o.seq, o.head, coalesce(o.clock, clock_timestamp()) FROM (VALUES ($1::text)) k (owner) LEFT JOIN credit_owner o USING (owner)`, owner).Scan(&seq, &head, &now)
	if err != nil {
		return nil, now, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	if seq == nil {
		return nil, now, nil
	}
	balances, err := l.balances(ctx, owner, *seq, head, now)
	if err != nil {
		return nil, now, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	return balances, now, nil
}

// maxFollowed is how many entries, and how many accounts that time has changed,
// balances follow; beyond it, adding up everything is as quick.
const maxFollowed = 200

func (l *Ledger) balances(ctx context.Context, owner string, seq int64, head []byte, now time.Time) ([]Balance, error) {
	known, ok := l.sums.get(owner)
	due := known.due(now)
	switch {
	case ok && len(due) == 0 && bytes.Equal(known.head, head):
		return slices.Clone(known.balances), nil
	case ok && len(due) <= maxFollowed && known.seq <= seq && seq-known.seq <= maxFollowed:
		next, followed, err := l.follow(ctx, owner, known, due, now)
		if err != nil {
			return nil, err
		}
		if followed {
			l.sums.put(owner, next)
			return slices.Clone(next.balances), nil
		}
	}
	rows, _ := l.pool.Query(ctx, selectBalances, owner, now)
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[accountSum])
	if err != nil {
		return nil, err
	}
	all := sum{balances: make([]Balance, len(read)), until: make([]time.Time, len(read)), at: make(map[Account]int, len(read))}
	for i, r := range read {
		all.seq, all.head = r.Seq, r.Head
		all.set(i, r)
		all.at[Account{r.Pool, r.Type}] = i
	}
	l.sums.put(owner, all)
	return slices.Clone(all.balances), nil
}

// follow adds up the accounts that the journal names after the sums that are known,
// and those that are due. It does not succeed where there are others by now, or
// where the sums are of another journal.
func (l *Ledger) follow(ctx context.Context, owner string, known sum, due []Account, now time.Time) (next sum, followed bool, err error) {
	pools, types := make([]string, len(due)), make([]string, len(due))
	for i, a := range due {
		pools[i], types[i] = a.Pool, a.Type
	}
	rows, _ := l.pool.Query(ctx, followBalances, owner, now, known.seq, known.head, pools, types)
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		accountSum

		Follows bool
	}])
	if err != nil || len(read) == 0 {
		return sum{}, false, err
	}
	next = sum{
		seq: read[0].Seq, head: read[0].Head, at: known.at,
		balances: slices.Clone(known.balances), until: slices.Clone(known.until),
	}
	for _, r := range read {
		i, ok := known.at[Account{r.Pool, r.Type}]
		switch {
		case !r.Follows, r.Type != "" && !ok:
			return sum{}, false, nil
		case ok:
			next.set(i, r.accountSum)
		}
	}
	return next, true, nil
}

// accountSum is what one account adds up to at a place in the journal.
type accountSum struct {
	Balance

	Until time.Time // when the first of its grants starts or expires; zero = never
	Seq   int64
	Head  []byte
}

// selectBalances adds up the accounts of the organization $1 at the time $2 in one
// pass over its grants: a look-up for each account would read them again and again.
var selectBalances = `
	SELECT a.pool, a.type, ` + sumColumns + `, o.seq, o.head
	FROM credit_owner o
	JOIN credit_account a ON a.owner = o.owner
	LEFT JOIN (SELECT pool, type, ` + addUp + `
		FROM (` + stated("credit_grant WHERE owner = $1") + `) g
		GROUP BY pool, type) g ON g.pool = a.pool AND g.type = a.type
	WHERE o.owner = $1
	ORDER BY a.pool, a.type`

// followBalances adds up those of the accounts $5, $6 and of the accounts that the
// journal names after entry $3, in one row without a type where there are none.
// follows is whether the hash of that entry is $4. Each account is looked up, its
// grants in two indexes.
var followBalances = `
	WITH changed AS (
		SELECT * FROM unnest($5::text[], $6::text[]) due (pool, type)
		UNION
		SELECT coalesce(p.pool, ''), p.type FROM credit_entry e
		CROSS JOIN LATERAL json_to_recordset(e.postings) AS p (pool text, type text)
		WHERE e.owner = $1 AND e.seq > $3
	)
	SELECT coalesce(a.pool, '') AS pool, coalesce(a.type, '') AS type, ` + sumColumns + `, o.seq, o.head,
		EXISTS (SELECT FROM credit_entry e WHERE e.owner = $1 AND e.seq = $3 AND e.hash = $4) AS follows
	FROM credit_owner o
	LEFT JOIN (
		SELECT a.* FROM changed CROSS JOIN LATERAL (
			SELECT * FROM credit_account x WHERE x.owner = $1 AND x.pool = changed.pool AND x.type = changed.type OFFSET 0) a
	) a ON a.owner = o.owner
	LEFT JOIN LATERAL (SELECT ` + addUp + ` FROM (` + stated(`(
			SELECT * FROM credit_grant x WHERE x.owner = $1 AND x.pool = a.pool AND x.type = a.type AND x.live
			UNION ALL
			SELECT * FROM credit_grant x WHERE x.owner = $1 AND x.pool = a.pool AND x.type = a.type AND NOT x.live
		) x`) + `) g) g ON true
	WHERE o.owner = $1`

// sumColumns are a row of accountSum, from an account a and what its grants g add up to.
const sumColumns = `coalesce(a.held, 0) AS held, coalesce(g.available, 0) AS available, coalesce(g.captured, 0) AS captured,
	coalesce(g.allotment, 0) AS allotment, coalesce(g.used, 0) AS used,
	coalesce(g.expires_at, '0001-01-01Z') AS expires_at, coalesce(g.until, '0001-01-01Z') AS until`

// addUp adds up grants whose state is known.
const addUp = `
	coalesce(sum(available + waiting) FILTER (WHERE valid), 0)::bigint AS available,
	coalesce(sum(captured), 0)::bigint AS captured,
	coalesce(sum(amount) FILTER (WHERE valid AND allotted), 0)::bigint AS allotment,
	coalesce(sum(captured + held) FILTER (WHERE valid AND allotted), 0)::bigint AS used,
	min(expires_at) FILTER (WHERE valid AND available + waiting > 0) AS expires_at,
	least(min(expires_at) FILTER (WHERE valid), min(starts_at) FILTER (WHERE waits)) AS until`

// stated reads grants with their state at the time $2.
func stated(grants string) string {
	return `SELECT *, NOT waits AND NOT over AS valid, source = 'allotment' AND NOT renewed AS allotted
		FROM (SELECT *, waiting > 0 AND starts_at > $2 AS waits, coalesce(expires_at <= $2, false) AS over FROM ` + grants + `) g`
}

// sum is what an organization's balances were at a place in its journal.
type sum struct {
	seq      int64
	head     []byte
	balances []Balance
	until    []time.Time // of each balance: some credits start or expire then; zero = never
	at       map[Account]int
}

func (s *sum) set(i int, r accountSum) {
	s.balances[i], s.until[i] = r.Balance, r.Until
	s.balances[i].ExpiresAt = r.ExpiresAt.UTC()
}

// due are the accounts that time has changed.
func (s *sum) due(now time.Time) (due []Account) {
	for i, until := range s.until {
		if !until.IsZero() && !now.Before(until) {
			due = append(due, Account{s.balances[i].Pool, s.balances[i].Type})
		}
	}
	return due
}

// sums keeps the balances of the organizations that were asked for.
type sums struct {
	mu    sync.Mutex
	known map[string]sum
}

// maxSums bounds the memory; beyond it everything is added up again.
const maxSums = 10_000

func (s *sums) get(owner string) (sum, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[owner]
	return known, ok
}

func (s *sums) put(owner string, known sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSums {
		s.known = map[string]sum{}
	}
	s.known[owner] = known
}
