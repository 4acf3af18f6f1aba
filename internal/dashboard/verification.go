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

// verificationPage is how verification is in each cell.
type verificationPage struct{ Cells []verificationState }

type verificationState struct {
	Name       string
	Outage     string
	Identities [][2]string // what /readyz says of each
	Workers    []verdicts.WorkerState
	Refusals   []orderbook.Refusal
	Late       bool // the refusals took too long
}

// verification shows identities, verifiers that are not asked, and hosts that
// refuse us.
func (v *visit) verification() error {
	var page verificationPage
	err := v.inEach(func(there *visit) error {
		state, err := there.verificationHere()
		if err == nil {
			page.Cells = append(page.Cells, state)
		}
		return err
	})
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "verification", "Verification", page)
}

func (v *visit) verificationHere() (state verificationState, err error) {
	ctx := v.r.Context()
	state = verificationState{Name: v.Cell, Outage: v.outage(ctx)}
	if v.Ready != nil {
		parts, _ := v.Ready(ctx)
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			if name, ok := strings.CutPrefix(part, "identity"); ok {
				state.Identities = append(state.Identities, [2]string{strings.TrimSpace(name), parts[part]})
			}
		}
	}
	if v.Workers != nil {
		if state.Workers, err = v.Workers(ctx); err != nil {
			return state, err
		}
	}
	short, cancel := context.WithTimeout(ctx, refusalsWithin)
	defer cancel()
	if state.Refusals, err = v.Book.Refusals(short, 50); err != nil && short.Err() != nil {
		state.Late, err = true, nil
	}
	return state, err
}
