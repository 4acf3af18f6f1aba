package verdicts

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
)

func TestAnOutageIsNotedAndEnds(t *testing.T) {
	pool := pgtest.New(t)
	o := &oracle{now: time.Now}
	w := NewWatch(pool, o, "worker-1", slog.New(slog.DiscardHandler))
	requireOutage := func(reason string, count int64) {
		t.Helper()
		now, n, err := Outages(t.Context(), pool)
		require.NoError(t, err)
		require.Equal(t, count, n)
		if reason == "" {
			require.Nil(t, now)
			return
		}
		require.NotNil(t, now)
		require.Equal(t, reason, now.Reason)
		require.NotContains(t, now.Message, "@")
	}
	requireOutage("", 0)
	for n := range int64(2) {
		o.err = &verify.OutageError{Reason: verify.Blocked, Hosts: 12, Since: time.Now(), Example: "550 ada@one.example is listed"}
		require.Error(t, w.Preflight(t.Context()))
		require.Error(t, w.Preflight(t.Context()))
		requireOutage("blocked", n+1)
		o.err = nil
		require.NoError(t, w.Preflight(t.Context()))
		requireOutage("", n+1)
	}

	// One that a clock that was ahead has noted, in a worker that is gone.
	o.err = &verify.OutageError{Reason: verify.Blocked, Hosts: 12, Since: time.Now()}
	require.Error(t, w.Preflight(t.Context()))
	requireOutage("blocked", 3)
	require.NoError(t, ReportWorker(t.Context(), pool, WorkerState{Worker: "worker-1"}))
	_, err := pool.Exec(t.Context(), `UPDATE verification_outage SET seen_at = now() + interval '3 hours'`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `UPDATE worker_state SET seen_at = now() + interval '3 hours'`)
	require.NoError(t, err)
	requireOutage("", 3)
	workers, err := Workers(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, workers)
}
