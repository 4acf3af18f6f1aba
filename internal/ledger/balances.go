package ledger

import (
	"bytes"
	"context"
	"errors"
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
// They are added up once per journal entry: the head of an organization's chain
// stands for everything that was ever booked, so as long as it is the same, and
// no credits have expired since, so are the balances.
func (l *Ledger) Balances(ctx context.Context, owner string) ([]Balance, error) {
	var head []byte
	var now time.Time
	err := l.pool.QueryRow(ctx, `SELECT head, clock_timestamp() FROM credit_owner WHERE owner = $1`, owner).Scan(&head, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	if known, ok := l.sums.get(owner); ok && bytes.Equal(known.head, head) && (known.until.IsZero() || now.Before(known.until)) {
		return slices.Clone(known.balances), nil
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT a.pool, a.type, a.held,
			coalesce(sum(g.available) FILTER (WHERE g.valid), 0)::bigint AS available,
			coalesce(sum(g.captured), 0)::bigint AS captured,
			coalesce(sum(g.amount) FILTER (WHERE g.valid AND g.allotted), 0)::bigint AS allotment,
			coalesce(sum(g.captured + g.held) FILTER (WHERE g.valid AND g.allotted), 0)::bigint AS used,
			coalesce(min(g.expires_at) FILTER (WHERE g.valid AND g.available > 0), '0001-01-01Z') AS expires_at,
			coalesce(min(g.expires_at) FILTER (WHERE g.valid), '0001-01-01Z') AS until,
			o.head
		FROM credit_owner o
		JOIN credit_account a USING (owner)
		LEFT JOIN LATERAL (
			SELECT *, expires_at IS NULL OR expires_at > clock_timestamp() AS valid,
				source = 'allotment' AND NOT renewed AS allotted
			FROM credit_grant WHERE owner = a.owner AND pool = a.pool AND type = a.type) g ON true
		WHERE o.owner = $1
		GROUP BY a.pool, a.type, a.held, o.head
		ORDER BY a.pool, a.type`, owner)
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		Balance

		Until time.Time // when the first of the grants expires; zero = never
		Head  []byte
	}])
	if err != nil {
		return nil, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	sum := sum{balances: make([]Balance, len(read))}
	for i, r := range read {
		sum.balances[i], sum.head = r.Balance, r.Head
		sum.balances[i].ExpiresAt = r.ExpiresAt.UTC()
		if !r.Until.IsZero() && (sum.until.IsZero() || r.Until.Before(sum.until)) {
			sum.until = r.Until
		}
	}
	l.sums.put(owner, sum)
	return slices.Clone(sum.balances), nil
}

// sum is what an organization's balances were at a place in its journal.
type sum struct {
	head     []byte
	until    time.Time // some credits expire then; zero = never
	balances []Balance
}

// sums keeps the balances of the organizations that were asked for.
type sums struct {
	mu    sync.Mutex
	known map[string]sum
}

// maxSums bounds the memory; beyond it everything is added up anew.
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
