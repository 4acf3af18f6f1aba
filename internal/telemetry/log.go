package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// WithTraceIDs returns a logger whose lines name the span that they belong to,
// and the order where they come from its workflow or activities.
func WithTraceIDs(log *slog.Logger) *slog.Logger { return slog.New(logHandler{Handler: log.Handler()}) }

type logHandler struct {
	slog.Handler

	named bool // the attributes of this logger name the order
}

const (
	workflowID  = "WorkflowID" // what Temporal's SDK calls it; the ID of an order's workflow is the order's
	orderPrefix = "ord_"
)

// Handle adds what the context knows of the span, and the order.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if !h.named {
		var attrs []slog.Attr
		r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
		if id := orderOf(attrs); id != "" {
			r.AddAttrs(slog.String("order", id))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// orderOf is the order whose workflow these attributes name; empty where they
// name none, or the order itself.
func orderOf(attrs []slog.Attr) (id string) {
	for _, a := range attrs {
		switch {
		case a.Key == "order":
			return ""
		case a.Key == workflowID && strings.HasPrefix(a.Value.String(), orderPrefix):
			id = a.Value.String()
		}
	}
	return id
}

// WithAttrs keeps the trace in the lines of a logger with attributes.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if id := orderOf(attrs); id != "" && !h.named {
		attrs = append(slices.Clip(attrs), slog.String("order", id))
		h.named = true
	}
	return logHandler{h.Handler.WithAttrs(attrs), h.named}
}

// WithGroup keeps the trace in the lines of a logger with a group.
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name), h.named}
}
