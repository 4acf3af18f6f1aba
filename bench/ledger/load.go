package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/bench/report"
	"holdfast/internal/ledger"
)

// runID keeps the keys of one load apart from those of the one before.
var runID atomic.Int64

// step carries out one or more operations and returns how long each took.
type step func(ctx context.Context, l *ledger.Ledger, owner, id string, took func(time.Duration)) error

// figure is what a load came to.
type figure struct {
	perSecond float64
	p50, p99  time.Duration
}

// run lets callers repeat a step for the given time and measures single
// operations, after a quarter of that time to warm up.
func run(ctx context.Context, l *ledger.Ledger, owners []string, callers int, length time.Duration, s step) (figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := runID.Add(1)
	begin := time.Now()
	from, until := begin.Add(length/4), begin.Add(length+length/4)
	all := make([]report.Latencies, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(run), uint64(c)))
			for i := 0; time.Now().Before(until); i++ {
				owner := owners[random.IntN(len(owners))]
				id := fmt.Sprintf("%08x-%d-%d-%d", random.Uint32(), run, c, i)
				err := s(ctx, l, owner, id, func(d time.Duration) {
					if now := time.Now(); now.After(from) && now.Before(until) {
						all[c] = append(all[c], d)
					}
				})
				if err != nil {
					errs[c] = err
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	var merged report.Latencies
	for c := range callers {
		if errs[c] != nil {
			return figure{}, errs[c]
		}
		merged = append(merged, all[c]...)
	}
	return figure{
		perSecond: float64(len(merged)) / length.Seconds(),
		p50:       merged.Quantile(0.5), p99: merged.Quantile(0.99),
	}, nil
}

// holdAndSettle is the life of an order in three operations: hold ten credits,
// capture six, release the rest.
func holdAndSettle(ctx context.Context, l *ledger.Ledger, owner, id string, took func(time.Duration)) error {
	start := time.Now()
	held, err := l.Hold(ctx, ledger.Hold{
		Owner: owner, Key: id + "/hold", HoldID: id,
		Lines: []ledger.Line{{Type: "email", Amount: 10, Pools: []string{""}}},
		Memo:  ledger.Memo{OrderID: id, Action: "lead_list"},
	})
	if err != nil {
		return err
	}
	if !held.Held {
		return fmt.Errorf("the account of %s ran dry, grant it more", owner)
	}
	took(time.Since(start))
	start = time.Now()
	if _, err := l.Capture(ctx, ledger.Capture{
		Owner: owner, Key: id + "/capture", HoldID: id, Type: "email", Amount: 6,
		Memo: ledger.Memo{OrderID: id, Action: "lead_list"},
	}); err != nil {
		return err
	}
	took(time.Since(start))
	start = time.Now()
	if _, err := l.Release(ctx, ledger.Release{
		Owner: owner, Key: id + "/release", HoldID: id,
		Memo: ledger.Memo{OrderID: id, Action: "lead_list"},
	}); err != nil {
		return err
	}
	took(time.Since(start))
	return nil
}

// chargeOnce is a reveal: one fact, one operation.
func chargeOnce(ctx context.Context, l *ledger.Ledger, owner, id string, took func(time.Duration)) error {
	start := time.Now()
	charged, err := l.Charge(ctx, ledger.Charge{
		Owner: owner, Key: id,
		Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Facts: []ledger.Fact{{Subject: subject()}}, UnitCost: 1}},
		Memo:  ledger.Memo{Action: "reveal"},
	})
	if err != nil {
		return err
	}
	if !charged.Charged {
		return fmt.Errorf("the account of %s ran dry, grant it more", owner)
	}
	took(time.Since(start))
	return nil
}

func subject() (s [16]byte) {
	binary.LittleEndian.PutUint64(s[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(s[8:], rand.Uint64())
	return s
}

// captureFacts holds n credits, then captures n new facts in one operation; only
// the capture is measured.
func captureFacts(n int) step {
	return func(ctx context.Context, l *ledger.Ledger, owner, id string, took func(time.Duration)) error {
		held, err := l.Hold(ctx, ledger.Hold{
			Owner: owner, Key: id + "/hold", HoldID: id,
			Lines: []ledger.Line{{Type: "email", Amount: int64(n), Pools: []string{""}}},
		})
		if err != nil {
			return err
		}
		if !held.Held {
			return fmt.Errorf("the account of %s ran dry, grant it more", owner)
		}
		facts := make([]ledger.Fact, n)
		for i := range facts {
			facts[i].Subject = subject()
		}
		start := time.Now()
		if _, err := l.Capture(ctx, ledger.Capture{
			Owner: owner, Key: id + "/capture", HoldID: id, Type: "email", Facts: facts, UnitCost: 1,
		}); err != nil {
			return err
		}
		took(time.Since(start))
		return nil
	}
}

// fund opens n organizations with plenty of credits.
func fund(ctx context.Context, l *ledger.Ledger, prefix string, n int) ([]string, error) {
	owners := make([]string, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range owners {
		owners[i] = fmt.Sprintf("%s-%d", prefix, i)
		wg.Go(func() {
			_, errs[i] = l.Grant(ctx, ledger.Grant{
				Owner: owners[i], Key: "fund", Type: "email", Amount: 1_000_000_000_000, Source: ledger.SourcePack,
			})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return owners, nil
}
