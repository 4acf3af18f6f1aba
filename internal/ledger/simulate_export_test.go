package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// For the simulation of orders, which imports packages that import this one.

// ErrSimDied is what a caller learns of a server that died on the way.
var ErrSimDied = errors.New("the server died")

// SimLedger is the engine, the journal and the rows of an organization, without I/O.
type SimLedger struct {
	tables *tables
	books  [simServers]*books
	paid   map[string]map[[16]byte]bool // what was charged, by hold
}

// NewSimLedger returns an empty ledger.
func NewSimLedger(owner string) *SimLedger {
	return &SimLedger{tables: newTables(owner), paid: map[string]map[[16]byte]bool{}}
}

// SimPerform carries out an operation on some server, which may die before or after
// its commit.
func SimPerform[R any](s *SimLedger, rng *rand.Rand, op operation, now time.Time, dies func(when string) bool) (result R, err error) {
	server := rng.IntN(simServers)
	b := s.books[server]
	if b == nil || !bytes.Equal(b.head, s.tables.owner.head) {
		b = s.tables.open()
	}
	s.books[server] = nil
	s.tables.load(b, []operation{op})
	out := b.perform([]operation{op}, now)[0]
	if dies("before a commit of the ledger") {
		return result, ErrSimDied
	}
	if err := s.tables.save(b); err != nil {
		return result, err
	}
	if c, ok := op.(Capture); ok && out.err == nil && out.replayed == nil {
		s.note(c)
	}
	b.settle(1000)
	if b.seq > 0 {
		s.books[server] = b
	}
	if dies("after a commit of the ledger") {
		return result, ErrSimDied
	}
	if out.err != nil {
		return result, out.err
	}
	if out.replayed != nil {
		return result, json.Unmarshal(out.replayed, &result)
	}
	return out.result.(R), nil
}

// note keeps which facts a capture was the first to charge.
func (s *SimLedger) note(c Capture) {
	seq := s.tables.owner.seq
	for _, f := range c.Facts {
		if row, there := s.tables.rows.facts[factID{c.Type, f.Scope, f.Subject}]; there && row.seq == seq {
			if s.paid[c.HoldID] == nil {
				s.paid[c.HoldID] = map[[16]byte]bool{}
			}
			s.paid[c.HoldID][f.Subject] = true
		}
	}
}

// PaidUnder says whether a subject was charged under a hold.
func (s *SimLedger) PaidUnder(hold string, subject [16]byte) bool { return s.paid[hold][subject] }

// Owns says whether a subject was charged.
func (s *SimLedger) Owns(kind string, subject [16]byte) bool {
	_, there := s.tables.rows.facts[factID{kind, "", subject}]
	return there
}

// Facts is how many subjects were charged.
func (s *SimLedger) Facts() int { return len(s.tables.rows.facts) }

// OpenHolds are the holds that are not closed, in order.
func (s *SimLedger) OpenHolds() (ids []string) {
	for id, closed := range s.tables.rows.closed {
		if !closed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// HoldState is that of the ledger.
func (s *SimLedger) HoldState(id string) ([]HoldLine, error) {
	text, known := s.tables.rows.holds[id]
	if !known {
		return nil, ErrUnknownHold
	}
	return holdLines([]byte(text))
}

// Replayed proves that all of it follows from the journal.
func (s *SimLedger) Replayed() error { return s.tables.replayed() }
