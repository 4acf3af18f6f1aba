package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

const (
	creditMembers = 500
	creditMonths  = 12
	creditReads   = 50
)

// credits measures what GET /credits reads: of an organization whose members each
// have four types of credits of their own, after a year of resets.
func (b *benchmark) credits(ctx context.Context) error {
	const owner = "credits-0"
	say("credits of %d members after %d months", creditMembers, creditMonths)
	l := ledger.New(b.pool)
	defer l.Close()
	accounts := account.New(b.pool)
	if err := accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	org, err := accounts.CreateOrg(ctx, account.Org{ID: owner, Name: owner, Plan: "workspace-free"})
	if err != nil {
		return err
	}
	terms, err := accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return err
	}
	if err := b.licences(ctx, accounts, l, owner, terms); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return err
	}
	bills := billing.New(accounts, l, orderbook.New(b.pool))
	t := b.report.Table(fmt.Sprintf("Credits of %d members × %d types after %d months", creditMembers, len(terms.CreditTypes()), creditMonths),
		"asked for", "lines", "p50 ms", "p99 ms")
	lastMonth := time.Now().AddDate(0, -1, -3)
	for _, c := range []struct {
		name   string
		member account.Member
		at     time.Time
		books  bool // something is booked before each: what was added up is of no use
	}{
		{"all of the organization", account.Member{}, time.Time{}, false},
		{"all, after each entry", account.Member{}, time.Time{}, true},
		{"a member's own, after each entry", account.Member{Org: owner, ID: "m7"}, time.Time{}, true},
		{"all, as they were a month ago", account.Member{}, lastMonth, false},
	} {
		var took report.Latencies
		lines := 0
		for i := range creditReads {
			if c.books {
				grant := ledger.Grant{Owner: owner, Key: fmt.Sprint(c.name, i), Pool: "m8", Type: "email", Amount: 1, Source: ledger.SourcePack}
				if _, err := l.Grant(ctx, grant); err != nil {
					return err
				}
			}
			start := time.Now()
			org, err := accounts.Org(ctx, owner) // as the handler does
			if err != nil {
				return err
			}
			view, err := bills.Credits(ctx, org, c.member)
			if !c.at.IsZero() {
				view, err = bills.CreditsAt(ctx, org, c.member, c.at)
			}
			if err != nil {
				return err
			}
			took, lines = append(took, time.Since(start)), len(view.Credits)
		}
		t.Add(c.name, lines, took.Quantile(0.5), took.Quantile(0.99))
	}
	return nil
}

// licences gives an organization members whose credits have been reset every month
// for a year, and of whose credits some were spent each month.
func (b *benchmark) licences(ctx context.Context, accounts *account.Accounts, l *ledger.Ledger, owner string, terms *plan.Plan) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range creditMembers {
		group.Go(func() error {
			id := fmt.Sprint("m", i)
			_, err := accounts.CreateMember(groupCtx, account.Member{Org: owner, ID: id, Name: id, Role: account.RoleMember})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// The periods are made here, not by what reads the credits.
	if _, err := b.pool.Exec(ctx, `UPDATE subscription SET next_period = next_period + 1, due_at = due_at + interval '1 month' WHERE org = $1 AND due_at <= now()`, owner); err != nil {
		return err
	}
	begun := time.Now().AddDate(0, -creditMonths+1, -1)
	for month := range creditMonths {
		period := plan.PeriodN(begun, month, time.UTC)
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(512)
		for i := range creditMembers {
			group.Go(func() error { return spentMonth(groupCtx, l, owner, fmt.Sprint("m", i), terms, period) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// spentMonth begins a member's period and spends a credit of each type.
func spentMonth(ctx context.Context, l *ledger.Ledger, owner, member string, terms *plan.Plan, period plan.Period) error {
	renew := ledger.Renew{Owner: owner, Key: fmt.Sprintf("reset/%s/%d", member, period.N), Pool: member, At: period.Start}
	charge := ledger.Charge{Owner: owner, Key: fmt.Sprintf("spend/%s/%d", member, period.N)}
	for _, t := range terms.CreditTypes() {
		renew.Lines = append(renew.Lines, ledger.Renewal{Type: t, Amount: terms.Allotment(t, plan.Member), ExpiresAt: period.End})
		charge.Lines = append(charge.Lines, ledger.ChargeLine{Type: t, Pools: []string{member}, Amount: 1})
	}
	if _, err := l.Renew(ctx, renew); err != nil {
		return err
	}
	_, err := l.Charge(ctx, charge)
	return err
}
