package account

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/plan"
)

// Periods returns the credit periods of an organization's pools that contain t,
// the time at which org was read or soon after: by member, "" being the
// organization itself. A pool whose member holds no licence has the zero period.
func (a *Accounts) Periods(ctx context.Context, org Org, t time.Time, pools []string) (map[string]plan.Period, error) {
	if known := a.periods.get(org, pools); known != nil {
		return known, nil
	}
	rows, _ := a.pool.Query(ctx, `SELECT member, anchor, created_at FROM subscription WHERE org = $1`, org.ID)
	periods := map[string]plan.Period{}
	for _, pool := range pools {
		periods[pool] = plan.Period{}
	}
	var member string
	var anchor, created time.Time
	_, err := pgx.ForEachRow(rows, []any{&member, &anchor, &created}, func() (err error) {
		periods[member], err = periodAt(anchor, created, t, org.TimeZone)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the periods of %s cannot be read: %w", org.ID, err)
	}
	a.periods.put(org, periods)
	return periods, nil
}

// periods keeps the periods of the organizations that were asked for. They are
// good until the first of them ends, which is when a subscription falls due.
type periods struct {
	mu    sync.Mutex
	known map[string]knownPeriods
}

type knownPeriods struct {
	dueAt  time.Time
	zone   string
	byPool map[string]plan.Period // never changed
}

// keptPeriods bounds the memory; beyond it everything is read again.
const keptPeriods = 10_000

func (p *periods) get(org Org, pools []string) map[string]plan.Period {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.known[org.ID]
	if !ok || !known.dueAt.Equal(org.DueAt) || known.zone != org.TimeZone ||
		slices.ContainsFunc(pools, func(pool string) bool { _, ok := known.byPool[pool]; return !ok }) {
		return nil
	}
	return known.byPool
}

func (p *periods) put(org Org, byPool map[string]plan.Period) {
	if org.Due {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= keptPeriods {
		p.known = map[string]knownPeriods{}
	}
	p.known[org.ID] = knownPeriods{org.DueAt, org.TimeZone, byPool}
}
