package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ClockTolerance is how far the clocks of the database and of this process may
// be apart. Credits expire by the database's clock and an organization's time
// never runs backwards, so one statement under a wrong clock could not be undone.
const ClockTolerance = 5 * time.Minute

// ErrClock says that the clocks differ by more than ClockTolerance. Nothing is
// written until they agree.
var ErrClock = errors.New("the clocks of the database and of this process differ by more than 5 minutes; set them right")

// checkClock compares the database's time with this process's.
func checkClock(database time.Time) error {
	process := time.Now()
	if d := database.Sub(process); d > ClockTolerance || d < -ClockTolerance {
		return fmt.Errorf("%w: it is %s in the database and %s here", ErrClock,
			database.UTC().Format(time.RFC3339), process.UTC().Format(time.RFC3339))
	}
	return nil
}

// CheckClock returns ErrClock where the ledger refuses to write because of the
// time.
func (l *Ledger) CheckClock(ctx context.Context) error {
	var now time.Time
	if err := l.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return fmt.Errorf("the database's time cannot be read: %w", err)
	}
	return checkClock(now)
}
