package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
)

func TestWrongUsage(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ line, says string }{
		{"ordr", "did you mean order"},
		{"order now", `no command "now" under "order"`},
		{"order lead-list --org acme", `"count" not set`},
		{"order lead-list --org acme --count many", `"many"`},
		{"order lead-list --org acme --count 5 --contry US", "unknown flag: --contry"},
		{"order lead-list --org acme --count 5 --watch=forever", "--watch=forever is not known"},
		{"order lead-list --org acme --count 5 extra", "extra"},
		{"order show", "order's id is missing"},
		{"order show a b", "more than the order's id"},
		{"import", "file (- for the standard input) is missing"},
		{"verify", "file (- for the standard input) is missing"},
		{"order list --status running", "use reserved, verifying"},
		{"order lead-list --count 5x", `--count "5x" is not a whole number`},
		{"demo --leads 99999999999999999999", `--leads "99999999999999999999" is too large`},
		{"login", "--url"},
		{"login --url nowhere --key k", "not the address of a server"},
		{"listen --forward localhost", "not a web address"},
		{"webhook update wh_1", "at least one of the flags"},
		{"credits grant --org acme --type email --amount 0", "grant at least 1 credit"},
		{"credits grant --org acme --type email --amount -7", "grant at least 1 credit"},
		{"credits grant --org acme --type email --amount 7 --source allotment", `--source "allotment" is not known; use pack, promotion or adjustment`},
		{"credits grant --org acme --type email --amount 7 --expires-at soon", `"soon" is no time`},
		{"credits history --org acme --from yesterday", `"yesterday" is no time`},
		{"demo --leads 0", "The count is 0"},
		{"demo --leads -3", "The count is -3"},
		{"demo --leads 1000001", "at most 1000000"},
		{"demo --refund-delay -1s", "cannot be negative"},
		{"demo --refund-delay soon", `"soon"`},
		{"dev --leads -1", "--leads -1"},
	} {
		t.Run(c.line, func(t *testing.T) {
			o := w.run(strings.Fields(c.line)...)
			o.t = t
			o.fails(exitUsage, c.says)
		})
	}
}

// TestHelp demands of every command a help with an example, and of every
// example that it is a command line that would run.
func TestHelp(t *testing.T) {
	root := newCLI(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).root
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			require.NotEmpty(t, cmd.Short)
			require.NotEmpty(t, cmd.Example, "no example")
			for line := range strings.Lines(cmd.Example) {
				parses(t, line)
			}
		})
		for _, child := range cmd.Commands() {
			if child.Name() != "help" {
				visit(child)
			}
		}
	}
	visit(root)
	require.GreaterOrEqual(t, len(root.Commands()), 12)
}

// TestReadme demands of every command in the README that it would run.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	n := 0
	for line := range strings.Lines(string(readme)) {
		if call, found := strings.CutPrefix(line, "go run ./starter "); found {
			call, _, _ = strings.Cut(call, "#")
			wouldRun(t, call)
			n++
		}
	}
	require.Greater(t, n, 3)
}

func parses(t *testing.T, line string) {
	t.Helper()
	_, line, found := strings.Cut(line, program()+" ")
	require.True(t, found, "not a call of this program: %q", line)
	wouldRun(t, line)
}

// wouldRun checks commands, arguments and flags of a command line.
func wouldRun(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " < ")
	args := words(line)
	fresh := newCLI(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}).root
	cmd, rest, err := fresh.Find(args)
	require.NoError(t, err, "%q", line)
	require.NoError(t, cmd.ParseFlags(rest), "%q", line)
	require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), "%q", line)
	require.NoError(t, cmd.ValidateRequiredFlags(), "%q", line)
}

// words splits a command line as a shell does, as far as examples need it.
func words(line string) (words []string) {
	for i, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if i%2 == 1 { // between quotes
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func TestVersion(t *testing.T) {
	o := newWorld(t).run("--version").ok()
	require.Regexp(t, `^holdfast version commit \S+ of \S+, built with go1\.\S+\n$`, o.stdout)
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"order", "lead-list", "--help"}, {"order"}} {
		o := newWorld(t).run(args...).ok()
		require.Contains(t, o.stdout, "Usage:")
		require.Empty(t, o.stderr)
	}
}

// needDatabase are the commands that cannot work without a database.
var needDatabase = []string{
	"migrate", "migrate --status", "import -", "audit", "serve",
	"order lead-list --org acme --count 5", "order show ord_x", "order list", "order cancel ord_x", "order pause ord_x", "order resume ord_x", "order results ord_x",
	"credits --org acme", "credits grant --org acme --type email --amount 5", "credits history --org acme",
	"org create acme", "org show acme", "org list", "member create bob --org acme", "member list --org acme",
	"plan list", "plan show verified-leads",
}

func TestNoStack(t *testing.T) {
	w := newWorld(t)
	for _, line := range needDatabase {
		w.run(strings.Fields(line)...).fails(exitFailed, "No stack was found")
	}
}

func TestNoDatabase(t *testing.T) {
	w := newWorld(t, "HOLDFAST_DATABASE_URL=postgres://missing:secret@127.0.0.1:1/none")
	for _, line := range needDatabase {
		o := w.run(strings.Fields(line)...)
		o.fails(exitFailed, "no server answers at 127.0.0.1:1")
		require.NotContains(t, o.stderr, "secret")
	}
}

func TestNoTemporal(t *testing.T) {
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+pgtest.NewURL(t), "TEMPORAL_ADDRESS=127.0.0.1:1")
	w.run("order", "lead-list", "--org", "acme", "--count", "5").fails(exitFailed, "Temporal cannot be reached at 127.0.0.1:1")
	w.run("serve").fails(exitFailed, "Temporal cannot be reached at 127.0.0.1:1")

	t.Run("migrate fails, or is run without it", func(t *testing.T) {
		o := w.run("migrate")
		o.fails(exitFailed, "search attributes are not registered: Temporal cannot be reached at 127.0.0.1:1")
		require.Contains(t, o.stderr, "--without-temporal")
		o = w.run("migrate", "--without-temporal").ok()
		require.Contains(t, o.stderr, "Temporal is left out")
		require.Contains(t, w.run("plan", "list").ok().stdout, "verified-leads")
	})
}

func TestSchemaVersion(t *testing.T) {
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+pgtest.NewEmptyURL(t), "TEMPORAL_ADDRESS=127.0.0.1:1")
	w.run("org", "list").fails(exitFailed, "migrate")

	var list []struct {
		Version int64
		File    string
		Applied bool
	}
	w.run("migrate", "--status", "--json").ok().into(&list)
	require.NotEmpty(t, list)
	require.False(t, list[0].Applied)
	w.run("migrate", "--without-temporal", "--json").ok().into(&list)
	for _, m := range list {
		require.True(t, m.Applied, m.File)
	}
	w.run("org", "list").ok()
}

func TestBadEnvironment(t *testing.T) {
	newWorld(t, "HOLDFAST_SMTP_PORT=99999").run("org", "list").fails(exitFailed, "HOLDFAST_SMTP_PORT")
	newWorld(t, "HOLDFAST_HTTP_ADDR=8080").run("demo").fails(exitFailed, "HOLDFAST_HTTP_ADDR")
	newWorld(t, "HOLDFAST_DATABASE_URL=:::").run("org", "list").fails(exitFailed, "HOLDFAST_DATABASE_URL")
}

// TestContributing demands that every path that CONTRIBUTING.md names exists,
// and every make target.
func TestContributing(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	require.NoError(t, err)
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	paths := 0
	for _, quoted := range regexp.MustCompile("`[^`\n]+`").FindAllString(string(text), -1) {
		word := strings.Trim(quoted, "`")
		if target, found := strings.CutPrefix(word, "make "); found {
			require.Contains(t, string(makefile), "\n"+target+":", "make %s", target)
			continue
		}
		if strings.ContainsAny(word, " …(") || !strings.Contains(word, "/") && !strings.HasSuffix(word, ".md") {
			continue
		}
		_, err := os.Stat(filepath.Join("..", word))
		require.NoError(t, err)
		paths++
	}
	require.GreaterOrEqual(t, paths, 15)
}
