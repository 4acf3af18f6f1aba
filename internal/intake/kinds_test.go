package intake_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/suppression"
	"holdfast/internal/wire"
)

const catalogueLeads = 1500

// stack is everything for real: PostgreSQL, Temporal, mail servers, a worker.
type stack struct {
	*wire.App
	lab *maillab.Lab
}

func start(t *testing.T) stack {
	ctx := t.Context()
	servers, err := devstack.StartServers(ctx, config.Config{HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, Providers: []string{config.OwnEngine}, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, devstack.ServerOptions{
		Dir: t.TempDir(), Lab: maillab.Config{Domains: 100, GreylistDelay: 500 * time.Millisecond},
		Note: func(text string) { t.Log(text) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	require.NoError(t, postgres.Migrate(ctx, servers.Config.DatabaseURL))
	quiet := slog.New(slog.DiscardHandler)
	app, err := wire.Open(ctx, servers.Config, quiet)
	require.NoError(t, err)
	t.Cleanup(app.Close)
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- wire.RunWorker(working, servers.Config, quiet) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})

	require.NoError(t, app.Accounts.EnsurePresets(ctx))
	for id, plan := range map[string]string{"acme": "verified-leads", "beta": "prepaid-verification", "gamma": "workspace-paid"} {
		p, err := app.Accounts.Plan(ctx, plan, 0)
		require.NoError(t, err)
		quick := *p
		quick.RefundDelay = 0
		_, err = app.Accounts.SavePlan(ctx, &quick)
		require.NoError(t, err)
		_, err = app.Accounts.CreateOrg(ctx, account.Org{ID: id, Name: id, Plan: plan})
		require.NoError(t, err)
		for _, creditType := range p.CreditTypes() {
			_, err = app.Ledger.Grant(ctx, ledger.Grant{Owner: id, Key: "pack/" + creditType, Type: creditType, Amount: 2000, Source: ledger.SourcePack})
			require.NoError(t, err)
		}
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(servers.Lab.World().WriteCatalogue(writer, catalogueLeads, 0.5)) }()
	_, err = app.Catalogue.Import(ctx, reader, lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	return stack{app, servers.Lab}
}

// settled submits an order and waits for its end.
func (s stack) settled(t *testing.T, sub intake.Submission) order.Order {
	t.Helper()
	o, err := s.Intake.Submit(t.Context(), sub)
	require.NoError(t, err)
	require.Equal(t, order.Reserved, o.Status)
	return s.end(t, o.ID)
}

func (s stack) end(t *testing.T, id string) (o order.Order) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		o, err = s.Book.Get(t.Context(), "", id)
		return err == nil && o.Status.Over()
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, order.Settled, o.Status)
	return o
}

func (s stack) rows(t *testing.T, o order.Order) [][]string {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, s.Catalogue.WriteResults(t.Context(), &file, o.ID, lead.CSV, lead.ResultOptions{}))
	rows, err := csv.NewReader(&file).ReadAll()
	require.NoError(t, err)
	return rows
}

// requireNoAddress demands that nothing in a workflow's history is at one of the
// domains that have mail here.
func (s stack) requireNoAddress(t *testing.T, id string) {
	t.Helper()
	events := s.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		raw, err := proto.Marshal(event) // payloads are in it as they are
		require.NoError(t, err)
		for _, domain := range []string{".test", "nowhere.invalid"} {
			require.NotContains(t, strings.ToLower(string(raw)), domain)
		}
	}
}

// Orders of every kind, from the submission to the file, on real parts. They
// share one stack because it takes seconds to come up.
func TestOrdersOfEveryKindOnRealParts(t *testing.T) {
	s := start(t)

	t.Run("lead_list, filled, without the suppressed", func(t *testing.T) {
		var domain string
		require.NoError(t, s.Pool.QueryRow(t.Context(), `
			SELECT email_domain FROM lead GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1`).Scan(&domain))
		_, err := suppression.New(s.Pool).Add(t.Context(), "acme", "", []string{domain})
		require.NoError(t, err)
		sub := intake.Submission{Org: "acme", Key: "fill", Request: order.Request{Kind: order.LeadList, Count: 300, Fill: true}}
		q, err := s.Intake.Quote(t.Context(), sub)
		require.NoError(t, err)
		require.True(t, q.Covered)

		o := s.settled(t, sub)
		require.EqualValues(t, 300, o.Tally.Valid)
		require.Equal(t, []order.Credit{{Type: "email", Held: 300, Captured: 300}}, o.Credits)
		seen := map[string]bool{}
		for _, row := range s.rows(t, o)[1:] {
			require.False(t, seen[row[1]], "twice")
			seen[row[1]] = true
			require.Equal(t, "valid", s.lab.Truth(row[1]).Verdict)
			require.NotContains(t, row[1], "@"+domain)
		}
		require.Len(t, seen, 300)
		s.requireNoAddress(t, o.ID)
	})

	t.Run("verify, an uploaded list", func(t *testing.T) {
		rows, err := s.Pool.Query(t.Context(), `SELECT email FROM lead ORDER BY md5(id) LIMIT 400`)
		require.NoError(t, err)
		file := &strings.Builder{}
		file.WriteString("No;Mail;Remark\n")
		var emails []string
		for rows.Next() {
			var email string
			require.NoError(t, rows.Scan(&email))
			emails = append(emails, email)
			fmt.Fprintf(file, "%d;%s;\"a; b\"\n", len(emails), email)
		}
		fmt.Fprintf(file, "401;%s;again\n402;missing;\n", strings.ToUpper(emails[7]))
		list, err := s.Catalogue.KeepList(t.Context(), "beta", "mail", strings.NewReader(file.String()))
		require.NoError(t, err)
		require.EqualValues(t, 1, list.Malformed)

		o := s.settled(t, intake.Submission{Org: "beta", Key: "list", Request: order.Request{Kind: order.Verify, ListID: list.ID}})
		require.Equal(t, list.Unique, o.Tally.Verified())
		require.Equal(t, list.Duplicates(), o.Tally.Duplicate)
		results := s.rows(t, o)
		require.Len(t, results, 1+402)
		require.Equal(t, []string{
			"No", "Mail", "Remark", "verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at",
			"address", "role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts",
		}, results[0])
		free := int64(0)
		for i, row := range results[1:401] {
			require.Equal(t, []string{fmt.Sprint(i + 1), emails[i], "a; b"}, row[:3], "in the order of the list, with its columns")
			if truth := s.lab.Truth(emails[i]); row[3] == "valid" || row[3] == "invalid" {
				require.Equal(t, truth.Verdict, row[3], row[1])
			}
			if row[3] == "unknown" {
				free++
			}
		}
		require.Equal(t, results[8][3:8], results[401][3:8], "the duplicate has the verdict of the first")
		require.LessOrEqual(t, list.Unique-o.Credits[0].Captured, free, "only what we could not find out is free")
		require.Equal(t, o.Credits[0].Held, o.Credits[0].Captured+o.Credits[0].Released)
		s.requireNoAddress(t, o.ID)
	})

	t.Run("verify, some addresses, sent fifty times at once", func(t *testing.T) {
		sub := intake.Submission{Org: "beta", Key: "some", Request: order.Request{Kind: order.Verify}, Emails: []string{"no at sign", "missing@nowhere.invalid"}}
		var ids sync.Map
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if o, err := s.Intake.Submit(t.Context(), sub); err == nil {
					ids.Store(o.ID, true)
				} else {
					ids.Store(err.Error(), true)
				}
			})
		}
		group.Wait()
		o := s.end(t, order.ID("beta", "some"))
		ids.Range(func(id, _ any) bool {
			require.Equal(t, o.ID, id, "one order, fifty times the same answer")
			return true
		})
		require.Equal(t, []order.Credit{{Type: "email", Held: 1, Captured: 1}}, o.Credits)
		s.requireNoAddress(t, o.ID)

		sub.Emails = []string{"other@else.test"}
		_, err := s.Intake.Submit(t.Context(), sub)
		require.ErrorIs(t, err, intake.ErrKeyReused)
	})

	report, err := ledger.Audit(t.Context(), s.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings, "the books balance")
}
