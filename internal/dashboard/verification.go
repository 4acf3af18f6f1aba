package dashboard

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/internal/orderbook"
	"holdfast/internal/verdicts"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(route{method: http.MethodGet, path: "/operator/verification", needs: operator, handle: (*visit).verification})
}

// refusalsWithin is how long the page waits for the refusals of very large
// orders.
const refusalsWithin = 2 * time.Second

type verificationPage struct {
	Outage     string
	Identities [][2]string // what /readyz says of each
	Workers    []verdicts.WorkerState
	Refusals   []orderbook.Refusal
	Late       bool // the refusals took too long
}

// verification shows identities, verifiers that are not asked, and hosts that
// refuse us.
func (v *visit) verification() error {
	ctx := v.r.Context()
	page := verificationPage{Outage: v.outage(ctx)}
	if v.Ready != nil {
		state, _ := v.Ready(ctx)
		for _, part := range slices.Sorted(maps.Keys(state)) {
			if name, ok := strings.CutPrefix(part, "identity"); ok {
				page.Identities = append(page.Identities, [2]string{strings.TrimSpace(name), state[part]})
			}
		}
	}
	var err error
	if v.Workers != nil {
		if page.Workers, err = v.Workers(ctx); err != nil {
			return err
		}
	}
	short, cancel := context.WithTimeout(ctx, refusalsWithin)
	defer cancel()
	if page.Refusals, err = v.Book.Refusals(short, 50); err != nil {
		if short.Err() == nil {
			return err
		}
		page.Late = true
	}
	return v.render(http.StatusOK, "verification", "Verification", page)
}
