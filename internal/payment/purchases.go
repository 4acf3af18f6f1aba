package payment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/account"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

var errCursor = errcode.Say(ErrInvalid, "The cursor is none of ours; leave it out to begin with the first page.")

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
	below, ok := database.Below(cursor, 10)
	if !ok {
		return nil, "", errCursor
	}
	rows, _ := p.pool.Query(ctx, `
		SELECT b.id, b.org, b.source, b.reference, b.bought_at, b.bought_by, b.amount, b.refunded, b.currency, b.invoice, b.receipt_url,
			coalesce((SELECT json_agg(json_build_object('price', l.price, 'quantity', l.quantity, 'plan', l.plan, 'type', l.credit_type, 'credits', l.credits,
				'expires_at', l.expires_at, 'grant_id', l.grant_id,
				'voided', (SELECT sum(v.voided) FROM purchase_void v WHERE v.purchase = l.purchase AND v.line = l.line AND NOT v.restored)) ORDER BY l.line)
				FROM purchase_line l WHERE l.purchase = b.id), '[]')
		FROM purchase b WHERE b.org = $1 AND b.id < $2 ORDER BY b.id DESC LIMIT $3`, org, below, limit+1)
	page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Purchase, err error) {
		err = row.Scan(&b.ID, &b.Org, &b.Source, &b.Reference, &b.BoughtAt, &b.BoughtBy, &b.Amount, &b.Refunded, &b.Currency, &b.Invoice, &b.ReceiptURL, &b.Lines)
		return b, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("the purchases cannot be read: %w", err)
	}
	page, next = database.Cut(page, limit, 10, func(b Purchase) int64 { return b.ID })
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
	Amount    *int64
}

// record writes a purchase and its lines, once for each reference, and returns
// its number.
func (p *Payments) record(ctx context.Context, b Purchase, paidBy string, lines []line) (id int64, err error) {
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// Any conflict: copies that come at the same moment may meet at the payment first.
		err := tx.QueryRow(ctx, `
			INSERT INTO purchase (org, source, reference, bought_at, bought_by, amount, currency, invoice, receipt_url, payment)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING id`,
			b.Org, b.Source, b.Reference, b.BoughtAt, b.BoughtBy, b.Amount, b.Currency, b.Invoice, b.ReceiptURL, paidBy).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) { // it was recorded before
			err = tx.QueryRow(ctx, `SELECT id FROM purchase WHERE source = $1 AND org = $2 AND reference = $3`, b.Source, b.Org, b.Reference).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("the payment %s is another purchase's", paidBy)
			}
			return err
		}
		if err != nil {
			return err
		}
		for i, l := range lines {
			if _, err := tx.Exec(ctx, `
				INSERT INTO purchase_line (purchase, line, price, quantity, plan, credit_type, credits, expires_at, grant_id, amount) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
				id, i+1, l.Price, l.Quantity, l.Plan, l.Type, l.Credits, l.ExpiresAt, l.GrantID, l.Amount); err != nil {
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
		Org: org.ID, Source: "manual", Reference: key, BoughtAt: org.Time(time.Now()), BoughtBy: paid.BoughtBy,
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
	rows, _ := tx.Query(ctx, `SELECT line, price, quantity, plan, credit_type, credits, expires_at, grant_id, amount FROM purchase_line WHERE purchase = $1 ORDER BY line`, id)
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

// returned notes that money has left after a purchase.
func returned(ctx context.Context, tx pgx.Tx, purchase int64, cause string, amount int64, at time.Time) error {
	if amount == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO purchase_return (purchase, cause, amount, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, purchase, cause, amount, at); err != nil {
		return fmt.Errorf("the purchase cannot be written: %w", err)
	}
	return nil
}

// wantBack writes how many credits of each line must be taken back.
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
