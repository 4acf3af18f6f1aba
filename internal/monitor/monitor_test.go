package monitor_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"holdfast/internal/monitor"
	"holdfast/internal/postgres/pgtest"
)

// figures are what a scrape says: by name and label values.
func figures(t *testing.T, m prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(m))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "holdfast_")
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			found[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return found
}

func TestM1_OneScrapeSaysHowOrdersAndBacklogsAre(t *testing.T) {
	pool := pgtest.New(t)
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	found := figures(t, monitor.New(pool, slog.New(slog.DiscardHandler)))
	require.Zero(t, found["reset_lag_seconds"])
	require.Zero(t, found["order_oldest_age_seconds verifying"])
	require.Contains(t, found, "order_oldest_age_seconds verifying")
	require.InDelta(t, 1, found["database_up"], 0)

	exec(`INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, selected, created_at, completed_at, settled_at, paused_at) VALUES
		('a', 'o', '', 'lead_list', '{}', '', 'p', 1, 'verifying', 1, 9, now() - interval '2 hours', NULL, NULL, now()),
		('b', 'o', '', 'lead_list', '{}', '', 'p', 1, 'verifying', 1, 9, now() - interval '1 hour', NULL, NULL, NULL),
		('c', 'o', '', 'verify', '{}', '', 'p', 1, 'completed', 1, 0, now() - interval '3 hours', now(), NULL, NULL),
		('d', 'o', '', 'verify', '{}', '', 'p', 1, 'settled', 1, 0, now() - interval '9 hours', now(), now(), NULL)`)
	exec(`INSERT INTO credit_hold (owner, id, amount, captured, released, reversed, closed, body) VALUES
		('o', 'a', 5, 0, 0, 0, false, '{}'), ('o', 'c', 5, 0, 5, 0, true, '{}'), ('o', 'd', 5, 0, 0, 0, false, '{}')`)
	exec(`INSERT INTO credit_account (owner, pool, type, available, held) VALUES ('o', '', 'email', 1, 5), ('q', '', 'email', 0, 2), ('o', '', 'phone', 3, 0)`)
	exec(`INSERT INTO order_tally VALUES ('a', 'unknown', 'greylisted', 4, 0, 3), ('b', 'unknown', 'temporary', 2, 0, 2), ('c', 'unknown', 'greylisted', 2, 0, 2)`)
	exec(`INSERT INTO outbox (org, topic, key, payload, created_at) VALUES ('o', 'x', 'k', '{}', now() - interval '5 minutes')`)
	exec(`INSERT INTO organization VALUES ('o', 'O', 'UTC', now())`)
	exec(`INSERT INTO subscription VALUES ('o', '', now() - interval '40 days', 1, now() - interval '10 minutes', now())`)
	exec(`INSERT INTO webhook_endpoint (id, org, url, events, secret, created_at, failing_since) VALUES ('w', 'o', 'u', '{}', decode(repeat('00', 24), 'hex'), now(), now())`)
	exec(`INSERT INTO webhook_delivery (endpoint, event, subject, created_at) SELECT 'w', id, 's', now() - interval '4 minutes' FROM outbox`)
	exec(`INSERT INTO verification_outage VALUES ('w1', 'blocked', '', now(), now(), NULL, 3), ('w2', 'blocked', '', now(), now(), now(), 4)`)

	found = figures(t, monitor.New(pool, slog.New(slog.DiscardHandler)))
	for name, want := range map[string]float64{
		"orders_running lead_list verifying": 2, "orders_running verify completed": 1, "orders_paused": 1,
		"order_oldest_age_seconds verifying": 7200, "order_oldest_age_seconds completed": 10800, "order_oldest_age_seconds reserved": 0,
		"hold_oldest_age_seconds": 7200, "credits_held email": 7, "credits_held phone": 0, "greylist_backlog": 5,
		"outbox_pending": 1, "outbox_oldest_age_seconds": 300, "webhook_deliveries_pending": 1, "webhook_oldest_age_seconds": 240,
		"webhook_endpoints_failing": 1, "webhook_endpoints_disabled": 0, "reset_lag_seconds": 600,
		"verification_outages_open": 1, "verification_outages_total": 7,
	} {
		require.Contains(t, found, name)
		require.InDelta(t, want, found[name], 60, name)
		if !strings.HasSuffix(strings.Fields(name)[0], "_seconds") {
			require.InDelta(t, want, found[name], 0, name)
		}
	}
	require.NotContains(t, found, "orders_running verify settled")
}

func TestM1_ScrapesWithinSecondsAskTheDatabaseOnce(t *testing.T) {
	pool := pgtest.New(t)
	m := monitor.New(pool, slog.New(slog.DiscardHandler))
	figures(t, m)
	before := pool.Stat().AcquireCount()
	for range 20 {
		figures(t, m)
	}
	require.Equal(t, before, pool.Stat().AcquireCount())
}

func TestM3_WithoutADatabaseThereAreNoFigures(t *testing.T) {
	config, err := pgxpool.ParseConfig("postgres://missing@127.0.0.1:1/none")
	require.NoError(t, err)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Equal(t, map[string]float64{"database_up": 0}, figures(t, monitor.New(pool, slog.New(slog.DiscardHandler))))
}
