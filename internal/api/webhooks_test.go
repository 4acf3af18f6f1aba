package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
)

// An order's events arrive signed and in order, also when the endpoint fails at
// first, and can be sent again.
func TestA16_WebhooksTellAnOrdersStory(t *testing.T) {
	f := setup(t)
	var mu sync.Mutex
	var secret string
	var types []string
	refused := false
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		check, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = check.Verify(body, r.Header)
		}
		if err != nil || !refused { // the first attempt fails
			refused = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var event struct {
			Type string
			Data struct{ Org string }
		}
		_ = json.Unmarshal(body, &event)
		types = append(types, event.Type+" "+event.Data.Org)
	}))
	t.Cleanup(endpoint.Close)
	f.fund(100) // credits.granted: before the webhook is there
	mu.Lock()
	made := f.call("POST", "/webhooks", f.admin, map[string]any{"url": endpoint.URL}).is(201)
	secret = made.text("secret")
	mu.Unlock()
	id := made.text("id")
	require.NotContains(t, string(f.call("GET", "/webhooks", f.admin, nil).is(200).body), secret)

	f.settled(f.place("sent", 5, "20s").ID)
	sent := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(types) >= n
		}
	}
	require.Eventually(t, sent(4), 30*time.Second, 20*time.Millisecond)
	require.Equal(t, []string{"order.reserved " + f.org, "order.started " + f.org, "order.completed " + f.org, "order.settled " + f.org}, types)

	f.noted(id)
	var page struct {
		Deliveries []struct {
			ID       json.Number
			Status   string
			Attempts int
		}
	}
	f.call("GET", "/webhooks/"+id+"/deliveries", f.admin, nil).is(200).into(&page)
	require.Len(t, page.Deliveries, 4)
	require.Equal(t, 2, page.Deliveries[3].Attempts, "the first one was refused once")
	f.call("POST", "/webhooks/"+id+"/deliveries/"+page.Deliveries[0].ID.String()+"/resend", f.admin, nil).is(202)
	require.Eventually(t, sent(5), 30*time.Second, 20*time.Millisecond)
	f.call("POST", "/webhooks", f.admin, `{"url":"https://169.254.169.254/"}`).problem(422, "invalid_request")
	f.call("DELETE", "/webhooks/"+id, f.admin, nil).is(204)
	f.call("GET", "/webhooks/"+id+"/deliveries", f.admin, nil).problem(404, "not_found")
}

// The examples are run as a reader would run them.
func TestA17_Examples(t *testing.T) {
	f := setup(t)
	f.fund(1000)
	program := filepath.Join(t.TempDir(), "backend")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../examples/backend").CombinedOutput()
	require.NoError(t, err, string(built))
	for _, command := range [][]string{{program, "-count", "20"}, {"../../examples/backend/order.sh", "20"}} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "HOLDFAST_URL="+f.url, "HOLDFAST_KEY="+f.admin)
		var said bytes.Buffer
		cmd.Stderr = &said
		file, err := cmd.Output()
		require.NoError(t, err, said.String())
		rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
		require.NoError(t, err)
		require.Contains(t, rows[0], "email")
		require.Greater(t, len(rows), 1)
	}
}

// Each event is described, with the shape that it has when it arrives.
func TestTheDescriptionHasEveryEvent(t *testing.T) {
	f := setup(t)
	doc := f.api.OpenAPI()
	require.ElementsMatch(t, outbox.Names(), slices.Collect(maps.Keys(doc.Webhooks)))
	for name, item := range doc.Webhooks {
		body := item.Post.RequestBody.Content["application/json"].Schema
		require.Equal(t, []any{name}, body.Properties["type"].Enum)
		require.NotNil(t, doc.Components.Schemas.SchemaFromRef(body.Properties["data"].Ref), name)
	}
}
