package verdicts

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ReportEvery is how often a worker says how its verification is.
const ReportEvery = 15 * time.Second

// WorkerState is how verification is in one worker.
type WorkerState struct {
	Worker    string    `json:"-"`
	SeenAt    time.Time `json:"-"`
	Build     string    `json:"build"`
	Sessions  int       `json:"sessions"`          // mail sessions that are open
	Waiting   int       `json:"waiting"`           // mail hosts that wait for a session
	Resting   []string  `json:"resting,omitempty"` // identities that mail hosts refuse
	Verifiers []string  `json:"verifiers"`         // in the order in which they are asked
	Closed    []string  `json:"closed,omitempty"`  // of these, those that are not asked now
}

// ReportWorker writes how verification is in this worker, and forgets workers
// that are gone.
func ReportWorker(ctx context.Context, pool *pgxpool.Pool, s WorkerState) error {
	_, err := pool.Exec(ctx, `
		WITH gone AS (DELETE FROM worker_state WHERE seen_at NOT BETWEEN now() - interval '1 day' AND now() + interval '1 day' AND worker <> $1)
		INSERT INTO worker_state (worker, state) VALUES ($1, $2) ON CONFLICT (worker) DO UPDATE SET state = excluded.state, seen_at = now()`, s.Worker, s)
	if err != nil {
		return fmt.Errorf("the state of verification cannot be written: %w", err)
	}
	return nil
}

// Workers lists the workers that have reported lately.
func Workers(ctx context.Context, pool *pgxpool.Pool) ([]WorkerState, error) {
	rows, _ := pool.Query(ctx, `SELECT worker, seen_at, state FROM worker_state WHERE seen_at BETWEEN now() - $1 * interval '1 millisecond' AND now() + $1 * interval '1 millisecond' ORDER BY worker`, (4 * ReportEvery).Milliseconds())
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s WorkerState, err error) {
		var worker string
		var seen time.Time
		err = row.Scan(&worker, &seen, &s)
		s.Worker, s.SeenAt = worker, seen
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("the state of verification cannot be read: %w", err)
	}
	return list, nil
}
