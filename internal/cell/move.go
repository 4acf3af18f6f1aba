package cell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
)

// ErrMove is why an organization is not moved.
var ErrMove = errcode.New(errcode.Conflict, "not moved")

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

// Move moves an organization from one cell to another. Every step may be repeated: a
// move that was interrupted is taken up by the next one to the same cell, and undone
// by one back to the cell it began in.
type Move struct {
	Directory *Directory
	Org       string
	Cells     []Cell // all; their databases' users own the schema
	To        string
	Wait      time.Duration // for requests that came before the organization was closed

	// Audit proves the books of the organization in a database.
	Audit func(context.Context, *pgxpool.Pool) (ledger.Report, error)
	Note  func(format string, args ...any)
}

func (m *Move) cell(name string) (Cell, error) {
	for _, c := range m.Cells {
		if c.Name == name {
			return c, nil
		}
	}
	return Cell{}, errcode.Say(ErrMove, "There is no cell %q.", name)
}

// Run moves. Where it refuses, the organization is as it was.
func (m *Move) Run(ctx context.Context) error {
	place, found, err := m.Directory.Find(ctx, m.Org)
	if err != nil {
		return err
	}
	if !found {
		return errcode.Say(ErrMove, "The directory has no organization %q; run migrate if it was made before there were cells.", m.Org)
	}
	to, err := m.cell(m.To)
	if err != nil {
		return err
	}
	from, err := m.cell(place.Cell)
	if err != nil {
		return err
	}
	switch {
	case place.LeftIn != "":
		if err := m.clearUp(ctx, place); err != nil || place.Cell == m.To {
			return err
		}
		place.LeftIn = ""
	case place.Cell == m.To && place.MovingTo == "":
		m.Note("%s is in cell %s already.", m.Org, m.To)
		return nil
	case place.MovingTo != "" && place.Cell == m.To:
		m.Note("The move to %s is undone.", place.MovingTo)
		return m.undo(ctx, place)
	case place.MovingTo != "" && place.MovingTo != m.To:
		return errcode.Say(ErrMove, "%s is being moved to %s; go on with that, or undo it by moving it to %s.", m.Org, place.MovingTo, place.Cell)
	}
	closed := Place{Cell: place.Cell, MovingTo: m.To}
	if place.MovingTo == "" {
		if err := m.Directory.change(ctx, m.Org, place, closed); err != nil {
			return err
		}
	}
	if m.Wait > 0 {
		m.Note("%s is closed; waiting %s for requests that came before.", m.Org, m.Wait)
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(m.Wait):
		err = m.carry(ctx, from, to)
	}
	if err != nil {
		now, _, lost := m.Directory.Find(context.WithoutCancel(ctx), m.Org)
		if lost == nil && now == closed { // it is still in the first cell
			err = errors.Join(err, m.undo(context.WithoutCancel(ctx), closed))
		}
	}
	return err
}

// undo opens the organization where it was, and removes what was copied.
func (m *Move) undo(ctx context.Context, closed Place) error {
	to, err := m.cell(closed.MovingTo)
	if err != nil {
		return err
	}
	if err := m.remove(ctx, to.Pool); err != nil {
		return err
	}
	return m.Directory.change(ctx, m.Org, closed, Place{Cell: closed.Cell})
}

// clearUp removes what an interrupted move has left behind.
func (m *Move) clearUp(ctx context.Context, place Place) error {
	left, err := m.cell(place.LeftIn)
	if err != nil {
		return err
	}
	if err := m.remove(ctx, left.Pool); err != nil {
		return err
	}
	return m.Directory.change(ctx, m.Org, place, Place{Cell: place.Cell})
}

func (m *Move) remove(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := m.delete(ctx, tx)
		return err
	})
}

// carry copies the rows, proves them, changes the directory and removes the old
// ones. From its first statement on nothing else writes the organization's credits
// in the old cell, so that what was proved is what was removed.
func (m *Move) carry(ctx context.Context, from, to Cell) error {
	tx, err := from.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("the cell %s does not answer: %w", from.Name, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	if err := m.lock(ctx, tx); err != nil {
		return err
	}
	report, err := m.Audit(ctx, from.Pool)
	if err != nil {
		return err
	}
	if !report.Clean() {
		return errcode.Say(ErrMove, "The books of %s do not balance in cell %s; run audit, and repair them first.", m.Org, from.Name)
	}
	var copied map[string]int64
	if err := pgx.BeginFunc(ctx, to.Pool, func(there pgx.Tx) error {
		if _, err := m.delete(ctx, there); err != nil { // of a move that was interrupted
			return err
		}
		copied, err = m.copyAll(ctx, tx, there, to.Name)
		return err
	}); err != nil {
		return err
	}
	if err := m.prove(ctx, from, to); err != nil {
		return err
	}
	// Who waits for the locks would write here after the move, as a reset may.
	var waiting int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`).Scan(&waiting); err != nil {
		return fmt.Errorf("the sessions of the cell %s cannot be read: %w", from.Name, err)
	}
	if waiting > 0 {
		return errcode.Say(ErrMove, "Something wants to write about %s, such as a reset or an import of its list; move it again in a moment.", m.Org)
	}
	gone, err := m.delete(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if gone[p.table] != copied[p.table] {
			return errcode.Say(ErrMove, "Rows of %s were written while %s was copied; move it again.", p.table, m.Org)
		}
	}
	closed, moved := Place{Cell: from.Name, MovingTo: to.Name}, Place{Cell: to.Name, LeftIn: from.Name}
	if err := m.Directory.change(ctx, m.Org, closed, moved); err != nil {
		return err
	}
	// From here on it is in the new cell, even after a crash.
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("%s is in cell %s now, but its old rows in cell %s were not removed; run the same command again: %w", m.Org, to.Name, from.Name, err)
	}
	m.Note("%s is in cell %s: %d journal entries, %d orders.", m.Org, to.Name, copied["credit_entry"], copied["orders"])
	return m.clearUp(ctx, moved)
}

// open are what keeps an organization from being moved.
var open = []struct{ query, what, do string }{
	{`SELECT count(*) FROM orders WHERE org = $1 AND status IN ('reserved', 'verifying', 'completed')`, "open orders", "wait until they are settled, or cancel them"},
	{`SELECT count(*) FROM credit_hold WHERE owner = $1 AND NOT closed`, "open holds", "wait until its orders have begun or ended"},
	{`SELECT count(*) FROM outbox WHERE org = $1 AND published_at IS NULL`, "events that are not published yet", "see that the workers of its cell run"},
	{`SELECT count(*) FROM top_up WHERE org = $1 AND done_at IS NULL`, "automatic purchases under way", "wait until they have ended"},
	{`SELECT count(*) FROM ownership_due WHERE org = $1`, "ownership to be carried over", "run migrate in its cell"},
}

// lock keeps others from writing about the organization until the transaction ends,
// and refuses one that is at work.
func (m *Move) lock(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{
		`SELECT FROM credit_owner WHERE owner = $1 FOR UPDATE`,
		`SELECT FROM organization WHERE id = $1 FOR UPDATE`,
		`SELECT FROM orders WHERE org = $1 FOR UPDATE`,
	} {
		if _, err := tx.Exec(ctx, statement, m.Org); err != nil {
			return fmt.Errorf("%s was not locked: %w", m.Org, err)
		}
	}
	for _, o := range open {
		var n int64
		if err := tx.QueryRow(ctx, o.query, m.Org).Scan(&n); err != nil {
			return fmt.Errorf("what is open of %s cannot be read: %w", m.Org, err)
		}
		if n > 0 {
			return errcode.Say(ErrMove, "%s has %s (%d); %s.", m.Org, o.what, n, o.do)
		}
	}
	return nil
}

// prove compares the books of both cells.
func (m *Move) prove(ctx context.Context, from, to Cell) error {
	old, err := ledger.Heads(ctx, from.Pool, m.Org)
	if err != nil {
		return err
	}
	report, err := m.Audit(ctx, to.Pool)
	if err != nil {
		return err
	}
	now, err := ledger.Heads(ctx, to.Pool, m.Org)
	if err != nil {
		return err
	}
	same := len(old) == len(now)
	for i := range old {
		same = same && old[i].Seq == now[i].Seq && bytes.Equal(old[i].Hash, now[i].Hash)
	}
	if !report.Clean() || !same {
		return errcode.Say(ErrMove, "The copy of %s in cell %s is not like the original: %d findings of the audit.", m.Org, to.Name, report.Total)
	}
	return nil
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
