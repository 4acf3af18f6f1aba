package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/account"
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
func (p *Payments) mark(ctx context.Context, id string, s Status, detail string) (Event, error) {
	rows, _ := p.pool.Query(ctx, `
		UPDATE payment_event SET detail = CASE status WHEN 'waiting' THEN $3 ELSE detail END,
			done_at = CASE WHEN status = 'waiting' AND $2 <> 'waiting' THEN now() ELSE done_at END,
			status = CASE status WHEN 'waiting' THEN $2 ELSE status END
		WHERE id = $1 RETURNING `+eventColumns, id, string(s), detail)
	e, err := pgx.CollectExactlyOneRow(rows, scanEvent)
	if err != nil {
		return e, fmt.Errorf("the event cannot be written: %w", err)
	}
	return e, nil
}

func (p *Payments) waiting(ctx context.Context, limit int) ([]string, error) {
	rows, _ := p.pool.Query(ctx, `SELECT id FROM payment_event WHERE status = 'waiting' ORDER BY happened_at, id LIMIT $1`, limit)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Events lists what the payment service has reported, newest first; status ""
// = all. limit is at most 1000.
func (p *Payments) Events(ctx context.Context, status Status, cursor string, limit int) (page []Event, next string, err error) {
	at, id, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	rows, _ := p.pool.Query(ctx, `
		SELECT `+eventColumns+` FROM payment_event
		WHERE ($1 = '' OR status = $1) AND ($2::timestamptz IS NULL OR (received_at, id) < ($2, $3))
		ORDER BY received_at DESC, id DESC LIMIT $4`, string(status), at, id, limit+1)
	page, err = pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, "", fmt.Errorf("the events cannot be read: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = last.ReceivedAt.UTC().Format(time.RFC3339Nano) + " " + last.ID
	}
	return page, next, nil
}

func parseCursor(cursor string) (at *time.Time, id string, err error) {
	if cursor == "" {
		return nil, "", nil
	}
	var when string
	if _, err := fmt.Sscan(cursor, &when, &id); err != nil {
		return nil, "", errCursor
	}
	t, err := time.Parse(time.RFC3339Nano, when)
	if err != nil {
		return nil, "", errCursor
	}
	return &t, id, nil
}

var errCursor = errcode.Say(ErrInvalid, "The cursor is none of ours; leave it out to begin with the first page.")

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
	p.RetryWaiting(ctx)
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
		return Price{}, waitFor("Price %s is not mapped to credits or a plan; map it.", unknown)
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
	p.RetryWaiting(ctx)
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

// Purchase is something that was bought.
type Purchase struct {
	ID         int64          `json:"id" example:"7" doc:"The purchase."`
	Org        string         `json:"org" example:"acme" doc:"The organization."`
	Source     string         `json:"source" enum:"stripe,manual" example:"stripe" doc:"stripe, or manual where a person has granted the credits."`
	Reference  string         `json:"reference" example:"cs_1" doc:"The checkout session or invoice; of credits that a person has granted, the idempotency key."`
	BoughtAt   time.Time      `json:"bought_at" example:"2026-03-01T12:00:00Z" doc:"When."`
	BoughtBy   string         `json:"bought_by,omitempty" example:"ann" doc:"The member, where known."`
	Amount     int64          `json:"amount" example:"4900" doc:"What was paid, in the smallest unit of the currency (cents)."`
	Refunded   int64          `json:"refunded" example:"0" doc:"Of the amount."`
	Currency   string         `json:"currency" example:"eur" doc:"ISO 4217, in small letters."`
	Invoice    string         `json:"invoice,omitempty" example:"A-2026-7" doc:"The number of the invoice."`
	ReceiptURL string         `json:"receipt_url,omitempty" example:"https://invoice.example/7" doc:"The payment service's page of the invoice."`
	Lines      []PurchaseLine `json:"lines" doc:"What was bought."`
}

// PurchaseLine is what a line of a purchase has brought.
type PurchaseLine struct {
	Price     string     `json:"price,omitempty" example:"price_1" doc:"The id of the price at the payment service."`
	Quantity  int64      `json:"quantity" example:"2" doc:"How many units of the price."`
	Plan      string     `json:"plan,omitempty" example:"verified-leads" doc:"The plan that was subscribed to."`
	Type      string     `json:"type,omitempty" example:"email" doc:"Credit type."`
	Credits   int64      `json:"credits,omitempty" example:"10000" doc:"How many credits it has brought."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" example:"2027-03-01T12:00:00Z" doc:"Absent where they never expire."`
	GrantID   int64      `json:"grant_id,omitempty" example:"42" doc:"Absent until the credits are given."`
	Voided    int64      `json:"voided,omitempty" example:"0" doc:"Credits that refunds and disputes have taken back."`
}

// Purchases lists what an organization has bought, newest first.
func (p *Payments) Purchases(ctx context.Context, org, cursor string, limit int) (page []Purchase, next string, err error) {
	before := int64(1<<63 - 1)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, "", errCursor
		}
	}
	rows, _ := p.pool.Query(ctx, `
		SELECT b.id, b.org, b.source, b.reference, b.bought_at, b.bought_by, b.amount, b.refunded, b.currency, b.invoice, b.receipt_url,
			coalesce((SELECT json_agg(json_build_object('price', l.price, 'quantity', l.quantity, 'plan', l.plan, 'type', l.credit_type, 'credits', l.credits,
				'expires_at', l.expires_at, 'grant_id', l.grant_id,
				'voided', (SELECT sum(v.voided) FROM purchase_void v WHERE v.purchase = l.purchase AND v.line = l.line AND NOT v.restored)) ORDER BY l.line)
				FROM purchase_line l WHERE l.purchase = b.id), '[]')
		FROM purchase b WHERE b.org = $1 AND b.id < $2 ORDER BY b.id DESC LIMIT $3`, org, before, limit+1)
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Purchase, err error) {
		err = row.Scan(&b.ID, &b.Org, &b.Source, &b.Reference, &b.BoughtAt, &b.BoughtBy, &b.Amount, &b.Refunded, &b.Currency, &b.Invoice, &b.ReceiptURL, &b.Lines)
		return b, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("the purchases cannot be read: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].ID, 10)
	}
	return page, next, nil
}

// line is a purchase_line.
type line struct {
	N         int32
	Price     string
	Quantity  int64
	Plan      *string
	Type      *string
	Credits   *int64
	ExpiresAt *time.Time
	GrantID   *int64
}

// record writes a purchase and its lines, once for each reference, and returns
// its number.
func (p *Payments) record(ctx context.Context, b Purchase, paidBy string, lines []line) (id int64, err error) {
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO purchase (org, source, reference, bought_at, bought_by, amount, currency, invoice, receipt_url, payment)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (source, org, reference) DO NOTHING RETURNING id`,
			b.Org, b.Source, b.Reference, b.BoughtAt, b.BoughtBy, b.Amount, b.Currency, b.Invoice, b.ReceiptURL, paidBy).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) { // it was recorded before
			return tx.QueryRow(ctx, `SELECT id FROM purchase WHERE source = $1 AND org = $2 AND reference = $3`, b.Source, b.Org, b.Reference).Scan(&id)
		}
		if err != nil {
			return err
		}
		for i, l := range lines {
			if _, err := tx.Exec(ctx, `
				INSERT INTO purchase_line (purchase, line, price, quantity, plan, credit_type, credits, expires_at, grant_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				id, i+1, l.Price, l.Quantity, l.Plan, l.Type, l.Credits, l.ExpiresAt, l.GrantID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("the purchase cannot be written: %w", err)
	}
	return id, nil
}

// Paid is what a person who grants credits says about their purchase.
type Paid struct {
	Amount   int64
	Currency string
	Invoice  string
	BoughtBy string // a member
}

// Note records the purchase behind a grant that a person has made. The same
// again changes nothing; ErrKeyReused where it differs.
func (p *Payments) Note(ctx context.Context, org account.Org, key string, grant int64, creditType string, credits int64, paid Paid) error {
	if paid.BoughtBy != "" {
		if _, err := p.accounts.Member(ctx, org.ID, paid.BoughtBy); err != nil {
			return err
		}
	}
	id, err := p.record(ctx, Purchase{
		Org: org.ID, Source: "manual", Reference: key, BoughtAt: time.Now(), BoughtBy: paid.BoughtBy,
		Amount: paid.Amount, Currency: paid.Currency, Invoice: paid.Invoice,
	}, "", []line{{Quantity: 1, Type: &creditType, Credits: &credits, GrantID: &grant}})
	if err != nil {
		return err
	}
	var found Paid
	err = p.pool.QueryRow(ctx, `SELECT amount, currency, invoice, bought_by FROM purchase WHERE id = $1`, id).
		Scan(&found.Amount, &found.Currency, &found.Invoice, &found.BoughtBy)
	if err != nil {
		return fmt.Errorf("the purchase cannot be read: %w", err)
	}
	if found != paid {
		return ErrKeyReused
	}
	return nil
}

// purchaseBy finds the purchase of a payment or an invoice; 0 where there is
// none.
func (p *Payments) purchaseBy(ctx context.Context, paidBy, invoice string) (id int64, err error) {
	err = p.pool.QueryRow(ctx, `
		SELECT id FROM purchase WHERE source = 'stripe' AND ($1 <> '' AND payment = $1 OR $2 <> '' AND reference = $2)`, paidBy, invoice).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("the purchases cannot be read: %w", err)
	}
	return id, nil
}

// due is a purchase and what is left to do for it.
type due struct {
	id        int64
	Org       string
	Reference string
	Invoice   string
	Amount    int64
	Refunded  int64
	lines     []*line
	voids     []*void
}

type void struct {
	line     int32
	cause    string
	wanted   int64
	voided   *int64
	restored bool
	won      bool // the dispute that caused it
}

// name is what the history calls the purchase.
func (d *due) name() string {
	if d.Invoice != "" {
		return "invoice " + d.Invoice
	}
	return d.Reference
}

func (d *due) line(n int32) *line {
	for _, l := range d.lines {
		if l.N == n {
			return l
		}
	}
	return nil
}

// lockPurchase reads a purchase and keeps others from it until tx ends.
func lockPurchase(ctx context.Context, tx pgx.Tx, id int64) (*due, error) {
	d := &due{id: id}
	err := tx.QueryRow(ctx, `SELECT org, reference, invoice, amount, refunded FROM purchase WHERE id = $1 FOR UPDATE`, id).
		Scan(&d.Org, &d.Reference, &d.Invoice, &d.Amount, &d.Refunded)
	if err != nil {
		return nil, fmt.Errorf("the purchase cannot be read: %w", err)
	}
	rows, _ := tx.Query(ctx, `SELECT line, price, quantity, plan, credit_type, credits, expires_at, grant_id FROM purchase_line WHERE purchase = $1 ORDER BY line`, id)
	if d.lines, err = pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[line]); err != nil {
		return nil, fmt.Errorf("the purchase cannot be read: %w", err)
	}
	rows, _ = tx.Query(ctx, `
		SELECT v.line, v.cause, v.wanted, v.voided, v.restored, coalesce(d.status = 'won', false)
		FROM purchase_void v LEFT JOIN payment_dispute d ON v.cause = 'dispute/' || d.id WHERE v.purchase = $1 ORDER BY v.line, v.cause`, id)
	d.voids, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*void, error) {
		v := &void{}
		return v, row.Scan(&v.line, &v.cause, &v.wanted, &v.voided, &v.restored, &v.won)
	})
	if err != nil {
		return nil, fmt.Errorf("the purchase cannot be read: %w", err)
	}
	return d, nil
}

// wantBack writes how many credits of each line are to be taken back.
func wantBack(ctx context.Context, tx pgx.Tx, d *due, cause string, of func(credits int64) int64) error {
	for _, l := range d.lines {
		if l.Credits == nil || of(*l.Credits) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO purchase_void (purchase, line, cause, wanted) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, d.id, l.N, cause, of(*l.Credits)); err != nil {
			return fmt.Errorf("the purchase cannot be written: %w", err)
		}
	}
	return nil
}
