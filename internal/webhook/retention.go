package webhook

import (
	"context"
	"fmt"
	"time"
)

// Kept is how long an event and its deliveries stay after the last attempt to
// deliver it.
const Kept = 30 * 24 * time.Hour

// Remove deletes up to limit events that were published and last tried longer
// than Kept ago, each with all of its deliveries, and returns how many. What is
// pending stays, however old it is. Endpoints that were deleted go when their
// deliveries have gone.
func (w *Webhooks) Remove(ctx context.Context, limit int) (int64, error) {
	tag, err := w.pool.Exec(ctx, `
		WITH old AS MATERIALIZED (
			SELECT o.id FROM outbox o
			WHERE o.published_at < now() - $1::bigint * interval '1 second'
				AND NOT EXISTS (
					SELECT FROM webhook_delivery d
					WHERE d.event = o.id AND (d.status = 'pending'
						OR coalesce(d.attempted_at, d.created_at) >= now() - $1::bigint * interval '1 second'))
			ORDER BY o.published_at LIMIT $2
			FOR UPDATE SKIP LOCKED
		), deliveries AS (
			DELETE FROM webhook_delivery WHERE event IN (SELECT id FROM old))
		DELETE FROM outbox WHERE id IN (SELECT id FROM old)`, int64(Kept.Seconds()), limit)
	if err != nil {
		return 0, fmt.Errorf("old events were not removed: %w", err)
	}
	if _, err := w.pool.Exec(ctx, `
		DELETE FROM webhook_endpoint e
		WHERE id IN (SELECT id FROM webhook_endpoint WHERE deleted_at < now() - $1::bigint * interval '1 second' LIMIT $2)
			AND NOT EXISTS (SELECT FROM webhook_delivery WHERE endpoint = e.id)`, int64(Kept.Seconds()), limit); err != nil {
		return 0, fmt.Errorf("deleted webhooks were not removed: %w", err)
	}
	return tag.RowsAffected(), nil
}
