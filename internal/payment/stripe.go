package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/webhook"

	"holdfast/internal/errcode"
)

// Metadata that a checkout of ours carries.
const (
	metaOrg      = "holdfast_org"
	metaMember   = "holdfast_member"
	metaPrice    = "holdfast_price"
	metaQuantity = "holdfast_quantity"
	metaTopUp    = "holdfast_top_up" // an automatic purchase
)

// readEvent checks the signature of an event and reads what counts of it.
func readEvent(body []byte, signature, secret string) (Event, facts, error) {
	// The account may use another version of the API than the library; what such
	// an event lacks is asked for.
	raw, err := webhook.ConstructEventWithOptions(body, signature, secret, webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	if err != nil {
		return Event{}, facts{}, ErrSignature
	}
	e := Event{ID: raw.ID, Type: string(raw.Type), HappenedAt: time.Unix(raw.Created, 0).UTC()}
	if e.ID == "" || raw.Data == nil {
		return Event{}, facts{}, errcode.Say(ErrInvalid, "The event has no id or no data; send it as the service made it.")
	}
	f, err := factsOf(raw)
	if err != nil {
		return Event{}, facts{}, errcode.Say(ErrInvalid, "The event of type %s cannot be read; send it as the service made it.", raw.Type)
	}
	return e, f, nil
}

func factsOf(e stripe.Event) (facts, error) {
	switch e.Type { //nolint:exhaustive // nothing follows from the others
	case "checkout.session.completed", "checkout.session.async_payment_succeeded":
		return readAs(e, factsOfSession)
	case "payment_intent.succeeded":
		return readAs(e, factsOfIntent)
	case "invoice.paid":
		return readAs(e, factsOfInvoice)
	case "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted":
		return readAs(e, factsOfSubscription)
	case "charge.refunded":
		return readAs(e, factsOfCharge)
	case "charge.dispute.created", "charge.dispute.closed":
		return readAs(e, factsOfDispute)
	}
	return facts{Note: "Nothing follows from events of this type."}, nil
}

func readAs[T any](e stripe.Event, read func(T) facts) (facts, error) {
	var object T
	if err := json.Unmarshal(e.Data.Raw, &object); err != nil {
		return facts{}, err
	}
	return read(object), nil
}

func factsOfSession(s stripe.CheckoutSession) facts {
	f := facts{
		Kind: "sale", Org: s.ClientReferenceID, Member: s.Metadata[metaMember], Customer: customerID(s.Customer),
		Reference: s.ID, Amount: s.AmountTotal, Currency: string(s.Currency), LinesUnknown: true,
	}
	if org := s.Metadata[metaOrg]; org != "" {
		f.Org = org
	}
	if s.PaymentIntent != nil {
		f.Payment = s.PaymentIntent.ID
	}
	f.Lines = linesOf(s.Metadata)
	switch {
	case s.Mode == stripe.CheckoutSessionModeSubscription:
		f.Kind, f.Note = "customer", "The invoices and the subscription are reported by themselves."
	case s.Mode == stripe.CheckoutSessionModeSetup:
		f.Kind, f.Note = "customer", "Nothing was bought."
	case s.PaymentStatus == stripe.CheckoutSessionPaymentStatusUnpaid:
		f.Kind, f.Note = "customer", "It is not paid yet; the payment is reported by itself."
	}
	return f
}

// linesOf is what our own checkout or charge was for.
func linesOf(metadata map[string]string) []soldLine {
	quantity, err := strconv.ParseInt(metadata[metaQuantity], 10, 64)
	if metadata[metaPrice] == "" || err != nil || quantity < 1 {
		return nil
	}
	return []soldLine{{Price: metadata[metaPrice], Quantity: quantity}}
}

// factsOfIntent reads a payment without a checkout or an invoice: one of our
// automatic purchases. All others are reported by what they are part of.
func factsOfIntent(i stripe.PaymentIntent) facts {
	number, err := strconv.ParseInt(i.Metadata[metaTopUp], 10, 64)
	if err != nil {
		return facts{Note: "The payment is reported by its checkout or invoice."}
	}
	return facts{
		Kind: "sale", Org: i.Metadata[metaOrg], Customer: customerID(i.Customer), Payment: i.ID, TopUp: number,
		Reference: i.ID, Amount: i.AmountReceived, Currency: string(i.Currency), Lines: linesOf(i.Metadata),
	}
}

func factsOfInvoice(i stripe.Invoice) facts {
	f := facts{
		Kind: "sale", Org: i.Metadata[metaOrg], Customer: customerID(i.Customer),
		Reference: i.ID, Invoice: i.ID, Number: i.Number, ReceiptURL: i.HostedInvoiceURL, Amount: i.AmountPaid, Currency: string(i.Currency),
	}
	if i.Parent != nil && i.Parent.SubscriptionDetails != nil && i.Parent.SubscriptionDetails.Subscription != nil {
		f.Subscription = i.Parent.SubscriptionDetails.Subscription.ID
	}
	if i.Lines == nil {
		f.LinesUnknown = true
		return f
	}
	f.LinesUnknown = i.Lines.HasMore
	for _, l := range i.Lines.Data {
		if l == nil { // null
			continue
		}
		// Accounts with an older version of the API report the price elsewhere.
		f.LinesUnknown = f.LinesUnknown || l.Pricing == nil
		if s, ok := soldLineOf(l); ok {
			f.Lines = append(f.Lines, s)
		}
	}
	return f
}

// soldLineOf leaves out what is no sale by itself: a part of a period that is
// paid or given back because a plan has changed.
func soldLineOf(l *stripe.InvoiceLineItem) (soldLine, bool) {
	if p := l.Parent; p != nil {
		if d := p.SubscriptionItemDetails; d != nil && d.Proration {
			return soldLine{}, false
		}
		if d := p.InvoiceItemDetails; d != nil && d.Proration {
			return soldLine{}, false
		}
	}
	if l.Pricing == nil || l.Pricing.PriceDetails == nil || l.Quantity < 1 || l.Amount < 0 {
		return soldLine{}, false
	}
	s := soldLine{Price: l.Pricing.PriceDetails.Price, Quantity: l.Quantity, Amount: &l.Amount}
	if l.Period != nil && l.Period.End > l.Period.Start {
		s.PeriodEnd = time.Unix(l.Period.End, 0).UTC()
	}
	return s, true
}

func factsOfSubscription(s stripe.Subscription) facts {
	f := facts{Kind: "subscription", Org: s.Metadata[metaOrg], Customer: customerID(s.Customer), Subscription: s.ID}
	switch s.Status { //nolint:exhaustive // the others are alive
	case stripe.SubscriptionStatusCanceled, stripe.SubscriptionStatusUnpaid, stripe.SubscriptionStatusIncompleteExpired:
		f.Ended = true
	case stripe.SubscriptionStatusIncomplete, stripe.SubscriptionStatusPaused:
		return facts{Note: fmt.Sprintf("The subscription is %s.", s.Status)}
	}
	if s.Items != nil {
		for _, i := range s.Items.Data {
			if i != nil && i.Price != nil {
				f.Prices = append(f.Prices, i.Price.ID)
			}
		}
	}
	return f
}

func factsOfCharge(c stripe.Charge) facts {
	f := facts{Kind: "refund", Customer: customerID(c.Customer), Charge: c.ID, Refunded: c.AmountRefunded}
	if c.PaymentIntent != nil {
		f.Payment = c.PaymentIntent.ID
	}
	return f
}

func factsOfDispute(d stripe.Dispute) facts {
	f := facts{Kind: "dispute", Dispute: d.ID, Amount: d.Amount, Outcome: "open"}
	if d.PaymentIntent != nil {
		f.Payment = d.PaymentIntent.ID
	}
	switch d.Status { //nolint:exhaustive // the others are open
	case stripe.DisputeStatusWon, stripe.DisputeStatusPrevented:
		f.Outcome = "won"
	case stripe.DisputeStatusLost:
		f.Outcome = "lost"
	case stripe.DisputeStatusWarningNeedsResponse, stripe.DisputeStatusWarningUnderReview, stripe.DisputeStatusWarningClosed:
		return facts{Note: "It is an inquiry; no money was taken back."}
	}
	return f
}

func customerID(c *stripe.Customer) string {
	if c == nil {
		return ""
	}
	return c.ID
}

// complete asks the service for the lines of a sale that the event does not
// have.
func (p *Payments) complete(ctx context.Context, f *facts) error {
	if !f.LinesUnknown || p.stripe == nil && len(f.Lines) > 0 && f.Invoice == "" {
		return nil
	}
	if p.stripe == nil {
		return waitFor(nil, "The event does not say what was bought; set HOLDFAST_STRIPE_KEY, so that the service can be asked, and try it again.")
	}
	f.Lines = nil
	if f.Invoice == "" {
		for l, err := range p.stripe.V1CheckoutSessions.ListLineItems(ctx, &stripe.CheckoutSessionListLineItemsParams{Session: stripe.String(f.Reference)}) {
			if err != nil {
				return unanswered(err)
			}
			if l.Price != nil {
				f.Lines = append(f.Lines, soldLine{Price: l.Price.ID, Quantity: l.Quantity, Amount: &l.AmountTotal})
			}
		}
		return nil
	}
	for l, err := range p.stripe.V1Invoices.ListLines(ctx, &stripe.InvoiceListLinesParams{Invoice: stripe.String(f.Invoice)}) {
		if err != nil {
			return unanswered(err)
		}
		if s, ok := soldLineOf(l); ok {
			f.Lines = append(f.Lines, s)
		}
	}
	return nil
}

// invoiceOf asks the service which invoice a payment was for; "" where it was
// for none or cannot be asked.
func (p *Payments) invoiceOf(ctx context.Context, paymentIntent string) (string, error) {
	if p.stripe == nil || paymentIntent == "" {
		return "", nil
	}
	params := &stripe.InvoicePaymentListParams{Payment: &stripe.InvoicePaymentListPaymentParams{
		Type: stripe.String("payment_intent"), PaymentIntent: stripe.String(paymentIntent),
	}}
	for found, err := range p.stripe.V1InvoicePayments.List(ctx, params) {
		if err != nil {
			return "", unanswered(err)
		}
		if found.Invoice != nil {
			return found.Invoice.ID, nil
		}
	}
	return "", nil
}

// unanswered is an error of the service. Its text may name what was asked for;
// it stays in the log.
func unanswered(err error) error {
	var said *stripe.Error
	if errors.As(err, &said) && said.HTTPStatusCode >= 400 && said.HTTPStatusCode < 500 && said.HTTPStatusCode != 429 {
		return waitFor(nil, "The payment service refused the question (status %d, %s); check HOLDFAST_STRIPE_KEY and try it again.", said.HTTPStatusCode, said.Code)
	}
	return fmt.Errorf("%w (%w)", ErrService, err)
}

// Checkout is a purchase that a customer is going to make at the payment
// service.
type Checkout struct {
	ID        string    `json:"id" example:"cs_1" doc:"The checkout session."`
	URL       string    `json:"url" example:"https://checkout.example/cs_1" doc:"Send the buyer there."`
	ExpiresAt time.Time `json:"expires_at" example:"2026-03-02T12:00:00Z" doc:"The page works until then."`
}

// NewCheckout is what a customer wants to buy.
type NewCheckout struct {
	Org, Member string // Member buys; "" = the operator for the organization
	Key         string // idempotency key
	Price       string
	Quantity    int64
	SuccessURL  string
	CancelURL   string
	SaveCard    bool // for automatic purchases
}

// Checkout opens a checkout at the payment service. The same request again gets
// the same checkout.
//
// Errors: ErrNotConfigured, ErrNotFound for a price that is not mapped, ErrService.
func (p *Payments) Checkout(ctx context.Context, c NewCheckout) (Checkout, error) {
	if p.stripe == nil {
		return Checkout{}, ErrNotConfigured
	}
	price, err := p.Price(ctx, c.Price)
	if err != nil {
		return Checkout{}, err
	}
	customer, err := p.customerOf(ctx, c.Org)
	if err != nil {
		return Checkout{}, err
	}
	params := &stripe.CheckoutSessionCreateParams{
		Mode: stripe.String("payment"), ClientReferenceID: stripe.String(c.Org),
		SuccessURL: stripe.String(c.SuccessURL), CancelURL: stripe.String(c.CancelURL),
		LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{Price: stripe.String(c.Price), Quantity: stripe.Int64(c.Quantity)}},
		Metadata:  map[string]string{metaOrg: c.Org, metaMember: c.Member, metaPrice: c.Price, metaQuantity: fmt.Sprint(c.Quantity)},
	}
	params.SetIdempotencyKey("holdfast/" + c.Org + "/" + c.Key)
	if price.Plan != "" {
		params.Mode = stripe.String("subscription")
		params.SubscriptionData = &stripe.CheckoutSessionCreateSubscriptionDataParams{Metadata: map[string]string{metaOrg: c.Org}}
	}
	if c.SaveCard && price.Plan == "" {
		params.PaymentIntentData = &stripe.CheckoutSessionCreatePaymentIntentDataParams{SetupFutureUsage: stripe.String("off_session")}
	}
	switch {
	case customer != "":
		params.Customer = stripe.String(customer)
	case price.Plan == "":
		params.CustomerCreation = stripe.String("always")
	}
	s, err := p.stripe.V1CheckoutSessions.Create(ctx, params)
	var said *stripe.Error
	switch {
	case errors.As(err, &said) && said.Type == stripe.ErrorTypeIdempotency:
		return Checkout{}, ErrKeyReused
	case errors.As(err, &said) && said.Type == stripe.ErrorTypeInvalidRequest:
		return Checkout{}, errcode.Say(ErrInvalid, "The payment service refuses this checkout: %s", said.Msg)
	case err != nil:
		return Checkout{}, fmt.Errorf("%w (%w)", ErrService, err)
	}
	return Checkout{ID: s.ID, URL: s.URL, ExpiresAt: time.Unix(s.ExpiresAt, 0).UTC()}, nil
}
