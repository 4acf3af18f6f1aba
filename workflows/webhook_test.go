package workflows_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/webhook"
	"holdfast/internal/wire"
)

// A worker that stops after an event was sent and before that was written down:
// the next one sends it again, under the same id, and then what follows it. The
// events of each order arrive in order.
func TestWebhookDeliveryIsTakenUpByAnotherWorker(t *testing.T) {
	temporal, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, temporal.Stop()) })
	cfg := config.Config{
		DatabaseURL: pgtest.NewURL(t), TemporalAddress: temporal.Address, SMTPHelo: "verifier.test",
		WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
	app, stopFirst, err := wire.StartWorker(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)

	// The write that the event was taken has to wait for this lock.
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	lock, err := conn.Begin(t.Context())
	require.NoError(t, err)

	const crucial = "order.completed ord_1"
	var mu sync.Mutex
	var came []string // what came, as it came
	ids := map[string][]string{}
	taken := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var event struct {
			Type string
			Data struct{ ID string }
		}
		body, err := io.ReadAll(request.Body)
		if err != nil || json.Unmarshal(body, &event) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		what := event.Type + " " + event.Data.ID
		came = append(came, what)
		ids[what] = append(ids[what], request.Header.Get("webhook-id"))
		if what != crucial || len(ids[what]) > 1 {
			return
		}
		if _, err := lock.Exec(t.Context(), `SELECT FROM webhook_delivery d JOIN outbox o ON o.id = d.event WHERE o.key = $1 FOR UPDATE OF d`, what); err != nil {
			t.Error(err)
		}
		close(taken)
	}))
	t.Cleanup(receiver.Close)

	ctx := t.Context()
	require.NoError(t, app.Accounts.EnsurePresets(ctx))
	_, err = app.Accounts.CreateOrg(ctx, account.Org{ID: org, Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	endpoint, _, err := app.Webhooks.Create(ctx, org, receiver.URL, nil)
	require.NoError(t, err)
	topics := []string{"order.reserved", "order.completed", "order.settled"}
	for _, topic := range topics {
		for _, id := range []string{"ord_1", "ord_2"} {
			_, err := app.Pool.Exec(ctx, `
				INSERT INTO outbox (org, topic, key, payload) VALUES ($1, $2, $2 || ' ' || $3::text, jsonb_build_object('id', $3::text))`, org, topic, id)
			require.NoError(t, err)
		}
	}
	select {
	case <-taken:
	case <-time.After(20 * time.Second):
		require.Fail(t, "the event did not come")
	}
	require.NoError(t, stopFirst(), "it gives the note up")
	require.NoError(t, lock.Rollback(ctx))

	app, stopSecond, err := wire.StartWorker(ctx, cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, stopSecond()) }()
	require.Eventually(t, func() bool {
		list, _, err := app.Webhooks.Deliveries(ctx, org, endpoint.ID, "", "", 100)
		require.NoError(t, err)
		return len(list) == 6 && !slices.ContainsFunc(list, func(d webhook.Delivery) bool { return d.Status != "delivered" })
	}, 30*time.Second, 20*time.Millisecond)

	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(ids[crucial]), 1, "at least once, and here more than that")
	var different []string
	for _, list := range ids {
		require.Len(t, slices.Compact(list), 1, "the same event has the same id, whenever it comes")
		different = append(different, list[0])
	}
	slices.Sort(different)
	require.Len(t, slices.Compact(different), 6)
	for _, id := range []string{"ord_1", "ord_2"} {
		var story []string
		for _, what := range came {
			for _, topic := range topics {
				if what == topic+" "+id {
					story = append(story, topic)
				}
			}
		}
		require.Equal(t, topics, slices.Compact(story), id)
	}
}
