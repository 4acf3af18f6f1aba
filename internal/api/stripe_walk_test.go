package api_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/payment"
)

// The walk-through of examples/stripe runs against a server that speaks Stripe's
// format.
func TestStripeWalkThrough(t *testing.T) {
	f := setup(t)
	price, session := "price_walk_"+f.org, "cs_walk_"+f.org
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/line_items") {
			_, _ = fmt.Fprintf(w, `{"object":"list","has_more":false,"data":[{"id":"li_1","object":"item","quantity":2,"amount_total":9800,"price":{"id":%q}}]}`, price)
			return
		}
		form, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(form), "setup_future_usage") {
			http.Error(w, "the card is not saved", http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, `{"id":%q,"object":"checkout.session","url":"https://checkout.example/1","expires_at":1900000000}`, session)
	}))
	defer service.Close()
	f.serveWith(func(c *api.Config) {
		c.Payments = payment.New(app.Pool, app.Accounts, app.Billing, payment.Config{Key: "sk_test", Secret: stripeSecret, URL: service.URL}, slog.New(slog.DiscardHandler))
	})
	walk := exec.CommandContext(t.Context(), "../../examples/stripe/walk.sh")
	walk.Env = append(walk.Environ(), "HOLDFAST_URL="+f.url, "HOLDFAST_OPERATOR_KEY="+operatorKey, "HOLDFAST_KEY="+f.admin, "PRICE="+price, "HOLDFAST_STRIPE_WEBHOOK_SECRET="+stripeSecret)
	said, err := walk.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Contains(t, string(said), "https://checkout.example/1")
	require.EqualValues(t, 10_000, f.available("email"), "%s", said)
	require.Contains(t, string(said), `"below":500`)
	require.Contains(t, string(said), f.org+",eur,0,9800,0,0,0,9800")
}
