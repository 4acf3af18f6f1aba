package orderbook

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// PlanVersion is a plan under which an organization has ordered.
type PlanVersion struct {
	PlanID      string
	PlanVersion int
}

// PlansUsed lists the plan versions under which an organization has ordered.
func (b *Book) PlansUsed(ctx context.Context, org string) ([]PlanVersion, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT DISTINCT plan_id, plan_version FROM orders WHERE org = $1 ORDER BY plan_id, plan_version`, org)
	used, err := pgx.CollectRows(rows, pgx.RowToStructByName[PlanVersion])
	if err != nil {
		return nil, fmt.Errorf("listing the plans under which %s has ordered: %w", org, err)
	}
	return used, nil
}

// DeliveredLeads is of how many leads an order has delivered anything.
func (b *Book) DeliveredLeads(ctx context.Context, orderID string) (int64, error) {
	var leads int64
	err := b.pool.QueryRow(ctx, `
		SELECT count(DISTINCT lead_no) FROM order_item
		WHERE order_id = $1 AND delivered_at IS NOT NULL AND lead_no > 0`, orderID).Scan(&leads)
	if err != nil {
		return 0, fmt.Errorf("counting the leads that order %s delivered: %w", orderID, err)
	}
	return leads, nil
}

// Delivery is an item that was delivered.
type Delivery struct {
	OrderID     string
	Kind        order.Kind
	Member      string
	Field       order.Field
	Email       string // in lower case
	Fingerprint uuid.UUID
	Keys        []uuid.UUID // none of an item of before
}

// Deliveries finds addresses among what an organization was delivered since a
// time by orders under one plan version, newest order first. Upper and lower
// case are the same. It looks through the items of these orders, so ask for
// many addresses at once.
func (b *Book) Deliveries(ctx context.Context, org string, under PlanVersion, emails []string, since time.Time) ([]Delivery, error) {
	wanted := make([]string, len(emails))
	for i, email := range emails {
		wanted[i] = strings.ToLower(email)
	}
	rows, _ := b.pool.Query(ctx, `
		SELECT o.id AS order_id, o.kind, o.member, i.field, lower(i.value) AS email, i.fingerprint, i.keys
		FROM orders o JOIN order_item i ON i.order_id = o.id
		WHERE o.org = $1 AND o.plan_id = $2 AND o.plan_version = $3
			AND (o.settled_at IS NULL OR o.settled_at >= $5)
			AND i.delivered_at >= $5 AND i.field IN ('email', 'direct_email') AND lower(i.value) = ANY ($4)
		ORDER BY o.seq DESC, i.n`, org, under.PlanID, under.PlanVersion, wanted, since)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Delivery])
	if err != nil {
		return nil, fmt.Errorf("looking for delivered addresses of %s: %w", org, err)
	}
	return found, nil
}

// LeadItems are the items that an order delivered of leads, by id.
func (b *Book) LeadItems(ctx context.Context, orderID string, leads []string) ([]Fact, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT i.n, i.field, i.fingerprint, i.keys, i.lead_no, CASE WHEN i.keys IS NULL THEN i.value ELSE '' END AS value,
			i.already_owned, coalesce(i.verdict, '') AS verdict, coalesce(i.reason, '') AS reason
		FROM order_item i JOIN lead l ON l.no = i.lead_no
		WHERE i.order_id = $1 AND l.id = ANY ($2) AND i.delivered_at IS NOT NULL
		ORDER BY i.n`, orderID, leads)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Fact])
	if err != nil {
		return nil, fmt.Errorf("looking for leads that order %s delivered: %w", orderID, err)
	}
	return items, nil
}
