package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Away reports whether an error says that the database cannot be reached just now,
// as while it is started again or another server takes over: the same request may
// succeed a moment later.
func Away(err error) bool {
	var refused *pgconn.ConnectError
	var said *pgconn.PgError
	var broken net.Error
	switch {
	case errors.Is(err, context.Canceled): // it was us who ended it
		return false
	case errors.As(err, &said):
		// Connections that failed, a server that stops, crashed, starts, is full, or is
		// no longer the one to write to.
		return strings.HasPrefix(said.Code, "08") || slices.Contains([]string{"57P01", "57P02", "57P03", "53300", "25006"}, said.Code)
	case errors.Is(err, ErrUnreachable), errors.As(err, &refused), errors.Is(err, io.ErrUnexpectedEOF), pgconn.SafeToRetry(err):
		return true
	}
	return errors.As(err, &broken) && !broken.Timeout() // how long we wait is another matter
}
