package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/worker"

	"holdfast/bench/report"
	"holdfast/internal/intake"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

const (
	fewLeads = 10  // of a small list
	atOnce   = 500 // orders in the same moment
	buyers   = 50  // organizations that these are of

	checks = "checks" // the organization that has addresses verified
)

// listOrg is one that buys small lists.
func listOrg(i int) string { return fmt.Sprintf("lists-%d", i%buyers) }

// small measures what orders for few contacts cost the Temporal server, one at a
// time, and how long 500 of them wait that come in the same moment, beside empty
// workflows that answer an update.
func (b *bench) small(ctx context.Context) error {
	idle := worker.New(b.App.Temporal, "bench", worker.Options{})
	idle.RegisterWorkflow(Nothing)
	if err := idle.Start(); err != nil {
		return err
	}
	defer idle.Stop()
	emails, domains, err := b.ordinary(ctx, b.accepts)
	if err != nil {
		return err
	}
	if err := b.OrganizationOn(ctx, checks, "prepaid-verification", int64(b.accepts)); err != nil {
		return err
	}
	for i := range buyers {
		if err := b.Organization(ctx, listOrg(i), 1_000_000); err != nil {
			return err
		}
	}
	one := func(i int) intake.Submission {
		return intake.Submission{Org: checks, Request: order.Request{Kind: order.Verify}, Emails: emails[i : i+1]}
	}
	few := func(i int) intake.Submission {
		return intake.Submission{Org: listOrg(i), Request: order.Request{
			Kind: order.LeadList, Count: fewLeads, Criteria: order.Criteria{Domain: domains}, IncludeKnownBad: true, IncludeOwned: true,
		}}
	}
	table := b.report.Table("What a small order costs Temporal, one at a time", "", "n", "events", "workflow tasks", "billable actions", "KB of history", "server CPU ms", "worker CPU ms", "PostgreSQL CPU ms", "over in p50 ms")
	for _, c := range []struct {
		name string
		of   func(i int) intake.Submission // nil: an empty workflow
	}{
		{"empty workflow with an update (yardstick)", nil},
		{"verification of one address", one},
		{fmt.Sprintf("list of %d leads", fewLeads), few},
	} {
		if err := b.cost(ctx, table, c.name, c.of); err != nil {
			return err
		}
	}
	b.report.Note("Billable actions are counted from histories by the rules of https://docs.temporal.io/cloud/actions. The workflow tasks of the yardstick run in the process of the benchmark.")
	return b.rush(ctx, few)
}

// cost runs workflows of one kind one after the other to their ends.
func (b *bench) cost(ctx context.Context, table *report.Table, name string, of func(int) intake.Submission) error {
	var id string
	before, err := b.CPU()
	if err != nil {
		return err
	}
	over, err := measure(ctx, 1, b.accepts, func(i int) string { return fmt.Sprint(i) }, func(ctx context.Context, key string) error {
		if of == nil {
			id = "nothing/" + key
			return b.startNothing(ctx, id)
		}
		var i int
		if _, err := fmt.Sscan(key, &i); err != nil {
			return err
		}
		s := of(i)
		s.Key = name + key
		o, err := b.App.Intake.Submit(ctx, s)
		if err == nil && o.Status == order.Rejected {
			err = errors.New(o.Failure.Message)
		}
		if id = o.ID; err != nil {
			return err
		}
		return b.App.Temporal.GetWorkflow(ctx, id, "").Get(ctx, nil)
	}, nil)
	if err != nil {
		return err
	}
	after, err := b.CPU()
	if err != nil {
		return err
	}
	h, err := b.History(ctx, id)
	if err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return report.Milliseconds(d) / float64(b.accepts) }
	used := after.Minus(before)
	table.Add(name, b.accepts, h.MaxEvents, h.Tasks, h.Actions, float64(h.MaxBytes)/1024, each(used.Temporal), each(used.Worker), each(used.Postgres), over.Quantile(0.5))
	return nil
}

// rush measures how long orders of the same moment wait for their reservation.
func (b *bench) rush(ctx context.Context, few func(int) intake.Submission) error {
	table := b.report.Table(fmt.Sprintf("%d in the same moment: from the request to “reserved”, ms", atOnce), "", "p50", "p99", "all carried out, per second")
	nothing, err := b.atOnce(ctx, func(ctx context.Context, key string) error { return b.startNothing(ctx, "rush/"+key) })
	if err != nil {
		return err
	}
	table.Add("empty workflow with an update (yardstick)", nothing.latencies.Quantile(0.5), nothing.latencies.Quantile(0.99), nothing.rate)
	ids := make(chan string, atOnce)
	orders, err := b.atOnce(ctx, func(ctx context.Context, key string) error {
		var i int
		if _, err := fmt.Sscan(key, &i); err != nil {
			return err
		}
		s := few(i)
		s.Key = "rush/" + key
		o, err := b.App.Intake.Submit(ctx, s)
		for errors.Is(err, intake.ErrNoAnswer) && ctx.Err() == nil {
			o, err = b.App.Intake.Submit(ctx, s)
		}
		ids <- o.ID
		return err
	}, ids)
	if err != nil {
		return err
	}
	table.Add(fmt.Sprintf("order of %d leads", fewLeads), orders.latencies.Quantile(0.5), orders.latencies.Quantile(0.99), orders.rate)
	return b.Audit(ctx)
}

type rushed struct {
	latencies report.Latencies
	rate      float64 // carried out, per second
}

// atOnce makes all calls in the same moment and waits for the ends of the
// workflows whose ids come.
func (b *bench) atOnce(ctx context.Context, call func(context.Context, string) error, ids ...chan string) (rushed, error) {
	began := time.Now()
	latencies, err := measure(ctx, atOnce, atOnce, func(i int) string { return fmt.Sprint(i) }, call, nil)
	if err != nil {
		return rushed{}, err
	}
	for _, c := range ids {
		for range atOnce {
			if err := b.App.Temporal.GetWorkflow(ctx, <-c, "").Get(ctx, nil); err != nil {
				return rushed{}, err
			}
		}
	}
	return rushed{latencies, atOnce / time.Since(began).Seconds()}, nil
}

// ordinary are valid addresses of the catalogue whose hosts answer at once, and
// the domains of some.
func (b *bench) ordinary(ctx context.Context, n int) (emails, domains []string, err error) {
	rows, err := b.App.Pool.Query(ctx, `SELECT email, email_domain FROM lead ORDER BY no`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() && len(emails) < n {
		var email, domain string
		if err := rows.Scan(&email, &domain); err != nil {
			return nil, nil, err
		}
		if b.Servers.Lab.World().KindOf(domain) != maillab.Ordinary || b.Servers.Lab.Truth(email).Verdict != "valid" {
			continue
		}
		emails = append(emails, email)
		if !seen[domain] && len(domains) < 100 {
			seen[domain] = true
			domains = append(domains, domain)
		}
	}
	if len(emails) < n {
		return nil, nil, fmt.Errorf("the catalogue has %d addresses at ordinary hosts, not %d", len(emails), n)
	}
	return emails, domains, rows.Err()
}
