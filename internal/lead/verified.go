package lead

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// verifiedTogether is how many orders' rows are read with one statement at most.
const verifiedTogether = 100

// Verified is a row of an order that verified a list of addresses, and what was
// delivered of it.
type Verified struct {
	Email   string `json:"email" doc:"The address as it was sent."`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	Evidence
	Address string `json:"address"`
	Extras
}

// verifiedOf are the values of a Verified, but for Email, in SQL: of the row r of a
// list and its item i.
var verifiedOf = `coalesce(i.verdict, ''), coalesce(i.reason, '` + order.ReasonMalformed + `' || r.problem), ` + evidenceOf + `, coalesce(i.value, ''), r.cleaned, ` + extrasOf("true")

// columns are where a row of verifiedOf is read into, and whether the address was
// taken out of its row.
func (v *Verified) columns(cleaned *bool) []any {
	return append([]any{&v.Verdict, &v.Reason, &v.MXHost, &v.SMTPCode, &v.SMTPEnhanced, &v.CheckedAt, &v.Address, cleaned}, v.targets()...)
}

// finish adds what follows from what was read.
func (v *Verified) finish(cleaned bool) {
	if v.Verdict != "" {
		v.complete(v.Address, v.MXHost)
	}
	v.Cleaned, v.CheckedAt = &cleaned, utc(v.CheckedAt) // the item has the address as it was taken out of the row
}

// Verified returns what an order over a list of addresses has delivered so far, in
// the order of the list, and the rows that are no address. It is for short lists:
// those of an organization that are asked for at the same time are read together.
// WriteResults has the same rows for any list.
func (c *Catalogue) Verified(ctx context.Context, org, orderID string) ([]Verified, error) {
	return c.verified.Call(ctx, org, orderID)
}

func (c *Catalogue) readVerified(ctx context.Context, _ string, orders []string) ([][]Verified, error) {
	of, these := `unnest($1::text[]) WITH ORDINALITY o (id, n)`, any(orders)
	if len(orders) == 1 { // the plan is kept, see database.In
		of, these = `(SELECT $1::text AS id, 1::bigint AS n OFFSET 0) o`, orders[0]
	}
	rows, _ := c.pool.Query(ctx, `
		SELECT o.n, r.email, `+verifiedOf+`
		FROM `+of+`
		CROSS JOIN LATERAL ( -- each by its key
			SELECT list_id, EXISTS (SELECT FROM list WHERE id = list_id) AS kept FROM order_selection WHERE order_id = o.id AND round = 1 OFFSET 0
		) s
		CROSS JOIN LATERAL (
			SELECT coalesce(cells[1], '') AS email, item, n, problem, cleaned FROM list_row WHERE s.kept AND list_id = s.list_id
			UNION ALL -- of a list that was deleted the addresses are left
			SELECT value, n, n, NULL, false FROM order_item WHERE NOT s.kept AND order_id = o.id
		) r LEFT JOIN LATERAL (SELECT * FROM order_item WHERE order_id = o.id AND n = r.item OFFSET 0) i ON true
		WHERE i.delivered_at IS NOT NULL OR r.item IS NULL
		ORDER BY o.n, r.n`, these)
	found := make([][]Verified, len(orders))
	var n int64
	var cleaned bool
	var v Verified
	_, err := pgx.ForEachRow(rows, append([]any{&n, &v.Email}, v.columns(&cleaned)...), func() error {
		v.finish(cleaned)
		found[n-1] = append(found[n-1], v)
		v = Verified{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what %d orders verified: %w", len(orders), err)
	}
	return found, nil
}
