package workflows_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/verify"
	"holdfast/workflows"
)

// The rules of the credit systems, driven through orders. What no order of
// today touches is tested where plans meet the ledger (internal/plan), and what
// time does to credits in reset_test.go and internal/billing.

// Every numbered rule has a test that bears its number, here or elsewhere.
func TestEveryRuleHasATest(t *testing.T) {
	have := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func TestRule((?:_[LAEKNX]\d+)+)_`)
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range name.FindAllStringSubmatch(string(source), -1) {
			for rule := range strings.SplitSeq(strings.Trim(found[1], "_"), "_") {
				have[rule] = true
			}
		}
		return err
	}))
	for system, last := range map[string]int{"L": 8, "A": 9, "E": 7, "K": 6, "N": 12} {
		for n := 1; n <= last; n++ {
			require.True(t, have[fmt.Sprint(system, n)], "no test is named TestRule_%s%d_…", system, n)
		}
	}
	for _, rule := range []string{"X4", "X5", "X6"} {
		require.True(t, have[rule], "no test is named TestRule_%s_…", rule)
	}
}

// byWord is a verifier that reads the verdict from the first word of the
// address: valid.1@example.test is valid, catch_all.2@… is not.
type byWord struct{}

func (byWord) Preflight(context.Context) error { return nil }

func (byWord) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	reasons := map[string]verify.Reason{"valid": verify.Accepted, "invalid": verify.NoSuchUser, "catch_all": verify.DomainAcceptsAll}
	for i, email := range emails {
		word, _, _ := strings.Cut(email, ".")
		reason, known := reasons[word]
		if !known {
			reason = verify.Policy
		}
		each(i, verify.Result{Email: email, Verdict: verify.Verdict(word), Reason: reason, CheckedAt: time.Now()})
	}
	return nil
}

// people is a catalogue with so many addresses of each verdict.
func people(country string, verdicts map[string]int) *strings.Reader {
	var b strings.Builder
	b.WriteString("id,email,first_name,last_name,country\n")
	for verdict, n := range verdicts {
		for i := range n {
			fmt.Fprintf(&b, "%s-%s-%d,%s.%s.%d@domain%d.test,Ada,Lovelace,%s\n", country, verdict, i, verdict, country, i, i%7, country)
		}
	}
	return strings.NewReader(b.String())
}

// ruled is a world whose catalogue is told by verdicts, with an organization on
// a plan and a pack of its credits in the shared pool.
func ruled(t *testing.T, planID string, credits int64, verdicts map[string]int) (*world, *billing.Billing) {
	w := newWorld(t, 0, 0)
	w.acts.Verifier = byWord{}
	_, err := w.catalogue.Import(t.Context(), people("US", verdicts), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	_, err = w.accounts.CreateOrg(t.Context(), account.Org{ID: "beta", Name: "Beta", Plan: planID})
	require.NoError(t, err)
	w.pack("", credits)
	return w, billing.New(w.accounts, w.ledger, w.book)
}

func (w *world) pack(pool string, credits int64) {
	_, err := w.ledger.Grant(w.t.Context(), ledger.Grant{
		Owner: "beta", Key: "pack/" + pool, Pool: pool, Type: "email", Amount: credits, Source: ledger.SourcePack,
	})
	require.NoError(w.t, err)
}

// ordered runs an order of beta to its end.
func (w *world) ordered(member, key string, count int64, criteria order.Criteria) order.Order {
	env := w.env()
	in := order.Input{
		ID: order.ID("beta", key), Org: "beta", Member: member,
		Request: order.Request{Kind: order.LeadList, Count: count, Criteria: criteria},
	}
	run(env, in)
	require.NoError(w.t, env.GetWorkflowError())
	o, err := w.book.Get(w.t.Context(), "beta", in.ID)
	require.NoError(w.t, err)
	return o
}

// rows are an order's result file without its header.
func (w *world) rows(o order.Order) (header []string, rows [][]string) {
	var file bytes.Buffer
	require.NoError(w.t, w.catalogue.WriteResults(w.t.Context(), &file, o.ID, lead.CSV, lead.ResultOptions{}))
	all, err := csv.NewReader(&file).ReadAll()
	require.NoError(w.t, err)
	return all[0], all[1:]
}

func (w *world) balance(pool string) ledger.Balance {
	balances, err := w.ledger.Balances(w.t.Context(), "beta")
	require.NoError(w.t, err)
	for _, b := range balances {
		if b.Pool == pool && b.Type == "email" {
			return b
		}
	}
	return ledger.Balance{}
}

var everyVerdict = map[string]int{"valid": 60, "invalid": 20, "catch_all": 8, "risky": 5, "disposable": 3, "unknown": 4}

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
// verdict is wrong, and each of the three stages has turned somebody away.
func TestRule_L2_TripleVerification(t *testing.T) {
	w, _ := ruled(t, "verified-leads", 1_000, nil)
	lab, err := maillab.Start(maillab.Config{GreylistDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	engine, err := verify.New(verify.Config{DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), GreylistRetry: 5 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	w.acts.Verifier = engine
	var file bytes.Buffer
	require.NoError(t, lab.World().WriteCatalogue(&file, 200, 0.5))
	nowhere := `nowhere,ada@there-is-no-such-domain.test,Ada,Lovelace,,,,,,,,US,,,,` + "\n"
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

func TestRule_L6_TenThousandFiveThousandFiveThousand(t *testing.T) {
	w := newWorld(t, 10_000, 10_000)
	env := w.env()
	in := input(10_000)
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	o := w.stored(in.ID)
	require.Equal(t, order.Settled, o.Status)
	require.Equal(t, order.Tally{Valid: 5_000, Invalid: 5_000}, o.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 10_000, Captured: 5_000, Released: 5_000}}, o.Credits)
	w.requireDelivered(in.ID, 5_000)
	w.requireBalance(5_000, 0)
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

// A1, A3: a credit per verified contact; what is invalid, not verifiable or
// owned already costs nothing.
func TestRule_A1_A3_InvalidAndDuplicateDataIsFree(t *testing.T) {
	w, b := ruled(t, "rollover-boost", 1, everyVerdict)
	require.NoError(t, b.CatchUp(t.Context(), "beta", time.Now()))
	require.Equal(t, int64(12_001), w.balance("").Available)
	first := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, []order.Credit{{Type: "email", Held: 100, Captured: 60, Released: 40}}, first.Credits)
	again := w.ordered("", "two", 100, order.Criteria{})
	for _, c := range again.Credits {
		require.Zero(t, c.Captured, "nothing new")
	}
	require.Equal(t, int64(12_001-60), w.balance("").Available)
}

// A4: an address at a domain that accepts everything is neither delivered nor
// charged.
func TestRule_A4_CatchAllIsDetectedAndNotCharged(t *testing.T) {
	w, _ := ruled(t, "rollover-boost", 100, map[string]int{"catch_all": 40, "valid": 10})
	o := w.ordered("", "one", 50, order.Criteria{})
	require.Equal(t, int64(40), o.Tally.CatchAll)
	require.Equal(t, int64(10), o.Credits[0].Captured)
}

// A9: a bounce within the window is credited back, once, however often and in
// whatever spelling it is reported; one that comes too late is not.
func TestRule_A9_BouncesAreCreditedBackOnce(t *testing.T) {
	w, b := ruled(t, "rollover-power", 100, map[string]int{"valid": 10, "invalid": 10})
	w.ordered("", "one", 20, order.Criteria{})
	require.Equal(t, int64(90), w.balance("").Available)
	report := billing.Bounces{Org: "beta", Key: "monday", Emails: []string{
		"valid.US.1@domain1.test", " VALID.us.2@domain2.test ", "valid.US.1@DOMAIN1.test",
		"invalid.US.3@domain3.test", "stranger@nowhere.test",
	}}
	for range 2 { // the same request, the same answer
		bounced, err := b.Bounce(t.Context(), report, time.Now())
		require.NoError(t, err)
		require.Equal(t, billing.Bounced{Reported: 4, Found: 2, Facts: 2, Credits: []plan.Amount{{Type: "email", Amount: 2}}}, bounced)
		require.Equal(t, int64(92), w.balance("").Available)
	}
	report.Key = "tuesday"
	bounced, err := b.Bounce(t.Context(), report, time.Now())
	require.NoError(t, err)
	require.Equal(t, billing.Bounced{Reported: 4, Found: 2, Credits: []plan.Amount{}}, bounced, "once")

	report.Key, report.Emails = "late", []string{"valid.US.5@domain5.test"}
	bounced, err = b.Bounce(t.Context(), report, time.Now().Add(31*24*time.Hour))
	require.NoError(t, err)
	require.Zero(t, bounced.Found, "the window is 30 days")
	bounced, err = b.Bounce(t.Context(), report, time.Now().Add(29*24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, int64(1), bounced.Facts)
	require.Equal(t, int64(93), w.balance("").Available)
	_, err = b.Bounce(t.Context(), billing.Bounces{Org: "beta"}, time.Now())
	require.ErrorIs(t, err, billing.ErrNoKey)
	_, err = b.Bounce(t.Context(), billing.Bounces{Org: "nobody", Key: "k"}, time.Now())
	require.ErrorIs(t, err, account.ErrNotFound)
}

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

// K4 for orders: what the credits do not cover is refused before anything is
// spent, with what is missing.
func TestRule_K4_RefusedBeforeAnythingIsSpent(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 99, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, order.Rejected, o.Status)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, o.Failure.Missing)
	b := w.balance("")
	require.Equal(t, [3]int64{99, 0, 0}, [3]int64{b.Available, b.Held, b.Captured})
}

// K6, N9: a member sees their own pool, the team the shared one, admins what
// every member used; bought credits are usable by all.
func TestRule_K6_N9_WhoUsedWhat(t *testing.T) {
	w, b := ruled(t, "licence-monthly", 500, map[string]int{"valid": 200})
	for _, m := range []string{"bob", "jane"} {
		_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: m, Name: m})
		require.NoError(t, err)
	}
	require.NoError(t, b.CatchUp(t.Context(), "beta", time.Now()))
	w.ordered("bob", "bobs", 40, order.Criteria{})
	w.ordered("jane", "janes", 25, order.Criteria{})
	w.ordered("", "teams", 10, order.Criteria{})
	require.Equal(t, int64(960), w.balance("bob").Available)
	require.Equal(t, int64(975), w.balance("jane").Available)
	require.Equal(t, int64(490), w.balance("").Available)
	usage, err := w.ledger.UsageBetween(t.Context(), "beta", time.Now().Add(-time.Hour), time.Time{})
	require.NoError(t, err)
	used := map[string]int64{}
	for _, u := range usage {
		used[u.Member] += u.Captured
	}
	require.Equal(t, map[string]int64{"bob": 40, "jane": 25, "": 10}, used)
}

// N2, N3, N11: 190 of 200 are found, 190 are charged when the list is complete,
// downloaded or not; what one member paid for costs the next one nothing.
func TestRule_N2_N3_N11_OnlyWhatIsFoundOnce(t *testing.T) {
	w, b := ruled(t, "licence-monthly", 10, map[string]int{"valid": 190, "unknown": 10})
	for _, m := range []string{"bob", "jane"} {
		_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: m, Name: m})
		require.NoError(t, err)
	}
	require.NoError(t, b.CatchUp(t.Context(), "beta", time.Now()))
	bobs := w.ordered("bob", "bobs", 200, order.Criteria{})
	require.Equal(t, int64(190), bobs.Credits[0].Captured)
	require.Equal(t, int64(810), w.balance("bob").Available)
	janes := w.ordered("jane", "janes", 200, order.Criteria{})
	for _, c := range janes.Credits {
		require.Zero(t, c.Captured)
	}
	require.Equal(t, int64(1_000), w.balance("jane").Available)
}

// N12: before anything is spent a quote tells what it would cost at most and
// whether the credits, and a member's budget, cover it; the order then does what
// the quote said.
func TestRule_N12_AQuoteTellsWhetherTheCreditsCoverIt(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 100, everyVerdict)
	_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: "bob", Name: "Bob"})
	require.NoError(t, err)
	require.NoError(t, w.accounts.SetBudget(t.Context(), "beta", "bob", plan.Amount{Type: "email", Amount: 30}))
	desk := offer.New(w.accounts, w.ledger, w.catalogue, w.book)
	quote := func(member string, count int64) order.Quote {
		q, err := desk.Quote(t.Context(), order.Input{
			ID: "ord_quote", Org: "beta", Member: member, Request: order.Request{Kind: order.LeadList, Count: count},
		})
		require.NoError(t, err)
		require.Equal(t, []order.Amount{{Type: "email", Amount: count}}, q.Hold)
		return q
	}
	require.True(t, quote("", 100).Covered)
	beyond := quote("", 101)
	require.False(t, beyond.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, beyond.Missing)
	require.True(t, quote("bob", 30).Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 10}}, quote("bob", 40).Missing, "the budget counts, too")
	require.Equal(t, int64(100), w.balance("").Available, "a quote spends nothing")

	require.Equal(t, beyond.Missing, w.ordered("", "beyond", 101, order.Criteria{}).Failure.Missing)
	require.Equal(t, order.Settled, w.ordered("", "all", 100, order.Criteria{}).Status)
	again := quote("", 100)
	require.Equal(t, int64(60), again.AlreadyOwned, "what is paid for is known")
	require.Equal(t, int64(40), again.Candidates)
}

// N12: an operator undoes an order or a part of it, with a reason in the journal.
func TestRule_N12_AnOperatorReversesAnOrder(t *testing.T) {
	w, b := ruled(t, "rollover-boost", 1_000, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, int64(940), w.balance("").Available)
	now := time.Now()
	for reversal, want := range map[*billing.Reversal]error{
		{OrderID: o.ID, Key: "k"}:                                                       billing.ErrNoReason,
		{OrderID: o.ID, Reason: "why not"}:                                              billing.ErrNoKey,
		{OrderID: o.ID, Key: "k", Reason: "r", Amount: 5}:                               billing.ErrPart,
		{OrderID: o.ID, Key: "k", Reason: "r", Type: "email", Amount: 61}:               ledger.ErrHoldExhausted,
		{OrderID: o.ID, Key: "k", Reason: "r", Type: "email", Amount: -1}:               ledger.ErrInvalid,
		{OrderID: o.ID, Key: "k", Reason: "r", Type: "email", Amount: 5, Leads: ids(1)}: billing.ErrPart,
	} {
		_, err := b.Reverse(t.Context(), *reversal, now)
		require.ErrorIs(t, err, want, "%+v", *reversal)
	}
	require.Equal(t, int64(940), w.balance("").Available)

	part := billing.Reversal{OrderID: o.ID, Key: "part", Reason: "wrong people", Leads: ids(3)}
	for range 2 {
		reversed, err := b.Reverse(t.Context(), part, now)
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 3}}, reversed.Credits)
		require.Equal(t, int64(3), reversed.Facts)
		require.Equal(t, int64(943), w.balance("").Available)
	}
	some, err := b.Reverse(t.Context(), billing.Reversal{OrderID: o.ID, Key: "some", Reason: "goodwill", Type: "email", Amount: 7}, now)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 7}}, some.Credits)
	rest, err := b.Reverse(t.Context(), billing.Reversal{OrderID: o.ID, Key: "all", Reason: "exported by mistake"}, now)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 50}}, rest.Credits)
	require.Equal(t, int64(57), rest.Facts)
	require.Equal(t, int64(1_000), w.balance("").Available)

	page, err := w.ledger.History(t.Context(), ledger.HistoryFilter{Owner: "beta", OrderID: o.ID, Kind: "reverse"})
	require.NoError(t, err)
	require.Equal(t, "exported by mistake", page.Lines[0].Reason)
	again := w.ordered("", "two", 100, order.Criteria{})
	require.Equal(t, int64(60), again.Credits[0].Captured, "no longer paid for, so it costs again")
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("US-valid-%d", i)
	}
	return list
}

// X4: the audit proves the books after orders and a reversal, and names a row
// that was tampered with. Every table in turn is the ledger's own test.
func TestRule_X4_TheBooksCanBeProven(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "rollover-boost", "UTC", day("2026-01-31"))
	m.reset(day("2026-05-31"), workflows.ResetInput{})
	report, err := ledger.Audit(t.Context(), m.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.True(t, report.Clean(), "%v", report.Findings)
	_, err = m.pool.Exec(t.Context(), `
		UPDATE credit_grant SET amount = amount + 1, available = available + 1 WHERE owner = 'acme' AND type = 'email' AND live`)
	require.NoError(t, err)
	report, err = ledger.Audit(t.Context(), m.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.False(t, report.Clean())
}

// X5: an admin's budget caps what a member draws from the shared pool in a
// month; the member's own credits and the other members are not touched by it.
func TestRule_X5_ABudgetCapsWhatAMemberSpends(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 1_000, map[string]int{"valid": 300})
	for _, m := range []string{"bob", "jane"} {
		_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: m, Name: m})
		require.NoError(t, err)
	}
	require.NoError(t, w.accounts.SetBudget(t.Context(), "beta", "bob", plan.Amount{Type: "email", Amount: 100}))
	require.Equal(t, order.Settled, w.ordered("bob", "within", 80, order.Criteria{}).Status)
	refused := w.ordered("bob", "beyond", 30, order.Criteria{})
	require.Equal(t, order.Rejected, refused.Status)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 10}}, refused.Failure.Missing)
	require.Equal(t, order.Settled, w.ordered("bob", "the rest", 20, order.Criteria{}).Status)
	require.Equal(t, order.Settled, w.ordered("jane", "unlimited", 100, order.Criteria{}).Status)
	w.pack("bob", 30)
	require.Equal(t, order.Settled, w.ordered("bob", "his own", 30, order.Criteria{}).Status)
	require.Zero(t, w.balance("bob").Available)
	require.Equal(t, int64(1_000-200), w.balance("").Available)
}
