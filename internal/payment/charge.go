package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stripe/stripe-go/v82"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/outbox"
)

const (
	lookEvery  = 2 * time.Second  // for balances that have fallen
	restEvery  = time.Minute      // for changes that were interrupted, where no payment service is configured
	chargeFor  = 2 * time.Minute  // how long a process that dies keeps a charge
	unknownFor = 20 * time.Hour   // the payment service knows a key for 24 hours
	longestGap = 30 * time.Minute // between two questions
)

// RunTopUps buys what is due until ctx is done. One worker runs it, the one that
// publishes events.
func (p *Payments) RunTopUps(ctx context.Context) {
	every := lookEvery
	if p.stripe == nil {
		every = restEvery // nothing can be bought
	}
	for ctx.Err() == nil {
		if err := p.BuyDue(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "Automatic purchases were not made; they are tried again.", "error", err)
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// isDue is in SQL whether the time of a charge has come. One that is further away
// than any wait was written by a clock that was ahead.
var isDue = fmt.Sprintf(`(next_at <= now() OR next_at > now() + interval '%d seconds')`, int64(longestGap.Seconds()))

// BuyDue charges for each fall of a balance that is due, once, and completes what
// a process that has ended left.
func (p *Payments) BuyDue(ctx context.Context) error {
	rest := errors.Join(p.billing.WatchRest(ctx), p.unwatched(ctx))
	if p.stripe == nil {
		return rest
	}
	rows, _ := p.pool.Query(ctx, `SELECT id FROM top_up WHERE status IN ('due', 'charging') AND `+isDue+` ORDER BY next_at, id LIMIT 100`)
	due, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("the automatic purchases cannot be read: %w", err)
	}
	for _, id := range due {
		rest = errors.Join(rest, p.buy(ctx, id))
	}
	return rest
}

// charge is a top_up at work.
type charge struct {
	ID       int64
	Org      string
	Type     string
	Status   string
	Try      int
	Price    string
	Quantity int64
	Credits  int64
	Amount   int64
	Currency string
	Customer string
	Method   string
	Payment  string
	Attempts int
	Began    *time.Time
}

// buy carries one purchase on, in one process at a time.
func (p *Payments) buy(ctx context.Context, id int64) error {
	rows, _ := p.pool.Query(ctx, `
		UPDATE top_up SET next_at = now() + $2 * interval '1 millisecond', attempts = attempts + 1
		WHERE id = $1 AND status IN ('due', 'charging') AND `+isDue+`
		RETURNING id, org, type, status, try, price, quantity, credits, amount, currency, customer, method, payment, attempts, charged_at`, id, chargeFor.Milliseconds())
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[charge])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // another process has it
	}
	if err == nil && c.Status == "due" {
		err = p.prepare(ctx, &c)
	}
	if err == nil {
		err = p.collect(ctx, c)
	}
	return p.conclude(ctx, c, err)
}

// verdict is how a purchase ends that was not made.
type verdict struct {
	status string // failed, skipped or unknown
	text   string // for the customer
	tell   bool   // an event says so
}

func (v *verdict) Error() string { return v.text }

func failed(format string, args ...any) error {
	return &verdict{"failed", fmt.Sprintf(format, args...), true}
}

func skipped(format string, args ...any) error {
	return &verdict{"skipped", fmt.Sprintf(format, args...), false}
}

func capped(format string, args ...any) error {
	return &verdict{"skipped", fmt.Sprintf(format, args...), true}
}

// conclude writes how a purchase has ended. A refusal stops the rule: the next
// fall of the balance charges nothing until the customer has set it again. What
// is no verdict passes, and is tried again under the same key.
func (p *Payments) conclude(ctx context.Context, c charge, err error) error {
	var v *verdict
	if !errors.As(err, &v) {
		if err == nil {
			return nil
		}
		gap := min(time.Minute<<min(c.Attempts, 10), longestGap)
		_, failure := p.pool.Exec(ctx, `UPDATE top_up SET next_at = now() + $2 * interval '1 millisecond' WHERE id = $1 AND status IN ('due', 'charging')`, c.ID, gap.Milliseconds())
		return errors.Join(err, failure)
	}
	p.log.WarnContext(ctx, "An automatic purchase was not made.", "org", c.Org, "type", c.Type, "top_up", c.ID, "status", v.status, "detail", v.text)
	failure := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE top_up SET status = $2, detail = $3, done_at = now() WHERE id = $1 AND status IN ('due', 'charging')`, c.ID, v.status, v.text)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if v.status != "skipped" {
			if _, err = tx.Exec(ctx, `UPDATE top_up_rule SET stopped = $3 WHERE org = $1 AND type = $2`, c.Org, c.Type, v.text); err != nil {
				return err
			}
		}
		if !v.tell {
			return nil
		}
		event, err := outbox.New(c.Org, outbox.TopUpFailed, outbox.FailedTopUp{
			Org: c.Org, ID: c.ID, Type: c.Type, Status: v.status, Reason: v.text, Stopped: v.status != "skipped", At: time.Now().UTC(),
		}, c.ID, c.Try)
		if err != nil {
			return err
		}
		return outbox.Write(ctx, tx, event)
	})
	if failure != nil {
		return fmt.Errorf("the automatic purchase cannot be written: %w", failure)
	}
	return nil
}

// prepare decides what is charged, under the caps, and writes it down before the
// payment service is asked.
func (p *Payments) prepare(ctx context.Context, c *charge) error {
	org, err := p.accounts.Org(ctx, c.Org)
	if err != nil {
		return err
	}
	var rule TopUpRule
	rows, _ := p.pool.Query(ctx, `SELECT `+ruleColumns+` FROM top_up_rule WHERE org = $1 AND type = $2`, c.Org, c.Type)
	if rule, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[TopUpRule]); err != nil {
		return fmt.Errorf("the rule cannot be read: %w", err)
	}
	if err := p.offer(ctx, c, rule); err != nil {
		return err
	}
	zone, err := org.Location()
	if err != nil {
		zone = time.UTC
	}
	now := time.Now().In(zone)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, zone)
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// One at a time, so that two together stay below the caps.
		rows, _ := tx.Query(ctx, `SELECT `+ruleColumns+` FROM top_up_rule WHERE org = $1 AND type = $2 FOR UPDATE`, c.Org, c.Type)
		rule, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[TopUpRule])
		if err != nil {
			return fmt.Errorf("the rule cannot be read: %w", err)
		}
		var credits, amount int64
		if err := tx.QueryRow(ctx, `
			SELECT coalesce(sum(credits), 0)::bigint, coalesce(sum(amount), 0)::bigint FROM top_up
			WHERE org = $1 AND type = $2 AND status IN ('charging', 'paid', 'unknown') AND charged_at >= $3`, c.Org, c.Type, month).Scan(&credits, &amount); err != nil {
			return fmt.Errorf("the automatic purchases cannot be read: %w", err)
		}
		if err := mayCharge(org, rule, *c, credits, amount); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE top_up SET status = 'charging', price = $2, quantity = $3, credits = $4, amount = $5, currency = $6, customer = $7, method = $8, charged_at = now()
			WHERE id = $1`, c.ID, c.Price, c.Quantity, c.Credits, c.Amount, c.Currency, c.Customer, c.Method)
		return err
	})
}

// mayCharge says why nothing is charged, where that is so. credits and amount
// are what the month has had.
func mayCharge(org account.Org, rule TopUpRule, c charge, credits, amount int64) error {
	switch {
	case !rule.Enabled || rule.Stopped != "":
		return skipped("Automatic purchases are switched off.")
	case org.Status != account.StatusActive:
		return skipped("The organization is %s.", org.Status)
	case c.Currency != rule.Currency:
		return failed("The price is in %s, the monthly cap in %s; set the rule again.", c.Currency, rule.Currency)
	case credits+c.Credits > rule.MonthlyCredits:
		return capped("The monthly cap of %d credits is reached.", rule.MonthlyCredits)
	case amount+c.Amount > rule.MonthlyAmount:
		return capped("The monthly cap of %d %s (smallest unit) is reached.", rule.MonthlyAmount, rule.Currency)
	}
	return nil
}

// offer finds out what a purchase by a rule costs and whose card pays for it.
func (p *Payments) offer(ctx context.Context, c *charge, rule TopUpRule) error {
	price, err := p.Price(ctx, rule.Price)
	if errors.Is(err, ErrNotFound) || err == nil && price.Type != c.Type {
		return failed("Price %s does not bring %s credits any more; set the rule again.", rule.Price, c.Type)
	}
	if err != nil {
		return err
	}
	if c.Customer, err = p.customerOf(ctx, c.Org); err != nil {
		return err
	}
	if c.Customer == "" {
		return failed("There is no card to charge; buy a pack once and let the card be saved.")
	}
	asked, err := p.stripe.V1Prices.Retrieve(ctx, rule.Price, nil)
	if err != nil {
		return refused(err)
	}
	c.Price, c.Quantity, c.Credits = rule.Price, rule.Quantity, price.Credits*rule.Quantity
	c.Currency, c.Amount = string(asked.Currency), asked.UnitAmount*rule.Quantity
	if asked.UnitAmount < 1 || asked.UnitAmount > ledger.MaxAmount/rule.Quantity {
		return failed("Price %s has no fixed amount that can be charged; choose another.", rule.Price)
	}
	c.Method, err = p.card(ctx, c.Customer)
	return err
}

// card is the payment method of a customer that is charged: the default one, or
// the newest.
func (p *Payments) card(ctx context.Context, customer string) (string, error) {
	who, err := p.stripe.V1Customers.Retrieve(ctx, customer, nil)
	if err != nil {
		return "", refused(err)
	}
	if s := who.InvoiceSettings; s != nil && s.DefaultPaymentMethod != nil {
		return s.DefaultPaymentMethod.ID, nil
	}
	for method, err := range p.stripe.V1PaymentMethods.List(ctx, &stripe.PaymentMethodListParams{Customer: stripe.String(customer)}) {
		if err != nil {
			return "", refused(err)
		}
		return method.ID, nil
	}
	return "", failed("There is no card to charge; buy a pack once and let the card be saved.")
}

// collect charges the card, under a key that makes repetitions the same charge,
// and gives what was bought.
func (p *Payments) collect(ctx context.Context, c charge) error {
	if c.Began != nil && time.Since(*c.Began) > unknownFor {
		return &verdict{"unknown", "The payment service did not say whether the card was charged. If it was, the credits come when it reports the payment.", true}
	}
	intent, err := p.intent(ctx, c)
	if err != nil {
		return refused(err)
	}
	switch intent.Status {
	case stripe.PaymentIntentStatusSucceeded:
	case stripe.PaymentIntentStatusProcessing:
		_, err := p.pool.Exec(ctx, `UPDATE top_up SET payment = $2 WHERE id = $1`, c.ID, intent.ID)
		return errors.Join(errProcessing, err)
	default:
		return failed("The payment needs the customer (%s); buy a pack once and let the card be saved.", intent.Status)
	}
	e := Event{ID: fmt.Sprintf("top_up_%d", c.ID), Type: "payment_intent.succeeded", HappenedAt: time.Unix(intent.Created, 0).UTC()}
	if err := p.keep(ctx, e, factsOfIntent(*intent)); err != nil {
		return err
	}
	if _, err := p.Retry(ctx, e.ID); err != nil {
		return err
	}
	return p.paid(ctx, c.ID, intent.ID)
}

var errProcessing = errors.New("the payment service is still at work on the payment")

func (p *Payments) intent(ctx context.Context, c charge) (*stripe.PaymentIntent, error) {
	if c.Payment != "" {
		return p.stripe.V1PaymentIntents.Retrieve(ctx, c.Payment, nil)
	}
	params := &stripe.PaymentIntentCreateParams{
		Amount: stripe.Int64(c.Amount), Currency: stripe.String(c.Currency), Customer: stripe.String(c.Customer), PaymentMethod: stripe.String(c.Method),
		OffSession: stripe.Bool(true), Confirm: stripe.Bool(true),
		Metadata: map[string]string{metaOrg: c.Org, metaPrice: c.Price, metaQuantity: fmt.Sprint(c.Quantity), metaTopUp: fmt.Sprint(c.ID)},
	}
	params.SetIdempotencyKey(fmt.Sprintf("holdfast/top-up/%d/%d", c.ID, c.Try))
	return p.stripe.V1PaymentIntents.Create(ctx, params)
}

// paid notes that the payment service has reported the payment, in its
// answer or by an event.
func (p *Payments) paid(ctx context.Context, id int64, payment string) error {
	_, err := p.pool.Exec(ctx, `
		UPDATE top_up SET status = 'paid', payment = $2, detail = '', done_at = now()
		WHERE id = $1 AND status IN ('charging', 'unknown', 'failed') AND charged_at IS NOT NULL`, id, payment)
	if err != nil {
		return fmt.Errorf("the automatic purchase cannot be written: %w", err)
	}
	return nil
}

// refused is a refusal of the payment service in the words for the customer. What
// may be different at the next attempt is no refusal.
func refused(err error) error {
	var said *stripe.Error
	if !errors.As(err, &said) || said.HTTPStatusCode < 400 || said.HTTPStatusCode >= 500 || said.HTTPStatusCode == 409 || said.HTTPStatusCode == 429 {
		return fmt.Errorf("%w (%w)", ErrService, err)
	}
	code := string(said.Code)
	if said.DeclineCode != "" {
		code = string(said.DeclineCode)
	}
	if said.Type == stripe.ErrorTypeCard {
		return failed("The card was declined (%s).", code)
	}
	return failed("The payment service refused the charge (status %d, %s).", said.HTTPStatusCode, code)
}
