package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	leaseFor   = 15 * time.Second // how long a process that dies keeps the others waiting
	renewEvery = leaseFor / 3
	pollEvery  = time.Second           // where no notification comes through
	workWithin = 5 * time.Minute       // with a database that says nothing any more, work would never end
	gather     = 20 * time.Millisecond // what is written in this time is carried on together
)

// Lead runs work in one process at a time, of all that call it on a database,
// until ctx is done: again and again, when there are new events, and at least
// once a second. Another process takes over within seconds when this one dies;
// for that long, two may work at the same time. first is true for the first call
// since this process has taken over. Each of beside runs next to it for as long as
// this process leads: its context ends with the lead.
//
// An error of work is reported and does not end the lead.
func Lead(ctx context.Context, pool *pgxpool.Pool, report func(error), work func(ctx context.Context, first bool) error, beside ...func(context.Context)) {
	l := leader{pool: pool, id: uuid.New(), report: report, beside: beside}
	defer l.resign()
	for ctx.Err() == nil {
		leading, err := l.renew(ctx)
		if err != nil && ctx.Err() == nil {
			report(err)
		}
		if !leading {
			pause(ctx, renewEvery)
			continue
		}
		l.lead(ctx, work)
	}
}

type leader struct {
	pool   *pgxpool.Pool
	id     uuid.UUID
	report func(error)
	beside []func(context.Context)
}

// lead works until the lease is lost or ctx is done.
func (l *leader) lead(ctx context.Context, work func(ctx context.Context, first bool) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan struct{}, 1)
	var beside sync.WaitGroup
	beside.Go(func() { l.listen(ctx, news) })
	for _, run := range l.beside {
		beside.Go(func() { run(ctx) })
	}
	defer func() { cancel(); beside.Wait() }()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	renewed := time.Now()
	for first := true; ; first = false {
		if err := within(ctx, workWithin, func(ctx context.Context) error { return work(ctx, first) }); err != nil && ctx.Err() == nil {
			l.report(err)
		}
		if time.Since(renewed) > renewEvery {
			leading, err := l.renew(ctx)
			if err != nil || !leading {
				return
			}
			renewed = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
			pause(ctx, gather)
		case <-poll.C:
		}
	}
}

func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// renew takes the lease, where it is free, or keeps it. One that ends later than any
// lease that begins now was written by a clock that was ahead; it is free, too.
func (l *leader) renew(ctx context.Context) (leading bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseFor)
	defer cancel()
	tag, err := l.pool.Exec(ctx, `
		INSERT INTO lease (name, holder, until) VALUES ('outbox', $1, now() + $2 * interval '1 millisecond')
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE lease.holder = excluded.holder OR lease.until NOT BETWEEN now() AND excluded.until`, l.id, leaseFor.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("the lease on the outbox cannot be had: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// resign gives the lease back, so that another process need not wait for its
// end.
func (l *leader) resign() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = l.pool.Exec(ctx, `DELETE FROM lease WHERE name = 'outbox' AND holder = $1`, l.id) // else it ends by itself
}

// listen passes on that there are new events, as PostgreSQL notifies of them.
// Without a connection that is able to, polling has to do.
func (l *leader) listen(ctx context.Context, news chan<- struct{}) {
	for ctx.Err() == nil {
		if err := l.hear(ctx, news); err != nil {
			pause(ctx, renewEvery)
		}
	}
}

func (l *leader) hear(ctx context.Context, news chan<- struct{}) error {
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// Closed rather than given back: it would go on listening.
	defer func() { _ = conn.Hijack().Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `LISTEN outbox`); err != nil {
		return err
	}
	for {
		if _, err := conn.Conn().WaitForNotification(ctx); err != nil {
			return err
		}
		select {
		case news <- struct{}{}:
		default: // work is due already
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
