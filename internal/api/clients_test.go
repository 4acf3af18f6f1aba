package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// openapiTools is where scripts/openapi puts linters and the TypeScript compiler,
// oapiCodegen where make puts the generator of Go clients.
const (
	openapiTools = "holdfast/openapi-1"
	oapiCodegen  = "oapi-codegen-v2.8.2"
)

func cached(t *testing.T, path, how string) string {
	t.Helper()
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		dir = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	path = filepath.Join(dir, path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is missing: %s makes it, where npm and the registries are available", path, how)
	}
	return path
}

// command runs a program in a directory and returns all that it prints.
func command(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// copied copies an example's files into a directory of its own.
func copied(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := os.ReadDir(example)
	require.NoError(t, err)
	for _, file := range files {
		if file.Type().IsRegular() {
			text, err := os.ReadFile(filepath.Join(example, file.Name()))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file.Name()), text, 0o600))
		}
	}
	return dir
}

// description writes what is served at a path into a directory.
func (f *fixture) description(dir, path string) string {
	f.t.Helper()
	file := filepath.Join(dir, filepath.Base(path))
	require.NoError(f.t, os.WriteFile(file, f.call("GET", path, "", nil).is(200).body, 0o600))
	return file
}

// spectralRules are all rules but one: an address to write to is known to who runs the server.
const spectralRules = `
extends: [["spectral:oas", all]]
rules: {contact-properties: off}
`

// Two linters find nothing in the description that is served.
func TestTheDescriptionHasNoFindings(t *testing.T) {
	tools := cached(t, openapiTools, "scripts/openapi")
	f := described()
	dir := t.TempDir()
	text, err := json.Marshal(f.api.OpenAPI())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redocly.yaml"), []byte("extends: [recommended]\ntelemetry: off\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "spectral.yaml"), []byte(spectralRules), 0o600))
	bin := filepath.Join(tools, "node_modules", ".bin")
	t.Run("redocly", func(t *testing.T) {
		out, err := command(t, dir, []string{"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true"}, filepath.Join(bin, "redocly"), "lint", "--max-problems=50", "--config=redocly.yaml", "openapi.json")
		require.NoError(t, err, out)
		require.NotRegexp(t, `You have \d+ warning`, out)
	})
	t.Run("spectral", func(t *testing.T) {
		out, err := command(t, dir, nil, filepath.Join(bin, "spectral"), "lint", "--ruleset=spectral.yaml", "--fail-severity=hint", "openapi.json")
		require.NoError(t, err, out)
	})
}

// run lets a client's program order leads, as many as the credits cover and more.
func (f *fixture) run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	env := func(count int) []string {
		return []string{"HOLDFAST_URL=" + f.url, "HOLDFAST_API_KEY=" + f.jane, fmt.Sprint("COUNT=", count)}
	}
	out, err := command(t, dir, env(20), name, args...)
	require.NoError(t, err, out)
	require.Regexp(t, `settled: (\d+) leads, \d+ credits charged`, out)
	out, err = command(t, dir, env(1000), name, args...)
	require.Error(t, err)
	require.Contains(t, out, "402 insufficient_credits: missing")
}

// A TypeScript program with a client that is generated from the description does the
// main job: it is type-checked and run.
func TestGeneratedClientsTypeScript(t *testing.T) {
	tools := cached(t, openapiTools, "scripts/openapi")
	f := setup(t)
	f.fund(100)
	dir := copied(t, "../../examples/typescript")
	require.NoError(t, os.Symlink(filepath.Join(tools, "node_modules"), filepath.Join(dir, "node_modules")))
	bin := filepath.Join(tools, "node_modules", ".bin")
	out, err := command(t, dir, nil, filepath.Join(bin, "openapi-typescript"), f.description(dir, "/openapi.json"), "-o", "holdfast.d.ts")
	require.NoError(t, err, out)
	out, err = command(t, dir, nil, filepath.Join(bin, "tsc"))
	require.NoError(t, err, out)
	f.run(t, dir, "node", "dist/main.js")
}

// The same in Go: the client is generated, compiled and run.
func TestGeneratedClientsGo(t *testing.T) {
	tool := cached(t, filepath.Join("holdfast/tools", runtime.Version(), oapiCodegen), "make clients")
	f := setup(t)
	f.fund(100)
	dir := copied(t, "../../examples/go-client")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "holdfast"), 0o700))
	out, err := command(t, dir, nil, tool, "-config", "oapi-codegen.yaml", f.description(dir, "/openapi-3.0.json"))
	require.NoError(t, err, out)
	out, err = command(t, dir, []string{"GOFLAGS=-mod=mod"}, "go", "build", "-o", "example", ".")
	require.NoError(t, err, out)
	f.run(t, dir, filepath.Join(dir, "example"))
	require.NotContains(t, strings.ToLower(out), "warning")
}
