package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// fault is something that goes wrong, and for how long. Every one ends by itself.
type fault struct {
	what string
	do   func(ctx context.Context, rng *rand.Rand)
}

type happened struct {
	what  string
	ended time.Time
}

// faults are all kinds of them.
func (s *stack) faults() []fault {
	return slices.Concat(s.processFaults(), s.networkFaults(), s.outerFaults(), s.diskFaults())
}

// processFaults kill and freeze each process.
func (s *stack) processFaults() []fault {
	kill := func(list []*process) func(context.Context, *rand.Rand) {
		return func(_ context.Context, rng *rand.Rand) { list[rng.IntN(len(list))].signal(syscall.SIGKILL) }
	}
	stop := func(list []*process) func(context.Context, *rand.Rand) {
		return func(_ context.Context, rng *rand.Rand) {
			p := list[rng.IntN(len(list))]
			p.signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(200+rng.IntN(2500)) * time.Millisecond)
			p.signal(syscall.SIGCONT)
		}
	}
	return []fault{
		{"worker killed", kill(s.workers)},
		{"worker frozen", stop(s.workers)},
		{"server killed", kill(s.servers)},
		{"server frozen", stop(s.servers)},
		{"PostgreSQL killed", func(context.Context, *rand.Rand) { send(s.postmaster(), syscall.SIGKILL) }},
		{"PostgreSQL frozen", func(_ context.Context, rng *rand.Rand) { freeze(s.postmaster(), rng) }},
		{"PostgreSQL session killed", func(ctx context.Context, _ *rand.Rand) { send(s.backend(ctx), syscall.SIGKILL) }},
		{"PostgreSQL session frozen", func(ctx context.Context, rng *rand.Rand) { freeze(s.backend(ctx), rng) }},
		{"PostgreSQL sessions terminated", s.terminateSessions},
		{"Temporal killed", func(context.Context, *rand.Rand) { send(s.temporalPID(), syscall.SIGKILL) }},
		{"Temporal frozen", func(_ context.Context, rng *rand.Rand) { freeze(s.temporalPID(), rng) }},
		{"workflow terminated", s.terminateWorkflow},
	}
}

// networkFaults are between the product and its two servers.
func (s *stack) networkFaults() (list []fault) {
	for name, p := range map[string]*proxy{"PostgreSQL": s.postgres, "Temporal": s.temporal} {
		list = append(list, []fault{
			{name + " connections cut", func(context.Context, *rand.Rand) { p.cut() }},
			{name + " slow", func(_ context.Context, rng *rand.Rand) {
				p.set(trouble{delay: time.Duration(5+rng.IntN(60)) * time.Millisecond})
				time.Sleep(time.Duration(500+rng.IntN(1500)) * time.Millisecond)
				p.set(trouble{})
			}},
			{name + " half open", func(_ context.Context, rng *rand.Rand) {
				p.set(trouble{deaf: true})
				time.Sleep(time.Duration(300+rng.IntN(2000)) * time.Millisecond)
				p.cut()
				p.set(trouble{})
			}},
			{name + " answers lost", func(_ context.Context, rng *rand.Rand) {
				p.set(trouble{loses: true})
				time.Sleep(time.Duration(20+rng.IntN(300)) * time.Millisecond)
				p.set(trouble{})
			}},
		}...)
	}
	slices.SortFunc(list, func(a, b fault) int { // a map has no order, a seed has
		return slices.Compare([]byte(a.what), []byte(b.what))
	})
	return list
}

// outerFaults are of the systems that the product talks to.
func (s *stack) outerFaults() []fault {
	during := func(rng *rand.Rand, set func(on bool)) {
		set(true)
		time.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
		set(false)
	}
	return []fault{
		{"webhook receiver failing", func(_ context.Context, rng *rand.Rand) { during(rng, s.receiver.failing.Store) }},
		{"webhook receiver's answers lost", func(_ context.Context, rng *rand.Rand) { during(rng, s.receiver.loses.Store) }},
		{"payment service failing", func(_ context.Context, rng *rand.Rand) { during(rng, s.stripe.failing.Store) }},
		{"mail hosts dark", func(_ context.Context, rng *rand.Rand) { during(rng, s.data.Lab.DarkenHosts) }},
		{"DNS dark", func(_ context.Context, rng *rand.Rand) { during(rng, s.data.Lab.DarkenDNS) }},
		{"database's clock off by minutes", func(ctx context.Context, rng *rand.Rand) {
			s.skew(ctx, rng, time.Duration(rng.IntN(8*60)-4*60)*time.Second)
		}},
		{"database's clock off by hours", func(ctx context.Context, rng *rand.Rand) {
			s.skew(ctx, rng, time.Duration(1+rng.IntN(3))*time.Hour*time.Duration(1-2*rng.IntN(2)))
		}},
	}
}

func (s *stack) diskFaults() []fault {
	if s.disk == nil {
		return nil
	}
	return []fault{{"PostgreSQL's disk full", func(_ context.Context, rng *rand.Rand) {
		empty := s.disk.fill()
		time.Sleep(time.Duration(300+rng.IntN(2000)) * time.Millisecond)
		empty()
	}}}
}

func (s *stack) terminateSessions(ctx context.Context, _ *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, _ = s.app.Pool.Exec(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5`) // ours may be among them
}

// terminateWorkflow takes an open order's workflow away: reconcile must find it.
func (s *stack) terminateWorkflow(ctx context.Context, _ *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var id string
	if s.app.Pool.QueryRow(ctx, `
		SELECT coalesce((SELECT ride_id FROM order_ride WHERE order_id = o.id), id) FROM orders o
		WHERE status IN ('reserved', 'verifying', 'completed') ORDER BY random() LIMIT 1`).Scan(&id) == nil {
		_ = s.app.Temporal.TerminateWorkflow(ctx, id, "", "chaos") // it may be over by now
	}
}

// ownClock gives the database a clock that can be off: the product finds these
// functions before PostgreSQL's own.
const ownClock = `
CREATE SCHEMA chaos;
CREATE TABLE chaos.skew (by interval NOT NULL);
INSERT INTO chaos.skew VALUES ('0');
CREATE FUNCTION chaos.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp() + by FROM chaos.skew';
CREATE FUNCTION chaos.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT pg_catalog.now() + by FROM chaos.skew';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = chaos, pg_catalog, public', current_database()); END $$`

// skew sets the database's clock wrong for a while. Setting it right is tried until
// it is done.
func (s *stack) skew(ctx context.Context, rng *rand.Rand, by time.Duration) {
	set := func(ctx context.Context, by time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := s.app.Pool.Exec(ctx, `UPDATE chaos.skew SET by = make_interval(secs => $1)`, by.Seconds())
		return err
	}
	_ = set(ctx, by)
	time.Sleep(time.Duration(300+rng.IntN(1500)) * time.Millisecond)
	for set(context.WithoutCancel(ctx), 0) != nil {
		time.Sleep(100 * time.Millisecond)
	}
}

// torment makes faults, one after the other, until ctx is done. Others may do the
// same at the same time.
func (s *stack) torment(ctx context.Context, rng *rand.Rand, pattern func(string) bool) {
	kinds := slices.DeleteFunc(s.faults(), func(f fault) bool { return !pattern(f.what) })
	for ctx.Err() == nil && len(kinds) > 0 {
		f := kinds[rng.IntN(len(kinds))]
		f.do(ctx, rng)
		s.mu.Lock()
		s.happened = append(s.happened, happened{f.what, time.Now()})
		s.mu.Unlock()
		time.Sleep(time.Duration(rng.IntN(int(s.pause.Milliseconds())+1)) * time.Millisecond)
	}
}

// recovery is how long it took from the end of each fault of a kind until the next
// order was accepted: the median and the worst. Other faults went on.
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
