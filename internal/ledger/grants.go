package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
)

// GrantState is a grant and where its credits are. Amount is the sum of
// Waiting, Available, Held, Spent, Expired and Voided.
type GrantState struct {
	No        int64
	Pool      string
	Type      string
	Source    Source
	Priority  int32
	GrantedAt time.Time
	StartsAt  time.Time // zero = when it was granted
	ExpiresAt time.Time // zero = never
	Amount    int64
	Waiting   int64 // for StartsAt; also where that time has come and nothing touched it since
	Available int64 // also where the grant's time is over and it was not touched since
	Held      int64
	Spent     int64 // captured and not reversed
	Expired   int64
	Voided    int64 // taken back, or moved into another grant: rolled over or reinstated
}

// GrantFilter selects grants. Empty fields select everything.
type GrantFilter struct {
	Owner  string
	Pool   *string // "" is the shared pool
	Type   string
	Live   bool   // only those with credits available or held
	Cursor string // of the page before
	Limit  int    // 100 by default, at most 1,000
}

// ListGrants returns a page of an organization's grants, newest first, and the
// cursor of the next page, empty on the last one.
func (l *Ledger) ListGrants(ctx context.Context, f GrantFilter) (page []GrantState, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, 1000)
	below, ok := database.Below(f.Cursor, 10)
	if !ok {
		return nil, "", invalid("the cursor %q is not one that a page of grants gave", f.Cursor)
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT no, pool, type, source, priority, granted_at, coalesce(starts_at, '0001-01-01Z') AS starts_at,
			coalesce(expires_at, '0001-01-01Z') AS expires_at, amount, waiting, available, held, captured AS spent, expired, voided
		FROM credit_grant
		WHERE owner = $1 AND no < $2 AND ($3::text IS NULL OR pool = $3) AND ($4 = '' OR type = $4) AND (NOT $5 OR live)
		ORDER BY no DESC LIMIT $6`, f.Owner, below, f.Pool, f.Type, f.Live, f.Limit+1)
	page, err = pgx.CollectRows(rows, pgx.RowToStructByName[GrantState])
	if err != nil {
		return nil, "", fmt.Errorf("the grants of %q cannot be read: %w", f.Owner, err)
	}
	for i := range page {
		g := &page[i]
		g.GrantedAt, g.StartsAt, g.ExpiresAt = g.GrantedAt.UTC(), g.StartsAt.UTC(), g.ExpiresAt.UTC()
	}
	page, next = database.Cut(page, f.Limit, 10, func(g GrantState) int64 { return g.No })
	return page, next, nil
}
