package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// fault is something that goes wrong, and for how long.
type fault struct {
	what string
	do   func(ctx context.Context, rng *rand.Rand)
}

type happened struct {
	what  string
	ended time.Time
}

// faults are all kinds of them. Every one ends by itself.
func (s *stack) faults() []fault {
	some := func(list []*process, rng *rand.Rand) *process { return list[rng.IntN(len(list))] }
	freeze := func(list []*process) func(context.Context, *rand.Rand) {
		return func(_ context.Context, rng *rand.Rand) {
			p := some(list, rng)
			p.signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(200+rng.IntN(2500)) * time.Millisecond)
			p.signal(syscall.SIGCONT)
		}
	}
	late := func(p *proxy) func(context.Context, *rand.Rand) {
		return func(_ context.Context, rng *rand.Rand) {
			p.set(time.Duration(5+rng.IntN(60))*time.Millisecond, false)
			time.Sleep(time.Duration(500+rng.IntN(1500)) * time.Millisecond)
			p.set(0, false)
		}
	}
	deaf := func(p *proxy) func(context.Context, *rand.Rand) {
		return func(_ context.Context, rng *rand.Rand) {
			p.set(0, true)
			time.Sleep(time.Duration(300+rng.IntN(2000)) * time.Millisecond)
			p.cut()
			p.set(0, false)
		}
	}
	return []fault{
		{"worker killed", func(_ context.Context, rng *rand.Rand) { some(s.workers, rng).signal(syscall.SIGKILL) }},
		{"worker frozen", freeze(s.workers)},
		{"server killed", func(_ context.Context, rng *rand.Rand) { some(s.servers, rng).signal(syscall.SIGKILL) }},
		{"server frozen", freeze(s.servers)},
		{"PostgreSQL connections cut", func(context.Context, *rand.Rand) { s.postgres.cut() }},
		{"PostgreSQL slow", late(s.postgres)},
		{"PostgreSQL half open", deaf(s.postgres)},
		{"PostgreSQL sessions terminated", s.terminateSessions},
		{"Temporal connections cut", func(context.Context, *rand.Rand) { s.temporal.cut() }},
		{"Temporal slow", late(s.temporal)},
		{"Temporal half open", deaf(s.temporal)},
		{"workflow terminated", s.terminateWorkflow},
		{"webhook receiver failing", func(_ context.Context, rng *rand.Rand) {
			s.receiver.failing.Store(true)
			time.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
			s.receiver.failing.Store(false)
		}},
	}
}

func (s *stack) terminateSessions(ctx context.Context, _ *rand.Rand) {
	_, _ = s.rooms.Pool.Exec(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5`) // ours may be among them
}

// terminateWorkflow takes an open order's workflow away: reconcile must find it.
func (s *stack) terminateWorkflow(ctx context.Context, _ *rand.Rand) {
	var id string
	if s.rooms.Pool.QueryRow(ctx, `
		SELECT coalesce((SELECT ride_id FROM order_ride WHERE order_id = o.id), id) FROM orders o
		WHERE status IN ('reserved', 'verifying', 'completed') ORDER BY random() LIMIT 1`).Scan(&id) == nil {
		_ = s.rooms.Temporal.TerminateWorkflow(ctx, id, "", "chaos") // it may be over by now
	}
}

// torment makes faults, one after the other and at times two at once, until ctx is
// done.
func (s *stack) torment(ctx context.Context, rng *rand.Rand) {
	kinds := s.faults()
	for ctx.Err() == nil {
		f := kinds[rng.IntN(len(kinds))]
		f.do(ctx, rng)
		s.mu.Lock()
		s.happened = append(s.happened, happened{f.what, time.Now()})
		s.mu.Unlock()
		time.Sleep(time.Duration(rng.IntN(int(s.pause.Milliseconds())+1)) * time.Millisecond)
	}
}

// recovery is how long it took from the end of each fault of a kind until the next
// order was accepted: the median and the worst.
func recovery(list []happened, accepts []time.Time) (rows [][]string) {
	times := map[string][]time.Duration{}
	slices.SortFunc(accepts, time.Time.Compare)
	for _, h := range list {
		i, _ := slices.BinarySearchFunc(accepts, h.ended, time.Time.Compare)
		if i < len(accepts) {
			times[h.what] = append(times[h.what], accepts[i].Sub(h.ended))
		} else {
			times[h.what] = append(times[h.what], 0)
		}
	}
	names := make([]string, 0, len(times))
	for name := range times {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t := times[name]
		slices.Sort(t)
		rows = append(rows, []string{name, fmt.Sprint(len(t)), t[len(t)/2].Round(time.Millisecond).String(), t[len(t)-1].Round(time.Millisecond).String()})
	}
	return rows
}
