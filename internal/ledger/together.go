package ledger

import (
	"context"
	"fmt"
)

// Held is what became of one of several holds.
type Held struct {
	Result HoldResult
	Err    error
}

// HoldAll reserves credits for several holds of one owner, in their order: the
// first ones get what there is. Each stands for itself, as if it came alone.
func (l *Ledger) HoldAll(ctx context.Context, ops []Hold) []Held {
	held := make([]Held, len(ops))
	calls := make([]*call, len(ops))
	for i, op := range ops {
		if held[i].Err = validate(op); held[i].Err != nil {
			continue
		}
		c := &call{ctx: ctx, op: op, done: make(chan outcome, 1)}
		if held[i].Err = l.enqueue(c); held[i].Err == nil {
			calls[i] = c
		}
	}
	for i, c := range calls {
		if c == nil {
			continue
		}
		select {
		case o := <-c.done:
			held[i].Result, held[i].Err = decode[HoldResult](ops[i].Owner, o)
		case <-ctx.Done():
			held[i].Err = fmt.Errorf("the hold %q may or may not have happened, repeat it with the same key: %w", ops[i].Key, ctx.Err())
		}
	}
	return held
}
