package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
)

// keep stores an event, once.
func (p *Payments) keep(ctx context.Context, e Event, f facts) error {
	_, err := p.pool.Exec(ctx, `
		INSERT INTO payment_event (id, type, happened_at, facts) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`, e.ID, e.Type, e.HappenedAt, f)
	if err != nil {
		return fmt.Errorf("the event cannot be written: %w", err)
	}
	return nil
}

const eventColumns = `id, type, happened_at, received_at, status, detail, done_at`

func scanEvent(row pgx.CollectableRow) (e Event, err error) {
	err = row.Scan(&e.ID, &e.Type, &e.HappenedAt, &e.ReceivedAt, &e.Status, &e.Detail, &e.DoneAt)
	return e, err
}

func (p *Payments) event(ctx context.Context, id string) (e Event, f facts, err error) {
	var text []byte
	err = p.pool.QueryRow(ctx, `SELECT `+eventColumns+`, facts FROM payment_event WHERE id = $1`, id).
		Scan(&e.ID, &e.Type, &e.HappenedAt, &e.ReceivedAt, &e.Status, &e.Detail, &e.DoneAt, &text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return e, f, errcode.Say(ErrNotFound, "There is no such event.")
	case err != nil:
		return e, f, fmt.Errorf("the event cannot be read: %w", err)
	}
	return e, f, json.Unmarshal(text, &f)
}

// mark notes what has become of an event. One that another process has carried
// out keeps what that noted.
func (p *Payments) mark(ctx context.Context, id string, s Status, detail string, needs []string) (Event, error) {
	rows, _ := p.pool.Query(ctx, `
		UPDATE payment_event SET detail = CASE status WHEN 'waiting' THEN $3 ELSE detail END,
			waits_for = CASE status WHEN 'waiting' THEN $4 ELSE waits_for END,
			done_at = CASE WHEN status = 'waiting' AND $2 <> 'waiting' THEN now() ELSE done_at END,
			status = CASE status WHEN 'waiting' THEN $2 ELSE status END
		WHERE id = $1 RETURNING `+eventColumns, id, string(s), detail, needs)
	e, err := pgx.CollectExactlyOneRow(rows, scanEvent)
	if err != nil {
		return e, fmt.Errorf("the event cannot be written: %w", err)
	}
	return e, nil
}

// waiting lists the events that wait for one of these, the oldest first; where
// unknown is set, also those of which it is not known what they wait for.
func (p *Payments) waiting(ctx context.Context, brought []string, unknown bool) ([]string, error) {
	rows, _ := p.pool.Query(ctx, `
		SELECT id FROM payment_event WHERE status = 'waiting' AND (waits_for && $1 OR $2 AND waits_for IS NULL)
		ORDER BY happened_at, id`, brought, unknown)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Events lists up to limit of what the payment service has reported, newest
// first; status "" = all. The list begins after the event with the given time of
// arrival and id; a zero time begins with the newest.
func (p *Payments) Events(ctx context.Context, status Status, before time.Time, id string, limit int) ([]Event, error) {
	rows, _ := p.pool.Query(ctx, `
		SELECT `+eventColumns+` FROM payment_event
		WHERE ($1 = '' OR status = $1) AND ($2 OR (received_at, id) < ($3, $4))
		ORDER BY received_at DESC, id DESC LIMIT $5`, string(status), before.IsZero(), before, id, limit)
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, fmt.Errorf("the events cannot be read: %w", err)
	}
	return events, nil
}

// Price is what a price of the payment service buys here: a number of credits of
// one type, or a plan.
type Price struct {
	ID                string    `json:"price" example:"price_1" doc:"The id of the price at the payment service."`
	Plan              string    `json:"plan,omitempty" example:"verified-leads" doc:"The plan that a subscription to the price stands for."`
	ThenPlan          string    `json:"then_plan,omitempty" example:"workspace-free" doc:"With plan: the plan after the subscription has ended. When left out, the organization is suspended."`
	Type              string    `json:"type,omitempty" example:"email" doc:"The type of the credits that each unit brings."`
	Credits           int64     `json:"credits,omitempty" minimum:"1" maximum:"1000000000000" example:"5000" doc:"How many credits each unit brings."`
	ExpiresAfterDays  int32     `json:"expires_after_days,omitempty" example:"365" minimum:"1" maximum:"36500" doc:"Days from the purchase; never when left out."`
	ExpiresWithPeriod bool      `json:"expires_with_period,omitempty" example:"true" doc:"With a subscription: the credits expire with the period that was paid for."`
	UpdatedAt         time.Time `json:"updated_at" example:"2026-03-01T12:00:00Z" doc:"When it was last mapped."`
}

const priceColumns = `price, coalesce(plan, ''), coalesce(then_plan, ''), coalesce(credit_type, ''), coalesce(credits, 0), coalesce(expires_after_days, 0), expires_with_period, updated_at`

func scanPrice(row pgx.CollectableRow) (price Price, err error) {
	err = row.Scan(&price.ID, &price.Plan, &price.ThenPlan, &price.Type, &price.Credits, &price.ExpiresAfterDays, &price.ExpiresWithPeriod, &price.UpdatedAt)
	return price, err
}

// Price returns what a price buys. ErrNotFound where it is not mapped.
func (p *Payments) Price(ctx context.Context, id string) (Price, error) {
	rows, _ := p.pool.Query(ctx, `SELECT `+priceColumns+` FROM payment_price WHERE price = $1`, id)
	price, err := pgx.CollectExactlyOneRow(rows, scanPrice)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return price, errcode.Say(ErrNotFound, "Price %s is not mapped to credits or a plan; map it first.", id)
	case err != nil:
		return price, fmt.Errorf("the price cannot be read: %w", err)
	}
	return price, nil
}

// Prices lists the prices that are mapped.
func (p *Payments) Prices(ctx context.Context) ([]Price, error) {
	rows, _ := p.pool.Query(ctx, `SELECT `+priceColumns+` FROM payment_price ORDER BY price`)
	prices, err := pgx.CollectRows(rows, scanPrice)
	if err != nil {
		return nil, fmt.Errorf("the prices cannot be read: %w", err)
	}
	return prices, nil
}

// MapPrice says what a price buys from now on, and carries out what waited for
// that.
//
// Errors: ErrInvalid, account.ErrNotFound where there is no such plan.
func (p *Payments) MapPrice(ctx context.Context, price Price) (Price, error) {
	switch {
	case (price.Plan == "") == (price.Type == ""):
		return price, errcode.Say(ErrInvalid, "A price buys either a plan or credits of a type; name one of the two.")
	case price.Plan == "" && price.Credits < 1:
		return price, errcode.Say(ErrInvalid, "Say how many credits each unit of the price brings.")
	case price.Plan != "" && (price.Credits != 0 || price.ExpiresAfterDays != 0 || price.ExpiresWithPeriod):
		return price, errcode.Say(ErrInvalid, "A plan says itself how many credits it brings and when they expire; leave those fields out.")
	case price.Plan == "" && price.ThenPlan != "":
		return price, errcode.Say(ErrInvalid, "then_plan goes together with plan; leave it out.")
	}
	for _, plan := range []string{price.Plan, price.ThenPlan} {
		if plan == "" {
			continue
		}
		if _, err := p.accounts.Plan(ctx, plan, 0); err != nil {
			return price, err
		}
	}
	rows, _ := p.pool.Query(ctx, `
		INSERT INTO payment_price (price, plan, then_plan, credit_type, credits, expires_after_days, expires_with_period)
		VALUES ($1, nullif($2, ''), nullif($3, ''), nullif($4, ''), nullif($5::bigint, 0), nullif($6::integer, 0), $7)
		ON CONFLICT (price) DO UPDATE SET plan = excluded.plan, then_plan = excluded.then_plan, credit_type = excluded.credit_type, credits = excluded.credits,
			expires_after_days = excluded.expires_after_days, expires_with_period = excluded.expires_with_period, updated_at = now()
		RETURNING `+priceColumns, price.ID, price.Plan, price.ThenPlan, price.Type, price.Credits, price.ExpiresAfterDays, price.ExpiresWithPeriod)
	price, err := pgx.CollectExactlyOneRow(rows, scanPrice)
	if err != nil {
		return price, fmt.Errorf("the price cannot be written: %w", err)
	}
	p.retryWaiting(ctx, []string{needPrice(price.ID)}, true)
	return price, nil
}

// planPrice returns the one among a subscription's prices that stands for a
// plan.
func (p *Payments) planPrice(ctx context.Context, prices []string) (Price, error) {
	unknown := ""
	for _, id := range prices {
		price, err := p.Price(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			unknown = id
		case err != nil:
			return price, err
		case price.Plan != "":
			return price, nil
		}
	}
	if unknown != "" {
		return Price{}, waitForPrice(unknown)
	}
	return Price{}, &ignored{"The subscription brings credits with its invoices; it stands for no plan."}
}

// Customer is whose customer of the payment service an organization is.
type Customer struct {
	ID        string    `json:"customer" example:"cus_1" doc:"The id of the customer at the payment service."`
	Org       string    `json:"org" example:"acme" doc:"The organization."`
	UpdatedAt time.Time `json:"updated_at" example:"2026-03-01T12:00:00Z" doc:"When it was last mapped."`
}

func scanCustomer(row pgx.CollectableRow) (c Customer, err error) {
	err = row.Scan(&c.ID, &c.Org, &c.UpdatedAt)
	return c, err
}

// Customers lists the customers that are mapped.
func (p *Payments) Customers(ctx context.Context) ([]Customer, error) {
	rows, _ := p.pool.Query(ctx, `SELECT customer, org, updated_at FROM payment_customer ORDER BY customer`)
	list, err := pgx.CollectRows(rows, scanCustomer)
	if err != nil {
		return nil, fmt.Errorf("the customers cannot be read: %w", err)
	}
	return list, nil
}

// MapCustomer says to which organization a customer belongs, and carries out
// what waited for that. account.ErrNotFound where there is no such organization.
func (p *Payments) MapCustomer(ctx context.Context, id, org string) (Customer, error) {
	if _, err := p.accounts.Org(ctx, org); err != nil {
		return Customer{}, err
	}
	rows, _ := p.pool.Query(ctx, `
		INSERT INTO payment_customer (customer, org) VALUES ($1, $2)
		ON CONFLICT (customer) DO UPDATE SET org = excluded.org, updated_at = now() RETURNING customer, org, updated_at`, id, org)
	c, err := pgx.CollectExactlyOneRow(rows, scanCustomer)
	if err != nil {
		return c, fmt.Errorf("the customer cannot be written: %w", err)
	}
	p.retryWaiting(ctx, []string{needCustomer(id)}, true)
	return c, nil
}

func (p *Payments) rememberCustomer(ctx context.Context, id, org string) error {
	_, err := p.pool.Exec(ctx, `INSERT INTO payment_customer (customer, org) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, org)
	if err != nil {
		return fmt.Errorf("the customer cannot be written: %w", err)
	}
	return nil
}

// orgOfCustomer returns "" where the customer belongs to none.
func (p *Payments) orgOfCustomer(ctx context.Context, id string) (string, error) {
	return p.one(ctx, `SELECT org FROM payment_customer WHERE customer = $1`, id)
}

// customerOf returns the newest customer of an organization, "" where it has
// none.
func (p *Payments) customerOf(ctx context.Context, org string) (string, error) {
	return p.one(ctx, `SELECT customer FROM payment_customer WHERE org = $1 ORDER BY updated_at DESC LIMIT 1`, org)
}

func (p *Payments) one(ctx context.Context, query, about string) (found string, err error) {
	err = p.pool.QueryRow(ctx, query, about).Scan(&found)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("the customers cannot be read: %w", err)
	}
	return found, nil
}

type subscription struct {
	changed time.Time
	ended   bool
}

func lockSubscription(ctx context.Context, tx pgx.Tx, id, org string, at time.Time) (s subscription, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO payment_subscription (id, org, changed_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET org = payment_subscription.org RETURNING changed_at, ended`, id, org, at).Scan(&s.changed, &s.ended)
	if err != nil {
		return s, fmt.Errorf("the subscription cannot be written: %w", err)
	}
	return s, nil
}
