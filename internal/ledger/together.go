package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Done is what became of one of several operations.
type Done[R any] struct {
	Result R
	Err    error
}

// HoldAll reserves credits for several holds of one owner, in their order: the
// first ones get what there is. Each stands for itself, as if it came alone.
func (l *Ledger) HoldAll(ctx context.Context, ops []Hold) []Done[HoldResult] {
	return doAll[HoldResult](ctx, l, ops)
}

// CaptureAll charges several holds of one owner, in their order, each as if it
// came alone.
func (l *Ledger) CaptureAll(ctx context.Context, ops []Capture) []Done[CaptureResult] {
	return doAll[CaptureResult](ctx, l, ops)
}

// ReleaseAll gives back what is left of several holds of one owner, each as if it
// came alone.
func (l *Ledger) ReleaseAll(ctx context.Context, ops []Release) []Done[ReleaseResult] {
	return doAll[ReleaseResult](ctx, l, ops)
}

func doAll[R any, O operation](ctx context.Context, l *Ledger, ops []O) []Done[R] {
	done := make([]Done[R], len(ops))
	var queued []*call
	var at []int
	for i, op := range ops {
		if done[i].Err = validate(op); done[i].Err == nil {
			queued, at = append(queued, &call{ctx: ctx, op: op, done: make(chan outcome, 1)}), append(at, i)
		}
	}
	if err := l.enqueue(queued...); err != nil {
		for _, i := range at {
			done[i].Err = err
		}
		return done
	}
	for k, c := range queued {
		done[at[k]].Result, done[at[k]].Err = wait[R](c)
	}
	return done
}

// HoldStates returns the lines of those of some holds that an owner has, by ID.
func (l *Ledger) HoldStates(ctx context.Context, owner string, ids []string) (map[string][]HoldLine, error) {
	rows, _ := l.pool.Query(ctx, `SELECT id, body FROM credit_hold WHERE owner = $1 AND id = ANY ($2)`, owner, ids)
	states := make(map[string][]HoldLine, len(ids))
	var id string
	var text []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() (err error) {
		states[id], err = holdLines(text)
		return err
	}); err != nil {
		return nil, fmt.Errorf("%d holds of %q cannot be read: %w", len(ids), owner, err)
	}
	return states, nil
}

func holdLines(text []byte) ([]HoldLine, error) {
	var body holdBody
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, fmt.Errorf("a hold's body is damaged, run the audit: %w", err)
	}
	lines := make([]HoldLine, len(body.Lines))
	for i, hl := range body.Lines {
		lines[i].Type = hl.Type
		for _, s := range hl.Slices {
			lines[i].Amount += s.Amount
			lines[i].Captured += s.Captured
			lines[i].Released += s.Released
			lines[i].Reversed += s.Reversed
		}
	}
	return lines, nil
}
