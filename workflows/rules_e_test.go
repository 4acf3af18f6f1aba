package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// E4, N6: the history says when, which action, which order, what it cost and
// from where the credits came; the balance is right after every line.
func TestRule_E4_N6_TheHistoryLogsEverything(t *testing.T) {
	w, b := ruled(t, "licence-monthly", 100, everyVerdict)
	_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: "bob", Name: "Bob"})
	require.NoError(t, err)
	require.NoError(t, b.CatchUp(t.Context(), "beta", time.Now()))
	spend := w.balance("bob").Available - 30
	_, err = w.ledger.Charge(t.Context(), ledger.Charge{
		Owner: "beta", Key: "spend", Memo: ledger.Memo{Member: "bob", Action: "reveal_email"},
		Lines: []ledger.ChargeLine{{Type: "email", Amount: spend, Pools: []string{"bob"}}},
	})
	require.NoError(t, err)
	o := w.ordered("bob", "one", 100, order.Criteria{})
	require.Equal(t, int64(60), o.Credits[0].Captured)

	page, err := w.ledger.History(t.Context(), ledger.HistoryFilter{Owner: "beta", OrderID: o.ID, Kind: "capture"})
	require.NoError(t, err)
	paid := map[ledger.Source]int64{}
	for _, l := range page.Lines {
		require.Equal(t, "lead_list", l.Action)
		require.Equal(t, "bob", l.Member)
		require.Equal(t, "email", l.Type)
		require.WithinDuration(t, time.Now(), l.At, time.Minute)
		paid[l.Source] += l.Amount
	}
	require.Equal(t, map[ledger.Source]int64{ledger.SourceAllotment: 30, ledger.SourcePack: 30}, paid, "the licence's own first, then the add-ons")

	// Every movement of each pool, oldest first, leads from balance to balance.
	page, err = w.ledger.History(t.Context(), ledger.HistoryFilter{Owner: "beta", Type: "email", Limit: 1000})
	require.NoError(t, err)
	require.Empty(t, page.NextCursor)
	available := map[string]int64{}
	kinds := map[string]bool{}
	for i := len(page.Lines) - 1; i >= 0; i-- {
		l := page.Lines[i]
		kinds[l.Kind] = true
		switch l.Kind {
		case "grant", "release":
			available[l.Pool] += l.Amount
		case "hold":
			available[l.Pool] -= l.Amount
		case "capture":
			if l.OrderID == "" {
				available[l.Pool] -= l.Amount // a charge without a hold
			}
		}
		require.Equal(t, available[l.Pool], l.Balance, "%+v", l)
	}
	require.Equal(t, map[string]bool{"grant": true, "hold": true, "capture": true, "release": true}, kinds)
	require.Equal(t, available["bob"], w.balance("bob").Available)
	require.Equal(t, available[""], w.balance("").Available)
}

// E1, E3, E7 on real servers: a list of everything there is. The credits are
// held for the whole list at once; every verdict costs one, what failed because
// of us costs nothing, and the balance tells held from spent.
func TestRule_E1_E3_E7_AListOfEverything(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "prepaid-verification", map[string]int64{"email": 2_000})
	var emails []string
	for _, domain := range s.lab.World().Domains() {
		switch s.lab.World().KindOf(domain) { //nolint:exhaustive // where we are not let in
		case maillab.Refusing, maillab.SenderRefused, maillab.Unreachable, maillab.ServFail:
			emails = append(emails, "ada@"+domain, "grace@"+domain)
		}
	}
	require.NotEmpty(t, emails)
	rows, err := s.Pool.Query(t.Context(), `SELECT email FROM lead ORDER BY no LIMIT $1`, 1200-len(emails))
	require.NoError(t, err)
	seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	emails = append(emails, seen...)
	file := "email\n" + strings.Join(emails, "\n") + "\n" + strings.ToUpper(emails[0]) + "\nnobody\n"
	list, err := s.Catalogue.KeepList(t.Context(), org, "", strings.NewReader(file))
	require.NoError(t, err)
	require.EqualValues(t, 1200, list.Unique)

	o, err := s.Intake.Submit(t.Context(), intake.Submission{Org: org, Key: "all", Request: order.Request{Kind: order.Verify, ListID: list.ID}})
	require.NoError(t, err)
	require.Equal(t, []order.Credit{{Type: "email", Held: 1200}}, o.Credits)
	require.EqualValues(t, 800, s.available(t, org, "", "email"), "reserved upfront for the whole list")
	o = s.over(t, o.ID)
	require.Equal(t, order.Settled, o.Status)
	s.requireExact(t, o)
	var ours int64
	verdicts := map[string]int64{}
	for _, r := range o.Reasons {
		verdicts[r.Verdict] += r.Count
		if r.Verdict == "unknown" && verify.Reason(r.Reason).Ours() {
			ours += r.Count
		}
	}
	require.Positive(t, ours, "%v", o.Reasons)
	for _, verdict := range []string{"valid", "invalid", "catch_all", "unknown"} {
		require.Positive(t, verdicts[verdict], verdict)
	}
	require.Greater(t, verdicts["unknown"], ours, "a host that was reached and would not tell is paid for")
	require.Equal(t, []order.Credit{{Type: "email", Held: 1200, Captured: 1200 - ours, Released: ours}}, o.Credits)
	require.Equal(t, 800+ours, s.available(t, org, "", "email"))
}
