package orderbook

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
	"holdfast/internal/suppression"
)

// ErasedItem is an item that was erased.
type ErasedItem struct {
	OrderID string
	N       int64
	Value   string // what it had, spelled as it was
}

// AddressesOf returns the addresses that a lead had whenever an order selected
// it, no matter what the catalogue says now.
func (b *Book) AddressesOf(ctx context.Context, tx pgx.Tx, lead int64) ([]string, error) {
	rows, _ := tx.Query(ctx, `
		SELECT DISTINCT value FROM order_item
		WHERE lead_no = $1 AND field IN ('email', 'direct_email') AND value <> ''`, lead)
	addresses, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for the items of a person: %w", err)
	}
	return addresses, nil
}

// Erase takes the contact data out of all items of a person: those of the leads
// with the given numbers and those with one of the addresses, letter case aside.
// What came of an item stays, so that counts and charges stay true; an item that
// still waits for a verdict is unknown from now on, and suppressed: the verdict
// that comes in late finds it final.
func (b *Book) Erase(ctx context.Context, tx pgx.Tx, leads []int64, addresses []string) ([]ErasedItem, error) {
	wanted := make([]string, len(addresses))
	for i, address := range addresses {
		wanted[i] = strings.ToLower(address)
	}
	// Locked in the order of their numbers, as every writer does.
	rows, _ := tx.Query(ctx, `
		WITH found AS MATERIALIZED (
			SELECT order_id, n, value FROM order_item
			WHERE lead_no = ANY ($1) OR lower(value) = ANY ($2)
			ORDER BY order_id, n
			FOR UPDATE
		)
		UPDATE order_item i SET
			value = '', keys = NULL, carries = NULL, carried = NULL, mx_host = NULL, smtp_enhanced = NULL, smtp_text = NULL, retry_at = NULL, retry_queue = NULL,
			verdict = CASE WHEN i.verdict IS NULL OR i.retry_at IS NOT NULL THEN 'unknown' ELSE i.verdict END,
			reason = CASE WHEN i.verdict IS NULL OR i.retry_at IS NOT NULL THEN $3 ELSE i.reason END,
			checked_at = coalesce(i.checked_at, now())
		FROM found f
		WHERE i.order_id = f.order_id AND i.n = f.n
		RETURNING f.order_id, f.n, f.value`, leads, wanted, order.ReasonSuppressed)
	erased, err := pgx.CollectRows(rows, pgx.RowToStructByName[ErasedItem])
	if err != nil {
		return nil, fmt.Errorf("erasing the items of a person: %w", err)
	}
	if err := recountOpen(ctx, tx, erased); err != nil {
		return nil, fmt.Errorf("erasing the items of a person: %w", err)
	}
	return erased, nil
}

// recountOpen brings the tallies of the orders up to date that are not over.
func recountOpen(ctx context.Context, tx pgx.Tx, erased []ErasedItem) error {
	ids := make([]string, len(erased))
	for i, item := range erased {
		ids[i] = item.OrderID
	}
	rows, _ := tx.Query(ctx, `SELECT id FROM orders WHERE id = ANY ($1) AND status = 'verifying' ORDER BY id`, ids)
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, id := range open {
		if err := recount(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// suppressedSince says in SQL whether anybody was suppressed since the order o began.
// Hardly ever is anything new on the lists while an order runs. The minute is for who
// entered it in a transaction that began earlier. An order of a clock that was ahead
// may be older than what is on the lists.
const suppressedSince = `EXISTS (
	SELECT FROM suppression s WHERE s.org IN ('', o.org) AND (s.added_at >= o.created_at - interval '1 minute' OR o.created_at > now()))`

// Withhold makes the items from..to that are about to go out (see Billable)
// unknown where the person has been suppressed or erased since they were
// selected. Billable does so by itself. What the order was charged for before
// that is delivered: a capture may have been recorded by an attempt that got no
// further.
func (b *Book) Withhold(ctx context.Context, orderID string, from, to int64, verdicts []string) error {
	var org string
	var changed bool
	err := b.pool.QueryRow(ctx, `
		SELECT org, `+suppressedSince+` FROM orders o WHERE o.id = $1`, orderID).Scan(&org, &changed)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && !changed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for who was suppressed since order %s began: %w", orderID, err)
	}
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		withheld, err := tx.Exec(ctx, withholdSQL, orderID, from, to, verdicts, order.ReasonSuppressed, org)
		if err != nil || withheld.RowsAffected() == 0 {
			return err
		}
		return recount(ctx, tx, orderID)
	})
	if err != nil {
		return fmt.Errorf("withholding who was suppressed since order %s began: %w", orderID, err)
	}
	return nil
}

// Unsettled is how many orders of an organization are under way or wait for
// their refund.
func (b *Book) Unsettled(ctx context.Context, org string) (n int64, err error) {
	err = b.pool.QueryRow(ctx, `
		SELECT count(*) FROM orders WHERE org = $1 AND status IN ('reserved', 'verifying', 'completed')`, org).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("the open orders of %s cannot be counted: %w", org, err)
	}
	return n, nil
}

// EraseOrg takes the contact data out of all items of an organization's orders,
// order by order. Verdicts, counts and charges stay. The orders must be over.
func (b *Book) EraseOrg(ctx context.Context, org string) error {
	rows, _ := b.pool.Query(ctx, `SELECT id FROM orders WHERE org = $1 ORDER BY seq`, org)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("the orders of %s cannot be listed: %w", org, err)
	}
	for _, id := range ids {
		if _, err := b.pool.Exec(ctx, `
			UPDATE order_item SET value = '', mx_host = NULL, smtp_enhanced = NULL, smtp_text = NULL
			WHERE order_id = $1 AND value <> ''`, id); err != nil {
			return fmt.Errorf("erasing the items of the order %s: %w", id, err)
		}
	}
	return nil
}

var withholdSQL = `
	UPDATE order_item i SET
		verdict = 'unknown', reason = $5, checked_at = now(),
		mx_host = NULL, smtp_code = NULL, smtp_enhanced = NULL, smtp_text = NULL
	WHERE i.order_id = $1 AND i.n BETWEEN $2 AND $3
		AND ` + goesOut + `
		AND CASE WHEN i.lead_no = 0 THEN i.value = '' -- of a list: erased
			ELSE NOT EXISTS ( -- a lead that may be given
				SELECT FROM lead l WHERE l.no = i.lead_no AND NOT ` + suppression.LeadSQL("$6", "l", "i.value") + `)
			END
		AND NOT EXISTS (
			SELECT FROM orders o CROSS JOIN jsonb_array_elements(o.credits) AS c
			JOIN credit_fact f ON f.owner = $6 AND f.type = c ->> 'type' AND f.scope IN ('', o.member, o.id)
				AND f.subject = ANY (i.keys || i.fingerprint)
			JOIN credit_entry e ON e.owner = f.owner AND e.seq = f.seq
			WHERE o.id = $1 AND e.order_id = o.id AND NOT f.reversed)`
