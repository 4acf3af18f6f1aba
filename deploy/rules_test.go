package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// promtool finds Prometheus' tool where scripts/promtool puts it.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "holdfast", "tools", "promtool")
	if _, err := os.Stat(path); err != nil {
		t.Skip("promtool is not here: scripts/promtool says why it cannot be fetched")
	}
	return path
}

// Prometheus takes the rules, and each alert fires in its case and not in a
// similar one.
func TestAlertRules(t *testing.T) {
	tool := promtool(t)
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = "prometheus"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	rules, err := os.ReadFile("prometheus/rules.yml")
	require.NoError(t, err)
	cases, err := os.ReadFile("prometheus/rules_test.yml")
	require.NoError(t, err)
	for line := range strings.Lines(string(rules)) {
		if _, alert, found := strings.Cut(strings.TrimSpace(line), "- alert: "); found {
			require.Contains(t, string(cases), "- name: "+alert+" fires\n")
			require.Contains(t, string(cases), "- name: "+alert+" does not fire\n")
		}
	}
}
