package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

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
