package orderbook_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/orderbook"
)

// A batch of a large order reads its own items, also where PostgreSQL has seen
// small orders only and takes the large one for one of them.
func TestABatchReadsItsOwnItems(t *testing.T) {
	f := setup(t)
	const items, size = 30_000, 1000
	_, err := f.pool.Exec(f.ctx, `ALTER TABLE order_item SET (autovacuum_enabled = false)`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned)
		SELECT 'ord_small_' || o, n, n, gen_random_uuid(), 'p' || n || '@example.test', false
		FROM generate_series(1, 1000) o, generate_series(1, 20) n`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `ANALYZE order_item`)
	require.NoError(t, err)
	f.alone(func(pool *pgxpool.Pool) error {
		fixture{orderbook.New(pool), t, f.ctx, pool}.verifying("ord_1", items)
		return nil
	})

	numbers := make([]int64, size)
	verdicts := make([]orderbook.Verdict, size)
	for i := range numbers {
		numbers[i], verdicts[i] = int64(i+1), verdict(int64(i+1), "valid", "accepted")
	}
	var billable []orderbook.Fact
	for _, step := range []struct {
		name string
		do   func(*pgxpool.Pool, *orderbook.Book) error
	}{
		{"pending", func(_ *pgxpool.Pool, b *orderbook.Book) error {
			_, err := b.Pending(f.ctx, "ord_1", 1, size, time.Now())
			return err
		}},
		{"countries", func(pool *pgxpool.Pool, _ *orderbook.Book) error {
			_, err := lead.New(pool).Countries(f.ctx, "ord_1", numbers)
			return err
		}},
		{"verdicts", func(_ *pgxpool.Pool, b *orderbook.Book) error { return b.WriteVerdicts(f.ctx, "ord_1", verdicts) }},
		{"progress", func(_ *pgxpool.Pool, b *orderbook.Book) error {
			_, err := b.Progress(f.ctx, "ord_1", 1, size)
			return err
		}},
		{"billable", func(_ *pgxpool.Pool, b *orderbook.Book) (err error) {
			billable, err = b.Billable(f.ctx, "ord_1", 1, size, []string{"valid"})
			return err
		}},
		{"left out", func(_ *pgxpool.Pool, b *orderbook.Book) error { return b.LeaveOut(f.ctx, "ord_1", billable[:1]) }},
		{"delivered", func(_ *pgxpool.Pool, b *orderbook.Book) error {
			_, err := b.Deliver(f.ctx, "ord_1", billable)
			return err
		}},
	} {
		before := f.itemsRead()
		f.alone(func(pool *pgxpool.Pool) error { return step.do(pool, orderbook.New(pool)) })
		require.LessOrEqual(t, f.itemsRead()-before, int64(2*size), "items read for a batch of %d: %s", size, step.name)
	}
	require.Len(t, billable, size)
}

// alone has a connection of its own, and returns when that is closed and
// PostgreSQL has counted what it read.
func (f fixture) alone(do func(*pgxpool.Pool) error) {
	f.t.Helper()
	config := f.pool.Config()
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(f.ctx, config)
	require.NoError(f.t, err)
	var pid int
	require.NoError(f.t, pool.QueryRow(f.ctx, `SELECT pg_backend_pid()`).Scan(&pid))
	err = do(pool)
	pool.Close()
	require.NoError(f.t, err)
	require.Eventually(f.t, func() (ended bool) {
		require.NoError(f.t, f.pool.QueryRow(f.ctx, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, pid).Scan(&ended))
		return ended
	}, time.Minute, 5*time.Millisecond)
}

// itemsRead is how many items were read by way of an index.
func (f fixture) itemsRead() (n int64) {
	f.t.Helper()
	require.NoError(f.t, f.pool.QueryRow(f.ctx, `SELECT coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'order_item'`).Scan(&n))
	return n
}
