package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// NewGrant is credits that a person gives to an organization or a member.
type NewGrant struct {
	Member    string // "" = the shared pool
	Type      string
	Amount    int64
	Source    ledger.Source
	Priority  int32     // a lower one is spent first
	StartsAt  time.Time // zero = at once
	ExpiresAt time.Time // zero = never
}

// GrantSources are the sources that a person may name; the others are the
// system's.
var GrantSources = []ledger.Source{ledger.SourcePack, ledger.SourcePromotion, ledger.SourceAdjustment}

// GrantError is what is wrong with a grant.
type GrantError struct {
	N       int    // its place among several, from 0
	Field   string // such as type or expires_at
	Message string // one sentence
}

func (e *GrantError) Error() string { return e.Message }

// ErrorInfo says of which field the grant is not valid.
func (e *GrantError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true, Field: e.Field}
}

// Grant gives credits, once for each key, and returns the grant's number. The
// same request again gets the same answer, also after the plan has changed.
//
// Errors: *GrantError, ErrNoKey, account.ErrNotFound where there is no such
// member, ledger.ErrKeyReused.
func (b *Billing) Grant(ctx context.Context, org account.Org, key string, g NewGrant, reason string) (int64, error) {
	return b.grant(ctx, org, "api/grant/", key, g, reason)
}

// GrantPurchase is Grant for credits that were bought: its keys are a name space
// of their own.
func (b *Billing) GrantPurchase(ctx context.Context, org account.Org, key string, g NewGrant, reason string) (int64, error) {
	return b.grant(ctx, org, "purchase/", key, g, reason)
}

func (b *Billing) grant(ctx context.Context, org account.Org, keys, key string, g NewGrant, reason string) (int64, error) {
	op := ledger.Grant{
		Owner: org.ID, Key: keys + key, Pool: g.Member, Type: g.Type, Amount: g.Amount, Source: g.Source,
		Priority: g.Priority, StartsAt: g.StartsAt.Truncate(time.Microsecond), ExpiresAt: g.ExpiresAt.Truncate(time.Microsecond),
		Memo: ledger.Memo{Reason: reason},
	}
	if err := b.checkGrants(ctx, org, key, op.Key, []NewGrant{g}); err != nil {
		return 0, err
	}
	result, err := b.ledger.Grant(ctx, op)
	if err != nil {
		return 0, err
	}
	return result.GrantID, b.ledger.SameReason(ctx, op.Owner, op.Key, reason)
}

// GrantAll gives several grants at once, all or none, once for each key, and
// returns their numbers in the order of the request. Errors as of Grant.
func (b *Billing) GrantAll(ctx context.Context, org account.Org, key string, grants []NewGrant, reason string) ([]int64, error) {
	op := ledger.Grants{Owner: org.ID, Key: "grants/" + key, Memo: ledger.Memo{Reason: reason}}
	for _, g := range grants {
		op.Lines = append(op.Lines, ledger.GrantLine{
			Pool: g.Member, Type: g.Type, Amount: g.Amount, Source: g.Source,
			Priority: g.Priority, StartsAt: g.StartsAt.Truncate(time.Microsecond), ExpiresAt: g.ExpiresAt.Truncate(time.Microsecond),
		})
	}
	if err := b.checkGrants(ctx, org, key, op.Key, grants); err != nil {
		var wrong *GrantError
		if errors.As(err, &wrong) {
			wrong.Field = fmt.Sprintf("grants[%d].%s", wrong.N, wrong.Field)
		}
		return nil, err
	}
	result, err := b.ledger.Grants(ctx, op)
	if err != nil {
		return nil, err
	}
	return result.GrantIDs, b.ledger.SameReason(ctx, op.Owner, op.Key, reason)
}

// checkGrants looks at grants before they are given. What has been given under
// the key already is not checked again: the ledger has its answer.
func (b *Billing) checkGrants(ctx context.Context, org account.Org, key, ledgerKey string, grants []NewGrant) error {
	if key == "" {
		return ErrNoKey
	}
	known, err := b.ledger.Known(ctx, org.ID, ledgerKey)
	if err != nil || known {
		return err
	}
	if org.Status == account.StatusClosed {
		return org.MayOrder()
	}
	if org, err = b.Current(ctx, org.ID); err != nil {
		return err
	}
	terms, err := b.accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return err
	}
	now := org.Time(time.Now())
	seen := map[string]bool{"": true}
	for i, g := range grants {
		if err := g.check(terms, now); err != nil {
			err.N = i
			return err
		}
		if seen[g.Member] {
			continue
		}
		m, err := b.accounts.Member(ctx, org.ID, g.Member)
		if err := cmp.Or(err, m.Active()); err != nil {
			return err
		}
		seen[g.Member] = true
	}
	return nil
}

// check refuses what could never be spent.
func (g NewGrant) check(terms *plan.Plan, now time.Time) *GrantError {
	credit, sold := terms.Credits[g.Type]
	switch {
	case !sold:
		return &GrantError{Field: "type", Message: fmt.Sprintf("The organization's plan has no credits of type %q; it has %s.", g.Type, strings.Join(terms.CreditTypes(), ", "))}
	case g.Member == "" && !slices.Contains(credit.Burn, plan.Organization):
		return &GrantError{Field: "member", Message: fmt.Sprintf("Credits of type %s are personal on this plan; name the member who gets them.", g.Type)}
	case !slices.Contains(GrantSources, g.Source):
		return &GrantError{Field: "source", Message: fmt.Sprintf("There is no source %q; use %s.", g.Source, joinSources())}
	case !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(now):
		return &GrantError{Field: "expires_at", Message: "The expiry lies in the past; give a later time, or none."}
	case !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(g.StartsAt):
		return &GrantError{Field: "expires_at", Message: "The grant would expire before it starts; give a later time."}
	}
	return nil
}

func joinSources() string {
	return fmt.Sprintf("%s, %s or %s", GrantSources[0], GrantSources[1], GrantSources[2])
}
