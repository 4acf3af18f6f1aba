package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"holdfast/internal/commit"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/verify"
)

// Verdicts are written in the pieces in which they come: soon enough that a
// crash loses little, large enough that the database sees few statements.
const (
	writeEvery = 250 * time.Millisecond
	writeMost  = 250
)

// BatchInput is the input of VerifyBatch.
type BatchInput struct {
	OrderID string    `json:"order_id"`
	From    int64     `json:"from"`             // first item, from 1
	To      int64     `json:"to"`               // last item, inclusive
	Due     time.Time `json:"due"`              // greylisted items that may be asked again by then are asked again
	Ending  *Outage   `json:"ending,omitempty"` // ask for no address: end those without a verdict as unknown for this reason

	Queue string `json:"queue,omitempty"` // only greylisted items that this task queue asks for again

	// Preflight: ask first whether verification can work at all. A large order has
	// asked before its first batch.
	Preflight bool `json:"preflight,omitempty"`
}

// BatchResult is how the items of a batch stand after a round.
type BatchResult struct {
	Done       int64         `json:"done"`       // items with a final verdict
	Greylisted int64         `json:"greylisted"` // items whose host said "later"
	RetryAt    time.Time     `json:"retry_at,omitzero"`
	RetryIn    time.Duration `json:"retry_in,omitzero"` // until then, when the batch ended; RetryAt is of another clock than the workflow's
	Queues     []string      `json:"queues,omitempty"`  // the task queues that ask for the greylisted items again, "" for those of any; nil: all of them
	Tally      order.Tally   `json:"tally"`
	Outage     *Outage       `json:"outage,omitempty"` // why the rest has no verdict
}

// Outage says why nothing can be verified just now, at any host.
type Outage struct {
	Reason  string `json:"reason"`  // connect_failed, blocked, dns_error, …
	Message string `json:"message"` // one sentence for a person

	// Limit is how long an order waits for the end of an outage; 0: without end.
	Limit time.Duration `json:"limit,omitempty"`
}

// outageOf is the outage that an error tells of, nil when it is another error.
func (a *Activities) outageOf(err error) *Outage {
	var o *verify.OutageError
	if !errors.As(err, &o) {
		return nil
	}
	return &Outage{Reason: string(o.Reason), Message: verify.WithoutAddresses(o.Error()), Limit: a.OutageLimit}
}

// Preflight tells whether verification can work at all; nil means that it can.
func (a *Activities) Preflight(ctx context.Context) (*Outage, error) {
	defer heartbeat(ctx, noProgress)()
	err := a.Verifier.Preflight(ctx)
	if o := a.outageOf(err); o != nil {
		return o, nil
	}
	return nil, toTemporal(err)
}

// NoteWaitInput is the input of NoteWait.
type NoteWaitInput struct {
	OrderID string     `json:"order_id"`
	Wait    order.Wait `json:"wait"`
}

// NoteWait lets the book show what an order waits for.
func (a *Activities) NoteWait(ctx context.Context, in NoteWaitInput) error {
	return toTemporal(a.Book.NoteWait(ctx, in.OrderID, in.Wait))
}

// NotePausedInput is the input of NotePaused.
type NotePausedInput struct {
	OrderID string `json:"order_id"`
	Paused  bool   `json:"paused"`
}

// NotePaused lets the book show that an order was paused, or resumed.
func (a *Activities) NotePaused(ctx context.Context, in NotePausedInput) error {
	return toTemporal(a.Book.NotePaused(ctx, in.OrderID, in.Paused))
}

// NoteRecovered lets the book show that an outage has ended for an order.
func (a *Activities) NoteRecovered(ctx context.Context, id string) error {
	return toTemporal(a.Book.NoteRecovered(ctx, id))
}

// BatchProgress is what a running VerifyBatch says in its heartbeats.
type BatchProgress struct {
	Checked int64 `json:"checked"` // items that got a verdict in this attempt
}

// VerifyBatch verifies the items of a range that have no final verdict, and
// writes the verdicts as they come. A repeated call does only the rest.
// On cancellation, in an outage and when the worker stops it keeps what it has.
// Its verdicts reach the disk with its answer: while a write waited for that, all
// other batches of the order would wait for the order's tally.
func (a *Activities) VerifyBatch(ctx context.Context, in BatchInput) (BatchResult, error) {
	return atOnce(ctx, a, func(ctx context.Context) (BatchResult, error) { return a.verifyBatch(ctx, in) })
}

func (a *Activities) verifyBatch(ctx context.Context, in BatchInput) (BatchResult, error) {
	var checked atomic.Int64
	defer heartbeat(ctx, func() any { return BatchProgress{Checked: checked.Load()} })()

	items, err := a.pending(ctx, in)
	if err != nil {
		return BatchResult{}, toTemporal(err)
	}
	var outage *Outage
	if len(items) > 0 {
		err := a.verifyItems(ctx, in, items, &checked)
		if outage = a.outageOf(err); outage == nil && err != nil {
			return BatchResult{}, toTemporal(err)
		}
	}
	p, err := a.Book.Progress(ctx, in.OrderID, in.From, in.To)
	if err != nil {
		return BatchResult{}, toTemporal(err)
	}
	if p.Pending > 0 && outage == nil { // to be asked again, not to be passed over in silence
		return BatchResult{}, toTemporal(fmt.Errorf("the verification left %d of %d addresses without an answer", p.Pending, in.To-in.From+1))
	}
	if a.GreylistRetry > 0 { // a database's clock that was ahead when the verdicts were written keeps no order waiting
		p.RetryIn = min(p.RetryIn, a.GreylistRetry)
	}
	return BatchResult{
		Done: p.Done, Greylisted: p.Greylisted, RetryAt: p.RetryAt, RetryIn: p.RetryIn, Queues: p.RetryQueues, Tally: p.Tally, Outage: outage,
	}, nil
}

func (a *Activities) pending(ctx context.Context, in BatchInput) ([]orderbook.Item, error) {
	if in.Queue != "" {
		return a.Book.PendingOn(ctx, in.OrderID, in.From, in.To, in.Due, in.Queue)
	}
	return a.Book.Pending(ctx, in.OrderID, in.From, in.To, in.Due)
}

func (a *Activities) verifyItems(ctx context.Context, in BatchInput, items []orderbook.Item, checked *atomic.Int64) error {
	var addresses, numbers []orderbook.Item
	for _, item := range items {
		if item.Field == order.PhoneField {
			numbers = append(numbers, item)
		} else {
			addresses = append(addresses, item)
		}
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			stop(errWorkerStops)
		case <-ctx.Done():
		}
	}()

	// The verifier reports from many goroutines; one of ours writes.
	results := make(chan orderbook.Verdict, writeMost)
	written := make(chan error, 1)
	go func() { written <- a.writeVerdicts(ctx, results, len(items), checked, stop) }()

	err := a.checkNumbers(ctx, numbers, results)
	switch {
	case err != nil:
	case in.Ending != nil:
		endUnknown(*in.Ending, addresses, results)
	default:
		err = a.verifyAddresses(ctx, addresses, in.Preflight, results)
	}
	close(results)
	if werr := <-written; werr != nil {
		return werr
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// endUnknown gives addresses that an outage kept from being asked for a final
// verdict. Its reason is one of ours, for which no plan charges.
func endUnknown(o Outage, items []orderbook.Item, results chan<- orderbook.Verdict) {
	reason := verify.Reason(o.Reason)
	if !reason.Ours() {
		reason = verify.ConnectFailed
	}
	for _, item := range items {
		results <- verdictOf(item, verify.Result{
			Verdict: verify.Unknown, Reason: reason, SMTPText: o.Message, CheckedAt: time.Now().UTC(),
		})
	}
}

func (a *Activities) verifyAddresses(ctx context.Context, items []orderbook.Item, preflight bool, results chan<- orderbook.Verdict) error {
	if len(items) == 0 {
		return nil
	}
	if preflight { // the engine knows how it is doing, and seldom asks a host for it
		if err := a.Verifier.Preflight(ctx); err != nil {
			return err
		}
	}
	emails := make([]string, len(items))
	for i, item := range items {
		emails[i] = item.Value
	}
	return a.Verifier.Verify(ctx, emails, func(i int, r verify.Result) {
		v := verdictOf(items[i], r)
		v.RetryQueue = a.RetryQueue
		results <- v
	})
}

// writeVerdicts writes what comes in until results is closed; all that is expected
// is written at once, while the verifier still tidies up. It goes on when
// the context is cancelled, because a verdict that is known should be kept; an
// error of the database stops the verification.
func (a *Activities) writeVerdicts(ctx context.Context, results <-chan orderbook.Verdict, expected int, checked *atomic.Int64, stop context.CancelCauseFunc) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	var failed error
	buffer := make([]orderbook.Verdict, 0, writeMost)
	flush := func() {
		if len(buffer) == 0 || failed != nil {
			return
		}
		through, cancel := commit.Through(ctx)
		defer cancel()
		if failed = a.Book.WriteAllVerdicts(through, buffer); failed != nil {
			stop(failed)
			return
		}
		checked.Add(int64(len(buffer)))
		buffer = buffer[:0]
	}
	for {
		select {
		case v, ok := <-results:
			if !ok {
				flush()
				return failed
			}
			if failed != nil {
				continue
			}
			expected--
			if buffer = append(buffer, v); len(buffer) == writeMost || expected == 0 {
				flush()
			}
		case <-tick.C:
			flush()
		}
	}
}

func verdictOf(item orderbook.Item, r verify.Result) orderbook.Verdict {
	if r.Verdict == verify.Valid {
		r.SMTPText = "" // its code says all
	}
	return orderbook.Verdict{
		OrderID: item.OrderID, N: item.N, Verdict: string(r.Verdict), Reason: string(r.Reason),
		MXHost: r.MXHost, SMTPCode: r.SMTPCode, SMTPEnhanced: r.SMTPEnhanced, SMTPText: r.SMTPText,
		CheckedAt: r.CheckedAt, RetryAt: r.RetryAt, Extras: extrasOf(r),
	}
}

// extrasOf is what an item keeps of an address besides its verdict.
func extrasOf(r verify.Result) *orderbook.Extras {
	x := &orderbook.Extras{Provider: r.Provider, Score: int32(r.Score)}
	for flag, is := range map[int32]bool{
		orderbook.FlagRole: r.Role, orderbook.FlagFree: r.Free, orderbook.FlagDisposable: r.Disposable,
		orderbook.FlagAlias: r.Alias, orderbook.FlagCleaned: r.Cleaned, orderbook.FlagDoubtful: r.Doubtful,
	} {
		if is {
			x.Flags |= flag
		}
	}
	if _, domain, found := strings.Cut(r.Suggestion, "@"); found {
		x.MeantDomain = domain[strings.LastIndexByte(domain, '@')+1:] // a quoted local part may have an @ too
	}
	if r.ScoreParts != (verify.ScoreParts{Verdict: r.Score}) {
		x.ScoreParts, _ = json.Marshal(r.ScoreParts) // whole numbers
	}
	return x
}
