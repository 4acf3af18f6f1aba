package activities

import (
	"context"
	"strings"

	"holdfast/internal/orderbook"
	"holdfast/internal/verify"
)

// Phones finds out whether telephone numbers can be dialled. Each index of
// numbers is reported once, never two at a time. The only error is the
// context's.
type Phones interface {
	Check(ctx context.Context, numbers []verify.Number, each func(i int, r verify.PhoneResult)) error
}

// PhonePatterns are Phones that compare a number with the numbering plan of its
// country. Nothing is asked.
type PhonePatterns struct{}

// Check answers for every number, see Phones.
func (PhonePatterns) Check(ctx context.Context, numbers []verify.Number, each func(i int, r verify.PhoneResult)) error {
	for i, number := range numbers {
		if err := ctx.Err(); err != nil {
			return err
		}
		each(i, verify.CheckPhone(number.Text, number.Country))
	}
	return nil
}

// checkNumbers finds out about items whose value is a telephone number, or
// several with semicolons between them, each read in the plan of its lead's
// country: the item is valid when any of them is, and else what the first one
// is.
func (a *Activities) checkNumbers(ctx context.Context, orderID string, items []orderbook.Item, results chan<- orderbook.Verdict) error {
	if len(items) == 0 {
		return nil
	}
	ns := make([]int64, len(items))
	for i, item := range items {
		ns[i] = item.N
	}
	countries, err := a.Catalogue.Countries(ctx, orderID, ns)
	if err != nil {
		return err
	}
	var numbers []verify.Number
	var of []int // of numbers, the item that each belongs to
	for i, item := range items {
		for number := range strings.SplitSeq(item.Value, ";") {
			numbers = append(numbers, verify.Number{Text: strings.TrimSpace(number), Country: countries[item.N]})
			of = append(of, i)
		}
	}
	found := make([]verify.PhoneResult, len(numbers))
	if err := a.Phones.Check(ctx, numbers, func(k int, r verify.PhoneResult) { found[k] = r }); err != nil {
		return err
	}
	for k := 0; k < len(numbers); {
		best := found[k]
		i := of[k]
		for ; k < len(numbers) && of[k] == i; k++ {
			if best.Verdict != verify.Valid && found[k].Verdict == verify.Valid {
				best = found[k]
			}
		}
		results <- orderbook.Verdict{N: items[i].N, Verdict: string(best.Verdict), Reason: string(best.Reason), CheckedAt: best.CheckedAt}
	}
	return nil
}
