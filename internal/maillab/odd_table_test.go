package maillab

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write ODD_HOSTS.md from the fault table")

// ODD_HOSTS.md is the fault table for people, written by this test's -update.
func TestOddHostsDocument(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# The fault table\n\nWritten from the table in `odd_*.go` by `go test ./internal/maillab -run OddHostsDocument -update`.\n\n")
	fmt.Fprintf(&doc, "%d domains, each with one odd behaviour. Mailboxes are user1, user2, … unless the behaviour says\n", len(OddHosts()))
	doc.WriteString("otherwise; about half exist. *Existing* and *missing* are the right verdicts; `unknown` is honest everywhere.\n" +
		"*Takes* says what a client needs to find out. A ✓ under *plain* means that there is a second domain under\n" +
		"`.odd-plain.test` whose host does not offer PIPELINING.\n\n" +
		"| domain | behaviour | existing | missing | takes | see | plain |\n|---|---|---|---|---|---|---|\n")
	for _, o := range OddHosts() {
		plain := ""
		if o.PlainDomain() != "" {
			plain = "✓"
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %s | %s | %s | %s | %s |\n",
			o.Domain(), strings.ReplaceAll(o.Behaviour, "\n", " ⏎ "), spelled(o.truth(exists)), spelled(o.truth(missing)), o.Patience, o.RFC, plain)
	}
	if *update {
		require.NoError(t, os.WriteFile("ODD_HOSTS.md", []byte(doc.String()), 0o644))
	}
	written, err := os.ReadFile("ODD_HOSTS.md")
	require.NoError(t, err)
	require.Equal(t, string(written), doc.String(), "run the test with -update")
}

func spelled(t Truth) string {
	s := t.Verdict + " (" + t.Reason + ")"
	for _, also := range t.Also {
		s += " or " + also
	}
	return s
}
