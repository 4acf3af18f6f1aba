package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v82/webhook"
)

// block is a fenced block of a page: commands of a shell or a request.
type block struct{ kind, text string }

var fence = regexp.MustCompile("(?ms)^```(sh|http|http operator)\n(.*?)\n```$")

func blocksOf(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", page))
	require.NoError(t, err)
	for _, found := range fence.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, block{found[1], found[2]})
	}
	return blocks
}

// runBy says what runs the blocks of each page.
var runBy = map[string]string{
	"README.md":                     "TestReadme, TestDev, make demo and make test themselves",
	"docs/backup.md":                "internal/reconcile TestABackupIsRestored…, TestDev",
	"docs/billing.md":               "TestDev",
	"docs/concepts.md":              "TestDev",
	"docs/scale.md":                 "TestCells",
	"docs/temporal.md":              "TestProductionSettings, by the same calls of Temporal's API",
	"docs/test-clocks.md":           "internal/api TestTheExampleOfTheDocs",
	"docs/tutorial.md":              "TestDev",
	"docs/webhooks.md":              "TestDev",
	"examples/go-client/README.md":  "internal/api TestGeneratedClientsGo",
	"examples/typescript/README.md": "internal/api TestGeneratedClientsTypeScript",
	"docs/runbooks/*":               "TestDev, see runbooks_test.go",
}

// A page with commands or requests has something that runs them, and what its
// sentences name is a command that would run.
func TestEveryCommandOfTheDocumentationIsRun(t *testing.T) {
	blocks, named := 0, 0
	command := regexp.MustCompile("`holdfast ([a-z][^`…]*)`")
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		page, _ := filepath.Rel("..", path)
		if d.IsDir() && (d.Name() == "node_modules" || page == "bin" || strings.HasPrefix(d.Name(), ".") && page != ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(page) != ".md" || page == "CHANGELOG.md" {
			return nil
		}
		if found := blocksOf(t, page); len(found) > 0 {
			blocks += len(found)
			require.True(t, runBy[page] != "" || runBy[filepath.Dir(page)+"/*"] != "", "%s has commands that no test runs", page)
			for _, b := range found {
				for line := range strings.Lines(b.text) {
					if call, ours := strings.CutPrefix(line, "holdfast "); ours {
						call, _, _ = strings.Cut(call, " #")
						call, _, _ = strings.Cut(call, " > ")
						isCommand(t, page, call)
					}
				}
			}
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, match := range command.FindAllStringSubmatch(string(text), -1) {
			if page == "docs/cli.md" {
				continue // TestHelp does its examples, and usage lines are no commands
			}
			named++
			isCommand(t, page, match[1])
		}
		return nil
	}))
	require.Greater(t, blocks, 50)
	require.Greater(t, named, 20)
}

// isCommand demands that a sentence names a command, and flags that it has.
func isCommand(t *testing.T, page, line string) {
	t.Helper()
	line = strings.TrimSpace(line)
	root := newCLI(strings.NewReader(""), io.Discard, io.Discard).root
	cmd, rest, err := root.Find(words(line))
	require.NoError(t, err, "%s: holdfast %s", page, line)
	require.NotSame(t, root, cmd, "%s: holdfast %s", page, line)
	if err := cmd.ParseFlags(rest); err != nil {
		require.ErrorContains(t, err, "needs an argument", "%s: holdfast %s", page, line) // only the flag is named
	}
}

// reader is a person who follows a page on a running stack.
type reader struct {
	*world
	at    addresses
	org   string // in place of the page's "bluebird"
	names []string
	key   string // of the admin
	hooks *httptest.Server
}

// documentation does what the pages say, on a running stack.
func documentation(t *testing.T, w *world, at addresses) {
	t.Helper()
	path := filepath.Join(w.dir, "path")
	require.NoError(t, os.Mkdir(path, 0o755))
	require.NoError(t, os.Symlink(binary(), filepath.Join(path, "holdfast")))
	known := *w
	known.env = append(slices.Clone(w.env), "PATH="+path+":"+os.Getenv("PATH"))
	hooks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hooks.Close()
	for _, page := range []string{"tutorial", "concepts", "billing", "webhooks"} {
		t.Run(page, func(t *testing.T) {
			known := known
			known.t = t
			r := &reader{world: &known, at: at, org: "bluebird-" + page, hooks: hooks}
			if page == "billing" || page == "webhooks" {
				known.run("org", "create", r.org, "--plan", "rollover-boost").ok()
				known.run("member", "create", "ann", "--org", r.org, "--role", "admin").ok()
			}
			r.follow("docs/" + page + ".md")
		})
	}
	t.Run("backup", func(t *testing.T) {
		known := known
		known.t, known.env = t, append(known.env, "HOLDFAST_DATABASE_URL="+at.DatabaseURL)
		r := &reader{world: &known, at: at}
		if _, err := exec.LookPath("pg_dump"); err != nil {
			t.Skip("pg_dump is not on this PATH")
		}
		r.shell(blocksOf(t, "docs/backup.md"))
		require.FileExists(t, filepath.Join(w.dir, "journal-head.json"))
	})
}

// follow runs the blocks of a page in their order.
func (r *reader) follow(page string) {
	r.t.Helper()
	var commands []block
	for _, b := range blocksOf(r.t, page) {
		if b.kind == "sh" {
			if !strings.HasPrefix(b.text, "holdfast dev ") { // it runs
				commands = append(commands, b)
			}
			continue
		}
		r.send(page, b)
	}
	if len(commands) > 0 {
		said := r.shell(commands)
		if page == "docs/tutorial.md" {
			for _, part := range []string{`"role":"admin"`, `"covered":true`, "settled", "email", `"kind":"release"`, "The books balance"} {
				require.Contains(r.t, said, part)
			}
		}
	}
}

// shell runs commands in one shell, which stops where one fails.
func (r *reader) shell(blocks []block) (said string) {
	r.t.Helper()
	script := "set -euo pipefail\n"
	for _, b := range blocks {
		script += b.text + "\n"
	}
	script = strings.ReplaceAll(script, "http://127.0.0.1:8080", r.at.Dashboard)
	if r.org != "" {
		script = strings.ReplaceAll(script, "bluebird", r.org)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s\n%s", script, out)
	return string(out)
}

var headerLine = regexp.MustCompile(`^([A-Za-z-]+): (.+)$`)

// send sends a request as a page shows it: a line with method and path, headers,
// a body. Names in capitals stand for the ids that answers before had.
func (r *reader) send(page string, b block) {
	r.t.Helper()
	text := strings.NewReplacer(append([]string{"bluebird", r.org, "https://example.com/holdfast", r.hooks.URL}, r.names...)...).Replace(b.text)
	first, rest, _ := strings.Cut(text, "\n")
	method, path, _ := strings.Cut(first, " ")
	headers := map[string]string{"Content-Type": "application/json"}
	for {
		line, more, _ := strings.Cut(rest, "\n")
		match := headerLine.FindStringSubmatch(line)
		if match == nil {
			rest = strings.TrimPrefix(rest, "\n")
			break
		}
		headers[match[1]], rest = match[2], more
	}
	operator := b.kind == "http operator"
	key := r.at.OperatorKey
	if !operator {
		key = r.admin()
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.at.API+path, strings.NewReader(rest))
	require.NoError(r.t, err)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	require.Less(r.t, response.StatusCode, 300, "%s: %s\n%s", page, text, answer)

	var made struct{ ID, URL, Status string }
	what, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "?")
	name := map[string]string{"orders": "ORDER", "webhooks": "WEBHOOK", "lists": "LIST"}[what]
	if method == http.MethodPost && (name != "" || what == "checkout") {
		require.NoError(r.t, json.Unmarshal(answer, &made), "%s", answer)
		require.NotEmpty(r.t, made.ID, "%s", answer)
		r.names = append(r.names, name, made.ID)
	}
	switch {
	case what == "orders" && method == http.MethodPost:
		require.Contains(r.t, string(answer), `"status":"completed"`, "within 30 s")
	case what == "checkout":
		require.NotEmpty(r.t, made.URL)
		r.names = r.names[:len(r.names)-2]
		r.pay(made.ID)
	case what == "purchases":
		require.Contains(r.t, string(answer), `"amount":9`, "it was bought")
	case strings.HasSuffix(what, "/test"):
		require.Contains(r.t, string(answer), `"code":200`)
	}
}

// admin is the key of the organization's admin.
func (r *reader) admin() string {
	r.t.Helper()
	if r.key == "" {
		r.key = strings.TrimSpace(r.run("key", "create", "--org", r.org, "--member", "ann").ok().stdout)
	}
	return r.key
}

const stripeSecret = "whsec_documentation"

// stripeServer speaks Stripe's format as far as a purchase needs it.
func stripeServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := `{"id":"cs_documentation","object":"checkout.session","url":"https://checkout.example/1","expires_at":1900000000}`
		if strings.HasSuffix(r.URL.Path, "/line_items") {
			answer = `{"object":"list","has_more":false,"data":[{"id":"li_1","object":"item","quantity":2,"amount_total":9800,"price":{"id":"price_1"}}]}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server
}

// pay reports, as Stripe does, that a checkout was paid.
func (r *reader) pay(session string) {
	r.t.Helper()
	event := fmt.Appendf(nil, `{"id":"evt_documentation","object":"event","created":%d,"type":"checkout.session.completed","data":{"object":{"id":%q,"object":"checkout.session","mode":"payment","payment_status":"paid","client_reference_id":%q,"customer":"cus_documentation","payment_intent":"pi_documentation","amount_total":9800,"currency":"eur"}}}`,
		time.Now().Unix(), session, r.org)
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: event, Secret: stripeSecret})
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.at.API+"/integrations/stripe/webhook", strings.NewReader(string(event)))
	require.NoError(r.t, err)
	request.Header.Set("Stripe-Signature", signed.Header)
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(r.t, http.StatusOK, response.StatusCode)
}
