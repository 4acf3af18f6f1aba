package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
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
