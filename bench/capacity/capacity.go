// Package capacity computes what a number of contacts a day needs, from the
// figures in bench/results. docs/scale.md shows its tables; the test keeps them
// true.
package capacity

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"holdfast/bench/report"
)

// What is assumed, and said in docs/scale.md. Everything else is measured.
const (
	peak          = 4.0    // the busiest hour has so many times the average
	busy          = 0.5    // of a core, at the peak: the rest is for failures
	perIdentity   = 20_000 // addresses a day that one sending identity asks for
	perAction     = 3.0    // events of a history for an action that Temporal Cloud bills
	retentionDays = 7      // of histories
	daysOfMonth   = 31     // Temporal counts 744 hours
)

// prices are those that Temporal published for Pay-As-You-Go on the plan
// Business, read on 2026-11-27. Above the last step they are negotiated; its
// price is used.
var prices = []struct{ upTo, perMillion float64 }{{5, 50}, {10, 45}, {20, 40}, {50, 35}, {100, 30}, {math.Inf(1), 25}}

const (
	retainedGBh = 0.00105
	planShare   = 0.10 // of the use, at least
	planLeast   = 500.0
)

// results are the figures of one benchmark.
type results struct {
	*report.Report
	dir string
}

func load(dir, name string) (results, error) {
	r, err := report.Load(filepath.Join(dir, name+".json"))
	return results{r, dir}, err
}

// at is the figure in a column of the first row whose first cells are these.
func (r results) at(column string, first ...any) (float64, error) {
	for _, t := range r.Tables {
		for i, name := range t.Columns {
			if name != column {
				continue
			}
			for _, row := range t.Rows {
				if len(row) >= len(first) && fmt.Sprint(row[:len(first)]...) == fmt.Sprint(first...) {
					if n, ok := row[i].(float64); ok {
						return n, nil
					}
				}
			}
		}
	}
	return 0, fmt.Errorf("%s/%s.json has no %q for %v", r.dir, r.Name, column, first)
}

// contact is what one contact of an order costs.
type contact struct {
	worker, postgres, temporal float64 // seconds of CPU
	bytes, history             float64
	events                     float64 // of the whole order
}

// costs reads what a contact costs in orders of a size.
func costs(dir string, size float64) (contact, error) {
	orders, err := load(dir, "size")
	if err != nil {
		return contact{}, err
	}
	var c contact
	for column, figure := range map[string]*float64{
		"worker": &c.worker, "PostgreSQL": &c.postgres, "Temporal": &c.temporal,
		"database B/contact": &c.bytes, "history B/contact": &c.history, "events of the longest": &c.events,
	} {
		if *figure, err = orders.at(column, "order", size); err != nil {
			return contact{}, err
		}
	}
	c.worker /= 1e6
	c.postgres /= 1e6
	c.temporal /= 1e6
	return c, nil
}

// cloud is what a month on Temporal Cloud costs, in dollars.
func cloud(actionsADay, historyBytesADay float64) float64 {
	millions, paid, below := actionsADay*daysOfMonth/1e6, 0.0, 0.0
	for _, step := range prices {
		if millions > below {
			paid += (min(millions, step.upTo) - below) * step.perMillion
		}
		below = step.upTo
	}
	paid += historyBytesADay / 1e9 * retentionDays * 24 * daysOfMonth * retainedGBh
	return paid + max(planLeast, planShare*paid)
}

// Volumes are the contacts a day that docs/scale.md is about.
var volumes = []float64{1e6, 100e6}

// Tables are the tables of docs/scale.md.
func Tables(dir string) (string, error) {
	var b strings.Builder
	b.WriteString("| contacts a day | in orders of | contacts/s, peak | cores: workers | PostgreSQL | Temporal | database GB a day | GB a year | actions a day | actions/s, peak | histories GB a day | SMTP identities | Temporal Cloud, $ a month |\n")
	b.WriteString("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, volume := range volumes {
		for _, size := range []float64{1_000, 10_000, 100_000} {
			c, err := costs(dir, size)
			if err != nil {
				return "", err
			}
			rate := volume / 86_400 * peak
			actions := volume / size * math.Ceil(c.events/perAction)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
				whole(volume), whole(size), short(rate), short(rate*c.worker/busy), short(rate*c.postgres/busy), short(rate*c.temporal/busy),
				short(volume*c.bytes/1e9), short(volume*c.bytes/1e9*365), short(actions), short(actions/86_400*peak),
				short(volume*c.history/1e9), whole(math.Ceil(volume/perIdentity)), short(cloud(actions, volume*c.history)))
		}
	}
	small, err := smallOrders(dir)
	return b.String() + "\n" + small, err
}

// smallOrders is about orders of ten contacts, where the order costs, not the
// contact.
func smallOrders(dir string) (string, error) {
	many, err := load(dir, "fairness")
	if err != nil {
		return "", err
	}
	pace, err := many.at("orders/s", "in the same moment")
	if err != nil {
		return "", err
	}
	order, err := load(dir, "order")
	if err != nil {
		return "", err
	}
	actions, err := order.at("billable actions", "list of 10 leads")
	if err != nil {
		return "", err
	}
	kilobytes, err := order.at("KB of history", "list of 10 leads")
	if err != nil {
		return "", err
	}
	each := float64(many.Machine.Cores) / pace // seconds of CPU, all parts and the mail lab together
	var b strings.Builder
	b.WriteString("| contacts a day, in orders of 10 | orders/s, peak | cores, all parts | actions a day | actions/s, peak | histories GB a day | Temporal Cloud, $ a month |\n|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, volume := range volumes {
		n := volume / 10
		history := n * kilobytes * 1024
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", whole(volume), short(n/86_400*peak), short(n/86_400*peak*each/busy),
			short(n*actions), short(n*actions/86_400*peak), short(history/1e9), short(cloud(n*actions, history)))
	}
	return b.String(), nil
}

// short writes a number with two digits that say something.
func short(v float64) string {
	switch {
	case v <= 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.*f", max(0, 1-int(math.Floor(math.Log10(v)))), v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return whole(math.Round(v/unit) * unit)
}

// whole writes a whole number with separators.
func whole(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
