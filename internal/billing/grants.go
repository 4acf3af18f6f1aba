package billing

import (
	"context"
	"strings"
	"time"

	"holdfast/internal/ledger"
)

// Grants is a page of an organization's grants, newest first.
type Grants struct {
	Grants     []Grant `json:"grants"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// Grant is credits that arrived together, and where they are now.
type Grant struct {
	ID        int64      `json:"grant_id"`
	Type      string     `json:"type"`
	Pool      string     `json:"pool" enum:"member,organization"`
	Member    string     `json:"member,omitempty" doc:"The member that has the credits."`
	Source    string     `json:"source" doc:"allotment, pack, promotion, adjustment, rollover or reinstated."`
	Priority  int32      `json:"priority" doc:"A lower one is spent first."`
	GrantedAt time.Time  `json:"granted_at"`
	StartsAt  *time.Time `json:"starts_at,omitempty" doc:"Its credits are not there before. Absent where they were there at once."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent where they never expire."`
	Amount    int64      `json:"amount"`
	Waiting   int64      `json:"waiting" doc:"For the start."`
	Available int64      `json:"available"`
	Held      int64      `json:"held"`
	Spent     int64      `json:"spent"`
	Expired   int64      `json:"expired"`
	Voided    int64      `json:"voided" doc:"Taken back, or moved into another grant: rolled over or reinstated."`
}

// Grants lists the grants of an organization.
func (b *Billing) Grants(ctx context.Context, f ledger.GrantFilter) (Grants, error) {
	org, err := b.Current(ctx, f.Owner)
	if err != nil {
		return Grants{}, err
	}
	page, next, err := b.ledger.ListGrants(ctx, f)
	view := Grants{Grants: make([]Grant, len(page)), NextCursor: next}
	now := org.Time(time.Now())
	for i, g := range page {
		v := Grant{
			ID: g.No, Type: g.Type, Pool: PoolName(g.Pool), Member: g.Pool, Source: string(g.Source), Priority: g.Priority, GrantedAt: g.GrantedAt,
			Amount: g.Amount, Waiting: g.Waiting, Available: g.Available, Held: g.Held, Spent: g.Spent, Expired: g.Expired, Voided: g.Voided,
		}
		if !g.StartsAt.IsZero() {
			v.StartsAt = &page[i].StartsAt
			if !g.StartsAt.After(now) { // nothing has touched it since
				v.Available, v.Waiting = v.Available+v.Waiting, 0
			}
		}
		if !g.ExpiresAt.IsZero() {
			v.ExpiresAt = &page[i].ExpiresAt
			if !g.ExpiresAt.After(now) {
				v.Expired, v.Available = v.Expired+v.Available, 0
			}
		}
		view.Grants[i] = v
	}
	return view, err
}

// Void takes credits of a grant back: a purchase that was refunded, a typing
// error.
type Void struct {
	Org    string
	Key    string // idempotency key
	Grant  int64
	Amount int64 // at most so many; 0 = all that is available
	Reason string
}

// Voided is what a void came to. What was spent or is held stays so.
type Voided struct {
	GrantID   int64  `json:"grant_id"`
	Org       string `json:"org"`
	Member    string `json:"member,omitempty"`
	Type      string `json:"type"`
	Voided    int64  `json:"voided" doc:"Credits taken back by this request."`
	Available int64  `json:"available" doc:"Left in the grant."`
	Waiting   int64  `json:"waiting,omitempty" doc:"Left in a grant that has not started."`
	Held      int64  `json:"held" doc:"Reserved by orders that are not settled. What they give back can be voided then."`
	Spent     int64  `json:"spent" doc:"Spent before, and not taken back."`
	Expired   int64  `json:"expired"`
	Reason    string `json:"reason"`
}

// Void takes back what is available of a grant, and says what was spent. The
// same request again gets the same answer.
//
// Errors: ErrNoReason, ErrNoKey, ledger.ErrUnknownGrant, ledger.ErrKeyReused.
func (b *Billing) Void(ctx context.Context, v Void) (Voided, error) {
	return b.void(ctx, "void/", v)
}

// VoidPurchase is Void for credits that were bought: its keys are a name space
// of their own.
func (b *Billing) VoidPurchase(ctx context.Context, v Void) (Voided, error) {
	return b.void(ctx, "purchase/void/", v)
}

func (b *Billing) void(ctx context.Context, keys string, v Void) (Voided, error) {
	switch {
	case strings.TrimSpace(v.Reason) == "":
		return Voided{}, ErrNoReason
	case v.Key == "":
		return Voided{}, ErrNoKey
	}
	if _, err := b.Current(ctx, v.Org); err != nil {
		return Voided{}, err
	}
	op := ledger.Void{
		Owner: v.Org, Key: keys + v.Key, Grant: v.Grant, Amount: v.Amount, Memo: ledger.Memo{Action: "void", Reason: v.Reason},
	}
	r, err := b.ledger.Void(ctx, op)
	if err == nil {
		err = b.ledger.SameReason(ctx, op.Owner, op.Key, op.Memo.Reason)
	}
	return Voided{
		GrantID: v.Grant, Org: v.Org, Member: r.Pool, Type: r.Type, Reason: v.Reason,
		Voided: r.Voided, Waiting: r.Waiting, Available: r.Available, Held: r.Held, Spent: r.Spent, Expired: r.Expired,
	}, err
}

// Flows are what became of credits of some grants: see ledger.Flows.
func (b *Billing) Flows(ctx context.Context, org string, grants map[int64]int64, restored func(key string) (int64, bool), before time.Time) ([]ledger.Flow, error) {
	return b.ledger.Flows(ctx, org, grants, restored, before)
}
