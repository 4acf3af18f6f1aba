package cell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/errcode"
)

// part is a table with rows of organizations: where says which ones, with ORG for
// the organization as a literal.
type part struct{ table, where string }

const (
	ofOrg      = `org = ORG`
	ofOwner    = `owner = ORG`
	ofOrder    = `order_id IN (SELECT id FROM orders WHERE org = ORG)`
	ofPurchase = `purchase IN (SELECT id FROM purchase WHERE org = ORG)`
	ofList     = `list_id IN (SELECT id FROM list WHERE org = ORG)`

	// Events of the payment service name a customer, an organization or a payment.
	ofPayment = `(facts ->> 'org' = ORG
		OR nullif(facts ->> 'customer', '') IN (SELECT customer FROM payment_customer WHERE org = ORG)
		OR nullif(facts ->> 'payment', '') IN (SELECT payment FROM purchase WHERE org = ORG)
		OR nullif(facts ->> 'reference', '') IN (SELECT reference FROM purchase WHERE org = ORG))`
)

// parts are all rows of an organization, in an order in which they may be written:
// what others name comes first, and the rules of automatic purchases come after the
// events that would make one due. Removed they are in the reverse order: the journal
// is among the last, because nothing else is written to it from then on.
var parts = []part{
	{"credit_entry", ofOwner},
	{"organization", `id = ORG`},
	{"member", ofOrg},
	{"plan_change", ofOrg},
	{"subscription", ofOrg},
	{"budget", ofOrg},
	{"api_key", ofOrg},
	{"session", ofOrg},
	{"login_link", ofOrg},
	{"idempotency_key", ofOrg},
	{"metadata", ofOrg},
	{"suppression", ofOrg},
	{"test_clock", ofOrg},
	{"credit_owner", ofOwner},
	{"credit_account", ofOwner},
	{"credit_budget", ofOwner},
	{"credit_fact", ofOwner},
	{"credit_grant", ofOwner},
	{"credit_history_block", ofOwner},
	{"credit_history_part", ofOwner},
	{"credit_hold", ofOwner},
	{"credit_mark", ofOwner},
	{"ownership_due", ofOrg},
	{"list", ofOrg},
	{"list_row", ofList},
	{"orders", ofOrg},
	{"order_ride", ofOrg},
	{"order_item", ofOrder},
	{"order_row", ofOrder},
	{"order_selection", ofOrder},
	{"order_tally", ofOrder},
	{"bounce_report", ofOrg},
	{"outbox", ofOrg},
	{"webhook_endpoint", ofOrg},
	{"webhook_delivery", `endpoint IN (SELECT id FROM webhook_endpoint WHERE org = ORG)`},
	{"payment_customer", ofOrg},
	{"payment_subscription", ofOrg},
	{"purchase", ofOrg},
	{"purchase_line", ofPurchase},
	{"purchase_return", ofPurchase},
	{"purchase_void", ofPurchase},
	{"payment_event", ofPayment},
	{"payment_dispute", `id IN (SELECT facts ->> 'dispute' FROM payment_event WHERE ` + ofPayment + `)`},
	{"top_up", ofOrg},
	{"low_balance", ofOrg},
	{"top_up_rule", ofOrg},
}

// stay are the tables that belong to a cell.
var stay = []string{
	"cell", "cell_org", "goose_db_version", "lead", "lead_changes", "lead_chunk", "lead_facet", "lease", "mail_pattern", "owned_set", "payment_price", "plan",
	"reconciliation", "request_quota", "smtp_spending", "verdict", "verification_outage", "worker_state",
}

// sql puts the organization into a condition.
func (m *Move) sql(where string) string {
	return strings.ReplaceAll(where, "ORG", "'"+strings.ReplaceAll(m.Org, "'", "''")+"'")
}

// delete removes all rows of the organization and counts them.
func (m *Move) delete(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	gone := map[string]int64{}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		from := p.table + " WHERE " + m.sql(p.where)
		var there bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+from+")").Scan(&there)
		if err == nil && there {
			gone[p.table], err = deleteFrom(ctx, tx, p.table, from)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "42501" { // insufficient_privilege
			return nil, errcode.Say(ErrMove, "The database's user may not remove journals; move as the owner of the schema, as for migrate.")
		}
		if err != nil {
			return nil, fmt.Errorf("rows of %s were not removed: %w", p.table, err)
		}
	}
	return gone, nil
}

// deleteFrom removes rows. The journal is append-only: its guard is switched off
// within the transaction, during which no other transaction writes to the journal.
func deleteFrom(ctx context.Context, tx pgx.Tx, table, from string) (int64, error) {
	guard := func(statement string) error {
		if table != "credit_entry" {
			return nil
		}
		_, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '10s'; ALTER TABLE credit_entry `+statement+` TRIGGER ledger_i6_append_only`)
		return err
	}
	if err := guard("DISABLE"); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, "DELETE FROM "+from)
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), guard("ENABLE")
}

// copyAll copies all rows and counts them.
func (m *Move) copyAll(ctx context.Context, from, to pgx.Tx, cell string) (map[string]int64, error) {
	if err := m.copyPlans(ctx, from, to, cell); err != nil {
		return nil, err
	}
	copied := map[string]int64{}
	for _, p := range parts {
		rows, _ := from.Query(ctx, `
			SELECT quote_ident(column_name) FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position`, p.table)
		columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err == nil {
			names := strings.Join(columns, ", ")
			copied[p.table], err = pipe(ctx, from, to,
				"COPY (SELECT "+names+" FROM "+p.table+" WHERE "+m.sql(p.where)+") TO STDOUT (FORMAT binary)",
				"COPY "+p.table+" ("+names+") FROM STDIN (FORMAT binary)")
		}
		if err != nil {
			return nil, fmt.Errorf("rows of %s were not copied: %w", p.table, err)
		}
	}
	return copied, m.renumberLeads(ctx, from, to, cell)
}

// pipe copies what one statement gives into another one.
func pipe(ctx context.Context, from, to pgx.Tx, out, in string) (int64, error) {
	reader, writer := io.Pipe()
	var rows int64
	var both errgroup.Group
	both.Go(func() error {
		_, err := from.Conn().PgConn().CopyTo(ctx, writer, out)
		return errors.Join(err, writer.CloseWithError(err))
	})
	both.Go(func() error {
		tag, err := to.Conn().PgConn().CopyFrom(ctx, reader, in)
		rows = tag.RowsAffected()
		return errors.Join(err, reader.CloseWithError(err))
	})
	return rows, both.Wait()
}

// copyPlans copies the versions of plans that the organization was ever on and the
// new cell lacks.
func (m *Move) copyPlans(ctx context.Context, from, to pgx.Tx, cell string) error {
	rows, _ := from.Query(ctx, `
		SELECT p.id, p.version, p.hash, p.body::text AS body, p.created_at FROM plan p
		WHERE (id, version) IN (SELECT plan_id, plan_version FROM plan_change WHERE org = $1
			UNION SELECT plan_id, plan_version FROM orders WHERE org = $1)`, m.Org)
	type version struct {
		ID        string
		Version   int
		Hash      string
		Body      string
		CreatedAt time.Time
	}
	plans, err := pgx.CollectRows(rows, pgx.RowToStructByName[version])
	if err != nil {
		return fmt.Errorf("the plans of %s cannot be read: %w", m.Org, err)
	}
	for _, p := range plans {
		var hash string
		err := to.QueryRow(ctx, `
			WITH made AS (INSERT INTO plan (id, version, hash, body, created_at) VALUES ($1, $2, $3, $4::jsonb, $5) ON CONFLICT DO NOTHING RETURNING hash)
			SELECT hash FROM made UNION ALL SELECT hash FROM plan WHERE id = $1 AND version = $2`, p.ID, p.Version, p.Hash, p.Body, p.CreatedAt).Scan(&hash)
		if err != nil {
			return fmt.Errorf("the plan %s was not copied: %w", p.ID, err)
		}
		if hash != p.Hash {
			return errcode.Say(ErrMove, "Version %d of the plan %s is another one in cell %s; save plans in all cells.", p.Version, p.ID, cell)
		}
	}
	return nil
}

// renumberLeads names the leads of the organization's orders as the catalogue of
// the new cell numbers them. A lead that was erased gets a number that no lead has.
func (m *Move) renumberLeads(ctx context.Context, from, to pgx.Tx, cell string) error {
	if _, err := to.Exec(ctx, `CREATE TEMPORARY TABLE moved_lead (old bigint, id text, fingerprint uuid, no bigint) ON COMMIT DROP`); err != nil {
		return err
	}
	n, err := pipe(ctx, from, to, m.sql(`COPY (
		SELECT i.no, l.id, l.fingerprint FROM (
			SELECT DISTINCT i.lead_no AS no FROM orders o JOIN order_item i ON i.order_id = o.id WHERE o.org = ORG AND i.lead_no > 0) i
		LEFT JOIN lead l ON l.no = i.no) TO STDOUT (FORMAT binary)`), `COPY moved_lead (old, id, fingerprint) FROM STDIN (FORMAT binary)`)
	if err != nil || n == 0 {
		return err
	}
	var missing int64
	for _, statement := range []string{
		`ANALYZE moved_lead`,
		`UPDATE moved_lead m SET no = l.no FROM lead l WHERE l.id = m.id AND l.fingerprint = m.fingerprint`,
		`UPDATE moved_lead m SET no = nextval(pg_get_serial_sequence('lead', 'no')) WHERE m.id IS NULL`,
	} {
		if _, err := to.Exec(ctx, statement); err != nil {
			return fmt.Errorf("the leads of %s were not found: %w", m.Org, err)
		}
	}
	if err := to.QueryRow(ctx, `SELECT count(*) FROM moved_lead WHERE no IS NULL`).Scan(&missing); err != nil {
		return err
	}
	if missing > 0 {
		return errcode.Say(ErrMove, "%d leads of its orders are missing in the catalogue of cell %s, or differ; import the same catalogue there first.", missing, cell)
	}
	_, err = to.Exec(ctx, `
		UPDATE order_item i SET lead_no = m.no FROM orders o, moved_lead m
		WHERE o.org = $1 AND i.order_id = o.id AND i.lead_no = m.old AND m.no <> m.old`, m.Org)
	return err
}
