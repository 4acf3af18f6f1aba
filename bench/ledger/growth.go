package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/ledger"
)

// Growing is about entries, not about answering soon: large batches, and twice
// as many callers, so that the next batch gathers while one commits.
const (
	growBatch   = 4096
	growCallers = 2 * growBatch
)

// grow carries out orders until the journal of an organization has so many
// entries, and returns how many it has.
func grow(ctx context.Context, pool *pgxpool.Pool, owner string, entries int64) (int64, error) {
	var n int64
	count := func() error {
		return pool.QueryRow(ctx, `SELECT seq FROM credit_owner WHERE owner = $1`, owner).Scan(&n)
	}
	if err := count(); err != nil {
		return 0, err
	}
	l := ledger.New(pool, ledger.WithBatchSize(growBatch))
	defer l.Close()
	var left atomic.Int64 // orders of three entries
	left.Store((entries - n + 2) / 3)
	run := runID.Add(1)
	group, groupCtx := errgroup.WithContext(ctx)
	for c := range growCallers {
		group.Go(func() error {
			for i := 0; left.Add(-1) >= 0; i++ {
				id := fmt.Sprintf("%08x-%d-%d-%d", rand.Uint32(), run, c, i)
				if err := holdAndSettle(groupCtx, l, owner, id, func(time.Duration) {}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := count(); err != nil {
		return 0, err
	}
	return n, nil
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
