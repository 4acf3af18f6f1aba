package workflows_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
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
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
	"holdfast/workflows"
)

// world is everything an order touches, on a real database. Only the mail
// servers are replaced, by a verifier that answers from the address; the real
// engine has the end-to-end test.
type world struct {
	t         *testing.T
	pool      *pgxpool.Pool
	accounts  *account.Accounts
	ledger    *ledger.Ledger
	catalogue *lead.Catalogue
	book      *orderbook.Book
	verifier  *byName
	acts      *activities.Activities
	hooks     *activities.WebhookActivities
}

const org = "acme"

// newWorld has an organization with credits and a catalogue of n leads, half of
// them valid: odd numbers are, even ones are not.
// notYet is when the first period of an organization begins that a test gives
// credits itself: nothing is allotted before.
func notYet() time.Time { return time.Now().Add(24 * time.Hour) }

func newWorld(t *testing.T, n int, credits int64) *world {
	ctx := t.Context()
	pool := pgtest.New(t)
	w := &world{
		t: t, pool: pool,
		accounts: account.New(pool), ledger: ledger.New(pool), catalogue: lead.New(pool), book: orderbook.New(pool),
		verifier: &byName{},
	}
	t.Cleanup(w.ledger.Close)
	w.acts = &activities.Activities{
		Accounts: w.accounts, Ledger: w.ledger, Catalogue: w.catalogue, Book: w.book, Verifier: w.verifier,
		Phones: activities.PhonePatterns{},
	}
	w.hooks = &activities.WebhookActivities{
		Webhooks:  webhook.New(pool, webhook.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Catalogue: w.catalogue, Book: w.book,
	}
	require.NoError(t, w.accounts.EnsurePresets(ctx))
	_, err := w.accounts.CreateOrg(ctx, account.Org{ID: org, Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	if credits > 0 {
		_, err = w.ledger.Grant(ctx, ledger.Grant{
			Owner: org, Key: "start", Type: "email", Amount: credits, Source: ledger.SourcePack,
		})
		require.NoError(t, err)
	}
	report, err := w.catalogue.Import(ctx, catalogue(n), "csv", lead.ImportOptions{})
	require.NoError(t, err)
	require.EqualValues(t, n, report.Imported)
	return w
}

func catalogue(n int) io.Reader {
	var b strings.Builder
	b.WriteString("id,email,first_name,last_name,country\n")
	for i := 1; i <= n; i++ {
		name := "missing"
		if i%2 == 1 {
			name = "valid"
		}
		fmt.Fprintf(&b, "lead-%d,%s.%d@domain%d.test,Ada,Lovelace,US\n", i, name, i, i%17)
	}
	return strings.NewReader(b.String())
}

// env is a workflow environment with time skipping that runs the real
// activities.
func (w *world) env() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	env.RegisterActivity(w.acts)
	env.RegisterActivity(w.hooks)
	return env
}

// run runs an order to the end of its workflow.
func run(env *testsuite.TestWorkflowEnvironment, in order.Input) {
	env.ExecuteWorkflow(workflows.Order, workflows.OrderInput{Input: in})
}

func input(count int64) order.Input {
	return order.Input{
		ID: order.ID(org, "test"), Org: org,
		Request: order.Request{Kind: order.LeadList, Count: count, Criteria: order.Criteria{Country: []string{"US"}}},
	}
}

// stored is the order as the book has it.
func (w *world) stored(id string) order.Order {
	o, err := w.book.Get(w.t.Context(), org, id)
	require.NoError(w.t, err)
	return o
}

// requireBalance checks what the organization can spend and what is held.
func (w *world) requireBalance(available, held int64) {
	w.t.Helper()
	balances, err := w.ledger.Balances(w.t.Context(), org)
	require.NoError(w.t, err)
	var a, h int64
	for _, b := range balances {
		a += b.Available
		h += b.Held
	}
	require.Equal(w.t, [2]int64{available, held}, [2]int64{a, h}, "available and held credits")
}

// requireExact checks that an order that is over left exact books, and that the
// journal says so, too.
func (w *world) requireExact(o order.Order) {
	w.t.Helper()
	w.requireCharged(o)
	w.requireCleanAudit(o.Org)
}

// requireCharged checks of an order that is over that all that was held is charged
// or back, and that what was charged is delivered, and nothing else is.
func (w *world) requireCharged(o order.Order) {
	w.t.Helper()
	require.True(w.t, o.Status.Over(), o.Status)
	p, err := w.book.Progress(w.t.Context(), o.ID, 1, 1<<40)
	require.NoError(w.t, err)
	var charged int64
	for _, c := range o.Credits {
		require.Equal(w.t, c.Held, c.Captured+c.Released, "%s credits", c.Type)
		charged += c.Captured
	}
	require.Equal(w.t, charged, p.Delivered, "what is charged is delivered")
}

// requireCleanAudit audits the books of an organization, or of all.
func (w *world) requireCleanAudit(org string) {
	w.t.Helper()
	report, err := ledger.Audit(w.t.Context(), w.pool, ledger.AuditOptions{Owner: org})
	require.NoError(w.t, err)
	require.Empty(w.t, report.Findings)
}

// delivered are the lines of an order's result file, without its header.
func (w *world) delivered(id string) []string {
	w.t.Helper()
	var file strings.Builder
	require.NoError(w.t, w.catalogue.WriteResults(w.t.Context(), &file, id, lead.CSV, lead.ResultOptions{}))
	lines := strings.Split(strings.TrimSpace(file.String()), "\r\n")
	return lines[1:]
}

// byName is a verifier that reads the verdict in the address.
type byName struct {
	mu         sync.Mutex
	calls      int
	greylisted int                  // addresses "later" in this many first calls
	during     func(call int) error // runs in each call before anything is answered
	slow       string               // the first time, this address has no answer before the call ends
	out        func(call int) bool  // whether there is an outage; call 0 is a preflight
	ahead      time.Duration        // of the clock of its worker
}

func (v *byName) outage(call int) error {
	if v.out == nil || !v.out(call) {
		return nil
	}
	return &verify.OutageError{Reason: verify.ConnectFailed, Hosts: 20, Since: time.Now(), Example: "port 25 is closed"}
}

func (v *byName) isSlow(email string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	slow := email == v.slow
	if slow {
		v.slow = ""
	}
	return slow
}

func (v *byName) Preflight(context.Context) error { return v.outage(0) }

func (v *byName) Verify(ctx context.Context, emails []string, each func(int, verify.Result)) error {
	v.mu.Lock()
	v.calls++
	call, later := v.calls, v.calls <= v.greylisted
	v.mu.Unlock()
	if err := v.outage(call); err != nil {
		return err
	}
	if v.during != nil {
		if err := v.during(call); err != nil {
			return err
		}
	}
	slow := false
	for i, email := range emails {
		if v.isSlow(email) {
			slow = true
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r := verify.Result{Email: email, Verdict: verify.Invalid, Reason: verify.NoSuchUser, CheckedAt: time.Now().Add(v.ahead)}
		switch {
		case later && i%10 == 0:
			r.Verdict, r.Reason, r.RetryAt = verify.Unknown, verify.Greylisted, r.CheckedAt.Add(5*time.Minute)
		case strings.HasPrefix(email, "valid."):
			r.Verdict, r.Reason = verify.Valid, verify.Accepted
		}
		each(i, r)
	}
	if slow {
		<-ctx.Done()
	}
	return ctx.Err()
}
