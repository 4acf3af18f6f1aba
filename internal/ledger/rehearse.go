package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Rehearse says what renewals of one organization would come to if they were
// carried out one after the other at a time, or now where that is later. It
// changes nothing.
func (l *Ledger) Rehearse(ctx context.Context, owner string, renewals []Renew, at time.Time) ([]RenewResult, error) {
	if len(renewals) == 0 {
		return nil, nil
	}
	w := &laneWork{lane: &lane{owner: owner}, books: newBooks(owner)}
	for _, op := range renewals {
		if err := validate(op); err != nil {
			return nil, err
		}
		w.ops = append(w.ops, op)
	}
	t := &batch{lanes: []*laneWork{w}, byOwner: map[string]*laneWork{owner: w}}
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("the rehearsal for %q did not begin: %w", owner, err)
	}
	defer conn.Release()
	err = t.begin(ctx, conn)
	if errors.Is(err, errNewOwner) {
		t.now, err = at, nil // it has no credits yet
	}
	if err == nil {
		_, err = conn.Exec(ctx, "rollback")
	}
	if err != nil {
		return nil, fmt.Errorf("the credits of %q cannot be read: %w", owner, err)
	}
	now := w.time(t.now)
	if now.Before(at) {
		now = at
	}
	results := make([]RenewResult, len(renewals))
	for i, o := range w.books.perform(w.ops, now) {
		if results[i], err = decode[RenewResult](owner, o); err != nil {
			return nil, err
		}
	}
	return results, nil
}
