package billing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"holdfast/internal/ledger"
	"holdfast/internal/value"
)

// carriedAtOnce is how many facts one entry of the journal carries over.
const carriedAtOnce = 5_000

// CarryOwnership makes the values owned that an organization, or with "" each,
// paid for when facts were about leads. The journal says so in entries of its
// own, which cost nothing and stand under the hold that paid. It may be
// interrupted and repeated; once done it is a look-up.
func (b *Billing) CarryOwnership(ctx context.Context, org string) error {
	due, err := b.book.OwnershipDue(ctx, org)
	if err != nil {
		return err
	}
	for _, org := range due {
		orders, err := b.book.OldOrders(ctx, org)
		if err != nil {
			return err
		}
		for _, id := range orders {
			if err := b.carryOrder(ctx, org, id); err != nil {
				return fmt.Errorf("carrying over what %s owns: %w", org, err)
			}
		}
		if err := b.book.OwnershipCarried(ctx, org); err != nil {
			return err
		}
	}
	return nil
}

func (b *Billing) carryOrder(ctx context.Context, org, id string) error {
	old, err := b.book.OldFacts(ctx, id)
	if err != nil {
		return err
	}
	byType := map[string][]ledger.Fact{}
	for _, f := range old {
		for _, key := range value.Keys(f.Field, f.Value, f.Country) {
			byType[f.Type] = append(byType[f.Type], ledger.Fact{Scope: f.Scope, Subject: key})
		}
	}
	for creditType, facts := range byType {
		for part := range slices.Chunk(facts, carriedAtOnce) {
			sum := sha256.New()
			for _, f := range part {
				sum.Write(f.Subject[:])
			}
			if _, err := b.ledger.Capture(ctx, ledger.Capture{
				Owner: org, HoldID: id, Type: creditType, Facts: part,
				Key:  fmt.Sprintf("carry/%s/%s/%s", id, creditType, hex.EncodeToString(sum.Sum(nil)[:16])),
				Memo: ledger.Memo{OrderID: id, Action: "carry", Reason: "what was paid for as a lead is owned as a value"},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
