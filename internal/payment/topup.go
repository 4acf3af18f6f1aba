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

// TopUpRule is when and what is bought automatically for the shared pool.
type TopUpRule struct {
	Type           string    `json:"type" example:"email" doc:"Credit type."`
	Enabled        bool      `json:"enabled" example:"true" doc:"Credits are bought when the balance falls."`
	Below          int64     `json:"below" example:"1000" doc:"Credits are bought when the available credits of the shared pool fall to this number, once until they have risen above it."`
	Price          string    `json:"price" example:"price_1" doc:"What is bought: the id of a price at the payment service."`
	Quantity       int64     `json:"quantity" example:"1" doc:"How many units of it each time."`
	MonthlyCredits int64     `json:"monthly_credits" example:"50000" doc:"At most so many credits in a calendar month of the organization."`
	MonthlyAmount  int64     `json:"monthly_amount" example:"50000" doc:"At most so much money in a calendar month, in the smallest unit of the currency (cents)."`
	Currency       string    `json:"currency" example:"eur" doc:"ISO 4217, in small letters."`
	Stopped        string    `json:"stopped,omitempty" example:"The card was declined (insufficient_funds)." doc:"Why nothing is bought any more, until the rule is set again. Absent while it works."`
	UpdatedAt      time.Time `json:"updated_at" example:"2026-03-01T12:00:00Z" doc:"When it was last set."`
}

// TopUp is one fall of the balance to a rule's threshold, and what was bought.
type TopUp struct {
	ID        int64      `json:"id" example:"7" doc:"Its number."`
	Type      string     `json:"type" example:"email" doc:"Credit type."`
	Status    string     `json:"status" enum:"due,charging,paid,failed,unknown,skipped" example:"paid" doc:"due: about to be charged. charging: the payment service is asked. paid. failed: refused; the rule has stopped. unknown: the payment service never said; a report that comes later still counts. skipped: a cap, or the rule was switched off."`
	Credits   int64      `json:"credits,omitempty" example:"5000" doc:"How many credits it brings."`
	Amount    int64      `json:"amount,omitempty" example:"4900" doc:"What is charged, in the smallest unit of the currency."`
	Currency  string     `json:"currency,omitempty" example:"eur" doc:"ISO 4217, in small letters."`
	Detail    string     `json:"detail,omitempty" example:"The monthly cap of 50000 credits is reached." doc:"Why nothing was bought."`
	CreatedAt time.Time  `json:"created_at" example:"2026-03-01T12:00:00Z" doc:"When the balance fell."`
	DoneAt    *time.Time `json:"done_at,omitempty" example:"2026-03-01T12:00:02Z" doc:"When it was over."`
}

const ruleColumns = `type, enabled, below, price, quantity, monthly_credits, monthly_amount, currency, stopped, updated_at`

// TopUpRules lists the rules of an organization.
func (p *Payments) TopUpRules(ctx context.Context, org string) ([]TopUpRule, error) {
	rows, _ := p.pool.Query(ctx, `SELECT `+ruleColumns+` FROM top_up_rule WHERE org = $1 ORDER BY type`, org)
	rules, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TopUpRule])
	if err != nil {
		return nil, fmt.Errorf("the rules of automatic purchases cannot be read: %w", err)
	}
	return rules, nil
}

// TopUps lists what was bought automatically or was not, newest first.
func (p *Payments) TopUps(ctx context.Context, org, cursor string, limit int) (page []TopUp, next string, err error) {
	below, ok := database.Below(cursor, 10)
	if !ok {
		return nil, "", errCursor
	}
	rows, _ := p.pool.Query(ctx, `
		SELECT id, type, status, credits, amount, currency, detail, created_at, done_at FROM top_up
		WHERE org = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, org, below, limit+1)
	page, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TopUp])
	if err != nil {
		return nil, "", fmt.Errorf("the automatic purchases cannot be read: %w", err)
	}
	page, next = database.Cut(page, limit, 10, func(u TopUp) int64 { return u.ID })
	return page, next, nil
}

// SetTopUp sets a rule. One that had stopped works again; where its last charge
// was refused and the balance is still low, it is tried once more. A threshold
// that is new and not below the balance counts as a fall.
//
// Errors: ErrNotConfigured, ErrNotFound for a price that is not mapped,
// ErrInvalid, account.ErrInvalid.
func (p *Payments) SetTopUp(ctx context.Context, org account.Org, r TopUpRule) (TopUpRule, error) {
	if err := p.checkRule(ctx, org, r); err != nil {
		return r, err
	}
	var below *int64
	if r.Enabled {
		below = &r.Below
	}
	stopped := ""
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT stopped FROM top_up_rule WHERE org = $1 AND type = $2 FOR UPDATE`, org.ID, r.Type).Scan(&stopped)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return tx.QueryRow(ctx, `
			INSERT INTO top_up_rule (org, type, enabled, below, price, quantity, monthly_credits, monthly_amount, currency)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (org, type) DO UPDATE SET enabled = excluded.enabled, below = excluded.below, price = excluded.price, quantity = excluded.quantity,
				monthly_credits = excluded.monthly_credits, monthly_amount = excluded.monthly_amount, currency = excluded.currency, stopped = '', updated_at = now()
			RETURNING stopped, updated_at`,
			org.ID, r.Type, r.Enabled, r.Below, r.Price, r.Quantity, r.MonthlyCredits, r.MonthlyAmount, r.Currency).Scan(&r.Stopped, &r.UpdatedAt)
	})
	if err != nil {
		return r, fmt.Errorf("the rule cannot be written: %w", err)
	}
	if err := p.billing.WatchTopUp(ctx, org, r.Type, below); err != nil {
		return r, err
	}
	if stopped == "" || !r.Enabled {
		return r, nil
	}
	return r, p.tryAgain(ctx, org, r)
}

// checkRule refuses what could never buy anything.
func (p *Payments) checkRule(ctx context.Context, org account.Org, r TopUpRule) error {
	if p.stripe == nil {
		return ErrNotConfigured
	}
	if err := org.MayOrder(); err != nil {
		return err
	}
	price, err := p.Price(ctx, r.Price)
	switch {
	case err != nil:
		return err
	case price.Type != r.Type:
		return errcode.Say(ErrInvalid, "Price %s does not bring %s credits; name one that does.", r.Price, r.Type)
	case r.Quantity > r.MonthlyCredits/price.Credits:
		return errcode.Say(ErrInvalid, "One purchase brings more credits than the monthly cap of %d; raise the cap or lower the quantity.", r.MonthlyCredits)
	}
	return nil
}

// tryAgain makes the last charge due again, where it was refused and the balance
// has not risen since.
func (p *Payments) tryAgain(ctx context.Context, org account.Org, r TopUpRule) error {
	watched, err := p.billing.Thresholds(ctx, org, "")
	if err != nil {
		return err
	}
	for _, w := range watched {
		if w.Type != r.Type || w.Available > r.Below {
			continue
		}
		if _, err := p.pool.Exec(ctx, `
			UPDATE top_up SET status = 'due', try = try + 1, attempts = 0, next_at = now(), done_at = NULL, detail = '', payment = '', charged_at = NULL
			WHERE id = (SELECT max(id) FROM top_up WHERE org = $1 AND type = $2) AND status = 'failed'`, org.ID, r.Type); err != nil {
			return fmt.Errorf("the charge cannot be tried again: %w", err)
		}
	}
	return nil
}

// unwatched completes rules whose threshold is not watched as they say: a process
// has ended in between.
func (p *Payments) unwatched(ctx context.Context) error {
	rows, _ := p.pool.Query(ctx, `
		SELECT r.org, r.type, CASE WHEN r.enabled THEN r.below END FROM top_up_rule r
		LEFT JOIN low_balance b ON b.org = r.org AND b.member = '' AND b.type = r.type
		WHERE b.top_up IS DISTINCT FROM CASE WHEN r.enabled THEN r.below END ORDER BY r.org, r.type LIMIT 100`)
	type rule struct {
		Org, Type string
		Below     *int64
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[rule])
	if err != nil {
		return fmt.Errorf("the rules of automatic purchases cannot be read: %w", err)
	}
	for _, r := range list {
		org, one := p.accounts.Org(ctx, r.Org)
		if one == nil {
			one = p.billing.WatchTopUp(ctx, org, r.Type, r.Below)
		}
		if one != nil && !errcode.Permanent(one) { // it keeps no other from being completed
			err = errors.Join(err, one)
		}
	}
	return err
}
