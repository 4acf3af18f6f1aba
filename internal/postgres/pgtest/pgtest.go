// Package pgtest gives each test a PostgreSQL database of its own, with the
// newest schema, in a few milliseconds: the schema is migrated once into a
// template database, and every test gets a copy of it.
//
// The server is the one at HOLDFAST_DATABASE_URL (its user must be allowed to
// create databases), or else a private one that all test processes of this user
// share; see server.go. A test fails where neither is available; it never skips.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres"
)

// New returns a pool on a fresh, migrated database. Pool and database go away
// with the test.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), NewURL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// NewURL is New for those who open their own connections: the URL of a fresh,
// migrated database that goes away with the test.
func NewURL(t testing.TB) string {
	t.Helper()
	s := setup(t)
	return s.create(t, s.template)
}

// NewEmptyURL is NewURL without any schema.
func NewEmptyURL(t testing.TB) string {
	t.Helper()
	return setup(t).create(t, "template0")
}

// server is where the databases of this process's tests are made.
type server struct {
	url      string // of a database to create others from
	template string // the migrated database
	strategy string // how to copy it, where we know better than the server
	users    *os.File
}

var shared struct {
	sync.Mutex
	*server // made by the first test
}

func setup(t testing.TB) *server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		return shared.server
	}
	// Not the test's context: what is made here serves the tests after it too.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := findServer(ctx)
	require.NoError(t, err, "tests need a PostgreSQL server")
	require.NoError(t, s.ensureTemplate(ctx), "the template database for tests could not be made")
	shared.server = s
	return s
}

// ensureTemplate migrates a database once per state of the migrations, however
// many test processes ask for it at the same time.
func (s *server) ensureTemplate(ctx context.Context) error {
	hash := sha256.New()
	files := postgres.Migrations()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
	}
	s.template = "holdfast_template_" + hex.EncodeToString(hash.Sum(nil)[:6])

	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, s.template); err != nil {
		return err
	}
	var ready bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, s.template).Scan(&ready); err != nil || ready {
		return err
	}
	// It gets its name when it is complete: a killed test leaves no half template.
	building := s.template + "_building"
	for _, statement := range []string{
		`DROP DATABASE IF EXISTS ` + quote(building) + ` WITH (FORCE)`,
		`CREATE DATABASE ` + quote(building) + ` TEMPLATE template0`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := postgres.Migrate(ctx, withDatabase(s.url, building)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `ALTER DATABASE `+quote(building)+` RENAME TO `+quote(s.template))
	return err
}

func (s *server) create(t testing.TB, template string) string {
	t.Helper()
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails
	name := fmt.Sprintf("holdfast_test_%d_%s", os.Getpid(), hex.EncodeToString(random))
	exec := func(ctx context.Context, statement string) error {
		conn, err := pgx.Connect(ctx, s.url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		_, err = conn.Exec(ctx, statement)
		return err
	}
	require.NoError(t, retryBusy(func() error {
		return exec(t.Context(), `CREATE DATABASE `+quote(name)+` TEMPLATE `+quote(template)+s.strategy)
	}), "the test's database could not be made")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, exec(ctx, `DROP DATABASE IF EXISTS `+quote(name)+` WITH (FORCE)`), "the test's database could not be dropped")
	})
	return withDatabase(s.url, name)
}

// retryBusy repeats for a while when the template is in use: autovacuum, or a
// backup, may be looking at it.
func retryBusy(do func() error) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := do()
		var busy *pgconn.PgError
		if !errors.As(err, &busy) || busy.Code != "55006" || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// withDatabase puts another database's name into a URL or a key=value string.
func withDatabase(server, name string) string {
	if u, err := url.Parse(server); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + name
		return u.String()
	}
	return server + " dbname=" + name
}
