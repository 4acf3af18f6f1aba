package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/internal/ledger"
)

const (
	smallGrants = 10_000
	smallHolds  = 300
)

// grants measures holds of an organization with many small grants, by one
// process and by two that write in turn: each finds that the other has written.
func (b *benchmark) grants(ctx context.Context) error {
	one, two := ledger.New(b.pool), ledger.New(b.pool)
	defer one.Close()
	defer two.Close()
	say("%d small grants", smallGrants)
	const owner = "grants-0"
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(512)
	for i := range smallGrants {
		group.Go(func() error {
			_, err := one.Grant(groupCtx, ledger.Grant{
				Owner: owner, Key: fmt.Sprint(i), Type: "email", Amount: 10, Source: ledger.SourcePack,
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t := b.report.Table(fmt.Sprintf("Hold of 15 credits from %d grants of 10", smallGrants), "processes", "p50 ms", "p99 ms")
	for _, ledgers := range [][]*ledger.Ledger{{one}, {one, two}} {
		var all report.Latencies
		for i := range smallHolds + len(ledgers) {
			l := ledgers[i%len(ledgers)]
			id := fmt.Sprintf("%d/%d", len(ledgers), i)
			start := time.Now()
			held, err := l.Hold(ctx, ledger.Hold{
				Owner: owner, Key: id, HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: 15, Pools: []string{""}}},
			})
			if err != nil {
				return err
			}
			if !held.Held {
				return fmt.Errorf("the account of %s ran dry, grant it more", owner)
			}
			if i >= len(ledgers) { // the first of each process reads all grants
				all = append(all, time.Since(start))
			}
		}
		t.Add(len(ledgers), all.Quantile(0.5), all.Quantile(0.99))
	}
	return nil
}
