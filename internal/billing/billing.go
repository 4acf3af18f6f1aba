// Package billing is where plans, accounts and the ledger meet: it gives every
// credit period its allotment, applies plan changes, arms low-balance alerts,
// names budgets, and credits back bounces and reversed orders. See README.md
// for the invariants.
package billing

import (
	"context"
	"slices"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

// Billing moves credits as plans say. It keeps no state and is safe for
// concurrent use.
type Billing struct {
	accounts *account.Accounts
	ledger   *ledger.Ledger
	book     *orderbook.Book
}

// New returns a billing on these parts.
func New(accounts *account.Accounts, l *ledger.Ledger, book *orderbook.Book) *Billing {
	return &Billing{accounts: accounts, ledger: l, book: book}
}

// add merges what two resets did, by credit type.
func add(sum, more []account.ResetCredit) []account.ResetCredit {
	for _, c := range more {
		i, found := slices.BinarySearchFunc(sum, c.Type, func(s account.ResetCredit, t string) int { return strings.Compare(s.Type, t) })
		if !found {
			sum = slices.Insert(sum, i, account.ResetCredit{Type: c.Type})
		}
		sum[i].Granted += c.Granted
		sum[i].RolledOver += c.RolledOver
		sum[i].Expired += c.Expired
	}
	return sum
}

// Until is when credits of a type expire that come back to an organization and
// its member at t although the grant they were taken from is over: with the
// period of their pool where the plan lets credits expire with it, after the
// plan's time where it has no period, and never where what is left of a period
// is kept anyway. Without a credit type, it is that of credits that expire.
func (b *Billing) Until(ctx context.Context, p *plan.Plan, orgID, member, creditType string, t time.Time) (ledger.Until, error) {
	org, err := b.Current(ctx, orgID) // what comes back meets the period that has begun
	if err != nil {
		return ledger.Until{}, err
	}
	t = org.Time(t)
	if p.Period == plan.Month && creditType != "" && p.Credits[creditType].AtPeriodEnd != plan.Expire {
		return ledger.Until{}, nil
	}
	period, err := org.Period(t)
	if err != nil {
		return ledger.Until{}, err
	}
	until := ledger.Until{Shared: p.ReinstateUntil(t, period), Own: p.ReinstateUntil(t, period)}
	if member == "" {
		return until, nil
	}
	m, err := b.accounts.Member(ctx, orgID, member)
	if err != nil {
		return ledger.Until{}, err
	}
	if period, err = m.Period(t, org); err != nil {
		return ledger.Until{}, err
	}
	until.Own = p.ReinstateUntil(t, period)
	return until, nil
}
