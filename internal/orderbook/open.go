package orderbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// OpenOrder is an order that is not over, with what it takes to start it again.
type OpenOrder struct {
	Seq               int64
	ID                string
	Org               string
	Member            string
	Status            order.Status
	Request           order.Request
	CancelRequestedAt *time.Time
}

// Input is what the order's workflow is started with.
func (o OpenOrder) Input() order.Input {
	return order.Input{ID: o.ID, Org: o.Org, Member: o.Member, Request: o.Request}
}

const openOrders = `
	SELECT seq, id, org, member, status, request, cancel_requested_at
	FROM orders
	WHERE status IN ('reserved', 'verifying', 'completed') AND `

// Open returns the next open orders behind a place, oldest first.
func (b *Book) Open(ctx context.Context, after int64, limit int) ([]OpenOrder, error) {
	rows, _ := b.pool.Query(ctx, openOrders+`seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	open, err := pgx.CollectRows(rows, pgx.RowToStructByName[OpenOrder])
	if err != nil {
		return nil, fmt.Errorf("listing open orders: %w", err)
	}
	return open, nil
}

// OpenOrder returns an order that is open. The error is ErrOver when it is over,
// ErrNotFound when there is none.
func (b *Book) OpenOrder(ctx context.Context, id string) (OpenOrder, error) {
	rows, _ := b.pool.Query(ctx, openOrders+`id = $1`, id)
	open, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[OpenOrder])
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := b.Get(ctx, "", id); err != nil {
			return OpenOrder{}, err
		}
		return OpenOrder{}, ErrOver
	}
	if err != nil {
		return OpenOrder{}, fmt.Errorf("reading the open order %s: %w", id, err)
	}
	return open, nil
}

// RequestCancel notes the request to cancel an order of an organization, and
// returns it. It says whether this is the first such request; later ones change
// nothing. An order that was over before the request is ErrOver.
func (b *Book) RequestCancel(ctx context.Context, org, id string) (o order.Order, first bool, err error) {
	tag, err := b.pool.Exec(ctx, `
		UPDATE orders SET cancel_requested_at = now()
		WHERE id = $1 AND ($2 = '' OR org = $2) AND cancel_requested_at IS NULL
			AND status IN ('reserved', 'verifying', 'completed')`, id, org)
	if err != nil {
		return order.Order{}, false, fmt.Errorf("noting the request to cancel order %s: %w", id, err)
	}
	if o, err = b.Get(ctx, org, id); err != nil {
		return order.Order{}, false, err
	}
	if o.CancelRequestedAt == nil && o.Status != order.Cancelled {
		return o, false, ErrOver
	}
	return o, tag.RowsAffected() == 1, nil
}
