package orderbook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// RefundDue reports whether the time has come, to its organization, at which the
// rest of an order's hold is given back.
func (b *Book) RefundDue(ctx context.Context, id string) (due bool, err error) {
	err = b.pool.QueryRow(ctx, `SELECT coalesce(refund_at <= `+orgNow+`, true) FROM orders o WHERE id = $1`, id).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("the time of the refund of order %s cannot be read: %w", id, err)
	}
	return due, nil
}

// RefundsDue lists the orders of an organization with a rest to give back by
// now, in the order of their times.
func (b *Book) RefundsDue(ctx context.Context, org string) ([]string, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT id FROM orders o WHERE org = $1 AND status = 'completed' AND refund_at <= `+orgNow+` ORDER BY refund_at, seq`, org)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the refunds of %s that are due cannot be listed: %w", org, err)
	}
	return ids, nil
}

// NextRefund is when, after a time and by another one, the rest of an order of an
// organization is given back; the zero time where none is.
func (b *Book) NextRefund(ctx context.Context, org string, after, by time.Time) (time.Time, error) {
	var next *time.Time
	err := b.pool.QueryRow(ctx, `
		SELECT min(refund_at) FROM orders WHERE org = $1 AND status = 'completed' AND refund_at > $2 AND refund_at <= $3`,
		org, after, by).Scan(&next)
	if err != nil {
		return time.Time{}, fmt.Errorf("the next refund of %s cannot be read: %w", org, err)
	}
	if next == nil {
		return time.Time{}, nil
	}
	return next.UTC(), nil
}

// Busy reports whether orders of an organization are being carried out: those that
// are paused, or wait for another, are not.
func (b *Book) Busy(ctx context.Context, org string) (busy bool, err error) {
	err = b.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM orders WHERE org = $1 AND status IN ('reserved', 'verifying') AND paused_at IS NULL
			AND (waiting IS NULL OR (waiting ->> 'until')::timestamptz <= now()))`, org).Scan(&busy)
	if err != nil {
		return false, fmt.Errorf("the open orders of %s cannot be read: %w", org, err)
	}
	return busy, nil
}

// Waits reports whether an order is delivered and its refund is still to come.
func (b *Book) Waits(ctx context.Context, id string) (waits bool, err error) {
	err = b.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM orders WHERE id = $1 AND status = 'completed')`, id).Scan(&waits)
	if err != nil {
		return false, fmt.Errorf("order %s cannot be read: %w", id, err)
	}
	return waits, nil
}
