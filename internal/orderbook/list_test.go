package orderbook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// plan is what PostgreSQL says about a query that it has carried out.
type plan struct {
	Of      string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan  `json:"Plans"`
}

// read is how many orders were read, those that were thrown away included.
func (p plan) read() (n float64) {
	if p.Of == "orders" {
		n = (p.Rows + p.Removed) * p.Loops
	}
	for _, part := range p.Plans {
		n += part.read()
	}
	return n
}

// TestO10_AListReadsAPage: however many orders there are, a page of them reads
// about as many rows as it shows, for each caller and with each filter.
func TestO10_AListReadsAPage(t *testing.T) {
	f := setup(t)
	const orders = 100_000
	// The few that fill a page are the oldest: what reads backwards through
	// the others meets them last.
	_, err := f.pool.Exec(f.ctx, `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, selected, delivered,
			valid, invalid, credits, reasons, failure, created_at, completed_at, settled_at)
		SELECT 'ord_' || n, CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'acme' END, CASE WHEN n < 100 THEN 'jane' ELSE 'ann' END,
			CASE WHEN n < 100 THEN 'verify' ELSE 'lead_list' END, '{"kind": "lead_list", "count": 100, "criteria": {"country": ["US"]}}', 'hash', 'verified-leads', 1,
			CASE WHEN n < 100 THEN 'failed' ELSE 'settled' END, 100, 100, 60, 60, 40, '[{"type": "email", "held": 100, "captured": 60, "released": 40}]',
			'[{"verdict": "valid", "reason": "accepted", "count": 60}, {"verdict": "invalid", "reason": "no_such_user", "count": 40}]',
			CASE WHEN n < 100 THEN '{"code": "internal", "message": "It failed."}'::jsonb END,
			now() - n * interval '1 minute', CASE WHEN n >= 100 THEN now() END, now()
		FROM generate_series(1, $1::bigint) n`, orders)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `ANALYZE orders`)
	require.NoError(t, err)

	for name, filter := range map[string]orderbook.Filter{
		"all organizations": {},
		"an organization":   {Org: "acme"},
		"a small one":       {Org: "small"},
		"a member":          {Org: "acme", Member: "jane"},
		"a status":          {Org: "acme", Status: order.Failed},
		"no such status":    {Org: "acme", Status: order.Rejected},
		"a kind":            {Org: "acme", Kind: order.Verify},
		"a member's status": {Org: "acme", Member: "jane", Status: order.Failed},
	} {
		found, _, err := f.List(f.ctx, filter)
		require.NoError(t, err, name)
		require.Len(t, found, want(name), name)
		sql, args := orderbook.ListSQL(filter)
		var text []byte
		require.NoError(t, f.pool.QueryRow(f.ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+sql, args...).Scan(&text), name)
		var explained []struct{ Plan plan }
		require.NoError(t, json.Unmarshal(text, &explained))
		read := explained[0].Plan.read()
		require.GreaterOrEqual(t, read, float64(len(found)), "%s: %s", name, text)
		require.Less(t, read, 200.0, "%s: %s", name, text)
	}
}

// want is how many orders the page of a case has.
func want(name string) int {
	if name == "no such status" {
		return 0
	}
	return 50
}
