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

// call is an operation of a client on an organization's credits.
type call struct {
	org  string
	what string // hold, capture, release, balance
	hold string
	n    int64
}

// answer is what a client got. done is false where the operation was refused:
// there was too little, or the hold is closed or unknown.
type answer struct {
	done      bool
	available int64
	held      int64
}

// model says what one organization's ledger does, one operation at a time.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byOrg := map[string][]porcupine.Operation{}
		for _, op := range history {
			org := op.Input.(call).org
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
		s, in, out := before.(state), input.(call), output.(answer)
		left, open := s.left[in.hold]
		switch in.what {
		case "hold":
			if in.n > s.available {
				return !out.done, s
			}
			return out.done, s.with(in.hold, in.n, -in.n)
		case "capture":
			if !open || in.n > left {
				return !out.done, s
			}
			return out.done, s.with(in.hold, left-in.n, 0)
		case "release":
			if !open {
				return !out.done, s
			}
			next := s.with(in.hold, 0, left)
			delete(next.left, in.hold)
			return out.done, next
		}
		var held int64
		for _, n := range s.left {
			held += n
		}
		return out.available == s.available && out.held == held, s
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
// ledgers with pools of their own, as three processes have them, while sessions of
// PostgreSQL are terminated. A call that fails is repeated under its key, perhaps in
// another process; its answer counts from the first call on.
func TestLedgerIsLinearizable(t *testing.T) {
	pool := pgtest.New(t)
	var ledgers [processes]*ledger.Ledger
	for i := range ledgers {
		own, err := pgxpool.New(t.Context(), pool.Config().ConnString())
		require.NoError(t, err)
		ledgers[i] = ledger.New(own)
		t.Cleanup(func() { ledgers[i].Close(); own.Close() })
	}
	orgs := []string{"a", "b", "c"}
	for _, org := range orgs {
		_, err := ledgers[0].Grant(t.Context(), ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: start, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	r := &recorder{began: time.Now()}
	working, done := context.WithCancel(t.Context())
	var faults sync.WaitGroup
	faults.Go(func() { terminate(working, pool) })
	var wait sync.WaitGroup
	for o, org := range orgs {
		for c := range clients {
			wait.Go(func() { r.work(t.Context(), ledgers, org, o*clients+c) })
		}
	}
	wait.Wait()
	done()
	faults.Wait()
	require.NoError(t, r.err)
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
		{ClientId: 0, Input: call{"a", "hold", "h", start}, Output: answer{done: true}, Call: 1, Return: 2},
		{ClientId: 1, Input: call{"a", "hold", "i", 1}, Output: answer{done: true}, Call: 3, Return: 4},
	}
	require.False(t, porcupine.CheckOperations(model, history))
	history[1].Output = answer{}
	require.True(t, porcupine.CheckOperations(model, history))
	stale := porcupine.Operation{ClientId: 1, Input: call{org: "a", what: "balance"}, Output: answer{available: start}, Call: 5, Return: 6}
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

type recorder struct {
	began time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	err     error
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

// work is one client: it holds, charges and releases, also holds of other clients.
func (r *recorder) work(ctx context.Context, ledgers [processes]*ledger.Ledger, org string, client int) {
	rng := rand.New(rand.NewPCG(uint64(client), 17))
	for step := range steps {
		c := call{org: org, hold: fmt.Sprint("hold", rng.IntN(40))}
		switch rng.IntN(5) {
		case 0, 1:
			c.what, c.hold, c.n = "hold", fmt.Sprintf("hold%d", client*steps+step), 1+rng.Int64N(15)
		case 2:
			c.what, c.n = "capture", 1+rng.Int64N(4)
		case 3:
			c.what = "release"
		default:
			c.what = "balance"
		}
		key := fmt.Sprintf("%d/%d", client, step)
		called := r.now()
		out, err := r.insist(ctx, ledgers, rng, c, key)
		r.mu.Lock()
		r.history = append(r.history, porcupine.Operation{ClientId: client, Input: c, Output: out, Call: called, Return: r.now()})
		if err != nil {
			r.err = err
		}
		r.mu.Unlock()
	}
}

// insist repeats an operation until its answer is definite.
func (r *recorder) insist(ctx context.Context, ledgers [processes]*ledger.Ledger, rng *rand.Rand, c call, key string) (answer, error) {
	for {
		out, err := do(ctx, ledgers[rng.IntN(processes)], c, key)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, ledger.ErrUnknownHold), errors.Is(err, ledger.ErrHoldClosed), errors.Is(err, ledger.ErrHoldExhausted):
			return answer{}, nil
		case errors.Is(err, ledger.ErrInvalid), errors.Is(err, ledger.ErrKeyReused), ctx.Err() != nil:
			return answer{}, err
		}
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	}
}

func do(ctx context.Context, l *ledger.Ledger, c call, key string) (answer, error) {
	switch c.what {
	case "hold":
		held, err := l.Hold(ctx, ledger.Hold{Owner: c.org, Key: key, HoldID: c.hold, Lines: []ledger.Line{{Type: "email", Amount: c.n, Pools: []string{""}}}})
		return answer{done: held.Held}, err
	case "capture":
		_, err := l.Capture(ctx, ledger.Capture{Owner: c.org, Key: key, HoldID: c.hold, Type: "email", Amount: c.n})
		return answer{done: err == nil}, err
	case "release":
		_, err := l.Release(ctx, ledger.Release{Owner: c.org, Key: key, HoldID: c.hold})
		return answer{done: err == nil}, err
	}
	balances, err := l.Balances(ctx, c.org)
	var out answer
	for _, b := range balances {
		out.available, out.held = out.available+b.Available, out.held+b.Held
	}
	return out, err
}
