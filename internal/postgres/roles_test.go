package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// The application's role reads and writes data, and can change neither the
// journal nor the schema.
func TestTheApplicationCannotChangeTheJournal(t *testing.T) {
	ctx := t.Context()
	admin := pgtest.NewURL(t)
	pool, err := postgres.Open(ctx, admin)
	require.NoError(t, err)
	defer pool.Close()
	user := fmt.Sprintf("app_%d_%s", os.Getpid(), pool.Config().ConnConfig.Database)
	_, err = pool.Exec(ctx, `CREATE ROLE "`+user+`" LOGIN PASSWORD 'secret'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		owner, err := postgres.Open(ctx, admin)
		if err == nil {
			_, _ = owner.Exec(ctx, `DROP OWNED BY "`+user+`"; DROP ROLE "`+user+`"`)
			owner.Close()
		}
	})
	for range 2 { // again changes nothing
		require.NoError(t, postgres.MakeRoles(ctx, admin, []string{user}))
	}

	at, err := url.Parse(admin)
	require.NoError(t, err)
	at.User = url.UserPassword(user, "secret")
	app, err := postgres.Open(ctx, at.String())
	require.NoError(t, err)
	defer app.Close()
	require.NoError(t, postgres.CheckVersion(ctx, app))
	_, err = app.Exec(ctx, `INSERT INTO verification_outage (worker, reason, since, seen_at) SELECT '', '', now(), now() WHERE false`)
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE credit_entry SET at = now()`, `DELETE FROM credit_entry`, `TRUNCATE credit_entry`,
		`ALTER TABLE credit_entry DISABLE TRIGGER ALL`, `DROP TABLE orders`, `CREATE TABLE mine (a int)`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`,
	} {
		_, err := app.Exec(ctx, statement)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, statement)
		require.Equal(t, "42501", refused.Code, "%s: %s", statement, refused.Message)
	}
}

// What the role may do is asked of the catalogue, so that no table, sequence or
// function of a migration is forgotten, made before the role or after.
func TestTheApplicationsRightsToEverything(t *testing.T) {
	ctx := t.Context()
	admin := pgtest.NewURL(t)
	require.NoError(t, postgres.MakeRoles(ctx, admin, nil))
	pool, err := postgres.Open(ctx, admin)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(ctx, `CREATE TABLE of_a_later_migration (n bigserial)`)
	require.NoError(t, err)

	data := []string{"DELETE", "INSERT", "SELECT", "UPDATE"}
	less := map[string][]string{
		"credit_entry":     {"INSERT", "SELECT"}, // the journal
		"goose_db_version": {"SELECT"},           // migrations
	}
	rows, err := pool.Query(ctx, `
		SELECT c.relname, coalesce((SELECT array_agg(p ORDER BY p)
			FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p WHERE has_table_privilege($1, c.oid, p)), '{}')
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, postgres.AppRole)
	require.NoError(t, err)
	tables := 0
	var name string
	var may []string
	_, err = pgx.ForEachRow(rows, []any{&name, &may}, func() error {
		tables++
		want, fewer := less[name]
		if !fewer {
			want = data
		}
		require.Equal(t, want, may, name)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, tables, 30)

	var lacking []string
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT coalesce(array_agg(name), '{}') FROM (
			SELECT relname::text AS name FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%'
				AND CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege($1, oid, 'USAGE') END
			UNION ALL
			SELECT proname::text FROM pg_proc
			WHERE pronamespace = 'public'::regnamespace AND NOT has_function_privilege($1, oid, 'EXECUTE')) missing`, postgres.AppRole).Scan(&lacking))
	require.Empty(t, lacking, "sequences and functions")

	var owns, makes, special bool
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid),
			has_schema_privilege(r.oid, 'public', 'CREATE'), rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication
		FROM pg_roles r WHERE rolname = $1`, postgres.AppRole).Scan(&owns, &makes, &special))
	require.False(t, owns || makes || special)
}
