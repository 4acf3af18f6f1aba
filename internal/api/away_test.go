package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

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

// What is cut off because its client went away says nothing about the servers:
// before a statement is sent, while it runs, or in Temporal.
func TestAClientThatWentAwayIsNoServerThatDoesNotAnswer(t *testing.T) {
	var lines bytes.Buffer
	a := &API{Config: Config{Log: slog.New(slog.NewTextHandler(&lines, nil))}}
	pool, err := pgxpool.New(t.Context(), "postgres://holdfast@127.0.0.1:1/holdfast") // no server listens on port 1
	require.NoError(t, err)
	defer pool.Close()
	_, refused := pool.Exec(t.Context(), `SELECT 1`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, cut := pool.Exec(ctx, `SELECT 1`)
	require.ErrorIs(t, cut, context.Canceled)
	for _, err := range []error{cut, refused, serviceerror.NewUnavailable("closing"), &client.WorkflowUpdateServiceTimeoutOrCanceledError{}} {
		require.Equal(t, clientGone.Status, a.problem(ctx, err).Status, err)
	}
	require.Empty(t, lines.String())
}
