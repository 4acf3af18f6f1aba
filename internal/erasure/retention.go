package erasure

import (
	"context"
	"time"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const ordersAtMax = 200 // that are looked at together

// BounceWindow is how long a bounce is credited back under a plan version: so
// long the order must be able to tell what it has delivered.
type BounceWindow func(context.Context, orderbook.PlanVersion) (time.Duration, error)

// RemoveResults removes results of all orders that have been over for longer than
// kept and than bounces of theirs are credited back, order by order: of verified
// lists all items, and the list where nothing else uses it; of lists of
// leads what was not delivered. Orders for fields of leads keep theirs: they say
// what is owned. It returns of how many orders how many items went.
func (e *Erasures) RemoveResults(ctx context.Context, kept time.Duration, window BounceWindow) (orders, items int64, err error) {
	now := time.Now()
	var kinds []order.Kind
	for _, kind := range order.Kinds() {
		if kind.Spec().Source != order.FromFields {
			kinds = append(kinds, kind)
		}
	}
	for last := (orderbook.EndedOrder{}); ; {
		page, err := e.book.LongOver(ctx, kinds, now.Add(-kept), last, ordersAtMax)
		if err != nil {
			return orders, items, err
		}
		for _, o := range page {
			open, err := window(ctx, o.PlanVersion)
			if err != nil {
				return orders, items, err
			}
			if o.SettledAt.After(now.Add(-open)) {
				continue
			}
			// The results last: an order that has none any more is not looked at again.
			if o.Kind.Spec().Source == order.FromAddresses {
				if err := e.catalogue.DropListOf(ctx, o.ID); err != nil {
					return orders, items, err
				}
			}
			n, err := e.book.RemoveResults(ctx, o.ID)
			if err != nil {
				return orders, items, err
			}
			orders, items = orders+1, items+n
		}
		if len(page) < ordersAtMax {
			return orders, items, nil
		}
		last = page[len(page)-1]
	}
}
