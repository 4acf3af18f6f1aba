package order_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

func TestEstimate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := func(seconds int) *time.Time {
		at := now.Add(time.Duration(seconds) * time.Second)
		return &at
	}
	for name, c := range map[string]struct {
		given order.Progress
		rate  float64
		eta   *time.Time
	}{
		"half done":                    {order.Progress{Stage: order.StageVerifying, Since: in(-10), Done: 500, Total: 1000}, 50, in(10)},
		"nothing done yet":             {order.Progress{Stage: order.StageVerifying, Since: in(-10), Total: 1000}, 0, nil},
		"just begun":                   {order.Progress{Stage: order.StageVerifying, Since: in(0), Total: 1000}, 0, nil},
		"more may be selected":         {order.Progress{Stage: order.StageVerifying, Since: in(-10), Done: 500, Total: 1000, More: true}, 50, nil},
		"hosts that said later":        {order.Progress{Stage: order.StageVerifying, Since: in(-10), Done: 500, Total: 1000, Greylisted: 5, Again: in(300)}, 50, in(300)},
		"hosts that may be asked soon": {order.Progress{Stage: order.StageVerifying, Since: in(-10), Done: 500, Total: 1000, Greylisted: 5, Again: in(1)}, 50, in(10)},
		"waiting for a round":          {order.Progress{Stage: order.StageVerifying, Since: in(-400), Rate: 10, Done: 990, Total: 1000, Waiting: "round 2", Until: in(60)}, 10, in(61)},
		"waiting for a person":         {order.Progress{Stage: order.StageVerifying, Since: in(-400), Rate: 10, Done: 990, Total: 1000, Waiting: "a person"}, 10, nil},
		"the refund":                   {order.Progress{Stage: order.StageRefunding, Rate: 10, Done: 1000, Total: 1000, Waiting: "refund", Until: in(240)}, 0, in(240)},
		"over":                         {order.Progress{Stage: order.StageOver, Rate: 10, ETA: in(3), Done: 1000, Total: 1000}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.given
			p.Estimate(now)
			require.InDelta(t, c.rate, p.Rate, 0.001)
			require.Equal(t, c.eta, p.ETA)
		})
	}
}
