package stand

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/devstack"
	"holdfast/internal/postgres"
)

// Database starts a PostgreSQL as dev runs it, with fsync, or uses the server at
// url, and opens a database with all tables. stop ends what was started.
func Database(ctx context.Context, url string) (pool *pgxpool.Pool, at string, stop func() error, err error) {
	server, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{URL: url})
	if err != nil {
		return nil, "", nil, err
	}
	if err = postgres.Migrate(ctx, server.URL); err == nil {
		pool, err = postgres.Open(ctx, server.SocketURL)
	}
	if err != nil {
		return nil, "", nil, errors.Join(err, server.Stop())
	}
	return pool, server.SocketURL, func() error {
		pool.Close()
		return server.Stop()
	}, nil
}
