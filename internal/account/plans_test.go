package account_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/plan"
)

// I1: storing the same again makes no version, however often and from however
// many programs at once.
func TestPresetsAreStoredOnce(t *testing.T) {
	b := setup(t)
	group, ctx := errgroup.WithContext(t.Context())
	for range 8 {
		group.Go(func() error { return account.New(b.pool).EnsurePresets(ctx) })
	}
	require.NoError(t, group.Wait())
	var plans, newest int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*), max(version) FROM plan`).Scan(&plans, &newest))
	presets, err := plan.Presets()
	require.NoError(t, err)
	require.Equal(t, len(presets), plans)
	require.Equal(t, 1, newest)

	stored, err := b.Plans(t.Context())
	require.NoError(t, err)
	for i, p := range presets {
		p.Version = 1
		require.Equal(t, p, stored[i], "a stored plan is what was stored")
	}
}

// I1: a changed plan is a new version; who is on the old one stays there.
func TestPlanVersions(t *testing.T) {
	b := setup(t)
	b.org(t, "old", "verified-leads", utc("2024-01-01T00:00:00Z"))
	changed := *mustPlan(t, b, "verified-leads")
	changed.Name = "Verified leads, renamed"
	version, err := b.SavePlan(t.Context(), &changed)
	require.NoError(t, err)
	require.Equal(t, 2, version)
	version, err = b.SavePlan(t.Context(), &changed)
	require.NoError(t, err)
	require.Equal(t, 2, version)

	require.Equal(t, 2, mustPlan(t, b, "verified-leads").Version)
	first, err := b.Plan(t.Context(), "verified-leads", 1)
	require.NoError(t, err)
	require.Equal(t, "Verified leads", first.Name)
	org, err := b.Org(t.Context(), "old")
	require.NoError(t, err)
	require.Equal(t, 1, org.PlanVersion)
	require.Equal(t, 2, b.org(t, "new", "verified-leads", utc("2024-01-01T00:00:00Z")).PlanVersion)

	// Back to the first content is a version of its own: versions only go forward.
	version, err = b.SavePlan(t.Context(), first)
	require.NoError(t, err)
	require.Equal(t, 3, version)

	_, err = b.Plan(t.Context(), "verified-leads", 4)
	require.ErrorIs(t, err, account.ErrNotFound)
	_, err = b.SavePlan(t.Context(), &plan.Plan{ID: "broken"})
	require.ErrorIs(t, err, account.ErrInvalid)
	require.ErrorContains(t, err, "The plan was not stored: ")
}

// I1: writers of one plan take turns, so versions have no gap and no double.
func TestConcurrentPlanVersions(t *testing.T) {
	b := setup(t)
	base := *mustPlan(t, b, "verified-leads")
	var seen sync.Map
	group, ctx := errgroup.WithContext(t.Context())
	for i := range 20 {
		group.Go(func() error {
			changed := base
			changed.Name = string(rune('a' + i))
			version, err := b.SavePlan(ctx, &changed)
			if _, twice := seen.LoadOrStore(version, true); twice {
				return account.ErrExists
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, 21, mustPlan(t, b, "verified-leads").Version)
}

func TestNoDatabaseIsAnError(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Plan(ctx, "verified-leads", 0)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, account.ErrNotFound)
}
