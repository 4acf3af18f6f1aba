package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/webhook"
)

var batch = webhook.Message{ID: "ord_1/2", Type: "export.batch", Data: map[string]string{"id": "ord_1"}}

func TestAMessageIsSentSignedAndTakenOrNot(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r, "credits.low") // which says nothing about exports

	require.NoError(t, f.Send(f.ctx, "acme", e.ID, batch))
	require.Equal(t, []string{"export.batch ord_1"}, r.events())
	require.Equal(t, map[string]int{"ord_1/2": 1}, r.ids)
	require.Empty(t, r.bad, "signed")

	r.answer = func(string) int { return http.StatusServiceUnavailable }
	require.ErrorContains(t, f.Send(f.ctx, "acme", e.ID, batch), "status 503")
	require.Equal(t, 2, r.ids["ord_1/2"], "the same id again")
	failing, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.NotNil(t, failing[0].FailingSince)

	r.answer = nil
	require.NoError(t, f.Send(f.ctx, "acme", e.ID, batch))
	well, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.Nil(t, well[0].FailingSince)

	require.ErrorIs(t, f.Send(f.ctx, "beta", e.ID, batch), webhook.ErrNotFound, "somebody else's")
	require.ErrorIs(t, f.Send(f.ctx, "acme", "wh_none", batch), webhook.ErrNotFound)
	require.Len(t, r.events(), 3)
}

func TestAnEndpointThatIsGoneIsSentNothingMore(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r)
	r.answer = func(string) int { return http.StatusGone }
	for range 2 {
		require.ErrorIs(t, f.Send(f.ctx, "acme", e.ID, batch), webhook.ErrDisabled)
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
	require.ErrorContains(t, f.Send(f.ctx, "acme", e.ID, batch), "redirects")

	guarded := webhook.New(f.pool, webhook.Config{})
	require.ErrorContains(t, guarded.Send(f.ctx, "acme", e.ID, batch), "private network")
	require.Empty(t, inside.events())
}
