package main

import (
	"fmt"
	"strings"
	"time"

	"holdfast/internal/order"
)

// demoReport is what a demo found: with --json it is the result.
type demoReport struct {
	Organization string          `json:"organization"`
	Plan         string          `json:"plan"`
	RefundDelay  string          `json:"refund_delay"`
	Granted      int64           `json:"granted"`
	AcceptedMS   int64           `json:"accepted_ms"`
	Order        order.Order     `json:"order"`
	Tally        order.Tally     `json:"tally"`
	Reasons      []order.Reason  `json:"reasons"`
	Held         int64           `json:"held"`
	Charged      int64           `json:"charged"`
	Refunded     int64           `json:"refunded"`
	Balances     []demoBalance   `json:"balances"`
	Delivered    int64           `json:"delivered"` // rows of the delivered list
	FirstRows    []deliveredLead `json:"first_rows"`
	TemporalUI   string          `json:"temporal_ui"`
	History      demoHistory     `json:"history"`
	Stages       []demoStage     `json:"stages"`
	TotalMS      int64           `json:"total_ms"`
	Audit        auditReport     `json:"audit"`

	auditTook time.Duration
}

// demoBalance is what the books say at a moment: after the grant, after the
// delivery (before the refund), after the refund.
type demoBalance struct {
	Moment    string `json:"moment"`
	Available int64  `json:"available"`
	Held      int64  `json:"held"`
	Charged   int64  `json:"charged"`
	Refunded  int64  `json:"refunded"`
}

type demoHistory struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

type demoStage struct {
	Stage string `json:"stage"`
	MS    int64  `json:"ms"`
}

// deliveredLead is a row of the delivered list, as much of it as is shown.
type deliveredLead struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Title     string `json:"title"`
	Company   string `json:"company"`
	Country   string `json:"country"`
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	SMTPCode  int64  `json:"smtp_code"`
}

func (r *demoReport) addStage(name string, elapsed time.Duration) {
	name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
	r.Stages = append(r.Stages, demoStage{name, elapsed.Milliseconds()})
}

// addStages notes the stages of the order itself.
func (r *demoReport) addStages(stages []order.StageTime) {
	for i := 0; i+1 < len(stages); i++ {
		r.addStage("order_"+string(stages[i].Stage), stages[i+1].At.Sub(stages[i].At))
	}
}

// finish fills in what follows from the order.
func (r *demoReport) finish(o order.Order, total time.Duration) {
	r.Order, r.Tally, r.Reasons, r.TotalMS = o, o.Tally, o.Reasons, total.Milliseconds()
	for _, c := range o.Credits {
		r.Held, r.Charged, r.Refunded = r.Held+c.Held, r.Charged+c.Captured, r.Refunded+c.Released
	}
}

// tellVerdicts prints what came of the verification, while the refund is
// awaited.
func (d *demo) tellVerdicts() {
	d.heading("Verdicts")
	d.print(outcomeTable("leads", d.order.Reasons, d.order.Tally.Verified()))
	d.heading("Refund, %s after the delivery", took(d.refundDelay))
}

// tell prints the rest of the report.
func (d *demo) tell() error {
	if d.json {
		return d.printJSON(d.report)
	}
	r := d.report
	d.heading("Credits")
	books := newTable("", ">available", ">held", ">charged", ">refunded")
	books.indent = 2
	for _, b := range r.Balances {
		books.add(momentText(b.Moment), number(b.Available), number(b.Held), number(b.Charged), number(b.Refunded))
	}
	d.print(books)

	d.heading("Delivered: the first %d of %s", len(r.FirstRows), count(r.Delivered, "lead"))
	rows := newTable("name", "title", "company", "country", "email", ">SMTP")
	rows.indent = 2
	for _, l := range r.FirstRows {
		rows.add(clip(l.FirstName+" "+l.LastName, 24), clip(l.Title, 26), clip(l.Company, 22), l.Country, clip(l.Email, 44), fmt.Sprint(l.SMTPCode))
	}
	d.print(rows)

	d.heading("Proof")
	d.say("  %s held = %s charged + %s refunded; %s delivered, each paid for once", number(r.Held), number(r.Charged), number(r.Refunded), count(r.Delivered, "lead"))
	d.say("  %s the books balance: %s, %s and %s recomputed in %s", d.paint(green, "✓"),
		count(r.Audit.Entries, "journal entry"), count(r.Audit.Grants, "grant"), count(r.Audit.Facts, "charged fact"), took(r.auditTook))
	d.say("  the order is %s (%d KB) in Temporal", count(r.History.Events, "event"), (r.History.Bytes+1023)/1024)
	d.say("  accepted → delivered in %s, everything in %s", took(r.delivered()), took(time.Duration(r.TotalMS)*time.Millisecond))
	return nil
}

// delivered is the time from the order's acceptance to its delivery.
func (r *demoReport) delivered() time.Duration {
	if r.Order.CompletedAt == nil {
		return 0
	}
	return r.Order.CompletedAt.Sub(r.Order.CreatedAt)
}

func momentText(moment string) string {
	switch moment {
	case "granted":
		return "before the order"
	case "delivered":
		return "delivered, before the refund"
	default:
		return "after the refund"
	}
}
