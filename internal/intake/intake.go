// Package intake is the one way into Temporal: it submits orders, cancels them
// and asks how they are doing. The command line, the API and tests
// all come through here, so that all of them get the same
// checks and the same answers.
package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"holdfast/activities"
	"holdfast/internal/account"
	"holdfast/internal/commit"
	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/metadata"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/webhook"
	"holdfast/workflows"
)

// answerWithin is how long a submitter waits for the reservation. It takes
// milliseconds; longer means that no worker is there. Orders over fields of leads
// look up each lead first, at a time that is generous by far.
const (
	answerWithin = 15 * time.Second
	lookedUpIn   = 100 * time.Microsecond
)

// repeatedAfter is the age of an order from which on a submission is a repeated
// one, which looks after the order's workflow.
const repeatedAfter = 5 * time.Second

// Errors of the intake; test with errors.Is. Each is a sentence for the user.
var (
	ErrKeyReused = errcode.New(errcode.KeyReused, "this idempotency key was used for another order; use a new key for a new order")
	ErrNoKey     = errcode.New(errcode.Invalid, "an order needs an idempotency key; send the same one again to repeat the request safely")
	ErrNoAnswer  = errcode.New(errcode.Unavailable, "no worker took the order in time; it is kept and will run when a worker is there; repeat the request with the same idempotency key to get its answer")
	ErrAway      = errcode.New(errcode.Unavailable, "orders cannot be started or changed at the moment; repeat the request in a minute, with the same idempotency key")
	ErrOver      = errcode.New(errcode.Conflict, "the order is over already; there is nothing left to cancel, pause or resume")
	ErrDelivered = errcode.New(errcode.Conflict, "the order is delivered already; there is nothing left to pause")
)

// Intake submits orders to Temporal.
type Intake struct {
	temporal  client.Client
	accounts  *account.Accounts
	book      *orderbook.Book
	offers    *offer.Pricer
	webhooks  *webhook.Webhooks
	maxCount  int64
	rides     *rides
	announced *announcements

	// Converter reads what running batches say of themselves; it must be that of the
	// workers.
	Converter converter.DataConverter
}

// New returns an intake. maxCount is the largest number of leads one order may
// ask for; 0 means order.MaxCount.
func New(c client.Client, accounts *account.Accounts, book *orderbook.Book, offers *offer.Pricer, webhooks *webhook.Webhooks, maxCount int64) *Intake {
	return &Intake{temporal: c, accounts: accounts, book: book, offers: offers, webhooks: webhooks, maxCount: maxCount, rides: newRides(), announced: &announcements{book: book}, Converter: converter.GetDefaultDataConverter()}
}

// Submission is a request with who makes it and the key that makes it safe to
// repeat.
type Submission struct {
	Org     string
	Member  string // empty: the organization itself
	Key     string
	Request order.Request
	Emails  []string // addresses to verify, kept as a list before the order is given to Temporal
	LeadIDs []string // leads to reveal or export, kept likewise

	Metadata map[string]string // the customer's own; Temporal never sees it

	// What the caller has just read of the organization and the member; nil: it is
	// read. The reservation reads them again.
	Account *account.Org
	Licence *account.Member

	// Together: someone waits for the end of a small order, so that it may share a
	// workflow with others of its organization that come at the same time.
	Together bool
}

// Submit starts an order and answers as soon as its credits are held (status
// reserved) or found missing (status rejected, nothing held). The same
// submission again gives the same order, as it stands by then.
//
// Errors: *order.InvalidError, account.ErrNotFound, ErrNoKey, ErrKeyReused,
// ErrNoAnswer.
func (in *Intake) Submit(ctx context.Context, s Submission) (order.Order, error) {
	if s.Key == "" {
		return order.Order{}, ErrNoKey
	}
	keeping := ctx
	if s.willRide() {
		keeping = commit.Losable(ctx) // its line is written later, and reaches the disk with its list
	}
	if err := in.check(keeping, &s, true); err != nil {
		return order.Order{}, err
	}

	input := order.Input{ID: order.ID(s.Org, s.Key), Org: s.Org, Member: s.Member, Request: s.Request}
	before, err := in.book.Get(ctx, s.Org, input.ID)
	first := errors.Is(err, orderbook.ErrNotFound)
	switch {
	case first:
		if _, err := in.offers.Terms(ctx, s.Account.Plan, s.Account.PlanVersion, input); err != nil {
			return order.Order{}, err // before a workflow starts, which would fail
		}
		before.Metadata, err = in.book.NoteMetadata(ctx, s.Org, input.ID, s.Metadata)
	case err == nil:
		idempotency.MarkReplayed(ctx)
	}
	if err != nil {
		return order.Order{}, err
	}
	if !maps.Equal(before.Metadata, s.Metadata) {
		return order.Order{}, ErrKeyReused
	}
	r, err := in.enter(ctx, input, before, s.Together)
	if err != nil && !isStarted(err) {
		return order.Order{}, answer(err)
	}
	o, err := in.outcome(ctx, input, r, first)
	if !first || !errors.Is(err, orderbook.ErrNotFound) {
		return o, err
	}
	// Temporal answered for an order that the database does not have: it was
	// restored from an older backup, and the workflow is over. The database is right.
	if err := in.TakeUp(ctx, input); err != nil {
		return order.Order{}, answer(err)
	}
	if r, err = in.reserve(ctx, input); err != nil && !isStarted(err) {
		return order.Order{}, answer(err)
	}
	return in.outcome(ctx, input, r, first)
}

// isStarted reports whether a workflow of the order has been started, and finished,
// too.
func isStarted(err error) bool {
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	return errors.As(err, &started)
}

// outcome is what a submission is answered: a first one with the order as it was
// reserved, a small one may be over by now; a repeated one with the order as it
// stands.
func (in *Intake) outcome(ctx context.Context, input order.Input, r order.Reservation, first bool) (o order.Order, err error) {
	reserved := first && r.Order.ID != ""
	if !reserved || time.Since(r.Order.CreatedAt).Abs() >= repeatedAfter {
		if o, err = in.book.Get(ctx, input.Org, input.ID); err != nil {
			return order.Order{}, err
		}
	}
	if r.RequestHash == "" {
		agreed, err := in.book.Agreement(ctx, input.ID)
		if err != nil {
			return order.Order{}, answer(err)
		}
		r.RequestHash = agreed.RequestHash
	}
	switch {
	case r.RequestHash != input.Request.Hash():
		return order.Order{}, ErrKeyReused
	case reserved:
		return begun(r.Order), nil
	case o.Status.Over() || time.Since(o.CreatedAt).Abs() < repeatedAfter: // an order of a clock that was ahead may be old
		return o, nil
	}
	// Temporal answers a repeated update of a workflow that has ended, too.
	return o, in.mend(ctx, input.ID)
}

// enter reserves an order: in a workflow of its own, or in one that it shares. before
// is how it stands, where it was submitted before.
func (in *Intake) enter(ctx context.Context, input order.Input, before order.Order, together bool) (order.Reservation, error) {
	first := before.ID == ""
	switch {
	case !mayRide(input.Request) && first:
		return in.start(ctx, input)
	case !mayRide(input.Request) && time.Since(before.CreatedAt).Abs() < repeatedAfter:
		return order.Reservation{}, nil // the book has it, and its workflow is there
	case !mayRide(input.Request):
		return in.reserve(ctx, input)
	case !first:
		return in.boarded(ctx, input)
	case together:
		return in.together(ctx, input)
	}
	entered, err := in.book.EnterLines(ctx, input.ID, []order.Input{input})
	if err != nil {
		return order.Reservation{}, err
	}
	if !entered[input.ID] { // it came twice in the same moment
		return in.boarded(ctx, input)
	}
	return in.start(ctx, input)
}

// begun is an order as the book shows it at its beginning.
func begun(o order.Order) order.Order {
	if !o.Status.Over() {
		o.Progress = &order.Pace{}
	}
	return o
}

// Quote says what a submission would find, hold and probably be charged. It
// changes nothing and needs no key.
//
// Errors: *order.InvalidError, account.ErrNotFound.
func (in *Intake) Quote(ctx context.Context, s Submission) (order.Quote, error) {
	leads := s.LeadIDs
	if err := in.check(ctx, &s, false); err != nil {
		return order.Quote{}, err
	}
	return in.offers.Quote(ctx, order.Input{ID: order.ID(s.Org, s.Key), Org: s.Org, Member: s.Member, Request: s.Request}, leads...)
}

// check looks at who makes a submission and at what it says by itself, takes its
// addresses and lead ids out of it, and finds out where an export goes.
func (in *Intake) check(ctx context.Context, s *Submission, keep bool) error {
	var labels *metadata.InvalidError
	if errors.As(metadata.Check(s.Metadata), &labels) {
		return &order.InvalidError{Field: "metadata", Message: labels.Message}
	}
	if s.Account == nil {
		org, err := in.accounts.Org(ctx, s.Org)
		if err != nil {
			return err
		}
		s.Account = &org
	}
	if s.Licence == nil && s.Member != "" {
		m, err := in.accounts.Member(ctx, s.Org, s.Member)
		if err != nil {
			return err
		}
		s.Licence = &m
	}
	refused := s.Account.MayOrder()
	if s.Licence != nil {
		refused = cmp.Or(refused, s.Licence.Active())
	}
	if refused != nil && !(keep && in.known(ctx, *s)) {
		return refused
	}
	normalized, err := in.offers.Normalize(ctx, s.Org, order.Body{Request: s.Request, Emails: s.Emails, LeadIDs: s.LeadIDs}, keep)
	if err != nil {
		return err
	}
	s.Request, s.Emails, s.LeadIDs = normalized, nil, nil
	if err := s.Request.Validate(in.maxCount); err != nil {
		return err
	}
	if s.Request.Destination == order.ToWebhook {
		s.Request.WebhookID, err = in.endpoint(ctx, s.Org, s.Request.WebhookID)
	}
	return err
}

// known says whether an order was submitted under the key before: it is answered
// as it stands, even if its organization was closed.
func (in *Intake) known(ctx context.Context, s Submission) bool {
	_, err := in.book.Get(ctx, s.Org, order.ID(s.Org, s.Key))
	return err == nil
}

// endpoint is the webhook that an export goes to: the one named, or the only one.
func (in *Intake) endpoint(ctx context.Context, org, id string) (string, error) {
	list, err := in.webhooks.Endpoints(ctx, org)
	if err != nil {
		return "", err
	}
	list = slices.DeleteFunc(list, func(e webhook.Endpoint) bool { return e.DisabledAt != nil || e.PausedAt != nil })
	switch {
	case len(list) == 0:
		return "", &order.InvalidError{Field: "destination", Message: "There is no webhook that an export could go to; set one up, or enable it."}
	case id == "" && len(list) == 1:
		return list[0].ID, nil
	case id == "":
		return "", &order.InvalidError{Field: "webhook_id", Message: fmt.Sprintf("There are %d webhooks; say by webhook_id which one the export goes to.", len(list))}
	case !slices.ContainsFunc(list, func(e webhook.Endpoint) bool { return e.ID == id }):
		return "", &order.InvalidError{Field: "webhook_id", Message: fmt.Sprintf("There is no webhook %q that is enabled; name another, or enable it.", id)}
	}
	return id, nil
}

// within is how long the submitter of an order waits.
func within(input order.Input) time.Duration {
	if input.Request.Kind.Spec().Source == order.FromFields {
		return answerWithin + time.Duration(input.Request.Count)*lookedUpIn
	}
	return answerWithin
}

// reserve starts the workflow, or finds it running, and waits for the
// reservation: one call to Temporal.
func (in *Intake) reserve(ctx context.Context, input order.Input) (order.Reservation, error) {
	ctx, cancel := context.WithTimeout(ctx, within(input))
	defer cancel()
	start := in.temporal.NewWithStartWorkflowOperation(workflows.StartOptions(input), workflows.Order, workflows.OrderInput{Input: input})

	handle, err := in.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateID:     workflows.UpdateReserve, // a repeated call joins the first one
			UpdateName:   workflows.UpdateReserve,
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return order.Reservation{}, err
	}
	var r order.Reservation
	err = handle.Get(ctx, &r)
	return r, err
}

// Away reports whether an error says that Temporal cannot be reached, or did not
// answer in time.
func Away(err error) bool {
	var slow *client.WorkflowUpdateServiceTimeoutOrCanceledError
	var gone *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded // the server's word for it
	return errors.As(err, &slow) || errors.As(err, &gone) || errors.As(err, &late) || status.Code(err) == codes.Unavailable
}

// answer turns Temporal's errors into sentences for the submitter.
func answer(err error) error {
	var gone *serviceerror.Unavailable
	info, refused := activities.Refused(err)
	switch {
	case errors.Is(err, ErrKeyReused), refused && info.Kind == errcode.KeyReused:
		return ErrKeyReused
	case refused && info.InBody: // found when it was looked at with the plan
		return &order.InvalidError{Field: info.Field, Message: info.Text}
	case refused:
		return info.Restore()
	case errors.As(err, &gone), status.Code(err) == codes.Unavailable:
		return ErrAway
	case errors.Is(err, context.DeadlineExceeded), Away(err):
		return ErrNoAnswer
	}
	return fmt.Errorf("the order could not be submitted: %w", err)
}
