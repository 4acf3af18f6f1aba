package ledger

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxAmount is the largest amount of one operation: a grant, a hold, an
// allotment, a budget, a threshold.
const MaxAmount int64 = 1_000_000_000_000

// maxGrants bounds how many grants one operation gives.
const maxGrants = 1000

// maxBalance bounds what one account may have: JSON numbers stay exact up to here.
const maxBalance int64 = 1<<53 - 1

// MaxReason is the longest reason, in characters.
const MaxReason = 500

// Bounds of other texts, in characters. Keys are put together from ids and from
// what a caller chose.
const (
	maxText = 256
	maxKey  = 512
)

// operation is a request to the ledger.
type operation interface {
	header() header
	// identify writes what makes the request this request: two requests under
	// one key must agree on it.
	identify(d *digest)
	check() error
	// need names what the operation reads, as far as the books lack it.
	need(b *books, n *needs)
	// touches lists the accounts whose credits may have expired unnoticed.
	touches(b *books) []accountID
	// run carries the operation out: it fills in the entry and returns the
	// result. On error it has changed nothing.
	run(b *books, e *entry) (any, error)
}

type header struct {
	kind       kind
	owner, key string
	memo       Memo
}

// unrecorded reports whether the operation has no entry and no key of its own.
func (h header) unrecorded() bool { return h.kind == kindExpire }

func (op Hold) header() header    { return header{kindHold, op.Owner, op.Key, op.Memo} }
func (op Capture) header() header { return header{kindCapture, op.Owner, op.Key, op.Memo} }
func (op Charge) header() header  { return header{kindCharge, op.Owner, op.Key, op.Memo} }
func (op Release) header() header { return header{kindRelease, op.Owner, op.Key, op.Memo} }
func (op Reverse) header() header { return header{kindReverse, op.Owner, op.Key, op.Memo} }
func (op Expire) header() header  { return header{kindExpire, op.Owner, "", Memo{}} }
func (op Renew) header() header   { return header{kindRenew, op.Owner, op.Key, op.Memo} }
func (op Alert) header() header   { return header{kindAlert, op.Owner, op.Key, op.Memo} }

type requestHash [16]byte

// hashRequest identifies a request: everything asked for, but neither the memo
// nor how a late return is booked or when credits are best spent, which a retry
// may compute again.
func hashRequest(op operation) requestHash {
	d := make(digest, 0, 256)
	d.str(string(op.header().kind))
	op.identify(&d)
	h := sha256.Sum256(d)
	return requestHash(h[:16])
}

func (op Hold) identify(d *digest) {
	d.str(op.HoldID)
	for _, l := range op.Lines {
		d.str(l.Type)
		d.num(l.Amount)
		d.pools(l.Pools)
		d.budget(l.Budget)
	}
}

func (op Capture) identify(d *digest) {
	d.str(op.HoldID)
	d.str(op.Type)
	d.facts(op.Facts)
	d.num(op.UnitCost)
	d.num(op.Amount)
}

func (op Charge) identify(d *digest) {
	d.str(op.holdID())
	for _, l := range op.Lines {
		d.str(l.Type)
		d.pools(l.Pools)
		d.facts(l.Facts)
		d.num(l.UnitCost)
		d.num(l.Amount)
		d.budget(l.Budget)
	}
}

func (op Release) identify(d *digest) { d.str(op.HoldID) }

func (op Reverse) identify(d *digest) {
	d.str(op.HoldID)
	d.str(op.Type)
	d.facts(op.Facts)
	d.num(op.Amount)
	if op.AtMost { // the result follows the order of the facts
		d.bool(true)
		for i := range op.Facts {
			*d = append(*d, op.Facts[i].Subject[:]...)
		}
	}
}

func (op Expire) identify(*digest) {}

func (op Renew) identify(d *digest) {
	d.str(op.Pool)
	for _, l := range op.Lines {
		d.str(l.Type)
		d.num(l.Amount)
		d.num(int64(l.Priority))
		d.time(l.ExpiresAt)
		d.bool(l.Rollover)
		d.num(l.Cap)
		d.num(int64(l.CarriedPriority))
		d.time(l.CarriedUntil)
	}
}

func (op Alert) identify(d *digest) {
	d.str(op.Pool)
	d.str(op.Type)
	for _, threshold := range op.descending() {
		d.num(threshold)
	}
}

func (d *digest) bool(v bool) {
	if v {
		d.num(1)
	} else {
		d.num(0)
	}
}

func (d *digest) pools(pools []string) {
	d.num(int64(len(pools)))
	for _, p := range pools {
		d.str(p)
	}
}

func (d *digest) budget(b Budget) {
	d.str(b.Name)
	d.num(b.Cap)
}

// facts are a set: a retry may list them in another order.
func (d *digest) facts(facts []Fact) {
	sorted := facts
	if !slices.IsSortedFunc(facts, compareFacts) {
		sorted = slices.Clone(facts)
		slices.SortFunc(sorted, compareFacts)
	}
	d.num(int64(len(sorted)))
	for i := range sorted {
		d.str(sorted[i].Scope)
		*d = append(*d, sorted[i].Subject[:]...)
		for _, w := range sorted[i].With {
			*d = append(*d, w[:]...)
		}
	}
}

func compareFacts(a, b Fact) int {
	if c := bytes.Compare(a.Subject[:], b.Subject[:]); c != 0 {
		return c
	}
	return bytes.Compare([]byte(a.Scope), []byte(b.Scope))
}

// descending are the thresholds as they are kept: without duplicates, highest first.
func (op Alert) descending() []int64 {
	ts := slices.Clone(op.Thresholds)
	slices.SortFunc(ts, func(a, b int64) int { return cmp.Compare(b, a) })
	return slices.Compact(ts)
}

func (op Charge) holdID() string {
	if op.HoldID == "" {
		return op.Key
	}
	return op.HoldID
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// validate checks what can be checked without the books.
func validate(op operation) error {
	h := op.header()
	m := h.memo
	least := 1
	if h.unrecorded() {
		least = 0
	}
	return firstError(
		required("organization", h.owner), written("idempotency key", h.key, least, maxKey),
		texts("memo", m.OrderID, m.Action, m.Member), CheckReason(m.Reason),
		op.check())
}

// CheckReason says whether a reason can be kept: what does other things before it
// calls the ledger asks first.
func CheckReason(reason string) error { return written("reason", reason, 0, MaxReason) }

func required(what, s string) error { return written(what, s, 1, maxText) }

func texts(what string, ss ...string) error {
	for _, s := range ss {
		if err := written(what, s, 0, maxText); err != nil {
			return err
		}
	}
	return nil
}

// written refuses what PostgreSQL cannot store or index.
func written(what, s string, least, most int) error {
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return invalid("the %s must not be empty", what)
	case n > most:
		return invalid("the %s must not be longer than %d characters, it has %d", what, most, n)
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return invalid("the %s must be UTF-8 text without zero bytes", what)
	}
	return nil
}

func amount(what string, n, least int64) error {
	if n < least || n > MaxAmount {
		return invalid("the %s must be between %d and %d credits, it is %d", what, least, MaxAmount, n)
	}
	return nil
}

func expiry(t time.Time) error {
	if y := t.Year(); !t.IsZero() && (y < 1970 || y > 9999) {
		return invalid("the expiry must lie between the years 1970 and 9999, it is %s", t)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (op Hold) check() error {
	if err := required("hold id", op.HoldID); err != nil {
		return err
	}
	seen := make([]string, 0, 4)
	for _, l := range op.Lines {
		if err := firstError(line(l.Type, l.Pools, l.Budget, &seen), amount("hold", l.Amount, 0)); err != nil {
			return err
		}
	}
	return nil
}

// line checks what lines of holds and charges have in common.
func line(kind string, pools []string, b Budget, seen *[]string) error {
	if slices.Contains(*seen, kind) {
		return invalid("the credit type %q occurs in two lines", kind)
	}
	*seen = append(*seen, kind)
	if len(pools) == 0 {
		return invalid("the line for %q names no pool to take credits from", kind)
	}
	for i, p := range pools {
		if slices.Contains(pools[:i], p) {
			return invalid("the line for %q names the pool %q twice", kind, p)
		}
	}
	if b.Name != "" {
		if err := amount("budget", b.Cap, 0); err != nil {
			return err
		}
	}
	return firstError(required("credit type", kind), texts("pool", pools...), texts("budget", b.Name))
}

// charge checks the price: facts at a unit cost, or an amount.
func charge(facts []Fact, unitCost, n int64) error {
	if len(facts) > 0 && n != 0 {
		return invalid("a capture takes either facts or an amount, not both")
	}
	if err := firstError(amount("amount", n, 0), amount("unit cost", unitCost, 0)); err != nil {
		return err
	}
	if unitCost > MaxAmount/int64(len(facts)+1) {
		return invalid("%d facts at %d credits each are more than a ledger can count", len(facts), unitCost)
	}
	return scopes(facts)
}

func scopes(facts []Fact) error {
	last := ""
	for i := range facts {
		if s := facts[i].Scope; s != last {
			if err := texts("fact scope", s); err != nil {
				return err
			}
			last = s
		}
	}
	return nil
}

func (op Capture) check() error {
	return firstError(required("hold id", op.HoldID), required("credit type", op.Type),
		charge(op.Facts, op.UnitCost, op.Amount))
}

func (op Charge) check() error {
	if len(op.Lines) == 0 {
		return invalid("a charge needs at least one line")
	}
	if err := texts("hold id", op.HoldID); err != nil {
		return err
	}
	seen := make([]string, 0, 4)
	for _, l := range op.Lines {
		if err := firstError(line(l.Type, l.Pools, l.Budget, &seen), charge(l.Facts, l.UnitCost, l.Amount)); err != nil {
			return err
		}
	}
	return nil
}

func (op Release) check() error {
	switch op.Late {
	case "", LateReinstate, LateExpire:
	default:
		return invalid("a late release can %q or %q, not %q", LateReinstate, LateExpire, op.Late)
	}
	return firstError(required("hold id", op.HoldID), expiry(op.ReinstateUntil.Shared), expiry(op.ReinstateUntil.Own))
}

func (op Reverse) check() error {
	if op.HoldID == "" && len(op.Facts) == 0 {
		return invalid("a reversal must name a hold or facts")
	}
	if len(op.Facts) > 0 && op.Amount != 0 {
		return invalid("a reversal takes either facts or an amount, not both")
	}
	if op.AtMost && (op.HoldID == "" || len(op.Facts) == 0) {
		return invalid("a reversal of at most what is left must name a hold and facts")
	}
	if (len(op.Facts) > 0 || op.Amount != 0) && op.Type == "" {
		return invalid("a reversal of facts or of an amount must name the credit type")
	}
	return firstError(texts("hold id", op.HoldID), texts("credit type", op.Type), scopes(op.Facts),
		amount("reversal", op.Amount, 0), expiry(op.ReinstateUntil.Shared), expiry(op.ReinstateUntil.Own))
}

func (op Expire) check() error { return nil }

func (op Renew) check() error {
	seen := make([]string, 0, 4)
	for _, l := range op.Lines {
		if slices.Contains(seen, l.Type) {
			return invalid("the credit type %q is renewed twice", l.Type)
		}
		seen = append(seen, l.Type)
		if err := firstError(required("credit type", l.Type), amount("allotment", l.Amount, 0),
			expiry(l.ExpiresAt), expiry(l.BurnBy), expiry(l.CarriedUntil)); err != nil {
			return err
		}
		if l.Cap > MaxAmount {
			return invalid("the rollover cap must be at most %d credits, or negative for no cap", MaxAmount)
		}
	}
	return texts("pool", op.Pool)
}

func (op Alert) check() error {
	for _, threshold := range op.Thresholds {
		if err := amount("threshold", threshold, 0); err != nil {
			return err
		}
	}
	return firstError(required("credit type", op.Type), texts("pool", op.Pool))
}

// micro is a time as PostgreSQL keeps it.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}
