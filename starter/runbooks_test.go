package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

// Every command of a runbook does what the page says, on a running stack.
func runbookCommands(t *testing.T, w *world, at addresses, o order.Order) {
	t.Helper()
	known := *w // a machine with an identity in the mail lab's world
	known.env = append(slices.Clone(w.env), "HOLDFAST_DNS_SERVERS="+at.DNSAddr, "HOLDFAST_SMTP_PORT="+strconv.Itoa(at.SMTPPort),
		"HOLDFAST_SMTP_ALLOW=127.0.0.0/8", "HOLDFAST_SMTP_HELO=verifier.test", "HOLDFAST_DNSBL_ZONES=none")
	pages, err := filepath.Glob("../docs/runbooks/*.md")
	require.NoError(t, err)
	command := regexp.MustCompile("(?m)^(holdfast .+)$|`(holdfast [^`]+)`")
	names := strings.NewReplacer("ORG", o.Org, "ORDER", o.ID)
	ran := map[string]int{}
	for _, path := range pages {
		page := filepath.Base(path)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if page != "README.md" {
			require.Regexp(t, "(?m)^```sh$", string(text), "%s has no commands", page)
		}
		for _, match := range command.FindAllStringSubmatch(string(text), -1) {
			line := match[1] + match[2]
			if ran[line]++; ran[line] > 1 {
				continue
			}
			out := known.run(strings.Fields(names.Replace(line))[1:]...)
			if strings.HasSuffix(line, "--check-identity") { // the lab knows no such host: checks fail, and say why
				require.NotEqual(t, exitUsage, out.code, "%s: %s\n%s", page, line, out.stderr)
				require.Contains(t, out.stdout, "verifier.test", "%s: %s", page, line)
				continue
			}
			require.Zero(t, out.code, "%s: %s\n%s", page, line, out.stderr)
		}
	}
	require.Greater(t, len(ran), 10)
}
