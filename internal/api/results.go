package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"holdfast/internal/lead"
	"holdfast/internal/orderbook"
	"holdfast/internal/verify"
)

func (a *API) results() {
	for format, contentType := range map[string]string{lead.CSV: "text/csv; charset=utf-8", lead.NDJSON: "application/x-ndjson"} {
		add(a, route{
			method: http.MethodGet, path: "/orders/{id}/results." + format, name: "download" + strings.ToUpper(format[:1]) + format[1:], tag: "Orders", needs: member, anyOrg: true, stream: true, errors: []int{http.StatusGone},
			summary: "Download what an order has delivered, as " + format, about: "Also while the order runs: then what it has delivered so far. Where results are kept for a time only, those of lists that were verified end with it (410), and so does all=true. Leads come with the catalogue's columns; what a reveal found a row for each lead; " +
				"of a list that is verified or enriched, every row with all of its columns and ours beside them.",
			produces: &content{contentType, "ResultRow"},
		}, func(ctx context.Context, in *struct {
			OrderID
			All bool `query:"all" doc:"Every contact that has a verdict; what was not delivered comes without its address."`
		},
		) (*huma.StreamResponse, error) {
			o, err := a.orderOf(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if o.ResultsGone() || (in.All && o.ResultsRemovedAt != nil) {
				return nil, orderbook.ErrResultsRemoved
			}
			return a.stream(ctx, contentType, o.ID+"."+format, func(w *patient) error {
				return a.Catalogue.WriteResults(ctx, w, o.ID, format, lead.ResultOptions{All: in.All})
			}), nil
		})
	}
	add(a, route{
		method: http.MethodGet, path: "/orders/{id}/events", name: "watchOrder", tag: "Orders", needs: member, anyOrg: true, stream: true,
		summary: "Watch an order",
		about: "Server-sent events: status, with the order, and progress, while it runs. A client that comes back with Last-Event-ID gets no " +
			"status twice. The stream ends with the order; asked for again after that, the answer is 204.",
		produces: &content{"text/event-stream", "OrderEvent"},
	}, a.watch)
	a.OpenAPI().Paths[prefix+"/orders/{id}/events"].Get.Responses["204"] = &huma.Response{Description: "The order is over, and its last status was received before."}
}

// stream answers with a file that is written while it is sent. When that fails
// in the middle the connection is broken off.
func (a *API) stream(ctx context.Context, contentType, name string, write func(*patient) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", contentType)
		hc.SetHeader("Content-Disposition", `attachment; filename="`+name+`"`)
		_, w := humago.Unwrap(hc)
		out := a.patient(w)
		if err := write(out); err != nil {
			level := slog.LevelWarn
			if ctx.Err() != nil { // the client went away
				level = slog.LevelInfo
			}
			a.Log.Log(ctx, level, "A download was broken off.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
			out.breakOff()
		}
	}}
}
