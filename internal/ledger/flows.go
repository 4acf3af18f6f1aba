package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Flow is what became of credits that came from one of the grants asked for,
// also after they were moved into another grant.
type Flow struct {
	At      time.Time
	Root    int64    // of the grant that they came from
	Kind    FlowKind // what became of them
	Credits int64    // negative: credited back, or restored
}

// FlowKind is where credits end.
type FlowKind string

// The ends of credits.
const (
	FlowUsed    FlowKind = "used"
	FlowExpired FlowKind = "expired"
	FlowVoided  FlowKind = "voided"
)

// Flows follows an organization's journal and returns what became of credits of
// some grants before a time, in the order of time: grants names a root for each.
// restored names the root of a grant, by the key that it was given under, that
// gives back what was taken from one of them. What has expired counts at its
// expiry, whether something has touched it since or not.
func (l *Ledger) Flows(ctx context.Context, owner string, grants map[int64]int64, restored func(key string) (int64, bool), before time.Time) ([]Flow, error) {
	t := tracer{lots: map[int64]*traced{}, restored: restored}
	for grant, root := range grants {
		t.lots[grant] = &traced{shares: []tracedShare{{root: root}}}
	}
	rows, _ := l.pool.Query(ctx, `SELECT seq, kind, coalesce(key, ''), at, convert_to(postings::text, 'UTF8') FROM credit_entry
		WHERE owner = $1 AND at < $2 ORDER BY seq`, owner, before)
	var e entry
	if _, err := pgx.ForEachRow(rows, []any{&e.seq, &e.kind, &e.key, &e.at, &e.postingsJSON}, func() error {
		if err := e.parsePostings(); err != nil {
			return fmt.Errorf("entry %d, run the audit: %w", e.seq, err)
		}
		for i := range e.postings {
			t.follow(&e, &e.postings[i])
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the journal of %q cannot be read: %w", owner, err)
	}
	t.lapse(before)
	slices.SortStableFunc(t.flows, func(a, b Flow) int { return a.At.Compare(b.At) })
	return t.flows, nil
}

// tracer knows which grants have credits of a root.
type tracer struct {
	lots     map[int64]*traced
	restored func(key string) (int64, bool)
	flows    []Flow
}

// traced is a grant and whose credits it has, in the order in which they came:
// those are spent first.
type traced struct {
	shares    []tracedShare
	available int64
	expires   time.Time
}

type tracedShare struct {
	root  int64
	left  int64
	ended map[FlowKind]int64
}

// other is the root of credits that came from no grant asked for.
const other int64 = -1

func (t *tracer) follow(e *entry, p *posting) {
	if p.Move == moveGrant || p.Move == moveSchedule {
		t.begin(e, p)
	}
	lot := t.lots[p.Grant]
	if lot == nil && p.Into == 0 {
		return
	}
	if lot == nil { // credits that are mixed with those asked for, perhaps
		lot = &traced{shares: []tracedShare{{root: other, left: p.Amount}}}
		t.pass(lot, p)
		return
	}
	if p.Move.from() == available {
		lot.available -= p.Amount
	}
	if p.Move.to() == available && p.Move != moveGrant {
		lot.available += p.Amount
	}
	at := e.at
	switch p.Move {
	case moveCapture, moveCharge:
		t.end(lot, FlowUsed, p.Amount, at)
	case moveReverse:
		t.undo(lot, FlowUsed, p.Amount, at)
	case moveExpire, moveLapse:
		if p.Move == moveExpire && !lot.expires.IsZero() && lot.expires.Before(at) {
			at = lot.expires
		}
		t.end(lot, FlowExpired, p.Amount, at)
	case moveVoid, moveWithdraw:
		t.end(lot, FlowVoided, p.Amount, at)
	case moveRestore:
		t.undo(lot, FlowUsed, p.Amount, at)
		t.pass(lot, p)
	case moveReinstate, moveRollover:
		t.pass(lot, p)
	case moveGrant, moveSchedule, moveStart, moveHold, moveRelease, moveCarry, moveAlert, moveLine:
	}
}

// begin notes a grant that was asked for, or that gives back what was taken.
func (t *tracer) begin(e *entry, p *posting) {
	lot := t.lots[p.Grant]
	if root, ok := t.restored(e.key); ok && lot == nil {
		lot = &traced{shares: []tracedShare{{root: root}}}
		t.lots[p.Grant] = lot
		t.flows = append(t.flows, Flow{e.at, root, FlowVoided, -p.Amount})
	}
	if lot == nil {
		return
	}
	lot.shares[0].left += p.Amount
	if p.Move == moveGrant {
		lot.available += p.Amount
	}
	if p.Terms != nil {
		lot.expires = p.Terms.ExpiresAt
	}
}

// end takes n credits out of a grant, the first that came first.
func (t *tracer) end(lot *traced, kind FlowKind, n int64, at time.Time) {
	for i := range lot.shares {
		s := &lot.shares[i]
		part := min(n, s.left)
		if part == 0 {
			continue
		}
		n -= part
		s.left -= part
		if s.ended == nil {
			s.ended = map[FlowKind]int64{}
		}
		s.ended[kind] += part
		if s.root != other {
			t.flows = append(t.flows, Flow{at, s.root, kind, part})
		}
	}
}

// undo gives n credits back to a grant, the last that ended first.
func (t *tracer) undo(lot *traced, kind FlowKind, n int64, at time.Time) {
	for i := range slices.Backward(lot.shares) {
		s := &lot.shares[i]
		part := min(n, s.ended[kind])
		if part == 0 {
			continue
		}
		n -= part
		s.left += part
		s.ended[kind] -= part
		if s.root != other {
			t.flows = append(t.flows, Flow{at, s.root, kind, -part})
		}
	}
}

// pass moves credits into another grant, which may have others, too.
func (t *tracer) pass(lot *traced, p *posting) {
	into := t.lots[p.Into]
	if into == nil {
		into = &traced{}
		t.lots[p.Into] = into
	}
	if p.Terms != nil {
		into.expires = p.Terms.ExpiresAt
	}
	into.available += p.Amount
	n := p.Amount
	for i := range lot.shares {
		s := &lot.shares[i]
		if part := min(n, s.left); part > 0 {
			n, s.left = n-part, s.left-part
			into.shares = append(into.shares, tracedShare{root: s.root, left: part})
		}
	}
}

// lapse counts what has expired before a time and was not touched since.
func (t *tracer) lapse(before time.Time) {
	for _, no := range slices.Sorted(maps.Keys(t.lots)) {
		if lot := t.lots[no]; lot.available > 0 && !lot.expires.IsZero() && lot.expires.Before(before) {
			t.end(lot, FlowExpired, lot.available, lot.expires)
			lot.available = 0
		}
	}
}
