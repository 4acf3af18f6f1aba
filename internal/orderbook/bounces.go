package orderbook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
)

// CountBounces counts addresses that an organization reports as bounced under an
// idempotency key, once for each key. It says false, and counts nothing, where
// they are more than most together with those of the window before. Reports of one
// organization that come at the same time wait for each other.
func (b *Book) CountBounces(ctx context.Context, org, key string, addresses, most int64, window time.Duration) (counted bool, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM organization WHERE id = $1 FOR NO KEY UPDATE`, org); err != nil {
			return err
		}
		var known bool
		var before int64
		if err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM bounce_report WHERE org = $1 AND key = $2),
				(SELECT coalesce(sum(addresses), 0)::bigint FROM bounce_report WHERE org = $1 AND at BETWEEN t.now - t.span AND t.now + t.span)
			FROM (SELECT `+clock.SQL("$1", "now()")+` AS now, $3::bigint * interval '1 second' AS span) t`,
			org, key, int64(window.Seconds())).Scan(&known, &before); err != nil {
			return err
		}
		if known || before+addresses > most {
			counted = known
			return nil
		}
		counted = true
		_, err := tx.Exec(ctx, `INSERT INTO bounce_report (org, key, addresses, at) VALUES ($1, $2, $3, `+clock.SQL("$1", "now()")+`)`, org, key, addresses)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("the bounces reported by %s were not counted: %w", org, err)
	}
	return counted, nil
}
