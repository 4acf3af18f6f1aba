package workflows_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

func TestRule_L1_AnOrderAsksForLeadsByCriteria(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 1_000, everyVerdict)
	_, err := w.catalogue.Import(t.Context(), people("DE", map[string]int{"valid": 30}), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	o := w.ordered("", "one", 25, order.Criteria{Country: []string{"DE"}})
	require.Equal(t, int64(25), o.Requested)
	require.Equal(t, int64(25), o.Selected)
	_, rows := w.rows(o)
	require.Len(t, rows, 25)
	for _, r := range rows {
		require.True(t, strings.HasPrefix(r[0], "DE-"), r[0])
	}
}

// Syntax, domain and mailbox, each asked of real servers on loopback: not one
// verdict is wrong, and each of the three stages has turned an address away.
func TestRule_L2_TripleVerification(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 1_000, nil)
	lab, err := maillab.Start(maillab.Config{GreylistDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	engine, err := verify.New(verify.Config{DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), GreylistRetry: 5 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	w.acts.Verifier = engine
	var file bytes.Buffer
	require.NoError(t, lab.World().WriteCatalogue(&file, 200, 0.5))
	nowhere := `nowhere,ada@there-is-no-such-domain.test,Ada,Lovelace,,,,,,,,US,,,,,` + "\n"
	report, err := w.catalogue.Import(t.Context(), strings.NewReader(file.String()+nowhere), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 201, report.Imported)

	o := w.ordered("", "one", 201, order.Criteria{})
	require.Equal(t, int64(201), o.Tally.Verified())
	reasons := map[string]int64{}
	for _, r := range o.Reasons {
		reasons[r.Reason] += r.Count
	}
	require.Positive(t, reasons["no_domain"], "the domain is asked: %v", reasons)
	require.Positive(t, reasons["no_such_user"], "the mailbox is asked: %v", reasons)
	header, rows := w.rows(o)
	require.Equal(t, "email", header[1])
	require.Len(t, rows, int(o.Tally.Valid))
	for _, r := range rows {
		require.Equal(t, "valid", lab.Truth(r[1]).Verdict, r[1])
	}
	require.NoError(t, engine.Verify(t.Context(), []string{"no at sign", "two@@ats.test", "dot.@" + lab.World().Domains()[0]}, func(_ int, r verify.Result) {
		require.Equal(t, verify.Syntax, r.Reason, "the syntax is checked: %s", r.Email)
	}))
}

func TestRule_L3_L4_OnlyWhatPassesIsDeliveredAndCharged(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 1_000, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, order.Tally{Valid: 60, Invalid: 20, CatchAll: 8, Risky: 5, Disposable: 3, Unknown: 4}, o.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 100, Captured: 60, Released: 40}}, o.Credits)
	_, rows := w.rows(o)
	require.Len(t, rows, 60)
	for _, r := range rows {
		require.True(t, strings.HasPrefix(r[1], "valid."), r[1])
	}
	require.Equal(t, int64(940), w.balance("").Available)
}

func TestRule_L5_TheRestIsRefundedFiveMinutesLater(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 100, everyVerdict)
	env := w.env()
	in := order.Input{ID: order.ID("beta", "one"), Org: "beta", Request: order.Request{Kind: order.LeadList, Count: 100}}
	var before ledger.Balance
	var status order.Status
	// The delay runs from the completion on, which takes no time here but that
	// of the activities.
	env.RegisterDelayedCallback(func() {
		before = w.balance("")
		o, err := w.book.Get(t.Context(), "beta", in.ID)
		require.NoError(t, err)
		status = o.Status
	}, 4*time.Minute+50*time.Second)
	start := env.Now()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, order.Completed, status)
	require.Equal(t, [3]int64{0, 40, 60}, [3]int64{before.Available, before.Held, before.Captured})
	require.WithinDuration(t, start.Add(5*time.Minute), env.Now(), 30*time.Second)
	after := w.balance("")
	require.Equal(t, [3]int64{40, 0, 60}, [3]int64{after.Available, after.Held, after.Captured})
}

// On real servers: of 10,000 candidates 5,000 pass, are delivered and charged,
// and 5,000 credits come back.
func TestRule_L6_TenThousandFiveThousandFiveThousand(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "verified-leads", map[string]int64{"email": 12_000})
	o := s.settled(t, intake.Submission{Org: org, Key: "l6", Request: order.Request{Kind: order.LeadList, Count: 10_000}})
	require.EqualValues(t, 10_000, o.Selected)
	require.EqualValues(t, 5_000, o.Tally.Valid)
	require.Equal(t, []order.Credit{{Type: "email", Held: 10_000, Captured: 5_000, Released: 5_000}}, o.Credits)
	require.EqualValues(t, 7_000, s.available(t, org, "", "email"))
	s.requireTrue(t, o)
	_, rows := s.rows(t, o.ID)
	require.Len(t, rows, 5_000)
	for _, row := range rows {
		require.Equal(t, "valid", s.lab.Truth(row[1]).Verdict, row[1])
	}
}

// While an order runs, what is available, held and used always adds up to what
// was bought.
func TestRule_L7_UsageAndBalanceCanBeWatched(t *testing.T) {
	w := newWorld(t, 2_000, 3_000)
	var looks []ledger.Balance
	w.verifier.during = func(int) error {
		balances, err := w.ledger.Balances(context.Background(), org)
		if err == nil {
			w.verifier.mu.Lock()
			looks = append(looks, balances[0])
			w.verifier.mu.Unlock()
		}
		return err
	}
	env := w.env()
	run(env, input(2_000))
	require.NoError(t, env.GetWorkflowError())
	require.NotEmpty(t, looks)
	for _, b := range looks {
		require.Equal(t, int64(1_000), b.Available)
		require.Equal(t, int64(3_000), b.Available+b.Held+b.Captured)
	}
	p := progress(t, env)
	require.Equal(t, int64(2_000), p.Done)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1_000}}, p.Charged)
}

func TestRule_L8_TheDeliveredListIsReadyForACampaign(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 1_000, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	header, rows := w.rows(o)
	column := map[string]int{}
	for i, name := range header {
		column[name] = i
	}
	ids, emails := map[string]bool{}, map[string]bool{}
	for _, r := range rows {
		require.Equal(t, "valid", r[column["verdict"]])
		require.Contains(t, r[column["email"]], "@")
		ids[r[column["id"]]], emails[strings.ToLower(r[column["email"]])] = true, true
	}
	require.Len(t, ids, len(rows))
	require.Len(t, emails, len(rows), "no address twice")
}
