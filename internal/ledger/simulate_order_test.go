package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/plan"
)

// simOrder is an order as a process carries it out: hold, charge batch by batch,
// release. What is durable of it is that it was ordered; the process keeps where
// it is, and may lose that at any time. Then it begins again with the same keys,
// as the reconciler has it do.
type simOrder struct {
	org       *simOrg
	id        string
	member    string
	subjects  [][16]byte // candidates
	batch     int
	cancelled bool

	// Of the process.
	offer   int // how often a period ended before the hold came through
	held    int64
	next    int // first candidate of the next batch
	life    int // answers to an earlier life are not heard
	phase   simPhase
	asked   time.Time // when the last message was sent; zero = none is on its way
	bounced bool

	over bool
}

type simPhase int

const (
	simHolds simPhase = iota
	simCharges
	simReleases
	simSettled // reported bounces may come
)

func newSimOrder(w *simWorld, o *simOrg, n int) *simOrder {
	s := &simOrder{org: o, id: fmt.Sprintf("ord%d", n), member: o.members[w.rng.IntN(len(o.members))], batch: 1 + w.rng.IntN(6)}
	if s.member == "" && len(o.plan.Pools(o.creditType(), "ann")) == 1 {
		s.member = "ann" // personal credits
	}
	s.subjects = make([][16]byte, 1+w.rng.IntN(25))
	for i := range s.subjects { // organizations order the same things again
		binary.BigEndian.PutUint64(s.subjects[i][:], uint64(w.rng.IntN(80)))
	}
	slices.SortFunc(s.subjects, func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) })
	s.subjects = slices.Compact(s.subjects)
	return s
}

// act lets the process of an order do its next step, die, or be cancelled.
func (s *simOrder) act(w *simWorld) {
	if s.over {
		return
	}
	if w.fault("order process died", 25) {
		s.life++
		s.phase, s.next, s.offer, s.held, s.asked = simHolds, 0, 0, 0, time.Time{}
		return
	}
	if s.phase == simCharges && w.fault("cancelled", 10) {
		s.cancelled = true // durable: the book says so
	}
	if !s.asked.IsZero() && w.now.Sub(s.asked) < 2*time.Hour {
		return // waits for its answer
	}
	s.asked = w.now
	switch s.phase {
	case simHolds:
		s.hold(w)
	case simCharges:
		s.charge(w)
	case simReleases:
		s.release(w)
	case simSettled:
		s.bounce(w)
	}
}

func (s *simOrder) ask(w *simWorld, op operation, answered func(outcome)) {
	life, phase, next := s.life, s.phase, s.next
	w.send(s.org, op, func(out outcome) {
		if s.life == life && s.phase == phase && s.next == next { // still what is waited for
			s.asked = time.Time{}
			answered(out)
		}
	})
}

func (s *simOrder) pools() []string { return s.org.plan.Pools(s.org.creditType(), s.member) }

func (s *simOrder) charges() plan.Charge { return s.org.action.Charges[0] }

// hold holds what the order may cost at most, for as long as the period lasts in
// which it was offered.
func (s *simOrder) hold(w *simWorld) {
	amount := s.charges().Amount * int64(len(s.subjects))
	op := Hold{
		Owner: s.org.id, Key: s.id + "/hold", HoldID: s.id,
		Lines: []Line{{Type: s.org.creditType(), Amount: amount, Pools: s.pools()}},
	}
	if s.org.plan.Period == plan.Month && s.offer < 4 {
		op.Before = plan.PeriodN(s.org.anchor, s.org.period[""]+1, time.UTC).Start
		if !op.Before.After(w.now) { // due: renewed by the first touch
			w.renew(s.org, "")
			if s.member != "" {
				w.renew(s.org, s.member)
			}
		}
	}
	s.ask(w, op, func(out outcome) {
		if errors.Is(out.err, ErrPeriodOver) {
			w.faults["offer outlived its period"]++
			s.offer++
			return
		}
		require.NoError(w.t, out.err, "seed %d", w.seed)
		if !answerOf[HoldResult](w, out).Held {
			w.faults["insufficient"]++
			s.over = true // rejected; nothing is held
			return
		}
		s.held, s.phase = amount, simCharges
	})
}

// charge charges a batch: what is new to its scope, by the plan's price.
func (s *simOrder) charge(w *simWorld) {
	if s.cancelled || s.next >= len(s.subjects) {
		s.phase = simReleases
		s.release(w)
		return
	}
	end := min(s.next+s.batch, len(s.subjects))
	op := Capture{Owner: s.org.id, Key: fmt.Sprintf("%s/capture/%d", s.id, s.next), HoldID: s.id, Type: s.org.creditType(), UnitCost: s.charges().Amount}
	for _, subject := range s.subjects[s.next:end] {
		op.Facts = append(op.Facts, Fact{Scope: s.charges().FactScope(s.member, s.id), Subject: subject})
	}
	s.ask(w, op, func(out outcome) {
		switch {
		case errors.Is(out.err, ErrHoldClosed): // a release of an earlier life has overtaken it
			s.phase = simReleases
			return
		case errors.Is(out.err, ErrPeriodOver):
			return
		}
		require.NoError(w.t, out.err, "seed %d", w.seed)
		s.next = end
	})
}

func (s *simOrder) release(w *simWorld) {
	p := s.org.plan
	late := LateReinstate
	if p.LateRelease == plan.ExpireOnLate {
		late = LateExpire
	}
	period := plan.PeriodN(s.org.anchor, max(s.org.period[""], 0), time.UTC)
	until := p.ReinstateUntil(w.now, period)
	op := Release{Owner: s.org.id, Key: s.id + "/release", HoldID: s.id, Late: late, ReinstateUntil: Until{Shared: until, Own: until}}
	s.ask(w, op, func(out outcome) {
		if out.err == nil {
			s.phase = simSettled
			return
		}
		require.ErrorIs(w.t, out.err, ErrHoldClosed, "seed %d", w.seed)
		s.phase = simSettled
	})
}

// bounce credits one charge of the order back, once.
func (s *simOrder) bounce(w *simWorld) {
	if s.charges().Once != plan.OncePerOrganization || s.bounced || w.calm {
		s.over = true
		return
	}
	subject := s.subjects[w.rng.IntN(len(s.subjects))]
	op := Reverse{
		Owner: s.org.id, Key: fmt.Sprintf("%s/bounce/%x", s.id, subject[:8]), HoldID: s.id, Type: s.org.creditType(), AtMost: true,
		Facts: []Fact{{Subject: subject}},
	}
	s.ask(w, op, func(out outcome) {
		require.NoError(w.t, out.err, "seed %d", w.seed)
		s.bounced = true
	})
}

func answerOf[R any](w *simWorld, out outcome) (result R) {
	if out.replayed != nil {
		require.NoError(w.t, json.Unmarshal(out.replayed, &result), "seed %d", w.seed)
		return result
	}
	result, ok := out.result.(R)
	require.True(w.t, ok, "seed %d", w.seed)
	return result
}

// verify proves the end: every order is over; what it held is what it charged and
// got back; what is charged is what is owned, fact by fact; what came in is what is
// there; and all of it follows from the journal alone.
func (w *simWorld) verify() {
	require.True(w.t, w.over(), "seed %d: an order does not end", w.seed)
	for _, o := range w.orgs {
		require.NoError(w.t, o.tables.replayed(), "seed %d", w.seed)
		var sum [buckets]int64
		for _, l := range o.tables.rows.lots {
			for i, n := range l.bucket {
				sum[i] += n
			}
		}
		require.Zero(w.t, sum[held], "seed %d: credits are held and no order is open", w.seed)
		moved := w.moved(o)
		require.Equal(w.t, o.granted, sum[available]+sum[waiting]+sum[expired]+sum[captured]+sum[voided]-moved, "seed %d: credits came or went on their own", w.seed)
		var captures, reversed, charged int64
		for i := range o.orders {
			c, r := w.settled(o, o.orders[i])
			captures, reversed = captures+c, reversed+r
		}
		for _, f := range o.tables.rows.facts {
			if !f.reversed {
				charged += f.cost
			}
		}
		require.Equal(w.t, charged, captures-reversed, "seed %d: charged is not what is owned", w.seed)
		require.Equal(w.t, charged, sum[captured], "seed %d: the grants say something else", w.seed)
	}
}

// moved is what went from one grant into another: it counts in both.
func (w *simWorld) moved(o *simOrg) (n int64) {
	for _, l := range o.tables.rows.lots {
		if l.source == SourceRollover || l.source == SourceReinstated {
			n += l.amount
		}
	}
	return n
}

// settled compares an order's hold with the answers that its process had.
func (w *simWorld) settled(o *simOrg, s *simOrder) (captures, reversed int64) {
	text, ok := o.answers[s.id+"/hold"]
	require.True(w.t, ok, "seed %d: %s of %s was never answered", w.seed, s.id, o.id)
	var hold HoldResult
	require.NoError(w.t, json.Unmarshal([]byte(text), &hold))
	if !hold.Held {
		require.NotContains(w.t, o.tables.rows.holds, s.id, "seed %d", w.seed)
		return 0, 0
	}
	require.True(w.t, o.tables.rows.closed[s.id], "seed %d: the hold %s of %s is open", w.seed, s.id, o.id)
	for from := range s.subjects {
		var c CaptureResult
		if text, ok := o.answers[fmt.Sprintf("%s/capture/%d", s.id, from)]; ok {
			require.NoError(w.t, json.Unmarshal([]byte(text), &c))
			captures += c.Charged
		}
	}
	for _, subject := range s.subjects {
		var r ReverseResult
		if text, ok := o.answers[fmt.Sprintf("%s/bounce/%x", s.id, subject[:8])]; ok {
			require.NoError(w.t, json.Unmarshal([]byte(text), &r))
			reversed += r.Reversed
		}
	}
	var released int64
	var r ReleaseResult
	require.NoError(w.t, json.Unmarshal([]byte(o.answers[s.id+"/release"]), &r), "seed %d", w.seed)
	for _, a := range r.Released {
		released += a.Amount
	}
	held := s.charges().Amount * int64(len(s.subjects))
	require.Equal(w.t, held, captures+released, "seed %d: %s of %s held %d, charged %d, got back %d", w.seed, s.id, o.id, held, captures, released)
	return captures, reversed
}
