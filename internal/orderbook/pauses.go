package orderbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/idempotency"
	"holdfast/internal/order"
	"holdfast/internal/outbox"
)

// resumes ends a pause and a wait: the time waited does not count as verification.
const resumes = `paused_at = NULL, waiting = NULL,
	verifying_since = verifying_since + coalesce(now() - paused_at, interval '0')
		- greatest((waiting ->> 'until')::timestamptz - now(), interval '0')`

// NoteWait notes what a verifying order waits for, and until when. Called again
// with the same it changes nothing. That an outage has begun is announced.
func (b *Book) NoteWait(ctx context.Context, id string, w order.Wait) error {
	if w.Until == nil {
		return fmt.Errorf("%w: a wait without an end is a pause", ErrInvalid)
	}
	err := b.onOpen(ctx, id, func(tx pgx.Tx, before orderRow) error {
		if before.Status != order.Verifying || before.Waiting != nil && before.Waiting.Until.Equal(*w.Until) {
			return nil
		}
		var at time.Time
		if err := tx.QueryRow(ctx, `
			UPDATE orders SET
				verifying_since = verifying_since + greatest($4 - now(), interval '0'),
				waiting = jsonb_build_object('for', $2::text, 'reason', $3::text, 'at', now(), 'until', $4::timestamptz)
			WHERE id = $1 RETURNING now()`, id, w.For, w.Reason, w.Until).Scan(&at); err != nil {
			return err
		}
		if w.For != order.WaitVerification || before.inOutage() {
			return nil
		}
		return announceLive(ctx, tx, outbox.OrderOutage, id, at)
	})
	if err != nil {
		return fmt.Errorf("noting what order %s waits for: %w", id, err)
	}
	return nil
}

// Stepped reports whether the request of ctx, which has an idempotency key, was
// carried out before.
func (b *Book) Stepped(ctx context.Context, org, id string) (bool, error) {
	_, again, err := idempotency.Find(ctx, b.pool, org, stepThing)
	if err != nil {
		return false, fmt.Errorf("whether a step of order %s was taken cannot be read: %w", id, err)
	}
	return again, nil
}

// NoteStep notes that the request of ctx, if it has an idempotency key, was carried
// out: a copy of it that comes later, when the order was resumed, does not pause it
// again.
func (b *Book) NoteStep(ctx context.Context, org, id string) error {
	if idempotency.Key(ctx) == "" {
		return nil
	}
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		_, _, err := idempotency.Claim(ctx, tx, org, stepThing, idempotency.Made{ID: id})
		return err
	})
	if err != nil {
		return fmt.Errorf("a step of order %s was not noted: %w", id, err)
	}
	return nil
}

const stepThing = "step"

// NotePaused notes that an open order was paused, or resumed, and announces it.
// Resuming also ends the wait that was noted. Called again it changes nothing.
func (b *Book) NotePaused(ctx context.Context, id string, paused bool) error {
	note := b.noteResumed
	if paused {
		note = b.notePaused
	}
	if err := note(ctx, id); err != nil {
		return fmt.Errorf("noting that order %s was paused or resumed: %w", id, err)
	}
	return nil
}

func (b *Book) notePaused(ctx context.Context, id string) error {
	return b.onOpen(ctx, id, func(tx pgx.Tx, before orderRow) error {
		if before.PausedAt != nil {
			return nil
		}
		var at time.Time
		if err := tx.QueryRow(ctx, `UPDATE orders SET paused_at = now() WHERE id = $1 RETURNING paused_at`, id).Scan(&at); err != nil {
			return err
		}
		return announceLive(ctx, tx, outbox.OrderPaused, id, at)
	})
}

func (b *Book) noteResumed(ctx context.Context, id string) error {
	return b.onOpen(ctx, id, func(tx pgx.Tx, before orderRow) error {
		if _, err := tx.Exec(ctx, `UPDATE orders SET `+resumes+` WHERE id = $1`, id); err != nil {
			return err
		}
		switch {
		case before.PausedAt != nil:
			return announceLive(ctx, tx, outbox.OrderResumed, id, *before.PausedAt)
		case before.inOutage():
			return announceLive(ctx, tx, outbox.OrderResumed, id, before.Waiting.At)
		}
		return nil
	})
}

// NoteRecovered notes that an outage has ended for an order, and announces that
// the order continues, unless it is paused. Called again it changes nothing.
func (b *Book) NoteRecovered(ctx context.Context, id string) error {
	err := b.onOpen(ctx, id, func(tx pgx.Tx, before orderRow) error {
		if !before.inOutage() {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			UPDATE orders SET waiting = NULL, verifying_since = verifying_since - greatest((waiting ->> 'until')::timestamptz - now(), interval '0')
			WHERE id = $1`, id); err != nil || before.PausedAt != nil {
			return err
		}
		return announceLive(ctx, tx, outbox.OrderResumed, id, before.Waiting.At)
	})
	if err != nil {
		return fmt.Errorf("noting that the outage of order %s has ended: %w", id, err)
	}
	return nil
}

// inOutage reports whether the order waits for verification to work again. The
// wait may be over and verification tried once more.
func (r orderRow) inOutage() bool { return r.Waiting != nil && r.Waiting.For == order.WaitVerification }

// onOpen does something to an order that is reserved or verifying, while its row
// is locked. Others are left as they are.
func (b *Book) onOpen(ctx context.Context, id string, do func(pgx.Tx, orderRow) error) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM orders WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		row, err := readRow(ctx, tx, "", id)
		if errors.Is(err, ErrNotFound) || err == nil && row.Status != order.Reserved && row.Status != order.Verifying {
			return nil
		}
		if err != nil {
			return err
		}
		return do(tx, row)
	})
}

// announceLive writes an event about an order that runs, as it now stands. at tells
// it apart from the others of the topic: when the pause or the outage began.
func announceLive(ctx context.Context, tx pgx.Tx, topic, id string, at time.Time) error {
	row, err := readRow(ctx, tx, "", id)
	if err != nil {
		return err
	}
	tallies, err := kept(ctx, tx, []string{id})
	if err != nil {
		return err
	}
	o := row.order()
	row.show(&o, tallies[id])
	event, err := outbox.New(o.Org, topic, o, id, at.UnixMicro())
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, event)
}
