package wire

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/config"
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

	r := &Rooms{Config: cfg, Pool: pgtest.New(t), Log: slog.New(slog.DiscardHandler)}
	acts, hangUp, err := r.Activities()
	require.NoError(t, err)
	t.Cleanup(hangUp)
	var outage *verify.OutageError
	require.ErrorAs(t, acts.Verifier.Preflight(t.Context()), &outage)
	require.ErrorAs(t, acts.Verifier.Verify(t.Context(), []string{"a@b.example"}, nil), &outage)
	require.ErrorContains(t, outage, "set HOLDFAST_SMTP_HELO to one that resolves to your address and back")
	require.True(t, outage.Reason.Ours(), "nothing is charged for it")
	require.Eventually(t, func() bool {
		now, _, err := verdicts.Outages(t.Context(), r.Pool)
		return err == nil && now != nil && now.Message == outage.Error()
	}, 5*time.Second, 20*time.Millisecond)
}

func TestIdentitiesComeFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identities.json")
	require.NoError(t, os.WriteFile(file, []byte(`[{"name":"a","helo":"a.example.com","source":"127.0.0.2"},{"name":"b","helo":"b.example.com","source":"127.0.0.3"}]`), 0o600))
	cfg := config.Config{SMTPPort: 25, DNSServers: []string{"127.0.0.1:9"}, SMTPIdentities: file}
	v, err := OpenVerification(cfg, nil, nil)
	require.NoError(t, err)
	require.IsType(t, &verify.Pool{}, v.engine)
	v.Close()

	require.NoError(t, os.WriteFile(file, []byte(`[{"name":"a"}]`), 0o600))
	_, err = OpenVerification(cfg, nil, nil)
	require.ErrorContains(t, err, "HOLDFAST_SMTP_IDENTITIES cannot be used: identity 1 (a): helo is missing")
}
