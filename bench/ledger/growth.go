package main

import (
	"context"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/ledger"
)

// grow carries out orders until the journal of an organization has so many
// entries, and returns how many it has.
func grow(ctx context.Context, pool *pgxpool.Pool, l *ledger.Ledger, owners []string, entries int64) (int64, error) {
	for {
		var n int64
		if err := pool.QueryRow(ctx, `SELECT seq FROM credit_owner WHERE owner = $1`, owners[0]).Scan(&n); err != nil {
			return 0, err
		}
		if n >= entries {
			return n, nil
		}
		// About as long as it takes at 20,000 operations a second, at most 10 s at once.
		length := min(time.Duration(entries-n)*time.Second/20_000+20*time.Millisecond, 10*time.Second)
		if _, err := run(ctx, l, owners, 512, length*4/5, holdAndSettle); err != nil {
			return 0, err
		}
	}
}

// watchMemory follows the heap until the returned function is called, which
// returns its peak in MB.
func watchMemory() (peak func() float64) {
	stop, done := make(chan struct{}), make(chan float64)
	runtime.GC()
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		var most uint64
		for {
			select {
			case <-stop:
				done <- float64(most) / (1 << 20)
				return
			case <-ticker.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-done
	}
}
