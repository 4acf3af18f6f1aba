package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
)

// What changes about an organization is an event, of the shape that the
// catalogue gives for it.
func TestChangesAreEvents(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	b.org(t, "acme", "rollover-boost", time.Now())
	b.member(t, "acme", "jane", time.Now())
	_, err := b.ChangePlan(ctx, "acme", "rollover-power", time.Now().Add(time.Hour))
	require.NoError(t, err)
	_, err = b.Suspend(ctx, "acme")
	require.NoError(t, err)
	_, err = b.Suspend(ctx, "acme")
	require.NoError(t, err)
	_, err = b.Resume(ctx, "acme")
	require.NoError(t, err)
	_, err = b.RemoveMember(ctx, "acme", "jane")
	require.NoError(t, err)
	_, err = b.CloseOrg(ctx, "acme")
	require.NoError(t, err)

	rows, err := b.pool.Query(ctx, `SELECT topic, payload FROM outbox WHERE payload ->> 'org' = 'acme' AND payload ? 'at' ORDER BY id`)
	require.NoError(t, err)
	topics, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic string
		var data []byte
		err := row.Scan(&topic, &data)
		return topic, errors.Join(err, outbox.Fits(topic, data))
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		outbox.MemberCreated, outbox.PlanChanged, outbox.OrgSuspended, outbox.OrgResumed, outbox.MemberRemoved, outbox.OrgClosed,
	}, topics)
}
