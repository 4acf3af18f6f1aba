// Package postgres opens the database and keeps its schema at the version this
// program was built for. It owns the pool's settings and the order of the
// migrations; what a table means is owned by the package that reads it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// connectTimeout bounds one attempt to connect: a wrong address shall fail
	// while the user still looks at the terminal.
	connectTimeout = 5 * time.Second

	// defaultMaxConns is used unless the URL says pool_max_conns. Verification
	// batches, ledger lanes and pages each hold a connection for milliseconds.
	defaultMaxConns = 16
)

// ErrUnreachable is wrapped by Open when no server answers at the URL, or when
// it turns us away (wrong password, no such database).
var ErrUnreachable = errors.New("PostgreSQL cannot be used")

// Open connects to the database at url (a postgres:// URL or key=value pairs)
// and returns a pool that has been used once, so a wrong URL fails here and not
// at the first query. The error never shows a password.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) { return OpenTraced(ctx, url, nil) }

// OpenTraced is Open with a tracer of all statements; nil for none.
func OpenTraced(ctx context.Context, url string, tracer pgx.QueryTracer) (*pgxpool.Pool, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, unreachable(config.ConnConfig, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unreachable(config.ConnConfig, err)
	}
	return pool, nil
}

func parse(url string) (*pgxpool.Config, error) {
	if strings.TrimSpace(url) == "" {
		return nil, errors.New("no database is configured: set HOLDFAST_DATABASE_URL to a PostgreSQL URL such as postgres://user:password@127.0.0.1:5432/holdfast")
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx masks the password in what it prints.
		return nil, fmt.Errorf("HOLDFAST_DATABASE_URL is not a PostgreSQL URL (postgres://user:password@host:5432/database): %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !strings.Contains(url, "pool_ping_timeout") {
		config.PingTimeout = pongWithin
	}
	config.ConnConfig.DialFunc = dialer(vanishedAfter)
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "holdfast"
	}
	return config, nil
}

// unreachable turns pgx's many-layered connection error into one sentence.
func unreachable(config *pgx.ConnConfig, err error) error {
	where := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	if strings.HasPrefix(config.Host, "/") {
		where = fmt.Sprintf("%s (port %d)", config.Host, config.Port)
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: the server at %s refused us: %s; check HOLDFAST_DATABASE_URL", ErrUnreachable, where, refused.Message)
	}
	// The driver tries TLS and plain, every address of a name, and lists them all;
	// the first says enough.
	cause := err
	var dial *net.OpError
	if errors.As(err, &dial) {
		cause = dial.Err
	}
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	return fmt.Errorf("%w: no server answers at %s (%w); start it or set HOLDFAST_DATABASE_URL", ErrUnreachable, where, cause)
}
