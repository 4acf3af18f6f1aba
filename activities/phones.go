package activities

import (
	"context"
	"maps"
	"slices"
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
// country. An item with a valid number is valid, and of its numbers only the
// valid ones are delivered; else it is what the first one is. A number that the
// customer owns is compared with its country's plan, which costs nothing.
func (a *Activities) checkNumbers(ctx context.Context, items []orderbook.Item, results chan<- orderbook.Verdict) error {
	byOrder := map[string][]orderbook.Item{}
	for _, item := range items {
		byOrder[item.OrderID] = append(byOrder[item.OrderID], item)
	}
	for _, id := range slices.Sorted(maps.Keys(byOrder)) {
		if err := a.checkNumbersOf(ctx, id, byOrder[id], results); err != nil {
			return err
		}
	}
	return nil
}

func (a *Activities) checkNumbersOf(ctx context.Context, orderID string, items []orderbook.Item, results chan<- orderbook.Verdict) error {
	ns := make([]int64, len(items))
	var owned, others []orderbook.Item
	for i, item := range items {
		ns[i] = item.N
		if item.Owned {
			owned = append(owned, item)
		} else {
			others = append(others, item)
		}
	}
	countries, err := a.Catalogue.Countries(ctx, orderID, ns)
	if err != nil {
		return err
	}
	if err := checkNumbersWith(ctx, a.Phones, others, countries, results); err != nil {
		return err
	}
	return checkNumbersWith(ctx, PhonePatterns{}, owned, countries, results)
}

func checkNumbersWith(ctx context.Context, phones Phones, items []orderbook.Item, countries map[int64]string, results chan<- orderbook.Verdict) error {
	if len(items) == 0 {
		return nil
	}
	var numbers []verify.Number
	cells := make([][]string, len(items))
	for i, item := range items {
		for number := range strings.SplitSeq(item.Value, ";") {
			number = strings.TrimSpace(number)
			cells[i] = append(cells[i], number)
			numbers = append(numbers, verify.Number{Text: number, Country: countries[item.N]})
		}
	}
	found := make([]verify.PhoneResult, len(numbers))
	if err := phones.Check(ctx, numbers, func(k int, r verify.PhoneResult) { found[k] = r }); err != nil {
		return err
	}
	for i, item := range items {
		results <- verdictOfCell(item, cells[i], found[:len(cells[i])])
		found = found[len(cells[i]):]
	}
	return nil
}

// verdictOfCell is the verdict about an item with the numbers of a cell.
func verdictOfCell(item orderbook.Item, numbers []string, found []verify.PhoneResult) orderbook.Verdict {
	best := found[0]
	var part orderbook.Part
	var valid []string
	for k, r := range found {
		if r.Verdict != verify.Valid {
			continue
		}
		if best.Verdict != verify.Valid {
			best = r
		}
		valid = append(valid, numbers[k])
		if len(item.Keys) == len(numbers) {
			part.Keys = append(part.Keys, item.Keys[k])
		}
	}
	v := orderbook.Verdict{OrderID: item.OrderID, N: item.N, Verdict: string(best.Verdict), Reason: string(best.Reason), CheckedAt: best.CheckedAt}
	if len(valid) > 0 && len(valid) < len(numbers) {
		part.Value = strings.Join(valid, ";")
		v.Part = &part
	}
	return v
}
