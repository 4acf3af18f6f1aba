package account

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Use is what a server has let pass of a bucket of requests, which it shares with
// all others.
type Use struct {
	Bucket [sha256.Size]byte
	Most   int // in a minute, and at once
	Used   int
}

// BookUse books what was used, each bucket once, and returns what each of them has
// left for all servers; below zero where they have let more pass together.
func (a *Accounts) BookUse(ctx context.Context, uses []Use) (map[[sha256.Size]byte]float64, error) {
	buckets, most, used := make([][]byte, len(uses)), make([]int, len(uses)), make([]int, len(uses))
	for i, u := range uses {
		buckets[i], most[i], used[i] = u.Bucket[:], u.Most, u.Used
	}
	// In one order, so that no two servers wait for each other.
	rows, _ := a.pool.Query(ctx, `
		INSERT INTO request_quota AS q (bucket, most, tokens, at)
		SELECT bucket, most, most - used, clock_timestamp() FROM unnest($1::bytea[], $2::integer[], $3::integer[]) u (bucket, most, used) ORDER BY bucket
		ON CONFLICT (bucket) DO UPDATE SET most = EXCLUDED.most, at = EXCLUDED.at, tokens = greatest(-EXCLUDED.most,
			least(EXCLUDED.most, q.tokens + greatest(0, extract(epoch FROM EXCLUDED.at - q.at)) * EXCLUDED.most / 60) - (EXCLUDED.most - EXCLUDED.tokens))
		RETURNING bucket, tokens`, buckets, most, used)
	left := make(map[[sha256.Size]byte]float64, len(uses))
	var bucket []byte
	var tokens float64
	if _, err := pgx.ForEachRow(rows, []any{&bucket, &tokens}, func() error {
		left[[sha256.Size]byte(bucket)] = tokens
		return nil
	}); err != nil {
		return nil, fmt.Errorf("what keys have used cannot be booked: %w", err)
	}
	return left, nil
}

// ForgetUse removes buckets that are full by now.
func (a *Accounts) ForgetUse(ctx context.Context) error {
	_, err := a.pool.Exec(ctx, `DELETE FROM request_quota WHERE NOT at BETWEEN clock_timestamp() - interval '2 minutes' AND clock_timestamp() + interval '2 minutes'`)
	if err != nil {
		return fmt.Errorf("what keys have used cannot be removed: %w", err)
	}
	return nil
}
