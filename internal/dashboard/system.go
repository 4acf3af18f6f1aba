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
	Cells  []cellState
	Lost   []lostWork
	NoLost []string // cells in which orders without a workflow are not known
}

// cellState is how a cell is.
type cellState struct {
	Name  string
	Parts [][2]string // what /readyz says
	Ready bool
	Heads []ledger.Head
	audited
}

// audited is an audit that has just run.
type audited struct {
	Report *ledger.Report
	Took   time.Duration
}

// Hex writes a hash as audit --head does.
func (systemPage) Hex(hash []byte) string { return hex.EncodeToString(hash) }

func (v *visit) system() error { return v.showSystem(nil) }

func (v *visit) showSystem(audits map[string]audited) error {
	var page systemPage
	err := v.inEach(func(there *visit) error {
		state := cellState{Name: there.Cell, audited: audits[there.Cell]}
		ctx := there.r.Context()
		if there.Ready != nil {
			short, cancel := context.WithTimeout(ctx, askTemporal)
			var parts map[string]string
			parts, state.Ready = there.Ready(short)
			cancel()
			for _, part := range slices.Sorted(maps.Keys(parts)) {
				state.Parts = append(state.Parts, [2]string{part, parts[part]})
			}
		}
		var err error
		if there.Heads != nil {
			state.Heads, err = there.Heads(ctx)
		}
		if err == nil {
			page.Cells = append(page.Cells, state)
		}
		return err
	})
	if err != nil {
		return err
	}
	page.Lost, page.NoLost = v.lost()
	return v.render(http.StatusOK, "system", "System", page)
}

// audit proves the books, as the command does.
func (v *visit) audit() error {
	audits, err := v.audits()
	if err != nil {
		return err
	}
	return v.showSystem(audits)
}

// audits proves the books of each cell that answers.
func (v *visit) audits() (map[string]audited, error) {
	audits := map[string]audited{}
	if v.Audit == nil {
		return nil, errNoPage
	}
	err := v.inEachWithin(auditWithin, func(there *visit) error {
		began := time.Now()
		report, err := there.Audit(there.r.Context())
		if err == nil {
			audits[there.Cell] = audited{&report, time.Since(began).Round(time.Millisecond)}
		}
		return err
	})
	return audits, err
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
	var sum erasure.Report
	err := v.inAll(func(there *visit) error {
		var report erasure.Report
		err := there.call(http.MethodPost, "/erasures", body, &report)
		sum.Add(report)
		return err
	})
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "erasure", "Erase personal data", &sum)
}
