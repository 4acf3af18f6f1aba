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
		method: http.MethodGet, path: "/reports/revenue.csv", name: "downloadRevenue", tag: "Payments", needs: operator, anyOrg: true, stream: true, produces: []string{"text/csv"},
		summary: "Download revenue by month as CSV",
		about: "One line for each month, organization and currency, in the smallest unit: what was deferred, sold, used, expired (breakage) and taken back, what is deferred at the end of the month, and revenue of subscriptions. " +
			"Credits of a purchase are worth their part of its price; it becomes revenue when they are charged or expire.",
	}, func(ctx context.Context, in *struct{ ReportMonths }) (*huma.StreamResponse, error) {
		return a.report(ctx, "revenue.csv", func(bookings []payment.Booking) [][]string {
			return payment.MonthRows(payment.Months(bookings), in.From, in.To)
		})
	})
	add(a, route{
		method: http.MethodGet, path: "/reports/journal.csv", name: "downloadJournal", tag: "Payments", needs: operator, anyOrg: true, stream: true, produces: []string{"text/csv"},
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
