package payment

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/ledger"
)

// Booking is one double entry of a month: the same amount is debited to one
// account and credited to the other.
type Booking struct {
	Month    string // 2026-03, in UTC
	Org      string
	Currency string
	What     string // sale, use, breakage, taken_back, refund, dispute, dispute_won
	Debit    string // account
	Credit   string // account
	Amount   int64  // in the smallest unit of the currency
}

// The accounts of the report.
const (
	accountCash         = "cash"
	accountDeferred     = "deferred_revenue"
	accountRevenue      = "revenue"
	accountBreakage     = "breakage"
	accountSubscription = "subscription_revenue"
	accountRefunds      = "refunds" // less revenue
)

// Month is what became of the money of an organization's purchases in a month.
// Opening + Sales - Used - Breakage - TakenBack = Closing.
type Month struct {
	Month         string
	Org           string
	Currency      string
	Opening       int64 // deferred: paid for and not yet used
	Sales         int64 // of packs
	Subscriptions int64 // paid periods, revenue at once
	Used          int64 // revenue: credits that were charged, less what was credited back
	Breakage      int64 // revenue: credits that expired
	TakenBack     int64 // of refunds and disputes
	Returned      int64 // money that was paid back
	Closing       int64
}

// bought is a line of a purchase as finance sees it.
type bought struct {
	Purchase int64
	Line     int32
	At       time.Time
	Currency string
	Total    int64 // of the purchase
	Weight   *int64
	Credits  *int64
	Grant    *int64

	amount      int64 // of this line
	outstanding int64 // credits
	deferred    int64 // money
}

// Bookings are the double entries of all purchases before a time, by month,
// organization and currency. org "" is all. They follow from the purchases and
// the ledger's journal alone.
func (p *Payments) Bookings(ctx context.Context, org string, before time.Time) ([]Booking, error) {
	rows, _ := p.pool.Query(ctx, `SELECT DISTINCT org FROM purchase WHERE $1 IN ('', org) AND bought_at < $2 ORDER BY org`, org, before)
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the purchases cannot be read: %w", err)
	}
	var all []Booking
	for _, id := range orgs {
		list, err := p.bookingsOf(ctx, id, before)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return sumUp(all), nil
}

// book collects the entries of one organization.
type book struct {
	org  string
	list []Booking
}

// enter adds an entry; a negative amount is one the other way round.
func (b *book) enter(at time.Time, currency, what, debit, credit string, amount int64) {
	if amount < 0 {
		debit, credit, amount = credit, debit, -amount
	}
	if amount != 0 {
		b.list = append(b.list, Booking{at.UTC().Format("2006-01"), b.org, currency, what, debit, credit, amount})
	}
}

func (p *Payments) bookingsOf(ctx context.Context, org string, before time.Time) ([]Booking, error) {
	rows, _ := p.pool.Query(ctx, `
		SELECT b.id, l.line, b.bought_at, b.currency, b.amount, l.amount, l.credits, l.grant_id
		FROM purchase b JOIN purchase_line l ON l.purchase = b.id WHERE b.org = $1 AND b.bought_at < $2 ORDER BY b.id, l.line`, org, before)
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*bought, error) {
		b := &bought{}
		return b, row.Scan(&b.Purchase, &b.Line, &b.At, &b.Currency, &b.Total, &b.Weight, &b.Credits, &b.Grant)
	})
	if err != nil {
		return nil, fmt.Errorf("the purchases of %s cannot be read: %w", org, err)
	}
	divide(lines)
	b := &book{org: org}
	b.sales(lines)
	if err := p.bookFlows(ctx, b, lines, before); err != nil {
		return nil, err
	}
	return b.list, p.bookReturns(ctx, b, before)
}

// sales books what was paid: for credits it is deferred.
func (b *book) sales(lines []*bought) {
	for _, l := range lines {
		if l.Credits == nil {
			b.enter(l.At, l.Currency, "sale", accountCash, accountSubscription, l.amount)
			continue
		}
		b.enter(l.At, l.Currency, "sale", accountCash, accountDeferred, l.amount)
		l.outstanding, l.deferred = *l.Credits, l.amount
	}
}

// bookFlows books what became of the credits.
func (p *Payments) bookFlows(ctx context.Context, b *book, lines []*bought, before time.Time) error {
	grants, byLine := map[int64]int64{}, map[string]int64{}
	for i, l := range lines {
		if l.Credits != nil && l.Grant != nil {
			grants[*l.Grant] = int64(i)
		}
		byLine[fmt.Sprintf("%d/%d", l.Purchase, l.Line)] = int64(i)
	}
	flows, err := p.billing.Flows(ctx, b.org, grants, func(key string) (int64, bool) {
		rest, ok := strings.CutPrefix(key, "purchase/restore/")
		parts := strings.SplitN(rest, "/", 3)
		if !ok || len(parts) < 3 {
			return 0, false
		}
		i, ok := byLine[parts[0]+"/"+parts[1]]
		return i, ok
	}, before)
	if err != nil {
		return err
	}
	for _, f := range flows {
		l := lines[f.Root]
		l.outstanding -= f.Credits
		left := part(l.amount, l.outstanding, *l.Credits)
		ended := l.deferred - left
		l.deferred = left
		switch f.Kind {
		case ledger.FlowUsed:
			b.enter(f.At, l.Currency, "use", accountDeferred, accountRevenue, ended)
		case ledger.FlowExpired:
			b.enter(f.At, l.Currency, "breakage", accountDeferred, accountBreakage, ended)
		case ledger.FlowVoided:
			b.enter(f.At, l.Currency, "taken_back", accountDeferred, accountRefunds, ended)
		}
	}
	return nil
}

// bookReturns books money that left after purchases.
func (p *Payments) bookReturns(ctx context.Context, b *book, before time.Time) error {
	rows, _ := p.pool.Query(ctx, `
		SELECT r.cause, r.amount, r.at, b.currency FROM purchase_return r JOIN purchase b ON b.id = r.purchase
		WHERE b.org = $1 AND r.at < $2 ORDER BY r.at, r.cause`, b.org, before)
	var cause, currency string
	var amount int64
	var at time.Time
	_, err := pgx.ForEachRow(rows, []any{&cause, &amount, &at, &currency}, func() error {
		what := map[string]string{"refund": "refund", "dispute": "dispute", "won": "dispute_won"}[strings.SplitN(cause, "/", 2)[0]]
		b.enter(at, currency, what, accountRefunds, accountCash, amount)
		return nil
	})
	if err != nil {
		return fmt.Errorf("the refunds of %s cannot be read: %w", b.org, err)
	}
	return nil
}

// part is amount × credits / of, rounded down.
func part(amount, credits, of int64) int64 {
	if credits <= 0 {
		return 0
	}
	return share(amount, credits, of)
}

// divide gives each line its part of its purchase's amount, without a remainder:
// by what the lines have cost, or evenly where that is not known.
func divide(lines []*bought) {
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].Purchase == lines[0].Purchase {
			n++
		}
		weights, sum := make([]int64, n), int64(0)
		for i, l := range lines[:n] {
			if l.Weight != nil {
				weights[i] = *l.Weight
			}
			sum += weights[i]
		}
		if slices.ContainsFunc(lines[:n], func(l *bought) bool { return l.Weight == nil }) || sum == 0 {
			for i := range weights {
				weights[i] = 1
			}
			sum = int64(n)
		}
		given, before := int64(0), int64(0)
		for i, l := range lines[:n] {
			given += weights[i]
			upTo := proportion(l.Total, given, sum)
			l.amount, before = upTo-before, upTo
		}
		lines = lines[n:]
	}
}

// proportion is amount × n / of, rounded down, for n ≤ of.
func proportion(amount, n, of int64) int64 {
	high, low := bits.Mul64(uint64(amount), uint64(n))
	quotient, _ := bits.Div64(high, low, uint64(of))
	return int64(quotient)
}

// sumUp adds up bookings of one kind, and orders them.
func sumUp(list []Booking) []Booking {
	order := func(a, b Booking) int {
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Org, b.Org), cmp.Compare(a.Currency, b.Currency),
			cmp.Compare(a.What, b.What), cmp.Compare(a.Debit, b.Debit), cmp.Compare(a.Credit, b.Credit))
	}
	slices.SortStableFunc(list, order)
	var sums []Booking
	for _, b := range list {
		if n := len(sums); n > 0 && order(sums[n-1], b) == 0 {
			sums[n-1].Amount += b.Amount
			continue
		}
		sums = append(sums, b)
	}
	return sums
}

// Months are the bookings as one line for each month, organization and currency,
// from the first month to the last with a booking.
func Months(bookings []Booking) []Month {
	type key struct{ org, currency string }
	open := map[key]int64{}
	var months []Month
	for _, b := range bookings {
		n := len(months)
		if n == 0 || months[n-1].Month != b.Month || months[n-1].Org != b.Org || months[n-1].Currency != b.Currency {
			opening := open[key{b.Org, b.Currency}]
			months = append(months, Month{Month: b.Month, Org: b.Org, Currency: b.Currency, Opening: opening, Closing: opening})
			n++
		}
		m := &months[n-1]
		m.add(b)
		open[key{b.Org, b.Currency}] = m.Closing
	}
	return months
}

func (m *Month) add(b Booking) {
	signed := func(account string) int64 { // how much the account is credited
		switch account {
		case b.Credit:
			return b.Amount
		case b.Debit:
			return -b.Amount
		}
		return 0
	}
	m.Closing += signed(accountDeferred)
	m.Used += signed(accountRevenue)
	m.Breakage += signed(accountBreakage)
	m.Subscriptions += signed(accountSubscription)
	switch b.What {
	case "sale":
		m.Sales += signed(accountDeferred)
	case "taken_back":
		m.TakenBack += signed(accountRefunds)
	case "refund", "dispute", "dispute_won":
		m.Returned += signed(accountCash)
	}
}

// BookingRows are bookings as rows of a CSV, two for each: its debits and its
// credits add up to the same.
func BookingRows(bookings []Booking, from, to string) [][]string {
	rows := [][]string{{"month", "org", "currency", "what", "account", "debit", "credit"}}
	for _, b := range within(bookings, func(b Booking) string { return b.Month }, from, to) {
		amount := strconv.FormatInt(b.Amount, 10)
		rows = append(rows, []string{b.Month, b.Org, b.Currency, b.What, b.Debit, amount, ""},
			[]string{b.Month, b.Org, b.Currency, b.What, b.Credit, "", amount})
	}
	return rows
}

// MonthRows are months as rows of a CSV.
func MonthRows(months []Month, from, to string) [][]string {
	rows := [][]string{{"month", "org", "currency", "deferred_opening", "sales", "revenue_used", "revenue_breakage", "taken_back", "deferred_closing", "subscription_revenue", "paid_back"}}
	for _, m := range within(months, func(m Month) string { return m.Month }, from, to) {
		row := []string{m.Month, m.Org, m.Currency}
		for _, n := range []int64{m.Opening, m.Sales, m.Used, m.Breakage, m.TakenBack, m.Closing, m.Subscriptions, m.Returned} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	return rows
}

// within are the entries from one month to another; "" has no bound.
func within[T any](list []T, month func(T) string, from, to string) []T {
	var kept []T
	for _, e := range list {
		if m := month(e); m >= from && (to == "" || m <= to) {
			kept = append(kept, e)
		}
	}
	return kept
}
