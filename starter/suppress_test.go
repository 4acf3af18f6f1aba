package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSuppressionLists(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme").ok()
	require.Contains(t, w.run("suppress", "add", "--org", "acme", "ann@example.test", "partner.test").ok().stdout, "2 entries added")
	require.Contains(t, w.run("suppress", "add", "bob@example.test", "--reason", "asked to").ok().stdout, "1 entry added")
	w.run("suppress", "add", "--org", "missing", "ann@example.test").fails(exitFailed, "missing")
	w.run("suppress", "add", "not an address").fails(exitFailed, "entry 1 is neither")
	w.run("suppress", "add", "eve@example.test", "--reason", strings.Repeat("ü", 501)).fails(exitFailed, "500")
	w.run("suppress", "add", "long@example.test", "--reason", strings.Repeat("ü", 500)).ok()
	w.run("suppress", "add").fails(exitUsage, "requires at least 1")

	var answer map[string]bool
	entries := []string{"ANN@example.test", "x@partner.test", "bob@example.test", "eve@example.test"}
	w.run(append([]string{"suppress", "check", "--org", "acme", "--json"}, entries...)...).ok().into(&answer)
	require.Equal(t, map[string]bool{entries[0]: true, entries[1]: true, entries[2]: true, entries[3]: false}, answer)
	require.Contains(t, w.run("suppress", "check", "bob@example.test").ok().stdout, "yes")

	var removed map[string]int64
	w.run("suppress", "remove", "--org", "acme", "ann@example.test", "bob@example.test", "--json").ok().into(&removed)
	require.EqualValues(t, 1, removed["removed"])
}
