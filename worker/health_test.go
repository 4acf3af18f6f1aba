package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/intake"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/wire"
)

// A worker shows its health, metrics and profiles. When it is stopped it is first not
// ready, and works on until that was noticed; then it ends in order.
func TestAWorkerShowsItselfAndDrainsInSteps(t *testing.T) {
	stack := newStack(t, "health", maillab.Config{Domains: 20})
	app := stack.app
	stack.seed(t, 100)
	require.NoError(t, createOrg(t.Context(), app, "acme", 1000))
	var log lockedLog
	cmd := exec.Command(program)
	cmd.Env = append(wire.WorkerEnv(stack.cfg), "HOLDFAST_LOG_FORMAT=json", "HOLDFAST_LOG_LEVEL=info",
		"HOLDFAST_WORKER_ADDR=127.0.0.1:0", "HOLDFAST_DRAIN_WAIT=5s")
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	wait := sync.OnceValue(cmd.Wait)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = wait() })

	var at string
	require.Eventually(t, func() bool { at = log.field("address"); return at != "" }, 30*time.Second, 10*time.Millisecond)
	get := func(path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+path, nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	require.Eventually(t, func() bool { code, _ := get("/readyz"); return code == http.StatusOK }, 30*time.Second, 10*time.Millisecond)
	place := func(key string) {
		o, err := app.Intake.Submit(t.Context(), intake.Submission{Org: "acme", Key: key, Request: order.Request{Kind: order.LeadList, Count: order.SmallCount + 1}})
		require.NoError(t, err)
		require.NoError(t, app.Temporal.GetWorkflow(t.Context(), o.ID, "").Get(t.Context(), nil))
	}
	place("first")
	code, metrics := get("/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, name := range []string{
		"holdfast_build_info{", "temporal_workflow_task_schedule_to_start_latency_seconds_bucket{", "temporal_activity_schedule_to_start_latency_seconds_bucket{",
		"temporal_worker_task_slots_available{", "temporal_sticky_cache_size{", "holdfast_ledger_refused_total{", "go_goroutines ",
		`holdfast_contacts_verified_total{host="`, `holdfast_contacts_reasons_total{reason="`, "holdfast_smtp_connections_total ", "holdfast_smtp_sessions ",
		`holdfast_verifier_breaker_open{verifier="smtp"} 0`, "holdfast_ledger_batch_seconds_count ", "holdfast_ledger_batch_operations_sum ",
		`holdfast_orders_ended_total{kind="lead_list",status="settled"} 1`, `holdfast_database_connections{state="max"} 16`,
		`holdfast_credits_held{type="email"} `, "holdfast_database_up 1", "holdfast_orders_lost ",
	} {
		require.Contains(t, metrics, "\n"+name)
	}
	for _, path := range []string{"/healthz", "/debug/pprof/", "/debug/pprof/goroutine"} {
		code, _ := get(path)
		require.Equal(t, http.StatusOK, code, path)
	}

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		code, body := get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, `"status":"draining"`)
	}, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, log.line("The worker is stopping"), "it waits")
	place("second") // and works
	require.NoError(t, wait(), log.String())
	require.NotEmpty(t, log.line("The worker is stopping"))
}

// lockedLog is what a process has written so far.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// line returns the first line that contains text.
func (l *lockedLog) line(text string) string {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// field returns a field of the first line that has it.
func (l *lockedLog) field(name string) string {
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields[name] != nil {
			text, _ := fields[name].(string)
			return text
		}
	}
	return ""
}
