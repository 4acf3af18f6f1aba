// Package activities does what workflows decide. Each activity is a thin,
// idempotent adapter: it calls the packages that know how, under keys made from
// the order's ID, and can be repeated after any crash. Contact data stays in
// the database: inputs, results, heartbeats and errors carry IDs and counts.
package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/verify"
)

// Verifier finds out whether addresses can receive mail. Each index of emails
// is reported once, as results come; when it returns early with an error the
// indexes not reported have no result. An error that is a *verify.OutageError
// says that nothing can be verified just now. Preflight looks for one without
// asking for any address.
type Verifier interface {
	Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error
	Preflight(ctx context.Context) error
}

// Activities is what the activities work with. All fields are required on a
// worker; a client that only names activities needs none.
type Activities struct {
	Accounts  *account.Accounts
	Ledger    *ledger.Ledger
	Catalogue *lead.Catalogue
	Book      *orderbook.Book
	Verifier  Verifier
	Phones    Phones

	// Verifies: the process serves the verification queue, too, so that steps that
	// verify little need no other worker.
	Verifies bool

	// RetryQueue is the task queue of the workers that mail hosts see as they see
	// this one. What a host puts off is asked again there. Empty: anywhere.
	RetryQueue string

	// GreylistRetry is how long this worker's verifier waits before it asks a
	// greylisting host again; 0: not known.
	GreylistRetry time.Duration

	// OutageLimit is how long an order waits for verification to work again; 0:
	// without end.
	OutageLimit time.Duration

	together together
}

// heartbeat tells Temporal every second that the activity is alive, with what
// progress returns. The heartbeat is also how a cancellation reaches an activity.
// The function returned stops it.
func heartbeat(ctx context.Context, progress func() any) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx, progress())
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { close(done) }
}

func noProgress() any { return nil }

// atOnce carries a step out whose transactions reach the disk together: of several,
// only the last one waits.
func atOnce[R any](ctx context.Context, a *Activities, step func(context.Context) (R, error)) (result R, err error) {
	waiting := a.Book.Once(ctx, func(ctx context.Context) error {
		result, err = step(ctx)
		return err
	})
	if err != nil {
		return result, err
	}
	return result, toTemporal(waiting)
}
