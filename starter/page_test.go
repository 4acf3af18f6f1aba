package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/workflows"
)

var write = flag.Bool("write", false, "write docs/cli.md instead of comparing it")

const cliPage = "../docs/cli.md"

// The page of commands is what the commands say of themselves.
func TestThePageOfCommandsIsUpToDate(t *testing.T) {
	root := newCLI(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).root
	var page strings.Builder
	page.WriteString("# Commands\n\nWritten from `starter` by `go test ./starter -run PageOfCommands -write`. `holdfast COMMAND --help` says more; every command takes `--json`.\n\n")
	page.WriteString(asTyped(root.Long) + "\n")
	for _, group := range root.Groups() {
		fmt.Fprintf(&page, "\n## %s\n\n| command | what it does | example |\n|---|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range root.Commands() {
			if cmd.GroupID == group.ID && cmd.Name() != "help" {
				rows(&page, cmd)
			}
		}
	}
	if *write {
		require.NoError(t, os.WriteFile(cliPage, []byte(page.String()), 0o644))
	}
	stored, err := os.ReadFile(cliPage)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(stored), "go test ./starter -run PageOfCommands -write")
}

// rows writes a command, or those that it holds.
func rows(page *strings.Builder, cmd *cobra.Command) {
	example, _, _ := strings.Cut(strings.TrimSpace(asTyped(cmd.Example)), "\n")
	_, withFlags, _ := strings.Cut(cmd.UseLine(), " ")
	usage := strings.TrimSuffix(withFlags, " [flags]")
	if runs := !cmd.HasSubCommands() || cmd.Flags().HasFlags(); runs && cmd.Name() != "completion" {
		cell := strings.NewReplacer("|", "\\|").Replace
		fmt.Fprintf(page, "| `%s` | %s | `%s` |\n", cell(usage), cmd.Short, cell(example))
	}
	for _, child := range cmd.Commands() {
		rows(page, child)
	}
}

// asTyped is a text with the program's name as users have it.
func asTyped(text string) string { return strings.ReplaceAll(text, program(), "holdfast") }

// The queries for Temporal's UI that the page lists are those that operators are
// offered; the search attributes are all that there are.
func TestTheTablesOfTemporalAreUpToDate(t *testing.T) {
	var views, attributes strings.Builder
	views.WriteString("| view | query |\n|---|---|\n")
	for _, view := range append([]workflows.View{workflows.ViewOf("acme")}, workflows.Views...) {
		fmt.Fprintf(&views, "| %s | `%s` |\n", view.Name, view.Query)
	}
	attributes.WriteString("| search attribute | shows |\n|---|---|\n")
	for _, a := range order.Attributes {
		fmt.Fprintf(&attributes, "| `%s` | %s |\n", a.Name, a.Shows)
	}
	requireTable(t, "../docs/temporal.md", "views", views.String())
	requireTable(t, "../docs/temporal.md", "attributes", attributes.String())
}

// requireTable compares a table of a page, between two comments with its name,
// with what it should be; with -write it is written.
func requireTable(t *testing.T, page, name, table string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found)
	now := before + begin + table + end + after
	if *write {
		require.NoError(t, os.WriteFile(page, []byte(now), 0o600))
		return
	}
	require.Equal(t, now, string(text), "go test ./starter -run '^%s$' -write", t.Name())
}

// What docs/production.md claims names tests that exist.
func TestProductionNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../docs/production.md")
	require.NoError(t, err)
	names := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(names), 20)
	var sources strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		sources.Write(source)
		return err
	}))
	for _, name := range names {
		require.Contains(t, sources.String(), "func "+name[1]+"(t ", "it is not there any more")
	}
}
