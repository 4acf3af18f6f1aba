package intake_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

// On a real stack: first without a worker, then with one.
func TestIntake(t *testing.T) {
	ctx := t.Context()
	servers, err := devstack.StartServers(ctx, config.Config{HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, Providers: []string{"smtp"}}, devstack.ServerOptions{
		Dir: t.TempDir(), Lab: maillab.Config{Domains: 50, Only: []maillab.Kind{maillab.Ordinary}}, Note: func(text string) { t.Log(text) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	quiet := slog.New(slog.DiscardHandler)
	require.NoError(t, postgres.Migrate(ctx, servers.Config.DatabaseURL))
	app, err := wire.Open(ctx, servers.Config, quiet)
	require.NoError(t, err)
	t.Cleanup(app.Close)
	s := &suite{t, app}
	s.seed(servers.Lab)

	t.Run("without a worker the submitter is asked to repeat", s.noWorker)
	_, stop, err := wire.StartWorker(ctx, servers.Config, quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	t.Run("and gets the order when a worker is there", s.workerBack)
	t.Run("the same key at once is one order", s.sameKey)
	t.Run("the same key for another request is refused", s.otherRequest)
	t.Run("what cannot be ordered is refused in a sentence", s.refusals)
	t.Run("missing credits reject the order", s.insufficient)
	t.Run("cancelling releases what was not delivered", s.cancel)
	t.Run("where announcements cannot be heard the workflow is asked", s.deaf)
}

type suite struct {
	t   *testing.T
	app *wire.App
}

func (s *suite) seed(lab *maillab.Lab) {
	t, ctx := s.t, s.t.Context()
	require.NoError(t, s.app.Accounts.EnsurePresets(ctx))
	_, err := s.app.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	_, err = s.app.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 1000, Source: ledger.SourcePack})
	require.NoError(t, err)
	var file strings.Builder
	require.NoError(t, lab.World().WriteCatalogue(&file, 500, 0.5))
	_, err = s.app.Catalogue.Import(ctx, strings.NewReader(file.String()), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
}

func leads(key string, count int64) intake.Submission {
	return intake.Submission{Org: "acme", Key: key, Request: order.Request{Kind: order.LeadList, Count: count}}
}

func (s *suite) noWorker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := s.app.Intake.Submit(ctx, leads("early", 10))
	require.ErrorIs(t, err, intake.ErrNoAnswer)
	s.requireCredits(t, 1000, 0)
}

func (s *suite) workerBack(t *testing.T) {
	o, err := s.app.Intake.Submit(t.Context(), leads("early", 10))
	require.NoError(t, err)
	require.Equal(t, order.ID("acme", "early"), o.ID)
	require.EqualValues(t, 10, o.Credits[0].Held)
	s.requireCancel(t, o.ID, true)
	s.requireOver(t, o.ID)
}

func (s *suite) sameKey(t *testing.T) {
	before := s.credits(t)
	var wg sync.WaitGroup
	answers, errs := make([]order.Order, 50), make([]error, 50)
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = s.app.Intake.Submit(t.Context(), leads("double-click", 20)) })
	}
	wg.Wait()
	for i := range answers {
		require.NoError(t, errs[i])
		require.Equal(t, answers[0].ID, answers[i].ID)
	}
	o := s.requireCompleted(t, answers[0].ID)
	require.Equal(t, before-20, s.credits(t), "held and charged once")
	again, err := s.app.Intake.Submit(t.Context(), leads("double-click", 20))
	require.NoError(t, err)
	require.Equal(t, o.ID, again.ID)
	require.Equal(t, o.Tally, again.Tally, "the order as it stands by now")
}

func (s *suite) otherRequest(t *testing.T) {
	_, err := s.app.Intake.Submit(t.Context(), leads("double-click", 21))
	require.ErrorIs(t, err, intake.ErrKeyReused)
}

func (s *suite) refusals(t *testing.T) {
	other := leads("x", 1)
	other.Org = "missing"
	member := leads("x", 1)
	member.Member = "missing"
	unknown := leads("x", 1)
	unknown.Request.Kind = "sofa"
	for _, c := range []struct {
		submission intake.Submission
		sentence   string
	}{
		{leads("", 1), "idempotency key"},
		{leads("x", 0), "at least 1 lead"},
		{leads("x", -5), "at least 1 lead"},
		{leads("x", order.MaxCount+1), "at most"},
		{other, "missing"},
		{member, "missing"},
		{unknown, "sofa"},
	} {
		_, err := s.app.Intake.Submit(t.Context(), c.submission)
		require.ErrorContains(t, err, c.sentence)
	}
	_, err := s.app.Book.Get(t.Context(), "acme", order.ID("acme", "x"))
	require.ErrorIs(t, err, orderbook.ErrNotFound, "nothing half done")
}

func (s *suite) insufficient(t *testing.T) {
	// All but 5 are held elsewhere: an order holds no more than the catalogue has.
	_, err := s.app.Ledger.Hold(t.Context(), ledger.Hold{Owner: "acme", Key: "elsewhere", HoldID: "elsewhere", Lines: []ledger.Line{
		{Type: "email", Amount: s.credits(t) - 5, Pools: []string{""}},
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := s.app.Ledger.Release(context.Background(), ledger.Release{Owner: "acme", Key: "elsewhere/release", HoldID: "elsewhere"})
		require.NoError(t, err)
	})
	before := s.credits(t)
	o, err := s.app.Intake.Submit(t.Context(), leads("too many", before+7))
	require.NoError(t, err)
	require.Equal(t, order.Rejected, o.Status)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 7}}, o.Failure.Missing)
	require.Equal(t, before, s.credits(t))
	_, err = s.app.Intake.Cancel(t.Context(), "acme", o.ID)
	require.ErrorIs(t, err, intake.ErrOver)
	_, err = s.app.Intake.Pause(t.Context(), "acme", o.ID)
	require.ErrorIs(t, err, intake.ErrOver)
}

// cancel cancels an order while it waits for its refund: it is refunded at once.
func (s *suite) cancel(t *testing.T) {
	before := s.credits(t)
	o, err := s.app.Intake.Submit(t.Context(), leads("cancelled", 50))
	require.NoError(t, err)
	s.requireCancel(t, o.ID, true)
	o = s.requireOver(t, o.ID)
	c := o.Credits[0]
	require.Equal(t, c.Held, c.Captured+c.Released)
	require.Equal(t, before-c.Captured, s.credits(t))
	s.requireCancel(t, o.ID, false)
	_, err = s.app.Intake.Cancel(t.Context(), "other", o.ID)
	require.ErrorIs(t, err, orderbook.ErrNotFound, "another organization's order")
}

// deaf submits an order alone, and one whose caller waits.
func (s *suite) deaf(t *testing.T) {
	ctx := t.Context()
	s.app.Intake.Deafen()
	_, err := s.app.Accounts.CreateOrg(ctx, account.Org{ID: "checks", Name: "Checks", Plan: "prepaid-verification"})
	require.NoError(t, err)
	_, err = s.app.Ledger.Grant(ctx, ledger.Grant{Owner: "checks", Key: "pack", Type: "email", Amount: 10, Source: ledger.SourcePack})
	require.NoError(t, err)
	var email string
	require.NoError(t, s.app.Pool.QueryRow(ctx, `SELECT email FROM lead ORDER BY no LIMIT 1`).Scan(&email))
	verify := intake.Submission{Org: "checks", Key: "one", Request: order.Request{Kind: order.Verify}, Emails: []string{email}, Together: true}
	for _, submission := range []intake.Submission{leads("alone", 3), verify} {
		o, err := s.app.Intake.Submit(ctx, submission)
		require.NoError(t, err)
		require.NotEqual(t, order.Rejected, o.Status)
		require.Eventually(t, func() bool {
			now, err := s.app.Book.Get(ctx, o.Org, o.ID)
			return err == nil && now.Status.Delivered()
		}, 30*time.Second, 20*time.Millisecond)
		workflow := o.ID
		if line, err := s.app.Book.Line(ctx, o.ID); err == nil {
			workflow = line.RideID
		}
		events := s.app.Temporal.GetWorkflowHistory(ctx, workflow, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		asked := false
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(t, err)
			asked = asked || e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
		}
		require.True(t, asked, workflow)
	}
}

// requireCancel cancels an order and demands that it is the first time, or not.
func (s *suite) requireCancel(t *testing.T, id string, first bool) {
	t.Helper()
	isFirst, err := s.app.Intake.Cancel(t.Context(), "acme", id)
	require.NoError(t, err)
	require.Equal(t, first, isFirst)
}

func (s *suite) requireOver(t *testing.T, id string) order.Order {
	return s.await(t, id, order.Status.Over)
}

func (s *suite) requireCompleted(t *testing.T, id string) order.Order {
	return s.await(t, id, order.Status.Delivered)
}

func (s *suite) await(t *testing.T, id string, reached func(order.Status) bool) (o order.Order) {
	require.Eventually(t, func() bool {
		var err error
		o, err = s.app.Book.Get(t.Context(), "acme", id)
		return err == nil && reached(o.Status)
	}, 30*time.Second, 20*time.Millisecond)
	return o
}

// credits is what acme can spend.
func (s *suite) credits(t *testing.T) int64 {
	balances, err := s.app.Ledger.Balances(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, balances, 1)
	return balances[0].Available
}

func (s *suite) requireCredits(t *testing.T, available, held int64) {
	balances, err := s.app.Ledger.Balances(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, [2]int64{available, held}, [2]int64{balances[0].Available, balances[0].Held})
}
