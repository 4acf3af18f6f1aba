package main

import (
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/maillab"
	"holdfast/internal/wire"
)

// receiver takes spans as an OpenTelemetry collector does.
type receiver struct {
	mu    sync.Mutex
	spans map[string][]string // names, by trace
	text  strings.Builder     // all that was sent
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(body)
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				trace := hex.EncodeToString(span.GetTraceId())
				r.spans[trace] = append(r.spans[trace], span.GetName())
			}
		}
	}
}

// missing returns the beginnings of names that no span of the trace has, the
// trace being the one with a span of the first name.
func (r *receiver) missing(wanted ...string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	has := func(trace, name string) bool {
		for _, span := range r.spans[trace] {
			if strings.HasPrefix(span, name) {
				return true
			}
		}
		return false
	}
	for trace := range r.spans {
		if !has(trace, wanted[0]) {
			continue
		}
		var missing []string
		for _, name := range wanted {
			if !has(trace, name) {
				missing = append(missing, name)
			}
		}
		return missing
	}
	return wanted
}

// names are those of all spans, by trace.
func (r *receiver) names() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.spans)
}

// One order is one trace: from the request over the workflow and its activities
// to SQL and the mail hosts, across processes. Without OTEL_* there are no spans
// (all other tests).
func TestAnOrderIsOneTrace(t *testing.T) {
	spans := &receiver{spans: map[string][]string{}}
	server := httptest.NewServer(spans)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "100",
	} {
		t.Setenv(name, value)
	}
	servers, err := devstack.StartServers(t.Context(), config.Config{SMTPHelo: "verifier.test"}, devstack.ServerOptions{Dir: temporary(t), Lab: maillab.Config{Domains: 20}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	parts, stop, err := wire.StartWorker(t.Context(), servers.Config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	require.NoError(t, registerAttributes(t.Context(), parts))

	w := newWorld(t, "HOLDFAST_DATABASE_URL="+servers.Config.DatabaseURL, "TEMPORAL_ADDRESS="+servers.Config.TemporalAddress,
		"HOLDFAST_OPERATOR_KEY=operator", "HOLDFAST_DRAIN_WAIT=0s", "HOLDFAST_LOG_FORMAT=json")
	w.run("migrate").ok()
	w.run("org", "create", "acme", "--plan", "prepaid-verification").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "10").ok()
	serving, at := startServe(w)
	const address = "someone.special"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/api/v1/orders?org=acme",
		strings.NewReader(`{"kind":"verify","emails":["`+address+`@`+servers.Lab.World().Domains()[0]+`"]}`))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer operator")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "traced")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusCreated, response.StatusCode, string(body))

	wanted := []string{
		"POST /api/v1/orders", "StartWorkflow:Order", "RunWorkflow:Order", "StartActivity:CarryOut", "RunActivity:Reserve", "RunActivity:CarryOut", "SMTP ", "SELECT", "BEGIN",
	}
	for end := time.Now().Add(20 * time.Second); len(spans.missing(wanted...)) > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	require.Empty(t, spans.missing(wanted...), "%v", spans.names())
	spans.mu.Lock()
	require.NotContains(t, spans.text.String(), address, "no contact data in spans")
	spans.mu.Unlock()

	// The log names the order and the trace.
	id := strings.TrimPrefix(response.Header.Get("Location"), "/api/v1/orders/")
	require.Eventually(t, func() bool {
		for line := range strings.Lines(serving.output.String()) {
			if strings.Contains(line, `"order":"`+id+`"`) && strings.Contains(line, `"trace_id":"`) {
				return true
			}
		}
		return false
	}, 10*time.Second, 20*time.Millisecond, serving.output.String())
}
