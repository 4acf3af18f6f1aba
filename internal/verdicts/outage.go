package verdicts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/commit"
	"holdfast/internal/verify"
)

const (
	notedEvery = 30 * time.Second // an outage that goes on is written again
	outageAge  = 20 * time.Minute // one that no worker has seen since is of no interest
)

// Watch notes in the database when a worker cannot verify anything, and when it
// can again. Verdicts pass through it unchanged.
type Watch struct {
	pool   *pgxpool.Pool
	ask    Verifier
	worker string
	log    *slog.Logger

	mu    sync.Mutex
	out   bool // the database says that there is an outage
	fresh bool // it is known what the database says
	noted time.Time
}

// NewWatch returns a watch over a verifier. worker names this machine.
func NewWatch(pool *pgxpool.Pool, ask Verifier, worker string, log *slog.Logger) *Watch {
	return &Watch{pool: pool, ask: ask, worker: worker, log: log}
}

// Preflight tells whether verification can work, see verify.Engine.
func (w *Watch) Preflight(ctx context.Context) error {
	err := w.ask.Preflight(ctx)
	w.note(ctx, err)
	return err
}

// Verify answers for every address, see verify.Engine.
func (w *Watch) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	err := w.ask.Verify(ctx, emails, each)
	w.note(ctx, err)
	return err
}

// repeatEvery keeps an outage that no order runs into from being forgotten.
const repeatEvery = outageAge / 4

// Repeat asks for a preflight, and so notes what it says, now and again and again
// until stop is called.
func (w *Watch) Repeat() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_ = w.Preflight(ctx) // it is noted
			select {
			case <-ctx.Done():
			case <-time.After(repeatEvery):
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// note writes what has changed. A database that is away is no reason to end a
// verification.
func (w *Watch) note(ctx context.Context, err error) {
	var o *verify.OutageError
	out := errors.As(err, &o)
	if err != nil && (!out || o.Reason == verify.BudgetSpent) { // a spent budget is no outage: other addresses may have room
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fresh && w.out == out && (!out || time.Since(w.noted) < notedEvery) {
		return
	}
	ctx, cancel := commit.Through(ctx)
	defer cancel()
	if out {
		if !w.out {
			w.log.Error("Nothing can be verified; orders wait.", "reason", o.Reason, "message", verify.WithoutAddresses(o.Error()))
		}
		_, err = w.pool.Exec(ctx, `
			INSERT INTO verification_outage AS v (worker, reason, message, since, seen_at) VALUES ($1, $2, $3, now(), now())
			ON CONFLICT (worker) DO UPDATE SET
				reason = excluded.reason, message = excluded.message, seen_at = excluded.seen_at, ended_at = NULL,
				since = CASE WHEN v.ended_at IS NULL THEN v.since ELSE excluded.since END,
				outages = v.outages + CASE WHEN v.ended_at IS NULL THEN 0 ELSE 1 END`,
			w.worker, string(o.Reason), verify.WithoutAddresses(o.Error()))
	} else {
		if w.out {
			w.log.Info("Verification works again.")
		}
		_, err = w.pool.Exec(ctx, `UPDATE verification_outage SET ended_at = now() WHERE worker = $1 AND ended_at IS NULL`, w.worker)
	}
	if err != nil {
		w.log.Warn("The state of verification could not be written; the next call tries again.", "error", err)
		return
	}
	w.out, w.fresh, w.noted = out, true, time.Now()
}

// Outage is one that lasts.
type Outage struct {
	Reason, Message string
	Since           time.Time
}

// Outages returns an outage that some worker meets now, nil where there is none,
// and how many there have been.
func Outages(ctx context.Context, pool *pgxpool.Pool) (now *Outage, count int64, err error) {
	if err := pool.QueryRow(ctx, `SELECT coalesce(sum(outages), 0)::bigint FROM verification_outage`).Scan(&count); err != nil {
		return nil, 0, fmt.Errorf("the state of verification cannot be read: %w", err)
	}
	var o Outage
	err = pool.QueryRow(ctx, `
		SELECT reason, message, since FROM verification_outage
		WHERE ended_at IS NULL AND seen_at BETWEEN now() - $1::interval AND now() + $1::interval ORDER BY since LIMIT 1`, outageAge).Scan(&o.Reason, &o.Message, &o.Since)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, count, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the state of verification cannot be read: %w", err)
	}
	return &o, count, nil
}
