package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/wire"
)

// The second organization of a dev stack makes the dashboard worth a look: a
// month of history, three members, orders in each state.
const (
	globex     = "globex"
	globexPlan = "workspace-sample"
	globexDays = 31

	// sampleLeads is the size of the catalogue from which on it is made: its orders
	// need leads.
	sampleLeads = 10_000
)

// sample is what fills it.
type sample struct {
	*wire.App
	random *rand.Rand
	at     time.Time // what the ledger books at
	past   *ledger.Ledger
}

// seedSample makes the organization globex. The past is booked first: the time
// of an organization never runs backwards.
func seedSample(ctx context.Context, parts *wire.App) error {
	s := &sample{App: parts, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // sample data, the same each time
	s.past = ledger.New(parts.Pool, ledger.WithPast(func() time.Time { return s.at }))
	defer s.past.Close()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	if err := s.accounts(ctx, today); err != nil {
		return err
	}
	s.at = today.AddDate(0, 0, -globexDays).Add(8 * time.Hour)
	for credit, amount := range map[string]int64{"email": 30_000, "phone": 400} {
		if _, err := s.past.Grant(ctx, ledger.Grant{
			Owner: globex, Key: "sample/pack/" + credit, Type: credit, Amount: amount, Source: ledger.SourcePack, Memo: ledger.Memo{Reason: "Starter pack, invoice 2041"},
		}); err != nil {
			return err
		}
	}
	for back := globexDays - 1; back > 0; back-- {
		if err := s.day(ctx, today.AddDate(0, 0, -back)); err != nil {
			return err
		}
	}
	if err := s.Billing.CatchUp(ctx, globex, time.Now()); err != nil {
		return err
	}
	return s.present(ctx)
}

// accounts makes the plan, the organization and its members.
func (s *sample) accounts(ctx context.Context, today time.Time) error {
	p, err := s.Accounts.Plan(ctx, "workspace-paid", 0)
	if err != nil {
		return err
	}
	verifies, err := s.Accounts.Plan(ctx, "prepaid-verification", 0)
	if err != nil {
		return err
	}
	sold := *p
	sold.ID, sold.Name, sold.Actions = globexPlan, "Workspace with verification", maps.Clone(p.Actions)
	sold.Actions["verify"] = verifies.Actions["verify"]
	_, err = s.Accounts.SavePlan(ctx, &sold)
	_, made := s.Accounts.CreateOrg(ctx, account.Org{
		ID: globex, Name: "Globex Corporation", Plan: globexPlan, TimeZone: "Europe/Berlin",
		CreatedAt: today.AddDate(0, 0, -globexDays), Anchor: today.AddDate(0, 0, -globexDays/2),
	})
	err = errors.Join(err, made)
	for _, m := range []account.Member{
		{ID: "ann", Name: "Ann Keller", Role: account.RoleAdmin},
		{ID: "jane", Name: "Jane Okafor", Role: account.RoleMember},
		{ID: "bob", Name: "Bob Marsh", Role: account.RoleMember},
	} {
		m.Org = globex
		_, made := s.Accounts.CreateMember(ctx, m)
		err = errors.Join(err, made)
	}
	return errors.Join(err, s.Accounts.SetBudget(ctx, globex, "bob", plan.Amount{Type: "email", Amount: 5_000}))
}

// day books the orders of a day of the past; fewer at weekends.
func (s *sample) day(ctx context.Context, day time.Time) error {
	orders := 1 + s.random.IntN(3)
	if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		orders = s.random.IntN(2)
	}
	for i := range orders {
		s.at = day.Add(time.Duration(8+3*i)*time.Hour + time.Duration(s.random.IntN(90))*time.Minute)
		if err := s.pastOrder(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pastOrder books an order as it has been: held, charged in two batches,
// refunded; one of twenty failed or was cancelled half way.
func (s *sample) pastOrder(ctx context.Context) error {
	member := []string{"ann", "jane", "jane", "bob"}[s.random.IntN(4)]
	kind := []order.Kind{order.LeadList, order.LeadList, order.Verify}[s.random.IntN(3)]
	o := order.Order{
		ID: order.ID(globex, s.at.Format(time.RFC3339)), Kind: kind, Org: globex, Member: member, Status: order.Settled,
		Requested: int64(50 * (2 + s.random.IntN(16))), CreatedAt: s.at,
	}
	o.Selected = o.Requested
	switch s.random.IntN(20) {
	case 0:
		o.Status, o.Failure = order.Failed, &order.Failure{Code: order.CodeInternal, Message: "The order was stopped by an error on our side; what was delivered stays."}
	case 1:
		o.Status = order.Cancelled
	}
	verified := o.Selected
	if o.Status != order.Settled {
		verified /= 2
	}
	o.Reasons = s.reasons(verified)
	for _, r := range o.Reasons {
		o.Tally.Count(r.Verdict, r.Reason, r.Count)
	}
	charged := o.Tally.Valid
	if kind.Spec().Source == order.FromAddresses {
		charged = verified
	}
	memo := ledger.Memo{OrderID: o.ID, Member: member, Action: string(kind)}
	_, err := s.past.Hold(ctx, ledger.Hold{Owner: globex, Key: o.ID + "/hold", HoldID: o.ID, Lines: []ledger.Line{{Type: "email", Amount: o.Requested, Pools: []string{""}}}, Memo: memo})
	for i, part := range []int64{charged / 2, charged - charged/2} {
		s.at = s.at.Add(3 * time.Second)
		_, captured := s.past.Capture(ctx, ledger.Capture{Owner: globex, Key: fmt.Sprintf("%s/capture/%d", o.ID, i), HoldID: o.ID, Type: "email", Amount: part, Memo: memo})
		err = errors.Join(err, captured)
	}
	done := s.at
	s.at = s.at.Add(5 * time.Minute)
	settled := s.at
	memo.Reason = string(o.Status)
	_, released := s.past.Release(ctx, ledger.Release{Owner: globex, Key: o.ID + "/release", HoldID: o.ID, Memo: memo})
	o.Credits = []order.Credit{{Type: "email", Held: o.Requested, Captured: charged, Released: o.Requested - charged}}
	o.SettledAt = &settled
	if o.Status == order.Settled {
		o.CompletedAt = &done
	}
	return errors.Join(err, released, s.enter(ctx, o))
}

// reasons divides n contacts as the mail lab's world would.
func (s *sample) reasons(n int64) []order.Reason {
	list := []order.Reason{
		{Verdict: "invalid", Reason: "no_such_user", Count: n * int64(20+s.random.IntN(10)) / 100},
		{Verdict: "catch_all", Reason: "domain_accepts_all", Count: n * 9 / 100},
		{Verdict: "invalid", Reason: "mailbox_disabled", Count: n * 3 / 100},
		{Verdict: "risky", Reason: "mailbox_full", Count: n * 2 / 100},
		{Verdict: "unknown", Reason: "connect_failed", Count: n * 2 / 100},
		{Verdict: "unknown", Reason: "blocked", Count: n / 100},
	}
	rest := n
	for _, r := range list {
		rest -= r.Count
	}
	return append([]order.Reason{{Verdict: "valid", Reason: "accepted", Count: rest}}, list...)
}

// enter writes an order of the past into the book, with its events as sent.
func (s *sample) enter(ctx context.Context, o order.Order) error {
	texts := make([]string, 0, 4)
	for _, v := range []any{order.Request{Kind: o.Kind, Count: o.Requested}, o.Reasons, o.Credits, o.Failure} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		texts = append(texts, string(text))
	}
	t := o.Tally
	_, err := s.Pool.Exec(ctx, `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, selected, delivered,
			valid, invalid, catch_all, risky, disposable, "unknown", reasons, credits, failure, created_at, completed_at, settled_at)
		VALUES ($1, $2, $3, $4, $5, $1, $6, 1, $7, $8, $9, $10, $10, $11, $12, $13, $14, $15, $16, $17, nullif($18::jsonb, 'null'), $19, $20, $21)`,
		o.ID, o.Org, o.Member, o.Kind, texts[0], globexPlan, o.Status, o.Requested, o.Selected,
		t.Valid, t.Invalid, t.CatchAll, t.Risky, t.Disposable, t.Unknown, texts[1], texts[2], texts[3], o.CreatedAt, o.CompletedAt, o.SettledAt)
	if err != nil {
		return fmt.Errorf("a sample order was not written: %w", err)
	}
	stages := map[string]*time.Time{"reserved": &o.CreatedAt, "completed": o.CompletedAt, string(o.Status): o.SettledAt}
	for stage, at := range stages {
		if at == nil {
			continue
		}
		if _, err := s.Pool.Exec(ctx, `
			INSERT INTO outbox (org, topic, key, payload, created_at, published_at)
			VALUES ($1, 'order.' || $2::text, 'order.' || $2::text || '/' || $3::text, jsonb_build_object('order_id', $3::text), $4, $4)`, o.Org, stage, o.ID, *at); err != nil {
			return fmt.Errorf("an event of a sample order was not written: %w", err)
		}
	}
	return nil
}

// present places orders that really run: delivered, paused, cancelled, rejected.
func (s *sample) present(ctx context.Context) error {
	place := func(member, key string, r order.Request) (order.Order, error) {
		o, err := s.Intake.Submit(ctx, intake.Submission{Org: globex, Member: member, Key: "sample-" + key, Request: r})
		if err != nil {
			return o, fmt.Errorf("a sample order was not placed: %w", err)
		}
		return o, nil
	}
	_, err := place("jane", "delivered", order.Request{Kind: order.LeadList, Count: 240, Criteria: order.Criteria{Country: []string{"US", "GB"}}})
	stopped, cancelled := place("ann", "cancelled", order.Request{Kind: order.LeadList, Count: 1_500, Criteria: order.Criteria{Country: []string{"DE", "FR"}}})
	if cancelled == nil {
		_, cancelled = s.Intake.Cancel(ctx, globex, stopped.ID)
	}
	_, rejected := place("bob", "rejected", order.Request{Kind: order.LeadList, Count: 6_000}) // above bob's budget
	waits, paused := place("jane", "paused", order.Request{Kind: order.LeadList, Count: 9_000})
	if paused == nil {
		_, paused = s.Intake.Pause(ctx, globex, waits.ID)
	}
	for _, late := range []*error{&paused, &cancelled} {
		if errors.Is(*late, intake.ErrOver) || errors.Is(*late, intake.ErrDelivered) { // the machine was quicker
			*late = nil
		}
	}
	return errors.Join(err, rejected, paused, cancelled)
}
