package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"holdfast/internal/order"
)

// showOrder prints an order for a person.
func (a *app) showOrder(o order.Order) {
	a.heading("Order %s", o.ID)
	line := func(name, format string, args ...any) { a.say("  %-13s"+format, append([]any{name}, args...)...) }
	who := o.Org
	if o.Member != "" {
		who += ", " + o.Member
	}
	line("organization", "%s", who)
	line("status", "%s", a.paint(statusColor(o.Status), string(o.Status)))
	line("asked for", "%s", o.Kind.Spec().AskedFor(o, func(n int64, noun string) string {
		if noun == "" {
			return number(n)
		}
		return count(n, noun)
	}))
	line("created", "%s", when(o.CreatedAt))
	if o.CompletedAt != nil {
		line("delivered", "%s, after %s", when(*o.CompletedAt), took(o.CompletedAt.Sub(o.CreatedAt)))
	}
	switch {
	case o.SettledAt != nil:
		line("settled", "%s", when(*o.SettledAt))
	case o.RefundAt != nil && o.Status == order.Completed:
		line("refund", "%s, in %s", when(*o.RefundAt), took(max(0, time.Until(*o.RefundAt))))
	}
	if o.Failure != nil {
		line("reason", "%s", o.Failure.Message)
	}
	if len(o.Credits) > 0 {
		a.say("")
		a.print(creditTable(o.Credits))
	}
	if len(o.Reasons) > 0 {
		a.say("")
		a.print(outcomeTable(plural(o.Kind.Spec().Item), o.Reasons, o.Tally.Verified()+o.Tally.Duplicate))
	}
	if o.Status.Delivered() || o.Tally.Valid > 0 {
		a.say("\n%s", a.paint(dim, "The results: "+program()+" order results "+o.ID))
	}
}

// showQuote prints what an order would come to.
func (a *app) showQuote(kind order.Kind, q order.Quote) {
	a.heading("Quote")
	a.say("  %s that could be delivered, %s owned already", count(q.Candidates, kind.Spec().Item), number(q.AlreadyOwned))
	missing := map[string]int64{}
	for _, m := range q.Missing {
		missing[m.Type] = m.Amount
	}
	t := newTable("credits", ">hold", ">expected charge", ">based on", ">missing")
	t.indent = 2
	for i, h := range q.Hold {
		r := q.ExpectedCharge[i]
		t.add(h.Type, number(h.Amount), number(r.Low)+"–"+number(r.High), basis(r), number(missing[h.Type]))
	}
	a.print(t)
	switch {
	case q.Covered:
		a.say("\nThe credits cover it.")
	case len(q.OverBudget) > 0:
		withheld := make([]string, len(q.OverBudget))
		for i, m := range q.OverBudget {
			withheld[i] = count(m.Amount, m.Type+" credit")
		}
		a.say("\nThe member's budget does not cover it: it withholds %s. Nothing would be held.", strings.Join(withheld, ", "))
	default:
		a.say("\nThe credits do not cover it; nothing would be held.")
	}
}

// basis says on what an expected charge rests.
func basis(r order.Range) string {
	switch {
	case r.Known > 0:
		return count(r.Known, "contact")
	case r.Low == r.High:
		return "exact"
	}
	return "no earlier order"
}

func statusColor(s order.Status) string {
	switch s {
	case order.Completed, order.Settled:
		return green
	case order.Rejected, order.Failed, order.Cancelled:
		return red
	case order.Reserved, order.Verifying:
		return cyan
	}
	return plain
}

// creditTable says what became of the credits an order held.
func creditTable(credits []order.Credit) *table {
	columns := []string{"credits", ">held", ">charged", ">refunded", ">still held"}
	reversed := slices.ContainsFunc(credits, func(c order.Credit) bool { return c.Reversed > 0 })
	if reversed {
		columns = append(columns, ">credited back")
	}
	t := newTable(columns...)
	t.indent = 2
	for _, c := range credits {
		row := []string{c.Type, number(c.Held), number(c.Captured), number(c.Released), number(c.Held - c.Captured - c.Released)}
		if reversed {
			row = append(row, number(c.Reversed))
		}
		t.add(row...)
	}
	return t
}

// outcomeTable counts results by verdict and reason, the most frequent verdict
// first. total is what the shares are parts of.
func outcomeTable(items string, reasons []order.Reason, total int64) *table {
	byVerdict := map[string]int64{}
	for _, r := range reasons {
		byVerdict[r.Verdict] += r.Count
	}
	reasons = slices.Clone(reasons)
	slices.SortFunc(reasons, func(a, b order.Reason) int {
		return cmp.Or(
			cmp.Compare(byVerdict[b.Verdict], byVerdict[a.Verdict]),
			cmp.Compare(a.Verdict, b.Verdict),
			cmp.Compare(b.Count, a.Count),
			cmp.Compare(a.Reason, b.Reason))
	})
	t := newTable("verdict", "reason", ">"+items, ">share")
	t.indent = 2
	last := ""
	for _, r := range reasons {
		verdict := r.Verdict
		if verdict == last {
			verdict = ""
		}
		last = r.Verdict
		t.add(verdict, r.Reason, number(r.Count), share(r.Count, total))
	}
	t.color = func(row, column int) string {
		if column < 2 && reasons[row].Verdict == "valid" {
			return green
		}
		return plain
	}
	return t
}

// outcomes counts results while they come.
type outcomes map[[2]string]int64

func (o outcomes) add(verdict, reason string) { o[[2]string{verdict, reason}]++ }

func (o outcomes) total() (n int64) {
	for _, c := range o {
		n += c
	}
	return n
}

func (o outcomes) list() []order.Reason {
	var list []order.Reason
	for key, n := range o {
		list = append(list, order.Reason{Verdict: key[0], Reason: key[1], Count: n})
	}
	return list
}

// heldText writes what a hold reserved: "1,000 email credits".
func heldText(credits []order.Credit) string {
	var parts []string
	for _, c := range credits {
		parts = append(parts, count(c.Held, c.Type+" credit"))
	}
	return strings.Join(parts, " and ")
}

// capturedText writes what an order charged, shortly.
func capturedText(credits []order.Credit) string {
	var parts []string
	for _, c := range credits {
		parts = append(parts, number(c.Captured)+" "+c.Type)
	}
	return strings.Join(parts, ", ")
}
