package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/internal/ledger"
)

const (
	historyMembers = 200
	rareEvery      = 333 // orders: of a million entries, a thousand are rare
	historyReads   = 20
)

// history measures filtered pages of the history of a long journal in which one
// kind of line is rare, the first one, which makes the index, apart.
func (b *benchmark) history(ctx context.Context) error {
	if b.settings.growth <= 0 {
		return nil
	}
	const owner = "history-0"
	say("history of %d entries", b.settings.growth)
	orders := b.settings.growth / 3
	if err := b.journal(ctx, owner, orders); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return err
	}
	l := ledger.New(b.pool)
	defer l.Close()
	pool := "m7"
	t := b.report.Table(fmt.Sprintf("Page of the history of %d entries, %d members", b.settings.growth, historyMembers), "filter", "lines at most", "lines", "p50 ms", "p99 ms")
	for _, c := range []struct {
		name  string
		reads int
		f     ledger.HistoryFilter
	}{
		{"first filtered page: makes the index", 1, ledger.HistoryFilter{Kind: "reverse"}},
		{"a kind that is never found", historyReads, ledger.HistoryFilter{Kind: "reverse"}},
		{"a rare kind", historyReads, ledger.HistoryFilter{Kind: "void"}},
		{"a rare kind", historyReads, ledger.HistoryFilter{Kind: "void", Limit: 1000}},
		{"a member", historyReads, ledger.HistoryFilter{Member: "m7", Limit: 1000}},
		{"a rare kind of a pool", historyReads, ledger.HistoryFilter{Kind: "grant", Pool: &pool}},
		{"an order", historyReads, ledger.HistoryFilter{OrderID: fmt.Sprint("ord_", orders/2)}},
		{"a frequent kind", historyReads, ledger.HistoryFilter{Kind: "capture", Limit: 1000}},
		{"none", historyReads, ledger.HistoryFilter{Limit: 1000}},
	} {
		c.f.Owner = owner
		var took report.Latencies
		var lines int
		for range c.reads {
			start := time.Now()
			page, err := l.History(ctx, c.f)
			if err != nil {
				return err
			}
			took, lines = append(took, time.Since(start)), len(page.Lines)
		}
		t.Add(c.name, max(c.f.Limit, 100), lines, took.Quantile(0.5), took.Quantile(0.99))
	}
	return nil
}

// journal carries out so many orders of three entries in the names of members, and
// a void now and then.
func (b *benchmark) journal(ctx context.Context, owner string, orders int64) error {
	l := ledger.New(b.pool, ledger.WithBatchSize(growBatch))
	defer l.Close()
	lines := []ledger.GrantLine{{Type: "email", Amount: 1_000_000_000_000, Source: ledger.SourcePack}}
	for m := range historyMembers {
		lines = append(lines, ledger.GrantLine{Pool: fmt.Sprint("m", m), Type: "email", Amount: 100, Source: ledger.SourcePack})
	}
	granted, err := l.Grants(ctx, ledger.Grants{Owner: owner, Key: "fund", Lines: lines})
	if err != nil {
		return err
	}
	var next atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	for range growCallers {
		group.Go(func() error {
			for i := next.Add(1); i <= orders; i = next.Add(1) {
				id := fmt.Sprint("ord_", i)
				memo := ledger.Memo{OrderID: id, Action: "lead_list", Member: fmt.Sprint("m", rand.IntN(historyMembers))}
				if err := settleAs(groupCtx, l, owner, memo); err != nil {
					return err
				}
				if i%rareEvery != 0 {
					continue
				}
				if _, err := l.Void(groupCtx, ledger.Void{Owner: owner, Key: id + "/void", Grant: granted.GrantIDs[0], Amount: 1}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// settleAs is holdAndSettle in a member's name.
func settleAs(ctx context.Context, l *ledger.Ledger, owner string, memo ledger.Memo) error {
	id := memo.OrderID
	if _, err := l.Hold(ctx, ledger.Hold{
		Owner: owner, Key: id + "/hold", HoldID: id, Memo: memo,
		Lines: []ledger.Line{{Type: "email", Amount: 10, Pools: []string{""}}},
	}); err != nil {
		return err
	}
	if _, err := l.Capture(ctx, ledger.Capture{Owner: owner, Key: id + "/capture", HoldID: id, Type: "email", Amount: 6, Memo: memo}); err != nil {
		return err
	}
	_, err := l.Release(ctx, ledger.Release{Owner: owner, Key: id + "/release", HoldID: id, Memo: memo})
	return err
}
