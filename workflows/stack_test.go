package workflows_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

// stack is everything for real: PostgreSQL, a Temporal server, DNS and mail
// servers, a worker. It comes up once, for all tests that need it; each of them
// has organizations of its own.
type stack struct {
	*wire.App
	lab    *maillab.Lab
	worker *stacktest.Stack // stops and starts it
}

// stackLeads is the size of the catalogue; half of it is valid.
const stackLeads = 10_000

var stackUp = sync.OnceValues(func() (*stack, error) {
	s, err := stacktest.Start(context.Background(), stacktest.Options{
		Config: config.Config{WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Lab:    maillab.Config{Domains: 400, Records: deadHosts()},
		Seed: func(ctx context.Context, app *wire.App, lab *maillab.Lab) error {
			if err := app.Accounts.EnsurePresets(ctx); err != nil {
				return err
			}
			_, err := app.Catalogue.Import(ctx, bytes.NewReader(halfValid(lab)), lead.CSV, lead.ImportOptions{})
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	running = s
	return &stack{s.App, s.Lab, s}, nil
})

var running *stacktest.Stack // once a test has asked for it

func TestMain(m *testing.M) {
	code := m.Run()
	if running != nil {
		if err := running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func realStack(t *testing.T) *stack {
	t.Helper()
	s, err := stackUp()
	require.NoError(t, err)
	return s
}

// anotherWorker replaces the worker, in order.
func (s *stack) anotherWorker(t *testing.T) {
	t.Helper()
	require.NoError(t, s.worker.StopWorker())
	s.worker.StartWorker(t.Context())
}

// halfValid is a catalogue of which exactly one half is valid in truth.
func halfValid(lab *maillab.Lab) []byte {
	var all, half bytes.Buffer
	if err := lab.World().WriteCatalogue(&all, 2*stackLeads, 0.5); err != nil {
		panic(err) // a buffer takes everything
	}
	lines := strings.SplitAfter(all.String(), "\n")
	half.WriteString(lines[0])
	wanted := map[bool]int{true: stackLeads / 2, false: stackLeads / 2}
	for _, line := range lines[1:] {
		cells := strings.SplitN(line, ",", 3)
		if len(cells) < 3 {
			continue
		}
		if valid := lab.Truth(cells[1]).Verdict == "valid"; wanted[valid] > 0 {
			wanted[valid]--
			half.WriteString(line)
		}
	}
	return half.Bytes()
}

// org makes an organization on a preset, with packs of credits in the shared
// pool. The refund comes at once.
func (s *stack) org(t *testing.T, planID string, credits map[string]int64) string {
	t.Helper()
	ctx := t.Context()
	p, err := s.Accounts.Plan(ctx, planID, 0)
	require.NoError(t, err)
	if p.RefundDelay > 0 {
		quick := *p
		quick.RefundDelay = 0
		_, err = s.Accounts.SavePlan(ctx, &quick)
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, s.Pool.QueryRow(ctx, `SELECT count(*) + 1 FROM organization`).Scan(&n))
	id := fmt.Sprintf("org%d", n)
	o := account.Org{ID: id, Name: t.Name(), Plan: planID}
	if credits != nil {
		o.Anchor = notYet()
	}
	_, err = s.Accounts.CreateOrg(ctx, o)
	require.NoError(t, err)
	for credit, amount := range credits {
		_, err = s.Ledger.Grant(ctx, ledger.Grant{Owner: id, Key: "pack/" + credit, Type: credit, Amount: amount, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	return id
}

// over waits until an order is over.
func (s *stack) over(t *testing.T, id string) (o order.Order) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		o, err = s.Book.Get(t.Context(), "", id)
		return err == nil && o.Status.Over()
	}, 2*time.Minute, 20*time.Millisecond, "the order %s is over", id)
	return o
}

// settled submits an order and waits until it is settled.
func (s *stack) settled(t *testing.T, sub intake.Submission) order.Order {
	t.Helper()
	o, err := s.Intake.Submit(t.Context(), sub)
	require.NoError(t, err)
	if !sub.Together { // else it may be over by now
		require.Equal(t, order.Reserved, o.Status, "%+v", o.Failure)
	}
	o = s.over(t, o.ID)
	require.Equal(t, order.Settled, o.Status, "%+v", o.Failure)
	s.requireExact(t, o)
	return o
}

// requireExact demands exact books of an order that is over.
func (s *stack) requireExact(t *testing.T, o order.Order) {
	t.Helper()
	for _, c := range o.Credits {
		require.Equal(t, c.Held, c.Captured+c.Released, "%s credits", c.Type)
	}
	report, err := ledger.Audit(t.Context(), s.Pool, ledger.AuditOptions{Owner: o.Org})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// requireTrue demands that no verdict of an order contradicts the lab, and that
// what was delivered is what was charged.
func (s *stack) requireTrue(t *testing.T, o order.Order) {
	t.Helper()
	var charged, delivered int64
	for _, c := range o.Credits {
		charged += c.Captured
	}
	rows, err := s.Pool.Query(t.Context(), `SELECT value, verdict, delivered_at IS NOT NULL FROM order_item WHERE order_id = $1 AND verdict IS NOT NULL`, o.ID)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var email, verdict string
		var isDelivered bool
		require.NoError(t, rows.Scan(&email, &verdict, &isDelivered))
		require.False(t, s.lab.Truth(email).Wrong(verdict), "%s is not %s", email, verdict)
		if isDelivered {
			delivered++
		}
	}
	require.NoError(t, rows.Err())
	require.Equal(t, charged, delivered)
}

// leads are the ids of so many leads of the catalogue that meet a condition in
// SQL.
func (s *stack) leads(t *testing.T, n int, condition string) []string {
	t.Helper()
	rows, err := s.Pool.Query(t.Context(), `SELECT id FROM lead WHERE `+condition+` ORDER BY no LIMIT $1`, n)
	require.NoError(t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, ids, n)
	return ids
}

// ownNumber picks leads whose one number no other lead has: a number that several
// leads share is paid for once.
const ownNumber = `phone <> '' AND phone NOT LIKE '%;%' AND id IN (SELECT min(id) FROM lead GROUP BY phone_keys)`

// withVerdict are the ids of so many leads that have the verdict in truth, at hosts
// that tell it to anybody who asks.
func (s *stack) withVerdict(t *testing.T, n int, verdict, condition string) (ids []string) {
	t.Helper()
	rows, err := s.Pool.Query(t.Context(), `SELECT id, email FROM lead WHERE `+condition+` ORDER BY no`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() && len(ids) < n {
		var id, email string
		require.NoError(t, rows.Scan(&id, &email))
		_, domain, _ := strings.Cut(email, "@")
		if s.lab.World().KindOf(domain) == maillab.Ordinary && s.lab.Truth(email).Verdict == verdict {
			ids = append(ids, id)
		}
	}
	require.Len(t, ids, n)
	return ids
}

// member adds a member with the credits that the plan gives them.
func (s *stack) member(t *testing.T, org, id string) {
	t.Helper()
	_, err := s.Accounts.CreateMember(t.Context(), account.Member{Org: org, ID: id, Name: id})
	require.NoError(t, err)
	require.NoError(t, s.Billing.CatchUp(t.Context(), org, time.Now()))
}

// available is what a pool has of a type of credits.
func (s *stack) available(t *testing.T, org, pool, credit string) int64 {
	t.Helper()
	balances, err := s.Ledger.Balances(t.Context(), org)
	require.NoError(t, err)
	for _, b := range balances {
		if b.Pool == pool && b.Type == credit {
			return b.Available
		}
	}
	return 0
}

// rows are an order's results, without the header.
func (s *stack) rows(t *testing.T, id string) (header []string, rows [][]string) {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, s.Catalogue.WriteResults(t.Context(), &file, id, lead.CSV, lead.ResultOptions{}))
	all, err := csv.NewReader(&file).ReadAll()
	require.NoError(t, err)
	return all[0], all[1:]
}

// captured is what an order was charged, by type of credits.
func captured(o order.Order) map[string]int64 {
	charged := map[string]int64{}
	for _, c := range o.Credits {
		charged[c.Type] = c.Captured
	}
	return charged
}

func reveal(org, member, key string, ids []string, fields ...order.Field) intake.Submission {
	return intake.Submission{Org: org, Member: member, Key: key, LeadIDs: ids, Request: order.Request{Kind: order.Reveal, Fields: fields}}
}

func export(org, member, key string, ids []string) intake.Submission {
	return intake.Submission{Org: org, Member: member, Key: key, LeadIDs: ids, Request: order.Request{Kind: order.Export}}
}
