package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/payment"
)

// ReportMonths are the months of a report.
type ReportMonths struct {
	From string `query:"from" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" doc:"First month, in UTC; the first with a purchase when left out." example:"2026-01"`
	To   string `query:"to" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" doc:"Last month; the present one when left out." example:"2026-12"`
}

func (a *API) reports() {
	add(a, route{
		method: http.MethodGet, path: "/reports/revenue.csv", name: "downloadRevenue", tag: "Payments", needs: operator, anyOrg: true, stream: true, produces: &content{"text/csv", "RevenueRow"},
		summary: "Download revenue by month as CSV",
		about: "One line for each month, organization and currency, in the smallest unit: what was deferred, sold, used, expired (breakage) and taken back, what is deferred at the end of the month, and revenue of subscriptions. " +
			"Credits of a purchase are worth their part of its price; it becomes revenue when they are charged or expire.",
	}, func(ctx context.Context, in *struct{ ReportMonths }) (*huma.StreamResponse, error) {
		return a.report(ctx, "revenue.csv", func(bookings []payment.Booking) [][]string {
			return payment.MonthRows(payment.Months(bookings), in.From, in.To)
		})
	})
	add(a, route{
		method: http.MethodGet, path: "/reports/journal.csv", name: "downloadJournal", tag: "Payments", needs: operator, anyOrg: true, stream: true, produces: &content{"text/csv", "JournalRow"},
		summary: "Download double entries by month as CSV", about: "Two rows for each entry: debits and credits of every month add up to the same. Amounts are in the smallest unit of the currency.",
	}, func(ctx context.Context, in *struct{ ReportMonths }) (*huma.StreamResponse, error) {
		return a.report(ctx, "journal.csv", func(bookings []payment.Booking) [][]string {
			return payment.BookingRows(bookings, in.From, in.To)
		})
	})
}

func (a *API) report(ctx context.Context, name string, rows func([]payment.Booking) [][]string) (*huma.StreamResponse, error) {
	bookings, err := a.Payments.Bookings(ctx, callerOf(ctx).org.ID, callerOf(ctx).org.Time(time.Now()))
	if err != nil {
		return nil, err
	}
	return a.stream(ctx, "text/csv; charset=utf-8", name, func(w *patient) error {
		out := csv.NewWriter(w)
		out.UseCRLF = true
		_ = out.WriteAll(rows(bookings)) // Error tells
		return out.Error()
	}), nil
}

// reportRow describes a row of a report: columns that are texts, then amounts.
func reportRow(about string, texts, amounts []string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Description: about, Properties: map[string]*huma.Schema{}}
	for _, name := range texts {
		s.Properties[name] = &huma.Schema{Type: huma.TypeString, Description: reportColumns[name].about, Examples: []any{reportColumns[name].example}}
	}
	for _, name := range amounts {
		s.Properties[name] = &huma.Schema{Type: huma.TypeInteger, Description: reportColumns[name].about, Examples: []any{4900}}
	}
	return s
}

var reportColumns = map[string]said{
	"month":                {"The month.", "2026-03"},
	"org":                  {"The organization.", "acme"},
	"currency":             {"ISO 4217, in small letters.", "eur"},
	"what":                 {"What is booked.", "sale"},
	"account":              {"The account.", "deferred"},
	"debit":                {"Amount of a debit; empty in a credit.", nil},
	"credit":               {"Amount of a credit; empty in a debit.", nil},
	"deferred_opening":     {"Deferred when the month began.", nil},
	"sales":                {"Sold.", nil},
	"revenue_used":         {"Revenue by use.", nil},
	"revenue_breakage":     {"Revenue by expiry.", nil},
	"taken_back":           {"Taken back.", nil},
	"deferred_closing":     {"Deferred when the month ended.", nil},
	"subscription_revenue": {"Revenue of subscriptions.", nil},
	"paid_back":            {"Paid back to customers.", nil},
}
