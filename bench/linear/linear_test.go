package linear

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

const (
	processes = 3
	clients   = 5 // of each organization
	steps     = 25
	start     = 60 // credits of each organization
)

// Call is an operation of a client on an organization's credits.
type Call struct {
	Org  string
	What string // hold, capture, release, balance
	Hold string
	N    int64
	Key  string
}

// Answer is what a client got. Done is false where the operation was refused:
// there was too little, or the hold is closed or unknown.
type Answer struct {
	Done      bool
	Available int64
	Held      int64
}

// model says what one organization's ledger does, one operation at a time.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byOrg := map[string][]porcupine.Operation{}
		for _, op := range history {
			org := op.Input.(Call).Org
			byOrg[org] = append(byOrg[org], op)
		}
		parts := make([][]porcupine.Operation, 0, len(byOrg))
		for part := range maps.Values(byOrg) {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return state{available: start, left: map[string]int64{}} },
	Step: func(before, input, output any) (bool, any) {
		s, in, out := before.(state), input.(Call), output.(Answer)
		left, open := s.left[in.Hold]
		switch in.What {
		case "hold":
			if in.N > s.available {
				return !out.Done, s
			}
			return out.Done, s.with(in.Hold, in.N, -in.N)
		case "capture":
			if !open || in.N > left {
				return !out.Done, s
			}
			return out.Done, s.with(in.Hold, left-in.N, 0)
		case "release":
			if !open {
				return !out.Done, s
			}
			next := s.with(in.Hold, 0, left)
			delete(next.left, in.Hold)
			return out.Done, next
		}
		var held int64
		for _, n := range s.left {
			held += n
		}
		return out.Available == s.available && out.Held == held, s
	},
	Equal: func(a, b any) bool {
		s, o := a.(state), b.(state)
		return s.available == o.available && maps.Equal(s.left, o.left)
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

type state struct {
	available int64
	left      map[string]int64
}

// with is the state after a hold has left credits and change credits came back.
func (s state) with(hold string, left, change int64) state {
	next := state{s.available + change, maps.Clone(s.left)}
	next.left[hold] = left
	return next
}

// TestLedgerIsLinearizable lets clients of several organizations work through three
// processes, each with a ledger of its own, while these are killed and sessions of
// PostgreSQL are terminated. A call that fails is repeated under its key, perhaps by
// another process; its answer counts from the first call on.
func TestLedgerIsLinearizable(t *testing.T) {
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	orgs := []string{"a", "b", "c"}
	for _, org := range orgs {
		_, err := l.Grant(t.Context(), ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: start, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	r := &recorder{began: time.Now()}
	for i := range r.processes {
		r.processes[i] = newProcess(t, pool.Config().ConnString())
	}
	working, done := context.WithCancel(t.Context())
	var faults sync.WaitGroup
	faults.Go(func() { terminate(working, pool) })
	faults.Go(func() { r.kill(working) })
	var wait sync.WaitGroup
	for o, org := range orgs {
		for c := range clients {
			wait.Go(func() { r.work(t.Context(), org, o*clients+c) })
		}
	}
	wait.Wait()
	done()
	faults.Wait()
	require.NoError(t, r.err)
	require.Positive(t, r.killed)
	t.Logf("%d operations, %d processes killed", len(r.history), r.killed)
	require.Len(t, r.history, len(orgs)*clients*steps)
	result, info := porcupine.CheckOperationsVerbose(model, r.history, time.Minute)
	require.NotEqual(t, porcupine.Illegal, result, "the history is not linearizable: %v", info)
	if result == porcupine.Unknown {
		t.Log("the history was not decided within a minute")
	}
	report, err := ledger.Audit(t.Context(), pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// A history that is not linearizable is seen as that.
func TestTheModelRefusesWhatCannotBe(t *testing.T) {
	history := []porcupine.Operation{
		{ClientId: 0, Input: Call{Org: "a", What: "hold", Hold: "h", N: start}, Output: Answer{Done: true}, Call: 1, Return: 2},
		{ClientId: 1, Input: Call{Org: "a", What: "hold", Hold: "i", N: 1}, Output: Answer{Done: true}, Call: 3, Return: 4},
	}
	require.False(t, porcupine.CheckOperations(model, history))
	history[1].Output = Answer{}
	require.True(t, porcupine.CheckOperations(model, history))
	stale := porcupine.Operation{ClientId: 1, Input: Call{Org: "a", What: "balance"}, Output: Answer{Available: start}, Call: 5, Return: 6}
	require.False(t, porcupine.CheckOperations(model, append(history, stale)), "a balance from before")
}

// terminate ends sessions of the database at random until ctx is done.
func terminate(ctx context.Context, pool *pgxpool.Pool) {
	for ctx.Err() == nil {
		_, _ = pool.Exec(ctx, `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.3`) // its own session may be the next
		time.Sleep(50 * time.Millisecond)
	}
}

// kill kills a process at random, again and again until ctx is done. Another one takes
// its place.
func (r *recorder) kill(ctx context.Context) {
	for rng := rand.New(rand.NewPCG(17, 17)); ctx.Err() == nil; time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond) {
		if err := r.processes[rng.IntN(processes)].again(); err != nil {
			r.fail(err)
			return
		}
		r.killed++
	}
}

type recorder struct {
	began     time.Time
	processes [processes]*process
	killed    int

	mu      sync.Mutex
	history []porcupine.Operation
	err     error
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// work is one client: it holds, charges and releases, also holds of other clients.
func (r *recorder) work(ctx context.Context, org string, client int) {
	rng := rand.New(rand.NewPCG(uint64(client), 17))
	for step := range steps {
		c := Call{Org: org, Hold: fmt.Sprint("hold", rng.IntN(40)), Key: fmt.Sprintf("%d/%d", client, step)}
		switch rng.IntN(5) {
		case 0, 1:
			c.What, c.Hold, c.N = "hold", fmt.Sprintf("hold%d", client*steps+step), 1+rng.Int64N(15)
		case 2:
			c.What, c.N = "capture", 1+rng.Int64N(4)
		case 3:
			c.What = "release"
		default:
			c.What = "balance"
		}
		called := r.now()
		out, err := r.insist(ctx, rng, c)
		if err != nil {
			r.fail(err)
		}
		r.mu.Lock()
		r.history = append(r.history, porcupine.Operation{ClientId: client, Input: c, Output: out, Call: called, Return: r.now()})
		r.mu.Unlock()
	}
}

// insist repeats an operation until its answer is definite.
func (r *recorder) insist(ctx context.Context, rng *rand.Rand, c Call) (Answer, error) {
	for ctx.Err() == nil {
		reply, err := r.processes[rng.IntN(processes)].do(c)
		if err == nil && reply.Wrong != "" {
			return Answer{}, errors.New(reply.Wrong)
		}
		if err == nil {
			return reply.Answer, nil
		}
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
	return Answer{}, ctx.Err()
}
