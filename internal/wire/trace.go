package wire

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"holdfast/activities"
	"holdfast/internal/verify"
)

// hostsShown is how many mail hosts of a batch have a span; a list of addresses
// can be at a thousand.
const hostsShown = 100

// traced shows what mail hosts took of a verification. A session with a host
// serves many calls, so that a span stands for one call at one host: from when
// its addresses were handed over to the host's last answer about them.
type traced struct {
	activities.Verifier

	tracer trace.Tracer
}

// atHost is what one mail host has answered of a call.
type atHost struct {
	answers int
	last    time.Time
	reason  map[verify.Reason]int
}

// Verify answers for every address, see verify.Engine.
func (t traced) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	began := time.Now()
	var mu sync.Mutex
	hosts := map[string]*atHost{}
	err := t.Verifier.Verify(ctx, emails, func(i int, r verify.Result) {
		each(i, r)
		if r.MXHost == "" || r.CheckedAt.Before(began) { // DNS has settled it, or it was remembered
			return
		}
		mu.Lock()
		defer mu.Unlock()
		h := hosts[r.MXHost]
		if h == nil && len(hosts) >= hostsShown {
			return
		}
		if h == nil {
			h = &atHost{reason: map[verify.Reason]int{}}
			hosts[r.MXHost] = h
		}
		h.answers++
		h.last = time.Now()
		h.reason[r.Reason]++
	})
	mu.Lock()
	defer mu.Unlock()
	for host, h := range hosts {
		_, span := t.tracer.Start(ctx, "SMTP "+host, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.String("server.address", host), attribute.Int("holdfast.answers", h.answers)))
		for reason, n := range h.reason {
			span.SetAttributes(attribute.Int("holdfast.reason."+string(reason), n))
		}
		span.End(trace.WithTimestamp(h.last))
	}
	return err
}
