package commit

import (
	"context"
	"fmt"
	"sync"
)

// Group carries out together the calls for one key that come while another one is
// carried out (group commit): they share the statements and the transaction that
// each would have had for itself. A call that comes alone waits for nothing.
type Group[K comparable, In, Out any] struct {
	do   func(ctx context.Context, key K, calls []In) ([]Out, error)
	most int

	mu      sync.Mutex
	waiting map[K][]*joined[In, Out] // by key; there while a call of it is carried out
}

// joined is a call that waits for its turn.
type joined[In, Out any] struct {
	ctx  context.Context
	in   In
	done chan struct{}
	out  Out
	err  error
}

// NewGroup returns a group that carries out at most so many calls at a time by do,
// which returns an outcome for each. Where it fails for several calls, each of them
// is carried out alone, so that one cannot spoil the others.
func NewGroup[K comparable, In, Out any](most int, do func(ctx context.Context, key K, calls []In) ([]Out, error)) *Group[K, In, Out] {
	return &Group[K, In, Out]{do: do, most: most, waiting: map[K][]*joined[In, Out]{}}
}

// Call carries a call out, alone or with others of the same key. A caller whose
// context ends while it waits does not know whether the call was carried out.
func (g *Group[K, In, Out]) Call(ctx context.Context, key K, in In) (Out, error) {
	j := &joined[In, Out]{ctx: ctx, in: in, done: make(chan struct{})}
	g.mu.Lock()
	others, busy := g.waiting[key]
	if busy {
		g.waiting[key] = append(others, j)
	} else {
		g.waiting[key] = nil
	}
	g.mu.Unlock()
	if busy {
		select {
		case <-j.done:
			return j.out, j.err
		case <-ctx.Done():
			return j.out, ctx.Err()
		}
	}
	defer func() { go g.next(key) }()
	g.carryOut(ctx, key, []*joined[In, Out]{j})
	return j.out, j.err
}

// next carries out what has gathered for a key until nothing waits.
func (g *Group[K, In, Out]) next(key K) {
	for {
		g.mu.Lock()
		all := g.waiting[key]
		if len(all) == 0 {
			delete(g.waiting, key)
			g.mu.Unlock()
			return
		}
		n := min(len(all), g.most)
		calls := all[:n:n]
		g.waiting[key] = all[n:]
		g.mu.Unlock()
		ctx, cancel := Through(calls[0].ctx)
		g.carryOut(ctx, key, calls)
		cancel()
		for _, j := range calls {
			close(j.done)
		}
	}
}

func (g *Group[K, In, Out]) carryOut(ctx context.Context, key K, calls []*joined[In, Out]) {
	ins := make([]In, len(calls))
	for i, j := range calls {
		ins[i] = j.in
	}
	outs, err := g.do(ctx, key, ins)
	switch {
	case err == nil && len(outs) != len(calls):
		err = fmt.Errorf("%d calls had %d outcomes", len(calls), len(outs))
	case err != nil && len(calls) > 1:
		for _, j := range calls {
			g.carryOut(j.ctx, key, []*joined[In, Out]{j})
		}
		return
	}
	for i, j := range calls {
		if j.err = err; err == nil {
			j.out = outs[i]
		}
	}
}
