package orderbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// Line is an order's place in a ride.
type Line struct {
	OrderID     string
	Org         string
	Member      string
	RequestHash string
	RideID      string
	GivenUp     bool          // the ride leaves it out, should it begin after all
	Age         time.Duration // by the database's clock
}

// Alone reports whether the order is carried out by a workflow of its own.
func (l Line) Alone() bool { return l.RideID == l.OrderID }

// EnterLines writes which orders a ride is for, and says which of them are its:
// those that neither another line nor an order stands for already.
func (b *Book) EnterLines(ctx context.Context, ride string, orders []order.Input) (map[string]bool, error) {
	var ids, orgs, members, hashes []string
	for _, in := range orders {
		ids, orgs = append(ids, in.ID), append(orgs, in.Org)
		members, hashes = append(members, in.Member), append(hashes, in.Request.Hash())
	}
	rows, _ := b.pool.Query(ctx, `
		INSERT INTO order_ride (order_id, org, member, request_hash, ride_id)
		SELECT l.id, l.org, l.member, l.hash, $1 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) l (id, org, member, hash)
		WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = l.id)
		ON CONFLICT DO NOTHING
		RETURNING order_id`, ride, ids, orgs, members, hashes)
	return idSet(rows, "entering the lines of the ride "+ride)
}

// Lines are the orders that a ride is for, without those that were given up.
func (b *Book) Lines(ctx context.Context, ride string) (map[string]bool, error) {
	rows, _ := b.pool.Query(ctx, `SELECT order_id FROM order_ride WHERE ride_id = $1 AND given_up_at IS NULL`, ride)
	return idSet(rows, "reading the lines of the ride "+ride)
}

func idSet(rows pgx.Rows, what string) (map[string]bool, error) {
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, nil
}

// Line returns an order's place in a ride. The error is ErrNotFound when it has
// none.
func (b *Book) Line(ctx context.Context, id string) (Line, error) {
	var l Line
	var age float64
	err := b.pool.QueryRow(ctx, `
		SELECT order_id, org, member, request_hash, ride_id, given_up_at IS NOT NULL, extract(epoch FROM now() - created_at)::float8
		FROM order_ride WHERE order_id = $1`, id).
		Scan(&l.OrderID, &l.Org, &l.Member, &l.RequestHash, &l.RideID, &l.GivenUp, &age)
	l.Age = time.Duration(age * float64(time.Second))
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrNotFound
	}
	if err != nil {
		return l, fmt.Errorf("reading the line of order %s: %w", id, err)
	}
	return l, nil
}

// GiveUpLine notes that a ride that has not begun is not to take an order along.
// The caller looks afterwards whether the ride has begun before.
func (b *Book) GiveUpLine(ctx context.Context, id string) error {
	if _, err := b.pool.Exec(ctx, `UPDATE order_ride SET given_up_at = coalesce(given_up_at, now()) WHERE order_id = $1`, id); err != nil {
		return fmt.Errorf("giving up the line of order %s: %w", id, err)
	}
	return nil
}
