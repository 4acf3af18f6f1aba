package cell

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
)

// belongings are rows in the tables of parts, of an organization with
// purchases, orders, lists and events.
const belongings = `
INSERT INTO session (hash, id, org, member) VALUES (sha256('session'), 's', 'acme', 'ann');
INSERT INTO login_link (hash, org, member, expires_at) VALUES (sha256('link'), 'acme', 'ann', now());
INSERT INTO budget VALUES ('acme', 'ann', 'email', 50);
INSERT INTO idempotency_key (org, thing, key, request, id) VALUES ('acme', 'list', 'k', sha256('r'), 'x');
INSERT INTO metadata VALUES ('acme', 'organization', 'acme', '{"a": "b"}');
INSERT INTO suppression (org, subject, reason) VALUES ('acme', sha256('subject'), 'asked'), ('', sha256('everybody'), 'erased');
INSERT INTO test_clock (id, org) VALUES ('clock', 'acme');
INSERT INTO list (id, org, columns, rows, unique_rows, malformed) VALUES ('list', 'acme', '{email}', 1, 1, 0);
INSERT INTO list_row (list_id, n, line, item, email, cells) VALUES ('list', 1, 1, 1, 'a@acme.test', '{a@acme.test}');
INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, selected, delivered, valid, settled_at, completed_at)
	SELECT 'order', 'acme', 'ann', 'verify', '{}', 'h', id, version, 'settled', 1, 1, 1, 1, now(), now() FROM plan WHERE id = 'verified-leads';
INSERT INTO order_ride (order_id, org, member, request_hash, ride_id) VALUES ('single', 'acme', 'ann', 'h', 'order');
INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned, verdict, reason, checked_at) VALUES ('order', 1, 0, gen_random_uuid(), 'a@acme.test', false, 'valid', 'accepted', now());
INSERT INTO order_row (order_id, n, item) VALUES ('order', 1, 1);
INSERT INTO order_selection (order_id, items) VALUES ('order', 1);
INSERT INTO order_tally VALUES ('order', 'valid', 'accepted', 1, 0, 0);
INSERT INTO bounce_report (org, key, addresses) VALUES ('acme', 'k', 1);
INSERT INTO webhook_endpoint (id, org, url, events, secret) VALUES ('hook', 'acme', 'https://acme.test', '{}', sha256('secret'));
INSERT INTO webhook_delivery (endpoint, event, subject, attempts, next_at, attempted_at, error)
	SELECT 'hook', id, 'acme', 2, now() + interval '1 hour', now(), 'connection refused' FROM outbox WHERE org = 'acme' LIMIT 1;
INSERT INTO payment_customer (customer, org) VALUES ('cus_1', 'acme');
INSERT INTO payment_subscription (id, org, changed_at) VALUES ('sub_1', 'acme', now());
INSERT INTO purchase (org, source, reference, bought_at, amount, refunded, currency, payment) VALUES ('acme', 'stripe', 'cs_1', now(), 4900, 900, 'eur', 'pi_1');
INSERT INTO purchase_line (purchase, line, quantity, credit_type, credits, grant_id) SELECT id, 1, 1, 'email', 100, 1 FROM purchase;
INSERT INTO purchase_return SELECT id, 'refund/ch_1/900', 900, now() FROM purchase;
INSERT INTO purchase_void (purchase, line, cause, wanted, voided) SELECT id, 1, 'refund/ch_1/900', 18, 18 FROM purchase;
INSERT INTO payment_event (id, type, happened_at, facts, status, done_at) VALUES
	('evt_1', 'checkout.session.completed', now(), '{"org": "acme"}', 'done', now()),
	('evt_2', 'charge.dispute.created', now(), '{"payment": "pi_1", "dispute": "dp_1"}', 'done', now());
INSERT INTO payment_event (id, type, happened_at, facts) VALUES ('evt_3', 'invoice.paid', now(), '{"customer": "cus_1"}'), ('evt_4', 'invoice.paid', now(), '{"customer": "cus_other"}');
INSERT INTO payment_dispute VALUES ('dp_1', 'open');
INSERT INTO top_up (org, type, crossing, status, credits, amount, charged_at, done_at) VALUES ('acme', 'email', 'x', 'paid', 100, 4900, now(), now());
INSERT INTO low_balance (org, type, top_up, version, applied) VALUES ('acme', 'email', 10, 1, 1);
INSERT INTO top_up_rule (org, type, enabled, below, price, quantity, monthly_credits, monthly_amount, currency) VALUES ('acme', 'email', true, 10, 'price_1', 1, 1000, 49000, 'eur');
INSERT INTO credit_mark VALUES ('acme', '', 'email', now(), 0);
INSERT INTO credit_history_block VALUES ('acme', 0, 'b');
INSERT INTO credit_history_part VALUES ('acme', 0, 'p')`

// rowsOf are the rows of an organization in each table that it may have some in.
func rowsOf(t *testing.T, pool *pgxpool.Pool, org string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, p := range parts {
		var rows string
		where := strings.ReplaceAll(p.where, "ORG", "'"+org+"'")
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT coalesce(json_agg(to_jsonb(x) ORDER BY x::text), '[]')::text FROM `+p.table+` x WHERE `+where).Scan(&rows), p.table)
		found[p.table] = rows
	}
	return found
}

// A move takes all of an organization's rows along as they are, in every table: its
// purchases, deliveries that wait, suppressions, lists and orders. Those of others,
// and what is everybody's, stay.
func TestAMoveTakesEverythingAlong(t *testing.T) {
	t.Parallel()
	cells, _ := pair(t)
	from, to := cells[0].Pool, cells[1].Pool
	seed(t, from, "acme")
	seed(t, from, "other")
	seed(t, to, "birch")
	directory := NewDirectory(from)
	require.NoError(t, directory.Register(t.Context(), cells))
	_, err := from.Exec(t.Context(), belongings)
	require.NoError(t, err)
	books := ledger.New(from)
	defer books.Close()
	_, err = books.Hold(t.Context(), ledger.Hold{
		Owner: "acme", Key: "hold", HoldID: "order",
		Lines: []ledger.Line{{Type: "email", Amount: 10, Pools: []string{""}, Budget: ledger.Budget{Name: "ann/1", Cap: 50}}},
	})
	require.NoError(t, err)
	_, err = books.Capture(t.Context(), ledger.Capture{Owner: "acme", Key: "capture", HoldID: "order", Type: "email", UnitCost: 4, Facts: []ledger.Fact{{Subject: [16]byte{1}}}})
	require.NoError(t, err)
	before := rowsOf(t, from, "acme")
	require.ErrorContains(t, moveOf(t, cells, "acme", "b").Run(t.Context()), "open holds")
	require.Equal(t, before, rowsOf(t, from, "acme"))
	_, err = books.Release(t.Context(), ledger.Release{Owner: "acme", Key: "release", HoldID: "order"})
	require.NoError(t, err)
	_, err = from.Exec(t.Context(), `UPDATE outbox SET published_at = now()`)
	require.NoError(t, err)

	before = rowsOf(t, from, "acme")
	for _, p := range parts {
		if p.table != "ownership_due" { // who has such a row is not moved
			require.NotEqual(t, "[]", before[p.table], "give %s a row in belongings", p.table)
		}
	}
	other, theirs := rowsOf(t, from, "other"), rowsOf(t, to, "birch")
	require.NoError(t, moveOf(t, cells, "acme", "b").Run(t.Context()))
	require.Equal(t, before, rowsOf(t, to, "acme"))
	for table, rows := range rowsOf(t, from, "acme") {
		require.Equal(t, "[]", rows, table)
	}
	require.Equal(t, other, rowsOf(t, from, "other"))
	require.Equal(t, theirs, rowsOf(t, to, "birch"))
	var stayed int
	require.NoError(t, from.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM suppression) + (SELECT count(*) FROM payment_event)`).Scan(&stayed))
	require.Equal(t, 2, stayed, "everybody's suppression, and another customer's event")
}
