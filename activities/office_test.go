package activities_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"holdfast/activities"
	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
)

// office is acme, on some plan, with all that its orders go through: the real
// database and activities, one step after the other as an order's workflow takes
// them. Addresses and nothing else are answered by their first word.
type office struct {
	*activities.Activities
	hooks  *activities.WebhookActivities
	t      *testing.T
	pool   *pgxpool.Pool
	pricer *offer.Pricer
	org    string // acme, unless the test has several
	env    *testsuite.TestActivityEnvironment
}

// open has acme on the plan, with the members jane and bob and packs in the
// shared pool, on a personal plan in theirs: type, number, type, number, …
func open(t *testing.T, planID string, packs ...any) *office {
	ctx := t.Context()
	pool := pgtest.New(t)
	o := &office{t: t, pool: pool, org: "acme", Activities: &activities.Activities{
		Accounts: account.New(pool), Ledger: ledger.New(pool), Catalogue: lead.New(pool), Book: orderbook.New(pool),
		Verifier: byWord{}, Phones: activities.PhonePatterns{},
	}}
	o.hooks = &activities.WebhookActivities{
		Webhooks:  webhook.New(pool, webhook.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Catalogue: o.Catalogue, Book: o.Book,
	}
	t.Cleanup(o.Ledger.Close)
	o.pricer = offer.New(o.Accounts, o.Ledger, o.Catalogue, o.Book)
	require.NoError(t, o.Accounts.EnsurePresets(ctx))
	o.joins(planID) // there are the credits of the packs, and no allotments
	for i := 0; i < len(packs); i += 2 {
		o.pack(packs[i].(string), int64(packs[i+1].(int)))
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	o.env = suite.NewTestActivityEnvironment()
	o.env.RegisterActivity(o.Activities)
	o.env.RegisterActivity(o.hooks)
	return o
}

func (o *office) pack(creditType string, credits int64) {
	o.t.Helper()
	org, err := o.Accounts.Org(o.t.Context(), o.org)
	require.NoError(o.t, err)
	p, err := o.Accounts.Plan(o.t.Context(), org.Plan, org.PlanVersion)
	require.NoError(o.t, err)
	pools := []string{""}
	if !slices.Contains(p.Credits[creditType].Burn, plan.Organization) {
		pools = []string{"jane", "bob"} // a personal plan's packs are personal
	}
	for _, pool := range pools {
		_, err = o.Ledger.Grant(o.t.Context(), ledger.Grant{
			Owner: o.org, Key: "pack/" + pool + "/" + creditType, Pool: pool, Type: creditType, Amount: credits, Source: ledger.SourcePack,
		})
		require.NoError(o.t, err)
	}
}

// knows puts leads into the catalogue; a row is id, email, phone, direct_email
// and profile.
func (o *office) knows(rows ...[5]string) (ids []string) {
	o.t.Helper()
	file := &strings.Builder{}
	file.WriteString("id,email,phone,direct_email,profile\n")
	for _, r := range rows {
		file.WriteString(strings.Join(r[:], ",") + "\n")
		ids = append(ids, r[0])
	}
	report, err := o.Catalogue.Import(o.t.Context(), strings.NewReader(file.String()), lead.CSV, lead.ImportOptions{})
	require.NoError(o.t, err)
	require.Zero(o.t, report.Rejected, "%v", report.Problems)
	return ids
}

// people are n leads with an address, the first good of them with a good one.
func (o *office) people(n, good int) []string {
	rows := make([][5]string, n)
	for i := range rows {
		word := "valid"
		if i >= good {
			word = "invalid"
		}
		rows[i] = [5]string{fmt.Sprintf("lead-%03d", i), fmt.Sprintf("%s.%d@host%d.test", word, i, i%5)}
	}
	return o.knows(rows...)
}

func do[In, Out any](o *office, activity func(context.Context, In) (Out, error), in In) Out {
	o.t.Helper()
	value, err := o.env.ExecuteActivity(activity, in)
	require.NoError(o.t, err)
	var out Out
	require.NoError(o.t, value.Get(&out))
	return out
}

// begun is an order whose credits are held and whose items are chosen.
type begun struct {
	in        order.Input
	terms     order.Terms
	selection activities.Selection
}

// begin reserves an order and chooses its items; rejected, it has no terms.
func (o *office) begin(member, key string, body order.Body) (begun, order.Order) {
	o.t.Helper()
	request, err := o.pricer.Normalize(o.t.Context(), o.org, body, true)
	require.NoError(o.t, err)
	require.NoError(o.t, request.Validate(0))
	in := order.Input{ID: order.ID(o.org, key), Org: o.org, Member: member, Request: request}
	r, err := o.Reserve(o.t.Context(), activities.ReserveInput{Input: in})
	require.NoError(o.t, err)
	if r.Order.Status.Over() {
		return begun{}, r.Order
	}
	selection := do(o, o.SelectLeads, activities.SelectInput{ID: in.ID, Org: in.Org, Member: in.Member, Terms: r.Terms})
	return begun{in, r.Terms, selection}, r.Order
}

// finish verifies, charges and delivers an order and gives the rest back.
func (o *office) finish(b begun) order.Order {
	o.t.Helper()
	all := activities.Range{From: 1, To: b.selection.Selected}
	if b.selection.Decided < b.selection.Selected {
		result := do(o, o.VerifyBatch, activities.BatchInput{OrderID: b.in.ID, From: all.From, To: all.To, Due: time.Now()})
		require.Equal(o.t, b.selection.Selected, result.Done)
	}
	do(o, o.CaptureCredits, o.capture(b, all))
	do(o, o.DeliverOrder, activities.DeliverInput{OrderID: b.in.ID, Org: o.org})
	return do(o, o.ReleaseHold, activities.ReleaseInput{
		OrderID: b.in.ID, Org: o.org, Plan: b.terms.Plan, PlanVersion: b.terms.PlanVersion, At: time.Now(), Status: order.Settled,
	})
}

func (o *office) capture(b begun, r activities.Range) activities.CaptureInput {
	return activities.CaptureInput{
		OrderID: b.in.ID, Org: o.org, Member: b.in.Member, Kind: b.in.Request.Kind, Terms: b.terms, Ranges: []activities.Range{r},
	}
}

// order takes an order from its submission to its end.
func (o *office) order(member, key string, body order.Body) order.Order {
	o.t.Helper()
	b, reserved := o.begin(member, key, body)
	if reserved.Status.Over() {
		return reserved
	}
	return o.finish(b)
}

// spent is what an order was charged, by type.
func spent(o order.Order) map[string]int64 {
	sum := map[string]int64{}
	for _, c := range o.Credits {
		if c.Captured > 0 {
			sum[c.Type] = c.Captured
		}
	}
	return sum
}

func (o *office) balanced() {
	o.t.Helper()
	report, err := ledger.Audit(o.t.Context(), o.pool, ledger.AuditOptions{})
	require.NoError(o.t, err)
	require.True(o.t, report.Clean(), "%v", report.Findings)
}

func reveal(ids []string, fields ...order.Field) order.Body {
	return order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}, LeadIDs: ids}
}

func export(ids []string) order.Body {
	return order.Body{Request: order.Request{Kind: order.Export}, LeadIDs: ids}
}

// byWord is a verifier that reads the verdict from the first word of the
// address: valid.1@example.test is valid, catch_all.2@… is not.
type byWord struct{}

func (byWord) Preflight(context.Context) error { return nil }

func (byWord) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	reasons := map[string]verify.Reason{"valid": verify.Accepted, "invalid": verify.NoSuchUser, "catch_all": verify.DomainAcceptsAll}
	for i, email := range emails {
		word, _, _ := strings.Cut(email, ".")
		each(i, verify.Result{Email: email, Verdict: verify.Verdict(word), Reason: reasons[word], CheckedAt: time.Now()})
	}
	return nil
}
