package payment

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
)

// carryOut does what follows from an event that waits, and says what became of
// it. Each step first writes what it is going to do and then does it under a key
// of its own, so that a crash anywhere is made good by doing it again.
func (p *Payments) carryOut(ctx context.Context, id string) (e Event, brought []string, err error) {
	select {
	case p.atWork <- struct{}{}:
		defer func() { <-p.atWork }()
	case <-ctx.Done():
		return Event{}, nil, ctx.Err()
	}
	e, f, err := p.event(ctx, id)
	if err != nil || e.Status != Waiting {
		return e, nil, err
	}
	status, detail := Done, ""
	err = p.apply(ctx, e, f)
	var nothing *ignored
	text, needs, mendable := reason(err, f)
	switch {
	case errors.As(err, &nothing):
		status, detail = Ignored, nothing.why
	case mendable:
		status, detail = Waiting, text
	case err != nil:
		return Event{}, nil, err
	}
	e, err = p.mark(ctx, id, status, detail, needs)
	return e, f.brings(status, needs), err
}

// ignored is why an event changes nothing.
type ignored struct{ why string }

func (i *ignored) Error() string { return i.why }

func (p *Payments) apply(ctx context.Context, e Event, f facts) error {
	switch f.Kind {
	case "customer":
		// Whose customer it is, is worth knowing: later events name the customer only.
		if _, err := p.orgOf(ctx, f); err != nil {
			return &ignored{f.Note}
		}
		return nil
	case "sale":
		return p.sell(ctx, e, f)
	case "subscription":
		return p.follow(ctx, e, f)
	case "refund":
		return p.refund(ctx, e, f)
	case "dispute":
		return p.dispute(ctx, e, f)
	}
	return &ignored{f.Note}
}

// orgOf finds the organization that an event is about, and remembers whose
// customer it is.
func (p *Payments) orgOf(ctx context.Context, f facts) (account.Org, error) {
	id, err := p.orgOfCustomer(ctx, f.Customer)
	if err != nil {
		return account.Org{}, err
	}
	if id == "" {
		id = f.Org
	}
	if id == "" {
		return account.Org{}, waitFor([]string{needCustomer(f.Customer)}, "Customer %s belongs to no organization; map it to one.", f.Customer)
	}
	org, err := p.accounts.Org(ctx, id)
	if errors.Is(err, account.ErrNotFound) {
		return account.Org{}, waitFor([]string{needCustomer(f.Customer)}, "There is no organization %q; map customer %s to the right one.", id, f.Customer)
	}
	if err != nil || f.Customer == "" {
		return org, err
	}
	return org, p.rememberCustomer(ctx, f.Customer, id)
}

// sell records a purchase and gives what was bought.
func (p *Payments) sell(ctx context.Context, e Event, f facts) error {
	org, err := p.orgOf(ctx, f)
	if err != nil {
		return err
	}
	if err := p.complete(ctx, &f); err != nil {
		return err
	}
	if len(f.Lines) == 0 {
		return &ignored{"Nothing was sold."}
	}
	lines := make([]line, len(f.Lines))
	for i, l := range f.Lines {
		price, err := p.Price(ctx, l.Price)
		if errors.Is(err, ErrNotFound) {
			return waitForPrice(l.Price)
		}
		if err != nil {
			return err
		}
		if lines[i], err = price.sold(l, org.Time(e.HappenedAt)); err != nil {
			return err
		}
		lines[i].Amount = l.Amount
	}
	id, err := p.record(ctx, Purchase{
		Org: org.ID, Source: "stripe", Reference: f.Reference, BoughtAt: org.Time(e.HappenedAt), BoughtBy: f.Member,
		Amount: f.Amount, Currency: f.Currency, Invoice: f.Number, ReceiptURL: f.ReceiptURL,
	}, f.Payment, lines)
	if err != nil {
		return err
	}
	if err := p.fulfil(ctx, id); err != nil {
		return err
	}
	if f.TopUp != 0 {
		if err := p.paid(ctx, f.TopUp, f.Payment); err != nil {
			return err
		}
	}
	if f.Subscription == "" {
		return nil
	}
	for _, l := range f.Lines {
		f.Prices = append(f.Prices, l.Price)
	}
	err = p.follow(ctx, e, f)
	var nothing *ignored
	if errors.As(err, &nothing) {
		return nil // the purchase counts, even if the subscription has ended
	}
	return err
}

// sold is what a line of a sale buys under the terms of the moment.
func (price Price) sold(l soldLine, at time.Time) (line, error) {
	s := line{Price: price.ID, Quantity: l.Quantity}
	if price.Plan != "" {
		s.Plan = &price.Plan
		return s, nil
	}
	high, credits := bits.Mul64(uint64(price.Credits), uint64(l.Quantity))
	if high != 0 || credits > uint64(ledger.MaxAmount) {
		return line{}, waitFor([]string{needPrice(price.ID)}, "%d times price %s are more credits than a grant may have; give them by hand and map the price to fewer.", l.Quantity, price.ID)
	}
	amount := int64(credits)
	s.Type, s.Credits = &price.Type, &amount
	switch {
	case price.ExpiresAfterDays > 0:
		expires := at.AddDate(0, 0, int(price.ExpiresAfterDays))
		s.ExpiresAt = &expires
	case price.ExpiresWithPeriod && !l.PeriodEnd.IsZero():
		s.ExpiresAt = &l.PeriodEnd
	}
	return s, nil
}

// fulfil gives the credits of a purchase that have not been given, and takes
// back those that were refunded.
func (p *Payments) fulfil(ctx context.Context, id int64) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		due, err := lockPurchase(ctx, tx, id)
		if err != nil {
			return err
		}
		org, err := p.accounts.Org(ctx, due.Org)
		if err != nil {
			return err
		}
		for _, l := range due.lines {
			if l.Credits == nil || l.GrantID != nil {
				continue
			}
			g := billing.NewGrant{Type: *l.Type, Amount: *l.Credits, Source: ledger.SourcePack}
			if l.ExpiresAt != nil {
				g.ExpiresAt = *l.ExpiresAt
			}
			grant, err := p.billing.GrantPurchase(ctx, org, fmt.Sprintf("%d/%d", id, l.N), g, "bought: "+due.name())
			if err != nil {
				return err
			}
			l.GrantID = &grant
			if _, err := tx.Exec(ctx, `UPDATE purchase_line SET grant_id = $3 WHERE purchase = $1 AND line = $2`, id, l.N, grant); err != nil {
				return fmt.Errorf("the purchase cannot be written: %w", err)
			}
		}
		return p.takeBack(ctx, tx, due)
	})
}

// takeBack voids what refunds and disputes ask for, and restores what a won
// dispute gives back.
func (p *Payments) takeBack(ctx context.Context, tx pgx.Tx, due *due) error {
	for _, v := range due.voids {
		l := due.line(v.line)
		key := fmt.Sprintf("%d/%d/%s", due.id, v.line, v.cause)
		if v.voided == nil {
			done, err := p.billing.VoidPurchase(ctx, billing.Void{
				Org: due.Org, Key: key, Grant: *l.GrantID, Amount: v.wanted, Reason: strings.SplitN(v.cause, "/", 2)[0] + " of " + due.name(),
			})
			if err != nil {
				return err
			}
			v.voided = &done.Voided
		}
		restore := v.won && !v.restored
		if restore && *v.voided > 0 {
			org, err := p.accounts.Org(ctx, due.Org)
			if err != nil {
				return err
			}
			g := billing.NewGrant{Type: *l.Type, Amount: *v.voided, Source: ledger.SourcePack}
			if l.ExpiresAt != nil {
				g.ExpiresAt = *l.ExpiresAt
			}
			if _, err := p.billing.GrantPurchase(ctx, org, "restore/"+key, g, "dispute won: "+due.name()); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE purchase_void SET voided = $4, restored = restored OR $5 WHERE purchase = $1 AND line = $2 AND cause = $3`,
			due.id, v.line, v.cause, *v.voided, restore); err != nil {
			return fmt.Errorf("the purchase cannot be written: %w", err)
		}
	}
	return nil
}

// purchaseOf finds the purchase that a payment was made for.
func (p *Payments) purchaseOf(ctx context.Context, f facts) (int64, error) {
	id, err := p.purchaseBy(ctx, f.Payment, "")
	if err != nil || id != 0 {
		return id, err
	}
	invoice, err := p.invoiceOf(ctx, f.Payment)
	if err != nil {
		return 0, err
	}
	needs := []string{needPayment(f.Payment), anyInvoice}
	if invoice != "" {
		if id, err = p.purchaseBy(ctx, "", invoice); err != nil || id != 0 {
			return id, err
		}
		needs[1] = needInvoice(invoice)
	}
	return 0, waitFor(needs, "No purchase is known for payment %s yet.", f.Payment)
}

// refund takes back the part of what was bought that was refunded. The service
// says how much was refunded in total, so that reports may come in any order.
func (p *Payments) refund(ctx context.Context, e Event, f facts) error {
	return p.changePurchase(ctx, f, func(tx pgx.Tx, due *due) error {
		refunded := min(f.Refunded, due.Amount)
		if refunded <= due.Refunded {
			return nil
		}
		cause := fmt.Sprintf("refund/%s/%d", f.Charge, refunded)
		if err := wantBack(ctx, tx, due, cause, func(credits int64) int64 {
			return share(credits, refunded, due.Amount) - share(credits, due.Refunded, due.Amount)
		}); err != nil {
			return err
		}
		if err := returned(ctx, tx, due.id, cause, refunded-due.Refunded, e.HappenedAt); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE purchase SET refunded = $2 WHERE id = $1`, due.id, refunded)
		return err
	})
}

// changePurchase notes, with the purchase of a payment locked, what has to be taken back
// of it, and takes it back.
func (p *Payments) changePurchase(ctx context.Context, f facts, note func(pgx.Tx, *due) error) error {
	id, err := p.purchaseOf(ctx, f)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		due, err := lockPurchase(ctx, tx, id)
		if err != nil {
			return err
		}
		return note(tx, due)
	})
	if err != nil {
		return err
	}
	return p.fulfil(ctx, id)
}

// dispute takes back what is disputed until the dispute is decided: a won one
// gives it back. The report of the end may come first.
func (p *Payments) dispute(ctx context.Context, e Event, f facts) error {
	return p.changePurchase(ctx, f, func(tx pgx.Tx, due *due) error {
		known := ""
		err := tx.QueryRow(ctx, `SELECT status FROM payment_dispute WHERE id = $1`, f.Dispute).Scan(&known)
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		case known == "won" || known == "lost": // decided; an opening comes late
			return nil
		case known == "" && f.Outcome != "won":
			if err := wantBack(ctx, tx, due, "dispute/"+f.Dispute, func(credits int64) int64 {
				return share(credits, min(f.Amount, due.Amount), due.Amount)
			}); err != nil {
				return err
			}
			if err := returned(ctx, tx, due.id, "dispute/"+f.Dispute, min(f.Amount, due.Amount), e.HappenedAt); err != nil {
				return err
			}
		case known == "open" && f.Outcome == "won":
			if err := returned(ctx, tx, due.id, "won/"+f.Dispute, -min(f.Amount, due.Amount), e.HappenedAt); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO payment_dispute (id, status) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET status = excluded.status`, f.Dispute, f.Outcome)
		return err
	})
}

// share is part/whole of credits, rounded down; all of them where the whole is
// nothing.
func share(credits, part, whole int64) int64 {
	if part >= whole {
		return credits
	}
	high, low := bits.Mul64(uint64(credits), uint64(part))
	quotient, _ := bits.Div64(high, low, uint64(whole))
	return int64(quotient)
}

// follow keeps an organization on the plan of its subscription. An older report
// than the newest that counted changes nothing; a subscription that has ended
// stays ended.
func (p *Payments) follow(ctx context.Context, e Event, f facts) error {
	org, err := p.orgOf(ctx, f)
	if err != nil {
		return err
	}
	price, err := p.planPrice(ctx, f.Prices)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		s, err := lockSubscription(ctx, tx, f.Subscription, org.ID, e.HappenedAt)
		switch {
		case err != nil:
			return err
		case s.ended:
			return &ignored{"The subscription has ended."}
		case s.changed.After(e.HappenedAt):
			return &ignored{"A newer report of the subscription came before."}
		}
		if f.Ended {
			return p.end(ctx, tx, org, f.Subscription, price)
		}
		if err := p.begin(ctx, tx, org); err != nil {
			return err
		}
		if err := p.moveTo(ctx, org, price.Plan); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE payment_subscription SET changed_at = $2 WHERE id = $1`, f.Subscription, e.HappenedAt)
		return err
	})
}

// moveTo changes an organization's plan, unless it is on it or about to be: a
// paid invoice is no reason for a newer version of the same plan.
func (p *Payments) moveTo(ctx context.Context, org account.Org, plan string) error {
	changes, err := p.accounts.PlanChanges(ctx, org.ID)
	if err != nil || changes[len(changes)-1].PlanID == plan {
		return err
	}
	_, err = p.billing.ChangePlan(ctx, org.ID, plan, org.Time(time.Now()))
	return err
}

// begin lets an organization that the end of a subscription has suspended order
// again.
func (p *Payments) begin(ctx context.Context, tx pgx.Tx, org account.Org) error {
	tag, err := tx.Exec(ctx, `UPDATE payment_subscription SET suspended = false WHERE org = $1 AND suspended`, org.ID)
	if err != nil || tag.RowsAffected() == 0 || org.Status != account.StatusSuspended {
		return err
	}
	_, err = p.accounts.Resume(ctx, org.ID)
	return err
}

// end moves an organization to the plan after its subscription, or suspends it,
// unless another subscription goes on.
func (p *Payments) end(ctx context.Context, tx pgx.Tx, org account.Org, subscription string, price Price) error {
	var others bool
	if err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM payment_subscription WHERE org = $1 AND id <> $2 AND NOT ended)`, org.ID, subscription).Scan(&others); err != nil {
		return err
	}
	suspended := false
	switch {
	case others || org.Status != account.StatusActive:
	case price.ThenPlan != "":
		if err := p.moveTo(ctx, org, price.ThenPlan); err != nil {
			return err
		}
	default:
		if _, err := p.accounts.Suspend(ctx, org.ID); err != nil {
			return err
		}
		suspended = true
	}
	_, err := tx.Exec(ctx, `UPDATE payment_subscription SET ended = true, suspended = $2 WHERE id = $1`, subscription, suspended)
	return err
}
