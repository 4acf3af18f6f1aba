package billing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// ErrOpenOrders is an organization that cannot be closed yet.
var ErrOpenOrders = errcode.New(errcode.Conflict, "orders of the organization are not settled; suspend it and wait for them, or cancel them, then close it")

// Removed is a member who was removed.
type Removed struct {
	account.Member
	Expired []plan.Amount `json:"expired" doc:"Their own credits that were unused."`
}

// RemoveMember ends a member's licence: keys are revoked, unused credits of
// their own expire, what orders give back to them later does, too. What the
// member revealed stays the organization's. Removing them again gets the same
// answer.
func (b *Billing) RemoveMember(ctx context.Context, org, id string) (Removed, error) {
	m, err := b.accounts.RemoveMember(ctx, org, id)
	if err != nil {
		return Removed{}, err
	}
	ended, err := b.ledger.End(ctx, ledger.End{
		Owner: org, Key: "end/" + id, Pool: id, Memo: ledger.Memo{Action: "remove_member", Member: id, Reason: "the licence has ended"},
	})
	return Removed{Member: m, Expired: addAmounts([]plan.Amount{}, ended.Expired)}, err
}

// Closed is an organization that was closed.
type Closed struct {
	account.Org
	Expired []plan.Amount `json:"expired" doc:"Its credits that were unused."`
}

// CloseOrg ends an organization for good: its keys are revoked, its credits
// expire, its periods are not reset any more. Its orders, charges and history
// stay. Closing it again gets the same answer.
//
// Errors: ErrNoReason, ledger.ErrInvalid, ErrOpenOrders, account.ErrNotFound.
func (b *Billing) CloseOrg(ctx context.Context, id, reason string) (Closed, error) {
	if strings.TrimSpace(reason) == "" {
		return Closed{}, ErrNoReason
	}
	if err := ledger.CheckReason(reason); err != nil {
		return Closed{}, err
	}
	org, err := b.accounts.Org(ctx, id)
	if err != nil {
		return Closed{}, err
	}
	// From here on it starts no order, so that none comes between the look at
	// those that are open and the end.
	if org.Status != account.StatusClosed {
		if _, err = b.accounts.Suspend(ctx, id); err != nil {
			return Closed{}, err
		}
	}
	open, err := b.book.Unsettled(ctx, id)
	if err != nil {
		return Closed{}, err
	}
	if open > 0 {
		return Closed{}, fmt.Errorf("%w (%d of them); it is suspended now", ErrOpenOrders, open)
	}
	if org, err = b.accounts.CloseOrg(ctx, id); err != nil {
		return Closed{}, err
	}
	ended, err := b.ledger.End(ctx, ledger.End{
		Owner: id, Key: "close", All: true, Memo: ledger.Memo{Action: "close", Reason: reason},
	})
	return Closed{Org: org, Expired: addAmounts([]plan.Amount{}, ended.Expired)}, err
}

// Update changes the name and the time zone of an organization; an empty one
// stays. What is due is reset before, by the time zone in which it fell due.
func (b *Billing) Update(ctx context.Context, id, name, zone string, now time.Time) (account.Org, error) {
	if zone != "" {
		if err := b.CatchUp(ctx, id, now); err != nil {
			return account.Org{}, err
		}
	}
	return b.accounts.Rename(ctx, id, name, zone)
}
