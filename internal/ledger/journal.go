package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// bucket is where credits of a grant are. They only ever move from one to
// another, which is what keeps a grant's sum.
type bucket uint8

const (
	available bucket = iota
	held
	captured
	expired
	voided  // moved into another grant, or taken back
	waiting // for the grant's start
	buckets
	none = buckets // credits that come into being
)

// move is the kind of a posting.
type move string

const (
	moveGrant     move = "grant"     // a new grant
	moveSchedule  move = "schedule"  // a new grant that starts later
	moveStart     move = "start"     // its time has come
	moveWithdraw  move = "withdraw"  // taken back before its time came
	moveHold      move = "hold"      // reserved
	moveCapture   move = "capture"   // charged from a hold
	moveCharge    move = "charge"    // charged at once
	moveRelease   move = "release"   // given back
	moveReinstate move = "reinstate" // given back into a new grant, the old one being over
	moveLapse     move = "lapse"     // given back too late, expired
	moveExpire    move = "expire"    // expired
	moveRollover  move = "rollover"  // carried into the next period
	moveReverse   move = "reverse"   // credited back
	moveRestore   move = "restore"   // credited back into a new grant, the old one being over
	moveVoid      move = "void"      // taken back
	moveCarry     move = "carry"     // no credits: a period ended, the account's carry is set
	moveAlert     move = "alert"     // no credits: the account's alert is set
	moveLine      move = "line"      // no credits: a hold's line and its budget, where its slices do not tell
)

var moves = []move{
	moveGrant, moveSchedule, moveStart, moveWithdraw, moveHold, moveCapture, moveCharge, moveRelease, moveReinstate,
	moveLapse, moveExpire, moveRollover, moveReverse, moveRestore, moveVoid, moveCarry, moveAlert, moveLine,
}

func (m move) from() bucket {
	switch m {
	case moveHold, moveCharge, moveExpire, moveRollover, moveVoid:
		return available
	case moveCapture, moveRelease, moveReinstate, moveLapse:
		return held
	case moveReverse, moveRestore:
		return captured
	case moveStart, moveWithdraw:
		return waiting
	case moveGrant, moveSchedule, moveCarry, moveAlert, moveLine:
	}
	return none
}

func (m move) to() bucket {
	switch m {
	case moveGrant, moveStart, moveRelease, moveReverse:
		return available
	case moveSchedule:
		return waiting
	case moveHold:
		return held
	case moveCapture, moveCharge:
		return captured
	case moveLapse, moveExpire:
		return expired
	case moveReinstate, moveRollover, moveRestore, moveVoid, moveWithdraw:
		return voided
	case moveCarry, moveAlert, moveLine:
	}
	return none
}

// change is what a move between buckets means for one of them.
func change(of, from, to bucket, n int64) int64 {
	if of == from {
		return -n
	}
	if of == to {
		return n
	}
	return 0
}

// posting is one movement of credits. Balance is what is available in the
// account afterwards. Into names the grant that receives voided credits, Terms
// are those of a grant that begins with this posting.
type posting struct {
	Move    move    `json:"move"`
	Type    string  `json:"type"`
	Pool    string  `json:"pool,omitempty"`
	Grant   int64   `json:"grant,omitempty"`
	Amount  int64   `json:"amount"`
	Balance int64   `json:"balance"`
	Hold    string  `json:"hold,omitempty"` // where it is not the entry's
	Budget  string  `json:"budget,omitempty"`
	Into    int64   `json:"into,omitempty"`
	Terms   *terms  `json:"terms,omitempty"`
	Carry   *carry  `json:"carry,omitempty"` // the account's carry from now on
	Alert   []int64 `json:"alert,omitempty"` // the account's thresholds from now on, highest first
	Low     []int64 `json:"low,omitempty"`   // the thresholds fallen to: credits.low events in the outbox
}

// terms are what distinguishes a grant from others of its account.
type terms struct {
	Source    Source    `json:"source"`
	Priority  int32     `json:"priority,omitempty"`
	StartsAt  time.Time `json:"starts_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	BurnBy    time.Time `json:"burn_by,omitzero"`
}

// kind names the operation behind a journal entry.
type kind string

const (
	kindGrant   kind = "grant"
	kindGrants  kind = "grants"
	kindHold    kind = "hold"
	kindCapture kind = "capture"
	kindCharge  kind = "charge"
	kindRelease kind = "release"
	kindReverse kind = "reverse"
	kindVoid    kind = "void"
	kindEnd     kind = "end"
	kindExpire  kind = "expire"
	kindRenew   kind = "renew"
	kindAlert   kind = "alert"
	kindExpired kind = "expired" // no operation: found started or expired by the one that follows
)

// factGroup is the facts of an entry that share type, scope and cost.
type factGroup struct {
	kind, scope string
	cost        int64 // credits per fact
	subjects    [][16]byte
}

// entry is one row of the journal.
type entry struct {
	seq         int64
	kind        kind
	key         string // "" only with kindExpired
	requestHash requestHash
	at          time.Time
	holdID      string
	memo        Memo
	postings    []posting
	groups      []factGroup
	result      []byte  // JSON
	low         []int64 // thresholds that the entry arms at or above the credits there are

	postingsJSON, facts, prevHash, hash []byte
}

// seal fills in what is stored and hashed.
func (e *entry) seal(owner string, prev []byte) {
	e.postingsJSON = encodePostings(e.postings)
	e.facts = encodeFacts(e.groups)
	e.prevHash = prev
	e.hash = e.sum(owner)
}

// sum is the hash of everything the row says, chained to the row before. Each
// field is preceded by its length, so that no two rows read the same.
func (e *entry) sum(owner string) []byte {
	b := make(digest, 0, 256+len(e.postingsJSON)+len(e.facts)+len(e.result))
	b.bytes(e.prevHash)
	b.str(owner)
	b.num(e.seq)
	b.str(string(e.kind))
	b.str(e.key)
	b.bytes(e.requestHash[:])
	b.num(e.at.UnixMicro())
	b.str(e.holdID)
	b.str(e.memo.OrderID)
	b.str(e.memo.Action)
	b.str(e.memo.Member)
	b.str(e.memo.Reason)
	b.bytes(e.postingsJSON)
	b.bytes(e.facts)
	b.bytes(e.result)
	h := sha256.Sum256(b)
	return h[:]
}

// digest collects fields to be hashed.
type digest []byte

func (d *digest) str(s string) {
	*d = binary.AppendUvarint(*d, uint64(len(s)))
	*d = append(*d, s...)
}

func (d *digest) bytes(p []byte) {
	*d = binary.AppendUvarint(*d, uint64(len(p)))
	*d = append(*d, p...)
}

func (d *digest) num(n int64) { *d = binary.AppendVarint(*d, n) }

func (d *digest) time(t time.Time) {
	if t.IsZero() {
		d.str("never")
		return
	}
	d.num(t.UnixMicro())
}

// encodePostings writes what encoding/json would, several times faster: it is
// the largest part of the engine's work.
func encodePostings(ps []posting) []byte {
	b := []byte{'['}
	for i := range ps {
		p := &ps[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"move":"`...)
		b = append(b, p.Move...)
		b = append(b, `","type":`...)
		b = appendString(b, p.Type)
		b = appendStringField(b, `,"pool":`, p.Pool)
		b = appendIntField(b, `,"grant":`, p.Grant)
		b = append(b, `,"amount":`...)
		b = strconv.AppendInt(b, p.Amount, 10)
		b = append(b, `,"balance":`...)
		b = strconv.AppendInt(b, p.Balance, 10)
		b = appendStringField(b, `,"hold":`, p.Hold)
		b = appendStringField(b, `,"budget":`, p.Budget)
		b = appendIntField(b, `,"into":`, p.Into)
		if t := p.Terms; t != nil {
			b = append(b, `,"terms":{"source":`...)
			b = appendString(b, string(t.Source))
			b = appendIntField(b, `,"priority":`, int64(t.Priority))
			b = appendTimeField(b, `,"starts_at":`, t.StartsAt)
			b = appendTimeField(b, `,"expires_at":`, t.ExpiresAt)
			b = appendTimeField(b, `,"burn_by":`, t.BurnBy)
			b = append(b, '}')
		}
		if c := p.Carry; c != nil {
			b = append(b, `,"carry":{"left":`...)
			b = strconv.AppendInt(b, c.Left, 10)
			b = appendIntField(b, `,"priority":`, int64(c.Priority))
			b = appendTimeField(b, `,"until":`, c.Until)
			b = appendTimeField(b, `,"burn_by":`, c.BurnBy)
			b = append(b, '}')
		}
		b = appendIntsField(b, `,"alert":[`, p.Alert)
		b = appendIntsField(b, `,"low":[`, p.Low)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendHold writes a hold's body: its lines, and which entries charged facts.
func appendHold(b []byte, h *hold) []byte {
	b = append(b, `{"lines":[`...)
	for i := range h.lines {
		l := &h.lines[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"type":`...)
		b = appendString(b, l.Type)
		b = appendStringField(b, `,"budget":`, l.Budget)
		for j := range l.Slices {
			s := &l.Slices[j]
			if j == 0 {
				b = append(b, `,"slices":[`...)
			} else {
				b = append(b, ',')
			}
			b = append(b, `{"grant":`...)
			b = strconv.AppendInt(b, s.Grant, 10)
			b = appendStringField(b, `,"pool":`, s.Pool)
			b = append(b, `,"amount":`...)
			b = strconv.AppendInt(b, s.Amount, 10)
			b = appendIntField(b, `,"captured":`, s.Captured)
			b = appendIntField(b, `,"released":`, s.Released)
			b = appendIntField(b, `,"reversed":`, s.Reversed)
			b = append(b, '}')
		}
		if len(l.Slices) > 0 {
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendIntsField(b, `,"captures":[`, h.captures)
	return append(b, '}')
}

// holdBody is a hold's body as it is read.
type holdBody struct {
	Lines    []holdLine `json:"lines"`
	Captures []int64    `json:"captures"`
}

func appendIntField(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), n, 10)
}

// appendIntsField writes an array; name ends in its bracket.
func appendIntsField(b []byte, name string, ns []int64) []byte {
	if len(ns) == 0 {
		return b
	}
	b = append(b, name...)
	for i, n := range ns {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, ']')
}

func appendStringField(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

func appendTimeField(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(append(b, name...), '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendString quotes s; what JSON wants escaped goes the slow way.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always marshals
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// encodeFacts packs fact groups: type, scope, cost, count, then 16 bytes a subject.
func encodeFacts(groups []factGroup) []byte {
	var d digest
	for _, g := range groups {
		d.str(g.kind)
		d.str(g.scope)
		d.num(g.cost)
		d.num(int64(len(g.subjects)))
		for i := range g.subjects {
			d = append(d, g.subjects[i][:]...)
		}
	}
	return d
}

// parseFacts is the reverse of encodeFacts.
func parseFacts(b []byte) ([]factGroup, error) {
	var groups []factGroup
	text := func() (string, bool) {
		n, k := binary.Uvarint(b)
		if k <= 0 || uint64(len(b)-k) < n {
			return "", false
		}
		s := string(b[k : k+int(n)])
		b = b[k+int(n):]
		return s, true
	}
	number := func() (int64, bool) {
		n, k := binary.Varint(b)
		if k <= 0 {
			return 0, false
		}
		b = b[k:]
		return n, true
	}
	for len(b) > 0 {
		var g factGroup
		var n int64
		var ok [4]bool
		g.kind, ok[0] = text()
		g.scope, ok[1] = text()
		g.cost, ok[2] = number()
		n, ok[3] = number()
		if ok != [4]bool{true, true, true, true} || n < 0 || n > int64(len(b)/16) {
			return nil, fmt.Errorf("the facts of a journal entry cannot be read: they are cut off")
		}
		g.subjects = make([][16]byte, n)
		for i := range g.subjects {
			g.subjects[i] = [16]byte(b[:16])
			b = b[16:]
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// lowPayload is the body of a credits.low event.
type lowPayload struct {
	Org       string
	Pool      string
	Type      string
	At        time.Time
	Available int64
	Threshold int64
}

func (p lowPayload) json() []byte {
	b := append([]byte(nil), `{"org":`...)
	b = appendString(b, p.Org)
	b = append(b, `,"pool":`...)
	b = appendString(b, p.Pool)
	b = append(b, `,"type":`...)
	b = appendString(b, p.Type)
	b = append(b, `,"available":`...)
	b = strconv.AppendInt(b, p.Available, 10)
	b = append(b, `,"threshold":`...)
	b = strconv.AppendInt(b, p.Threshold, 10)
	b = appendTimeField(b, `,"at":`, p.At)
	return append(b, '}')
}
