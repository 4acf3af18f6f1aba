package postgres_test

import (
	"context"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// Any number of processes may migrate at once.
func TestMigrateAtOnce(t *testing.T) {
	ctx := t.Context()
	url := pgtest.NewEmptyURL(t)
	before, err := postgres.Status(ctx, url)
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for _, m := range before {
		require.False(t, m.Applied, m.File)
	}
	var all sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		all.Go(func() { errs[i] = postgres.Migrate(ctx, url) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	after, err := postgres.Status(ctx, url)
	require.NoError(t, err)
	require.Len(t, after, len(before))
	for _, m := range after {
		require.True(t, m.Applied, m.File)
		require.False(t, m.AppliedAt.IsZero(), m.File)
	}
}

// Every migration can be taken back, and nothing of it stays.
func TestMigrationsGoDown(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, postgres.Migrations(), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = provider.DownTo(ctx, 0)
	require.NoError(t, err)
	var left []string
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT coalesce(array_agg(what ORDER BY what), '{}') FROM (
			SELECT relname::text AS what FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose_%'
			UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		) AS everything`).Scan(&left))
	require.Empty(t, left)
	_, err = provider.Up(ctx)
	require.NoError(t, err)
	require.NoError(t, postgres.CheckVersion(ctx, pool))
}

func TestCheckVersion(t *testing.T) {
	ctx := t.Context()
	empty, err := postgres.Open(ctx, pgtest.NewEmptyURL(t))
	require.NoError(t, err)
	defer empty.Close()
	err = postgres.CheckVersion(ctx, empty)
	require.ErrorIs(t, err, postgres.ErrSchemaOld)
	require.ErrorContains(t, err, "holdfast migrate")

	pool := pgtest.New(t)
	require.NoError(t, postgres.CheckVersion(ctx, pool))
	_, err = pool.Exec(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	require.NoError(t, err)
	require.ErrorIs(t, postgres.CheckVersion(ctx, pool), postgres.ErrSchemaNew)
	require.ErrorIs(t, postgres.Migrate(ctx, pool.Config().ConnString()), postgres.ErrSchemaNew)
}

// Numbers are dense and names are small words, so that the order is plain.
func TestMigrationNames(t *testing.T) {
	files, err := fs.Glob(postgres.Migrations(), "*.sql")
	require.NoError(t, err)
	seen := map[string]string{}
	for _, name := range files {
		require.Regexp(t, `^[0-9]{4}_[a-z_]+\.sql$`, name)
		number, _, _ := strings.Cut(name, "_")
		require.Empty(t, seen[number], "%s has a number twice", name)
		seen[number] = name
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	ctx := t.Context()
	_, err := postgres.Open(ctx, "")
	require.EqualError(t, err, "no database is configured: set HOLDFAST_DATABASE_URL to a PostgreSQL URL such as postgres://user:password@127.0.0.1:5432/holdfast")

	_, err = postgres.Open(ctx, "postgres://u:secret@127.0.0.1:notaport/db")
	require.ErrorContains(t, err, "HOLDFAST_DATABASE_URL is not a PostgreSQL URL")
	require.NotContains(t, err.Error(), "secret")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, err = postgres.Open(ctx, "postgres://u:secret@"+address+"/db")
	require.ErrorIs(t, err, postgres.ErrUnreachable)
	require.ErrorContains(t, err, "no server answers at "+address)
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "\n")
	require.ErrorIs(t, postgres.Migrate(ctx, "postgres://u:secret@"+address+"/db"), postgres.ErrUnreachable)

	missing, err := url.Parse(pgtest.NewEmptyURL(t))
	require.NoError(t, err)
	missing.Path = "/nowhere"
	_, err = postgres.Open(ctx, missing.String())
	require.ErrorIs(t, err, postgres.ErrUnreachable)
	require.ErrorContains(t, err, `database "nowhere" does not exist`)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = postgres.Open(ended, pgtest.NewEmptyURL(t))
	require.ErrorIs(t, err, context.Canceled)
}
