package dashboard

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/api"
)

// Cells are the dashboards of all cells behind one address. Each joins with New; the
// first one has the sessions of operators. What an operator sees of no organization
// goes over all of them.
type Cells struct {
	mu  sync.Mutex
	all []*Dashboard
}

func (c *Cells) join(d *Dashboard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, d)
}

// everyone are the dashboards of all cells, this one alone where there is one cell.
func (d *Dashboard) everyone() []*Dashboard {
	if d.Cells == nil {
		return []*Dashboard{d}
	}
	d.Cells.mu.Lock()
	defer d.Cells.mu.Unlock()
	return slices.Clone(d.Cells.all)
}

// operators has the sessions of operators.
func (d *Dashboard) operators() *account.Accounts { return d.everyone()[0].Accounts }

// askCell is how long a page waits for a cell among others: while it is down, the
// others are shown.
const askCell = 5 * time.Second

// inEach does something in each cell. A cell that does not answer is passed over and
// named on the page, unless it is the only one; what a cell refuses is an error.
func (v *visit) inEach(do func(there *visit) error) error {
	if len(v.everyone()) == 1 {
		return do(v) // in the time that the page has
	}
	return v.inEachWithin(askCell, do)
}

func (v *visit) inEachWithin(within time.Duration, do func(there *visit) error) error {
	all := v.everyone()
	for _, d := range all {
		ctx, cancel := context.WithTimeout(v.r.Context(), within)
		err := do(v.in(ctx, d))
		cancel()
		switch {
		case err == nil:
		case len(all) == 1, isRefusal(err):
			return err
		case !slices.Contains(v.silent, d.Cell):
			v.Log.ErrorContext(ctx, "A cell does not answer.", "cell", d.Cell, "error", err)
			v.silent = append(v.silent, d.Cell)
		}
	}
	return nil
}

// isRefusal reports whether a cell has answered that it does not do what was asked.
func isRefusal(err error) bool {
	var p *api.Problem
	return errors.As(err, &p) && p.Status < http.StatusInternalServerError
}

// in is the same visit in a cell.
func (v *visit) in(ctx context.Context, d *Dashboard) *visit {
	there := *v
	there.Dashboard, there.r = d, v.r.WithContext(ctx)
	return &there
}

// cell is the visit in the cell that a form names.
func (v *visit) cell(name string) (*visit, error) {
	for _, d := range v.everyone() {
		if d.Cell == name {
			return v.in(v.r.Context(), d), nil
		}
	}
	return nil, errNoPage
}

// inAll writes something to all cells. Where one does not take it, the answer says so:
// the form may be sent again.
func (v *visit) inAll(do func(there *visit) error) error {
	for _, d := range v.everyone() {
		err := do(v.in(v.r.Context(), d))
		if err != nil && d.Cell != "" && !isRefusal(err) {
			v.Log.ErrorContext(v.r.Context(), "A cell did not take what all cells have to have.", "cell", d.Cell, "error", err)
			return &api.Problem{Status: http.StatusServiceUnavailable, Title: "Not in all cells", Detail: "The cell " + d.Cell + " did not take it. Send the form again: what the others have taken stays as it is."}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// orgs are the organizations of all cells, by id.
func (v *visit) orgs() (list []account.Org, err error) {
	err = v.inEach(func(there *visit) error {
		orgs, err := there.Accounts.Orgs(there.r.Context())
		list = append(list, orgs...)
		return err
	})
	slices.SortFunc(list, func(a, b account.Org) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

// place is where the list of a cell goes on: behind the first entries of a page.
type place struct {
	Cursor string `json:"c,omitempty"`
	Skip   int    `json:"s,omitempty"`
}

// merged is a page of a list of all cells, newest first, of those that the caller
// sees there, and the cursor of the next one. Pages of cells have up to size entries.
func merged[T any](v *visit, cursor string, size int, read func(there *visit, cursor string) ([]T, string, error), at func(T) time.Time) (list []T, next string, err error) {
	places, err := placesOf(v, cursor)
	if err != nil {
		return nil, "", err
	}
	type part struct {
		rows []T
		next string
	}
	parts := map[string]part{}
	err = v.inEach(func(there *visit) error {
		from, ok := places[there.Cell]
		if !ok {
			return nil
		}
		rows, next, err := read(there, from.Cursor)
		if err == nil {
			parts[there.Cell] = part{rows[min(from.Skip, len(rows)):], next}
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	for len(list) < size {
		newest, found := "", false
		for name, p := range parts {
			if len(p.rows) > 0 && (!found || at(p.rows[0]).After(at(parts[newest].rows[0]))) {
				newest, found = name, true
			}
		}
		if !found {
			break
		}
		p, from := parts[newest], places[newest]
		list = append(list, p.rows[0])
		p.rows, from.Skip = p.rows[1:], from.Skip+1
		if len(p.rows) == 0 && p.next != "" {
			places[newest] = place{Cursor: p.next}
			break // what comes next of this cell is not read yet
		}
		parts[newest], places[newest] = p, from
	}
	for name, p := range parts {
		if len(p.rows) == 0 && p.next == "" {
			delete(places, name)
		}
	}
	if len(places) == 0 {
		return list, "", nil
	}
	text, err := json.Marshal(places)
	return list, base64.RawURLEncoding.EncodeToString(text), err
}

// placesOf are the places that a cursor names, of all cells where it is empty.
func placesOf(v *visit, cursor string) (map[string]place, error) {
	places := map[string]place{}
	if cursor == "" {
		for _, d := range v.everyone() {
			places[d.Cell] = place{}
		}
		return places, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || json.Unmarshal(text, &places) != nil {
		return nil, errNoPage
	}
	for _, p := range places {
		if p.Skip < 0 {
			return nil, errNoPage
		}
	}
	return places, nil
}
