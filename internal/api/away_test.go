package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/errcode"
)

// A database that is away is no fault of the request's, nor one that a program has
// to report: it repeats the request. Anything else that is not known stays a 500.
func TestADatabaseThatIsAwayIsUnavailable(t *testing.T) {
	a := &API{Config: Config{Log: slog.New(slog.DiscardHandler)}}
	pool, err := pgxpool.New(t.Context(), "postgres://holdfast@127.0.0.1:1/holdfast") // no server listens on port 1
	require.NoError(t, err)
	defer pool.Close()
	_, refused := pool.Exec(t.Context(), `SELECT 1`)
	require.Error(t, refused)
	for _, err := range []error{refused, &pgconn.PgError{Code: "57P01"}, &pgconn.PgError{Code: "57P03"}} {
		p := a.problem(t.Context(), fmt.Errorf("reading order ord_1: %w", err))
		require.Equal(t, http.StatusServiceUnavailable, p.Status, err)
		require.Equal(t, errcode.Unavailable.Code, p.Code)
		require.Equal(t, databaseAway, p.Detail)
	}
	for _, err := range []error{errors.New("a fault"), &pgconn.PgError{Code: "42P01"}} {
		require.Equal(t, http.StatusInternalServerError, a.problem(t.Context(), err).Status, err)
	}
}
