package dashboard

import (
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/internal/erasure"
	"holdfast/internal/ledger"
	"holdfast/internal/reconcile"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/operator/system", needs: operator, handle: (*visit).system},
		route{method: http.MethodPost, path: "/operator/system", needs: operator, streams: true, handle: (*visit).audit},
		route{method: http.MethodGet, path: "/operator/erasure", needs: operator, handle: (*visit).erasure},
		route{method: http.MethodPost, path: "/operator/erasure", needs: operator, handle: (*visit).erase},
	)
}

// auditWithin is how long an audit from a page may take; longer ones belong on
// the command line.
const auditWithin = 5 * time.Minute

// systemPage is how the installation is.
type systemPage struct {
	Parts  [][2]string // what /readyz says
	Ready  bool
	Heads  []ledger.Head
	Lost   []reconcile.Lost
	NoLost bool           // which orders have no workflow is not known
	Report *ledger.Report // of an audit that has just run
	Took   time.Duration
}

// Hex writes a hash as audit --head does.
func (systemPage) Hex(hash []byte) string { return hex.EncodeToString(hash) }

func (v *visit) system() error { return v.showSystem(nil, 0) }

func (v *visit) showSystem(report *ledger.Report, took time.Duration) error {
	page := systemPage{Report: report, Took: took.Round(time.Millisecond)}
	ctx := v.r.Context()
	if v.Ready != nil {
		var state map[string]string
		short, cancel := context.WithTimeout(ctx, askTemporal)
		state, page.Ready = v.Ready(short)
		cancel()
		for _, part := range slices.Sorted(maps.Keys(state)) {
			page.Parts = append(page.Parts, [2]string{part, state[part]})
		}
	}
	var err error
	if v.Heads != nil {
		if page.Heads, err = v.Heads(ctx); err != nil {
			return err
		}
	}
	page.Lost, page.NoLost = v.lost()
	return v.render(http.StatusOK, "system", "System", page)
}

// audit proves the books, as the command does.
func (v *visit) audit() error {
	if v.Audit == nil {
		return errNoPage
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), auditWithin)
	defer cancel()
	began := time.Now()
	report, err := v.Audit(ctx)
	if err != nil {
		return err
	}
	return v.showSystem(&report, time.Since(began))
}

func (v *visit) erasure() error {
	return v.render(http.StatusOK, "erasure", "Erase personal data", (*erasure.Report)(nil))
}

func (v *visit) erase() error {
	words := strings.Fields(strings.ReplaceAll(v.r.PostForm.Get("people"), ",", " "))
	body := map[string][]string{}
	for _, word := range words {
		if strings.Contains(word, "@") {
			body["emails"] = append(body["emails"], word)
		} else {
			body["lead_ids"] = append(body["lead_ids"], word)
		}
	}
	var report erasure.Report
	if err := v.call(http.MethodPost, "/erasures", body, &report); err != nil {
		return err
	}
	return v.render(http.StatusOK, "erasure", "Erase personal data", &report)
}
