package devstack

import (
	"archive/zip"
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func startPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop()) })
	return p
}

func query[T any](t *testing.T, url, sql string) (answer T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
	return answer
}

// A private server is safe to leave running: loopback only, a password over TCP,
// and a socket in a folder that no other user may enter.
func TestPostgresIsPrivate(t *testing.T) {
	dir := newDir(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	require.True(t, p.Started)
	require.Equal(t, "127.0.0.1", query[string](t, p.URL, `SHOW listen_addresses`))
	require.Equal(t, "on", query[string](t, p.URL, `SHOW fsync`), "what was committed stays")
	require.Equal(t, "holdfast", query[string](t, p.SocketURL, `SELECT current_database()::text`))

	config, err := pgx.ParseConfig(p.URL)
	require.NoError(t, err)
	config.Password = "guess"
	_, err = pgx.ConnectConfig(t.Context(), config)
	require.ErrorContains(t, err, "password authentication failed")

	for _, name := range []string{"socket", "data"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, name)
	}
}

// Without a directory everything is temporary and nothing is left.
func TestStopLeavesNothing(t *testing.T) {
	p, err := StartPostgres(t.Context(), PostgresOptions{})
	require.NoError(t, err)
	require.DirExists(t, p.remove)
	require.NoError(t, p.Stop())
	require.NoDirExists(t, p.remove)
	requireGone(t, p.server.cmd.Process.Pid)
	require.NoError(t, p.Stop(), "a second time does nothing")
}

// The test databases' server: no TCP, no waiting for the disk.
func TestThrowaway(t *testing.T) {
	p := startPostgres(t, PostgresOptions{Throwaway: true, MaxConnections: 321})
	require.Equal(t, "off", query[string](t, p.URL, `SHOW fsync`))
	require.Equal(t, "321", query[string](t, p.URL, `SHOW max_connections`))
	require.Empty(t, query[string](t, p.URL, `SHOW listen_addresses`))
}

func TestPortTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = StartPostgres(t.Context(), PostgresOptions{Dir: newDir(t), Port: port})
	require.EqualError(t, err, "PostgreSQL cannot listen: port "+strconv.Itoa(port)+" on 127.0.0.1 is taken: stop what uses it or choose another")
	_, err = StartTemporal(t.Context(), TemporalOptions{Dir: newDir(t), Port: port})
	require.EqualError(t, err, "the Temporal server cannot listen: port "+strconv.Itoa(port)+" on 127.0.0.1 is taken: stop what uses it or choose another")
}

// A port that was free at the last start and is taken now is no reason to fail
// without a request.
func TestLastPortTaken(t *testing.T) {
	dir := newDir(t)
	first, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.NoError(t, err)
	config, err := pgx.ParseConfig(first.URL)
	require.NoError(t, err)
	require.NoError(t, first.Stop())
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(config.Port))))
	require.NoError(t, err)
	defer listener.Close()
	second := startPostgres(t, PostgresOptions{Dir: dir})
	require.NotEqual(t, first.URL, second.URL)
	require.Equal(t, 1, query[int](t, second.URL, `SELECT 1`))
}

// A data directory may lie where the user who runs PostgreSQL for root cannot go.
// An ordinary user runs it himself, and goes everywhere he can put a directory.
func TestDirectoryBehindAClosedDoor(t *testing.T) {
	base := os.TempDir()
	if os.Geteuid() == 0 {
		base = "/var" // not temporary: nothing of it is opened
	}
	closed, err := os.MkdirTemp(base, "holdfast-test-") //nolint:usetesting // it must not be temporary
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(closed)) })
	dir := filepath.Join(closed, "deep", "postgres")
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, 1, query[int](t, p.SocketURL, `SELECT 1`))
	require.NoError(t, p.Stop())
	info, err := os.Stat(closed)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "a door that is not ours stays closed")

	at, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(at, "data", "PG_VERSION"))
	again := startPostgres(t, PostgresOptions{Dir: dir})
	require.Equal(t, p.URL, again.URL, "the data is found again")
	require.NoError(t, again.Stop())
	require.NoError(t, RemovePostgres(dir))
	require.NoDirExists(t, at)
	require.NoDirExists(t, dir)
	require.NoError(t, RemovePostgres(dir), "nothing to remove is no error")
}

// Tests and mktemp make directories that are closed to the user who runs
// PostgreSQL for root.
func TestTemporaryDirectory(t *testing.T) {
	dir := filepath.Join(newDir(t), "a", "b")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.Equal(t, 1, query[int](t, startPostgres(t, PostgresOptions{Dir: dir}).SocketURL, `SELECT 1`))
	at, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.Equal(t, dir, at, "the data lies where it was asked for")
}

// initdb that was killed in the middle leaves nothing that looks like a cluster.
func TestHalfACluster(t *testing.T) {
	dir := newDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700))
	p := startPostgres(t, PostgresOptions{Dir: dir})
	require.Equal(t, 1, query[int](t, p.URL, `SELECT 1`))
}

func TestDataOfAnotherVersion(t *testing.T) {
	dir := newDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600))
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	require.ErrorContains(t, err, "is of PostgreSQL 9")
	require.ErrorContains(t, err, "--fresh")
}

func TestNoPostgresInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	places := postgresPlaces
	t.Cleanup(func() { postgresPlaces = places })
	postgresPlaces = []string{filepath.Join(t.TempDir(), "*")}
	_, err := StartPostgres(t.Context(), PostgresOptions{})
	require.EqualError(t, err, "no PostgreSQL server programs (initdb, postgres) were found: install them (`apt-get install postgresql`, `brew install postgresql@17`), or set HOLDFAST_DATABASE_URL to a server you have")
}

// A dev server that cannot be built says what the compiler said, and leaves no
// program that looks whole.
func TestBuildFails(t *testing.T) {
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	for name, text := range map[string]string{"go.mod": "module broken\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { return 1 }\n"} {
		entry, err := writer.Create(name)
		require.NoError(t, err)
		_, err = entry.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, writer.Close())
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	err := build(t.Context(), archive.Bytes(), dir, program, func(string) {})
	require.ErrorContains(t, err, "too many return values")
	require.NoFileExists(t, program)

	t.Setenv("PATH", t.TempDir())
	err = build(t.Context(), archive.Bytes(), dir, program, func(string) {})
	require.ErrorContains(t, err, "install Go")
}
