package wire

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/internal/config"
	"holdfast/internal/ledger"
	"holdfast/internal/monitor"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verdicts"
	"holdfast/internal/verify"
)

// A worker whose EHLO name mail hosts would refuse does all else. Verification is
// refused with the sentence that says what to set, and /readyz reads it.
func TestAWorkerStartsWithABareName(t *testing.T) {
	cfg := config.Config{SMTPPort: 25, SMTPHelo: "worker-1", DNSServers: []string{"127.0.0.1:9"}}
	_, err := OpenVerification(cfg, nil, nil)
	var helo *verify.HeloError
	require.ErrorAs(t, err, &helo)

	var log syncBuffer
	pool := pgtest.New(t)
	r := &App{Config: cfg, Pool: pool, Log: slog.New(slog.NewTextHandler(&log, nil)), Ledger: ledger.New(pool), Temporal: healthy{}}
	r.identity.check = func(context.Context) ([]verify.IdentityReport, error) { return nil, nil }
	acts, closeSessions, err := r.Activities()
	require.NoError(t, err)
	t.Cleanup(closeSessions)
	var outage *verify.OutageError
	require.ErrorAs(t, acts.Verifier.Preflight(t.Context()), &outage)
	require.ErrorAs(t, acts.Verifier.Verify(t.Context(), []string{"a@b.example"}, nil), &outage)
	require.ErrorContains(t, outage, "set HOLDFAST_SMTP_HELO to one that resolves to your address and back")
	require.True(t, outage.Reason.Ours(), "nothing is charged for it")
	require.Eventually(t, func() bool {
		now, _, err := verdicts.Outages(t.Context(), r.Pool)
		return err == nil && now != nil && now.Message == outage.Error()
	}, 5*time.Second, 20*time.Millisecond)

	state, ready := r.Ready(t.Context())
	require.True(t, ready, "all else works: %v", state)
	require.Equal(t, "degraded", state["status"])
	require.Equal(t, outage.Error(), state["verification"])
	require.Contains(t, log.String(), "Nothing can be verified; orders wait.")
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(monitor.New(pool, r.Log))
	families, err := metrics.Gather()
	require.NoError(t, err)
	outages := -1.0
	for _, family := range families {
		if family.GetName() == "holdfast_verification_outages_total" {
			outages = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.InDelta(t, 1, outages, 0)
}

// healthy is a Temporal that answers.
type healthy struct{ client.Client }

func (healthy) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return &client.CheckHealthResponse{}, nil
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestIdentitiesComeFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identities.json")
	require.NoError(t, os.WriteFile(file, []byte(`[{"name":"a","helo":"a.example.com","source":"127.0.0.2"},{"name":"b","helo":"b.example.com","source":"127.0.0.3"}]`), 0o600))
	cfg := config.Config{SMTPPort: 25, DNSServers: []string{"127.0.0.1:9"}, SMTPIdentities: file}
	v, err := OpenVerification(cfg, nil, nil)
	require.NoError(t, err)
	require.IsType(t, &verify.Pool{}, v.engine)
	v.Close()

	// /readyz has what each has asked for and may.
	require.NoError(t, os.WriteFile(file, []byte(`[
		{"name":"a","helo":"a.example.com","source":"127.0.0.2","hour":100,"day":1000},
		{"name":"b","helo":"b.example.com","source":"127.0.0.3","day":5000,"warm_up":{"from":"2999-01-01","days":30,"first_day":200}}]`), 0o600))
	pool := pgtest.New(t)
	_, err = verdicts.NewSpending(pool).Take(t.Context(), verify.Claim{Identity: "a", Provider: "other", N: 7})
	require.NoError(t, err)
	r := &App{Config: cfg, Pool: pool, Log: slog.New(slog.DiscardHandler), Ledger: ledger.New(pool), Temporal: healthy{}}
	r.identity.check = func(context.Context) ([]verify.IdentityReport, error) { return nil, nil }
	state, _ := r.Ready(t.Context())
	require.Equal(t, "addresses asked for: 7 of 100 this hour, 7 of 1000 today", state["identity a"])
	require.Equal(t, "not used before 2999-01-01", state["identity b"])
	now := time.Date(2999, 1, 16, 12, 0, 0, 0, time.UTC)
	list, err := identities(cfg)
	require.NoError(t, err)
	require.Equal(t, "addresses asked for: 3 this hour, 20 of 2600 today (warming up to 5000 a day)", budgetState(&list[1], verify.Budget{Hour: 3, Day: 20}, now))

	require.NoError(t, os.WriteFile(file, []byte(`[{"name":"a"}]`), 0o600))
	_, err = OpenVerification(cfg, nil, nil)
	require.ErrorContains(t, err, "HOLDFAST_SMTP_IDENTITIES cannot be used: identity 1 (a): helo is missing")
}
