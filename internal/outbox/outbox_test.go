package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
	"holdfast/internal/postgres/pgtest"
)

func event(t *testing.T, topic string, apart ...any) outbox.Event {
	t.Helper()
	e, err := outbox.New("acme", topic, map[string]any{"id": apart}, apart...)
	require.NoError(t, err)
	return e
}

// O1, O2: the same event is written once, in the order in which it was given,
// and not at all when its transaction is not committed.
func TestO1_O2_AnEventIsWrittenOnceAndWithWhatItIsAbout(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	write := func(fail error, events ...outbox.Event) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			return errors.Join(outbox.Write(ctx, tx, events...), fail)
		})
	}
	require.NoError(t, write(nil, event(t, outbox.OrderReserved, "ord_1"), event(t, outbox.OrderCompleted, "ord_1")))
	require.NoError(t, write(nil, event(t, outbox.OrderCompleted, "ord_1"), event(t, outbox.OrderSettled, "ord_1")))
	require.Error(t, write(errors.New("no"), event(t, outbox.OrderFailed, "ord_2")))
	require.NoError(t, write(nil))

	rows, err := pool.Query(ctx, `SELECT key FROM outbox ORDER BY id`)
	require.NoError(t, err)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"order.reserved/ord_1", "order.completed/ord_1", "order.settled/ord_1"}, keys)

	again := pgx.Batch{}
	outbox.Queue(&again, []outbox.Event{event(t, outbox.OrderSettled, "ord_1")})
	require.ErrorContains(t, pool.SendBatch(ctx, &again).Close(), "outbox_key_once", "who writes once finds that it was written")
}

// O3: of all processes one works; when it ends, another takes over and knows
// that it is new to it.
func TestO3_OneProcessLeads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pool := pgtest.New(t)
	var working, most, firsts, calls atomic.Int64
	var all sync.WaitGroup
	ends := make(chan context.CancelFunc, 3)
	report := func(err error) { t.Error(err) }
	for range 3 {
		all.Go(func() {
			mine, end := context.WithCancel(ctx)
			defer end()
			outbox.Lead(mine, pool, report, func(_ context.Context, first bool) error {
				most.Store(max(most.Load(), working.Add(1)))
				defer working.Add(-1)
				calls.Add(1)
				if first {
					firsts.Add(1)
					ends <- end
				}
				return nil
			})
		})
	}
	(<-ends)() // the first leader ends
	(<-ends)() // and the one that took over from it
	<-ends
	// The last one gets what happens.
	before := calls.Load()
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return outbox.Write(ctx, tx, event(t, outbox.OrgClosed))
	}))
	for calls.Load() == before {
		require.NoError(t, t.Context().Err())
	}
	cancel()
	all.Wait()
	require.EqualValues(t, 1, most.Load(), "one at a time")
	require.EqualValues(t, 3, firsts.Load())
	var leases int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM lease`).Scan(&leases))
	require.Zero(t, leases, "the lease is given back")
}

// An error is reported, and the next event is worked on all the same.
func TestO3_WhatRunsBesideALeadEndsWithIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pool := pgtest.New(t)
	var beside, most atomic.Int64
	var all sync.WaitGroup
	leads := make(chan struct{}, 1)
	for range 3 {
		all.Go(func() {
			outbox.Lead(ctx, pool, func(error) {}, func(context.Context, bool) error { return nil }, func(ctx context.Context) {
				most.Store(max(most.Load(), beside.Add(1)))
				defer beside.Add(-1)
				leads <- struct{}{}
				<-ctx.Done()
			})
		})
	}
	<-leads
	cancel()
	all.Wait()
	require.EqualValues(t, 1, most.Load())
	require.Zero(t, beside.Load())
}

// O3: a lease that was taken while the database's clock was ahead, by a process
// that has died, keeps no process waiting for that clock; one that is in force does.
func TestO3_ALeaseOfAnotherTimeIsFree(t *testing.T) {
	for name, c := range map[string]struct {
		until string
		leads bool
	}{
		"it has ended":        {"now() - interval '1 ms'", true},
		"the clock was ahead": {"now() + interval '1 hour'", true},
		"it is in force":      {"now() + interval '10 s'", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			_, err := pool.Exec(t.Context(), `INSERT INTO lease (name, holder, until) VALUES ('outbox', gen_random_uuid(), `+c.until+`)`)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			leads := false
			outbox.Lead(ctx, pool, func(error) {}, func(context.Context, bool) error {
				leads = true
				cancel()
				return nil
			})
			require.Equal(t, c.leads, leads)
		})
	}
}

func TestALeaderGoesOnAfterAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var reported []string
	calls := 0
	outbox.Lead(ctx, pgtest.New(t), func(err error) { reported = append(reported, err.Error()) }, func(context.Context, bool) error {
		if calls++; calls == 3 {
			cancel()
			return nil
		}
		return errors.New("not now")
	})
	require.Equal(t, []string{"not now", "not now"}, reported)
}

// O4: every topic says what it is about, and its data fit themselves and
// nothing else.
func TestO4_TheCatalogueDescribesEveryTopic(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range outbox.Topics {
		require.False(t, seen[topic.Name], topic.Name)
		seen[topic.Name] = true
		require.Regexp(t, `^[A-Z].+\.$`, topic.Says)
		data, err := json.Marshal(topic.Data)
		require.NoError(t, err)
		require.NoError(t, outbox.Fits(topic.Name, data))
		require.Error(t, outbox.Fits(topic.Name, []byte(`{"surprise": 1}`)))
	}
	require.Error(t, outbox.Fits("order.lost", []byte(`{}`)))
}
