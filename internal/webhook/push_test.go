package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/webhook"
)

var batch = webhook.Message{ID: "ord_1/2", Type: "export.batch", Data: map[string]string{"id": "ord_1"}}

func TestAMessageIsSentSignedAndTakenOrNot(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r, "credits.low") // which says nothing about exports

	require.NoError(t, f.Send(f.ctx, "acme", e.ID, batch, 0))
	require.Equal(t, []string{"export.batch ord_1"}, r.events())
	require.Equal(t, map[string]int{"ord_1/2": 1}, r.ids)
	require.Empty(t, r.bad, "signed")

	r.answer = func(string) int { return http.StatusServiceUnavailable }
	require.ErrorContains(t, f.Send(f.ctx, "acme", e.ID, batch, 0), "status 503")
	require.Equal(t, 2, r.ids["ord_1/2"], "the same id again")
	failing, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.NotNil(t, failing[0].FailingSince)

	r.answer = nil
	require.NoError(t, f.Send(f.ctx, "acme", e.ID, batch, 0))
	well, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.Nil(t, well[0].FailingSince)

	require.ErrorIs(t, f.Send(f.ctx, "beta", e.ID, batch, 0), webhook.ErrNotFound, "another customer's")
	require.ErrorIs(t, f.Send(f.ctx, "acme", "wh_none", batch, 0), webhook.ErrNotFound)
	require.Len(t, r.events(), 3)
}

func TestAnEndpointThatIsGoneIsSentNothingMore(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r)
	r.answer = func(string) int { return http.StatusGone }
	for range 2 {
		require.ErrorIs(t, f.Send(f.ctx, "acme", e.ID, batch, 0), webhook.ErrDisabled)
	}
	require.Len(t, r.events(), 1)
	list, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.NotNil(t, list[0].DisabledAt)
	require.Contains(t, list[0].DisabledReason, "410")
}

func TestAMessageFollowsNoRedirectAndEntersNoPrivateNetwork(t *testing.T) {
	f := setup(t)
	inside := newReceiver(t)
	outside := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	t.Cleanup(outside.Close)
	e, _, err := f.Create(f.ctx, "acme", outside.URL, nil)
	require.NoError(t, err)
	require.ErrorContains(t, f.Send(f.ctx, "acme", e.ID, batch, 0), "redirects")

	guarded := webhook.New(f.pool, webhook.Config{})
	require.ErrorContains(t, guarded.Send(f.ctx, "acme", e.ID, batch, 0), "private network")
	require.Empty(t, inside.events())
}

// A message is tried again and given up by the rules of events: the same waits,
// the same end, and an endpoint that took nothing at all is disabled.
func TestW4_AMessageIsTriedAsEventsAre(t *testing.T) {
	waits := []time.Duration{time.Hour, 2 * time.Hour}
	f := setup(t, waits...)
	r := newReceiver(t)
	e := f.endpoint(r)
	r.answer = func(string) int { return http.StatusServiceUnavailable }
	for tried, wait := range waits {
		var later *webhook.NotTakenError
		require.ErrorAs(t, f.Send(f.ctx, "acme", e.ID, batch, tried), &later)
		require.Equal(t, wait, later.Again)
		require.True(t, later.Counted)
	}
	require.ErrorIs(t, f.Send(f.ctx, "acme", e.ID, batch, len(waits)), webhook.ErrGivenUp)
	list, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.Nil(t, list[0].DisabledAt, "it has failed for moments only")

	_, err = f.pool.Exec(f.ctx, `UPDATE webhook_endpoint SET failing_since = now() - interval '3 hours'`)
	require.NoError(t, err)
	require.ErrorIs(t, f.Send(f.ctx, "acme", e.ID, batch, len(waits)), webhook.ErrDisabled)
	list, err = f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.NotNil(t, list[0].DisabledAt)
	require.Len(t, r.events(), len(waits)+2)
}

// While an endpoint is paused nothing is sent, and that is no attempt.
func TestW9_AMessageWaitsForAPausedEndpoint(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r)
	paused := true
	_, err := f.Change(f.ctx, "acme", e.ID, webhook.Edit{Paused: &paused})
	require.NoError(t, err)
	var later *webhook.NotTakenError
	require.ErrorAs(t, f.Send(f.ctx, "acme", e.ID, batch, 0), &later)
	require.False(t, later.Counted)
	require.Less(t, later.Again, time.Minute)
	require.Empty(t, r.events())
}
