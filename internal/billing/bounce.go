package billing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

// Bounces are addresses that were delivered to an organization and bounced.
type Bounces struct {
	Org    string
	Key    string // idempotency key
	Emails []string
	By     Reporter
}

// Reporter is who reports bounces.
type Reporter int

// The reporters. What a customer reports is believed within a cap.
const (
	ByOperator Reporter = iota
	ByAdmin
	ByMember
)

// Errors of Bounce. Their texts are sentences for the caller.
var (
	ErrMayNotReport   = errcode.New(errcode.Forbidden, "the plan does not let members report bounces; ask an admin of the organization to")
	ErrTooManyBounces = errcode.New(errcode.QuotaExceeded, "the organization has reported as many bounces as its plan takes within a bounce window; ask the operator to look at the others")
)

// Bounced is what became of reported bounces.
type Bounced struct {
	Reported int             `json:"reported"` // different addresses
	Found    int             `json:"found"`    // of them, those delivered within their plan's bounce window
	Facts    int64           `json:"facts"`    // charges that were credited back; an address may have several
	Credits  []plan.Amount   `json:"credits"`  // credited back, by type
	Results  []BouncedResult `json:"results" doc:"What became of each address."`
}

// BouncedResult is what became of one reported address.
type BouncedResult struct {
	Email  string       `json:"email"` // in lower case
	Result BounceResult `json:"result" enum:"credited,failed,already_credited,nothing_left,not_charged,window_over,not_delivered" doc:"credited: some or all of what it cost came back. failed: its order could not be reversed now, send the same request again. already_credited: an earlier report or reversal did. nothing_left: what its order cost has been reversed already, by amount. not_charged: it was delivered free. window_over: it was delivered, but not within the bounce window of its plan. not_delivered: no order of yours delivered it."`
}

// BounceResult says what became of a reported address.
type BounceResult string

// The results of a reported address. Of several deliveries the first that applies
// counts.
const (
	BounceCredited BounceResult = "credited"
	BounceFailed   BounceResult = "failed"
	BounceBefore   BounceResult = "already_credited"
	BounceNoRest   BounceResult = "nothing_left"
	BounceFree     BounceResult = "not_charged"
	BounceLate     BounceResult = "window_over"
	BounceUnknown  BounceResult = "not_delivered"
)

var bounceResults = []BounceResult{
	BounceCredited, BounceFailed, BounceBefore, BounceNoRest, BounceFree, BounceLate, BounceUnknown,
}

// bounceReport is a report that is being worked on.
type bounceReport struct {
	Bounced
	request Bounces
	emails  []string // different ones, sorted
	found   map[string]bool
	results map[string]BounceResult
}

// is notes a result of an address, unless a better one is known.
func (r *bounceReport) is(email string, result BounceResult) {
	known, ok := r.results[email]
	if !ok || slices.Index(bounceResults, result) < slices.Index(bounceResults, known) {
		r.results[email] = result
	}
}

// Bounce credits back what addresses cost that were delivered within the bounce
// window of the plan they were ordered under, as far as an earlier reversal by
// amount has left something. A charge is credited back once, however often its
// address is reported; what was delivered free, because the organization owned it
// already, is not credited. An order that cannot be reversed now stops no other.
// The same request again gets the same answer, within the same window.
//
// Errors: ErrNoKey, account.ErrNotFound, ledger.ErrKeyReused where the key was
// used for other addresses, ErrMayNotReport, ErrTooManyBounces.
func (b *Billing) Bounce(ctx context.Context, request Bounces, now time.Time) (Bounced, error) {
	if request.Key == "" {
		return Bounced{}, ErrNoKey
	}
	org, err := b.accounts.Org(ctx, request.Org)
	if err != nil {
		return Bounced{}, err
	}
	r := &bounceReport{request: request, found: map[string]bool{}, results: map[string]BounceResult{}}
	for _, e := range request.Emails {
		r.emails = append(r.emails, strings.ToLower(strings.TrimSpace(e)))
	}
	slices.Sort(r.emails)
	r.emails = slices.Compact(r.emails)
	if err := b.mayReport(ctx, org, r); err != nil {
		return Bounced{}, err
	}
	if err := b.claimKey(ctx, r); err != nil {
		return Bounced{}, err
	}
	used, err := b.book.PlansUsed(ctx, request.Org)
	if err != nil {
		return Bounced{}, err
	}
	for _, version := range used {
		if err := b.bounceUnder(ctx, r, version, now); err != nil {
			return Bounced{}, err
		}
	}
	return r.answer(), nil
}

// mayReport looks at what the organization's plan says of bounces that customers
// report, and counts them against its cap. A report that is repeated is counted
// once, and stays counted whether or not it is accepted: the cap is on what is claimed.
func (b *Billing) mayReport(ctx context.Context, org account.Org, r *bounceReport) error {
	if r.request.By == ByOperator || len(r.emails) == 0 {
		return nil
	}
	p, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return err
	}
	if r.request.By == ByMember && !p.Bounces.Members {
		return ErrMayNotReport
	}
	counted, err := b.book.CountBounces(ctx, org.ID, r.request.Key, int64(len(r.emails)), cmp.Or(p.Bounces.Most, plan.MostBounces), p.BounceWindow)
	if err == nil && !counted {
		return ErrTooManyBounces
	}
	return err
}

func (r *bounceReport) answer() Bounced {
	r.Reported, r.Found = len(r.emails), len(r.found)
	r.Results = make([]BouncedResult, len(r.emails))
	for i, email := range r.emails {
		r.is(email, BounceUnknown)
		r.Results[i] = BouncedResult{Email: email, Result: r.results[email]}
	}
	if r.Credits == nil {
		r.Credits = []plan.Amount{}
	}
	return r.Bounced
}

// claimKey lets the key stand for these addresses. The ledger keeps it, as it
// keeps all keys of this package, with a hash of the addresses.
func (b *Billing) claimKey(ctx context.Context, r *bounceReport) error {
	if len(r.emails) == 0 {
		return nil
	}
	return b.claim(ctx, r.request.Org, "bounces/"+r.request.Key, "bounces/reported", r.emails, ledger.Memo{Action: "bounce", Reason: "bounces reported"})
}

// claim lets a key stand for a request of several operations, as a reversal of facts
// that do not exist. The scope is that of no order or member.
func (b *Billing) claim(ctx context.Context, org, key, scope string, request []string, memo ledger.Memo) error {
	facts := make([]ledger.Fact, len(request))
	for i, part := range request {
		facts[i] = ledger.Fact{Scope: scope, Subject: uuid.NewSHA1(uuid.NameSpaceOID, []byte(part))}
	}
	_, err := b.ledger.Reverse(ctx, ledger.Reverse{Owner: org, Key: key, Type: "reported", Facts: facts, Memo: memo})
	return err
}

// bounceUnder credits back what orders under one plan version delivered. Where
// the plan cannot be read, its addresses say so, and the other plans go on.
func (b *Billing) bounceUnder(ctx context.Context, r *bounceReport, version orderbook.PlanVersion, now time.Time) error {
	p, err := b.accounts.Plan(ctx, version.PlanID, version.PlanVersion)
	if err != nil {
		return b.delivered(ctx, r, version, r.emails, BounceFailed)
	}
	if p.BounceWindow > 0 {
		within, err := b.book.Deliveries(ctx, r.request.Org, version, r.emails, now.Add(-p.BounceWindow))
		if err != nil {
			return err
		}
		for _, d := range within {
			r.found[d.Email] = true
			r.is(d.Email, BounceFree)
		}
		for _, op := range bounceOps(p, r.request, within) {
			reversed, err := b.bounce(ctx, p, op, now)
			if err != nil && ctx.Err() != nil {
				return err
			}
			r.note(op, reversed, err)
		}
	}
	missing := slices.DeleteFunc(slices.Clone(r.emails), func(email string) bool { return r.found[email] })
	if len(missing) == 0 {
		return nil
	}
	return b.delivered(ctx, r, version, missing, BounceLate)
}

// delivered notes a result of those addresses that orders under one plan version
// delivered at any time.
func (b *Billing) delivered(ctx context.Context, r *bounceReport, version orderbook.PlanVersion, emails []string, result BounceResult) error {
	ever, err := b.book.Deliveries(ctx, r.request.Org, version, emails, time.Time{})
	for _, d := range ever {
		r.is(d.Email, result)
	}
	return err
}

// bounce carries out the reversal of one order and credit type.
func (b *Billing) bounce(ctx context.Context, p *plan.Plan, op bounceOp, now time.Time) (ledger.ReverseResult, error) {
	until, err := b.Until(ctx, p, op.Owner, op.Memo.Member, op.Type, now)
	if err != nil {
		return ledger.ReverseResult{}, err
	}
	op.ReinstateUntil = until
	reversed, err := b.ledger.Reverse(ctx, op.Reverse)
	if errors.Is(err, ledger.ErrKeyReused) {
		reversed, err = b.ledger.Reverse(ctx, op.before())
	}
	if err != nil {
		return ledger.ReverseResult{}, err
	}
	return reversed, b.note(ctx, op.Owner, op.HoldID)
}

// before is the request that versions before AtMost stored under the same key:
// a report that is repeated after an upgrade has its answer.
func (op bounceOp) before() ledger.Reverse {
	old := op.Reverse
	old.AtMost, old.Facts = false, nil
	for _, f := range op.Facts {
		for _, subject := range append([][16]byte{f.Subject}, f.With...) {
			old.Facts = append(old.Facts, ledger.Fact{Scope: f.Scope, Subject: subject})
		}
	}
	return old
}

// note takes down what a reversal did for its addresses.
func (r *bounceReport) note(op bounceOp, reversed ledger.ReverseResult, err error) {
	for i, email := range op.emails {
		switch {
		case err != nil:
			r.is(email, BounceFailed)
		case len(reversed.Each) == 0 && reversed.Reversed > 0: // the answer of an earlier version
			r.is(email, BounceCredited)
		case len(reversed.Each) == 0:
			r.is(email, BounceBefore)
		case reversed.Each[i].Reversed > 0:
			r.is(email, BounceCredited)
		case reversed.Each[i].Kept == ledger.KeptReversed:
			r.is(email, BounceBefore)
		case reversed.Each[i].Kept == ledger.KeptNoRest:
			r.is(email, BounceNoRest)
		}
	}
	if err == nil {
		r.Facts += reversed.Facts
		r.Credits = addAmounts(r.Credits, reversed.Amounts)
	}
}

// bounceOp is the reversal of one order and credit type, and the address that each
// of its facts is about.
type bounceOp struct {
	ledger.Reverse
	emails []string
}

// bounceOps are the reversals for what was delivered: one per order and credit
// type, each of the facts that this very order charged. Its key follows from
// the facts, too, so that a request whose window has moved on between two tries
// is another operation, not a contradiction.
func bounceOps(p *plan.Plan, r Bounces, deliveries []orderbook.Delivery) []bounceOp {
	var ops []bounceOp
	at := map[string]int{}
	for _, d := range deliveries {
		action, _ := p.Action(d.Kind.Action(d.Field))
		for _, c := range action.Charges {
			id := d.OrderID + "/" + c.Type
			i, known := at[id]
			if !known {
				i = len(ops)
				at[id] = i
				ops = append(ops, bounceOp{Reverse: ledger.Reverse{
					Owner: r.Org, HoldID: d.OrderID, Type: c.Type, AtMost: true,
					Memo: ledger.Memo{OrderID: d.OrderID, Action: "bounce", Member: d.Member, Reason: "delivered addresses bounced"},
				}})
			}
			fact := ledger.Fact{Scope: c.FactScope(d.Member, d.OrderID)}
			subjects := subjectsOf(d.Field, d.Fingerprint, d.Keys, d.Email)
			fact.Subject = subjects[0]
			for _, with := range subjects[1:] {
				fact.With = append(fact.With, with)
			}
			ops[i].Facts, ops[i].emails = append(ops[i].Facts, fact), append(ops[i].emails, d.Email)
		}
	}
	for i := range ops {
		sum := sha256.New()
		sum.Write([]byte(r.Key))
		for _, f := range ops[i].Facts {
			sum.Write(f.Subject[:])
			for _, with := range f.With {
				sum.Write(with[:])
			}
		}
		ops[i].Key = fmt.Sprintf("bounce/%s/%s/%s", ops[i].HoldID, ops[i].Type, hex.EncodeToString(sum.Sum(nil)[:16]))
	}
	return ops
}
