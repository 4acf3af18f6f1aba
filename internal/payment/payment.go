// Package payment turns what a payment service reports into credits and plans:
// a purchase becomes grants, a subscription a plan, a refund or a dispute takes
// credits back. Stripe is the service; what is special about it stands in
// stripe.go. See README.md for the invariants.
package payment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stripe/stripe-go/v82"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/errcode"
)

// Errors of this package; errors.Is distinguishes them. The text of an error
// is one sentence for the caller.
var (
	ErrNotConfigured = errcode.New(errcode.NotConfigured, "payments are not set up here; set HOLDFAST_STRIPE_KEY and HOLDFAST_STRIPE_WEBHOOK_SECRET")
	ErrNotFound      = errcode.New(errcode.NotFound, "there is no such price, customer or event")
	ErrInvalid       = errcode.New(errcode.Invalid, "it cannot be stored like this")
	ErrSignature     = errcode.New(errcode.Malformed, "the signature is not valid; check the signing secret of the webhook endpoint")
	ErrKeyReused     = errcode.New(errcode.KeyReused, "the idempotency key was used for a grant with another purchase; use a new key")
	ErrService       = errcode.New(errcode.NoUpstream, "the payment service did not answer; try again")
)

// Config is how the payment service is reached.
type Config struct {
	Key    string // secret API key; empty: no checkout, and lines are taken from a session's metadata
	Secret string // signing secret of the webhook endpoint; empty: events are refused
	URL    string // of the service's API; empty: Stripe's own
}

// Payments records purchases and carries out what follows from them. It is safe
// for concurrent use, also from several processes.
type Payments struct {
	pool     *pgxpool.Pool
	accounts *account.Accounts
	billing  *billing.Billing
	config   Config
	stripe   *stripe.Client
	log      *slog.Logger

	// An event at work holds a connection while the ledger needs others: one at a
	// time, so that there are some.
	atWork chan struct{}
}

// New returns payments on the given parts.
func New(pool *pgxpool.Pool, accounts *account.Accounts, b *billing.Billing, c Config, log *slog.Logger) *Payments {
	p := &Payments{pool: pool, accounts: accounts, billing: b, config: c, log: log, atWork: make(chan struct{}, 1)}
	if c.Key != "" {
		backend := &stripe.BackendConfig{EnableTelemetry: stripe.Bool(false), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}}
		if c.URL != "" {
			backend.URL = stripe.String(c.URL)
		}
		p.stripe = stripe.NewClient(c.Key, stripe.WithBackends(stripe.NewBackendsWithConfig(backend)))
	}
	return p
}

// Status is where an event stands.
type Status string

// What becomes of an event.
const (
	Waiting Status = "waiting" // for a price or customer to be mapped, a purchase to arrive, or an operator to look
	Done    Status = "done"
	Ignored Status = "ignored" // it changes nothing here
)

// Event is what the payment service has reported, and what became of it.
type Event struct {
	ID         string     `json:"id" example:"evt_1" doc:"The event."`
	Type       string     `json:"type" example:"checkout.session.completed" doc:"What has happened, in the payment service's words."`
	HappenedAt time.Time  `json:"happened_at" example:"2026-03-01T12:00:00Z" doc:"When, by the payment service's clock."`
	ReceivedAt time.Time  `json:"received_at" example:"2026-03-01T12:00:01Z" doc:"When it was first reported."`
	Status     Status     `json:"status" enum:"waiting,done,ignored" example:"done" doc:"waiting for something, done, or ignored: it changes nothing."`
	Detail     string     `json:"detail,omitempty" example:"Price price_1 is not mapped to credits or a plan; map it." doc:"What it waits for, or why it changed nothing."`
	DoneAt     *time.Time `json:"done_at,omitempty" example:"2026-03-01T12:00:01Z" doc:"When it was carried out."`
}

// facts are what counts of an event: ids and amounts, nothing about a person.
type facts struct {
	Kind     string `json:"kind"` // sale, refund, dispute, subscription; "" = nothing follows from it
	Org      string `json:"org,omitempty"`
	Member   string `json:"member,omitempty"`
	Customer string `json:"customer,omitempty"`
	Payment  string `json:"payment,omitempty"`
	Invoice  string `json:"invoice,omitempty"` // id of the invoice that a sale is; "" of a checkout

	// Of a sale.
	Reference    string     `json:"reference,omitempty"`
	Number       string     `json:"number,omitempty"`
	ReceiptURL   string     `json:"receipt_url,omitempty"`
	Currency     string     `json:"currency,omitempty"`
	Amount       int64      `json:"amount,omitempty"` // of a dispute, too: what is disputed
	Lines        []soldLine `json:"lines,omitempty"`
	LinesUnknown bool       `json:"lines_unknown,omitempty"` // the service has to be asked for them
	TopUp        int64      `json:"top_up,omitempty"`        // the automatic purchase that it is

	// Of a refund.
	Charge   string `json:"charge,omitempty"`
	Refunded int64  `json:"refunded,omitempty"` // so far, in total

	// Of a dispute.
	Dispute string `json:"dispute,omitempty"`
	Outcome string `json:"outcome,omitempty"` // open, won, lost

	// Of a subscription; of a sale, too.
	Subscription string   `json:"subscription,omitempty"`
	Prices       []string `json:"prices,omitempty"`
	Ended        bool     `json:"ended,omitempty"`

	Note string `json:"note,omitempty"` // why nothing follows from it
}

// soldLine is one line of a sale.
type soldLine struct {
	Price     string    `json:"price"`
	Quantity  int64     `json:"quantity"`
	PeriodEnd time.Time `json:"period_end,omitzero"` // of a subscription
	Amount    *int64    `json:"amount,omitempty"`    // what it has cost; nil = not known
}

// wait is why an event cannot be carried out yet: a sentence for the operator,
// and what would help. See needs.go.
type wait struct {
	text  string
	needs []string
}

func (w *wait) Error() string { return w.text }

func waitFor(needs []string, format string, args ...any) error {
	return &wait{fmt.Sprintf(format, args...), needs}
}

// reason returns what an error says to the operator who can mend its cause, what
// would mend it, and whether it is such an error: others pass, and the service
// reports again.
func reason(err error, f facts) (text string, needs []string, mendable bool) {
	var w *wait
	var grant *billing.GrantError
	switch {
	case errors.As(err, &w):
		return w.text, w.needs, true
	case errors.As(err, &grant), errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrInvalid), errors.Is(err, account.ErrSuspended):
		return err.Error(), []string{needPlan(f.Customer)}, true
	}
	return "", nil, false
}

// Receive takes in an event of the payment service. An event that was received
// before is not carried out again. An error says that the service shall send it
// again.
//
// Errors: ErrNotConfigured, ErrSignature, ErrService.
func (p *Payments) Receive(ctx context.Context, body []byte, signature string) (Event, error) {
	if p.config.Secret == "" {
		return Event{}, ErrNotConfigured
	}
	e, f, err := readEvent(body, signature, p.config.Secret)
	if err != nil {
		return Event{}, err
	}
	if err := p.keep(ctx, e, f); err != nil {
		return Event{}, err
	}
	return p.Retry(ctx, e.ID)
}

// Retry carries out an event that waits, and those that waited for it.
// ErrNotFound where there is no such event.
func (p *Payments) Retry(ctx context.Context, id string) (Event, error) {
	e, brought, err := p.carryOut(ctx, id)
	if err != nil {
		return Event{}, err
	}
	p.retryWaiting(ctx, brought, false)
	return e, nil
}
