package reconcile_test

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

// servers are Temporal and the mail lab; each test brings its databases.
func servers(t *testing.T) *devstack.Servers {
	t.Helper()
	s, err := devstack.StartServers(t.Context(), config.Config{
		DatabaseURL: pgtest.NewURL(t), HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second,
		Providers: []string{config.OwnEngine}, MaxOrderCount: 1_000_000,
	}, devstack.ServerOptions{Dir: t.TempDir(), Lab: maillab.Config{Latency: 20 * time.Millisecond, GreylistDelay: 500 * time.Millisecond}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// site is the product on one database.
type site struct {
	*wire.App
	t    *testing.T
	stop func()
}

// open starts a worker on a database, whose schema it brings up to date.
func open(t *testing.T, cfg config.Config, database string) *site {
	t.Helper()
	cfg.DatabaseURL = database
	require.NoError(t, postgres.Migrate(t.Context(), database))
	app, err := wire.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, app.Accounts.EnsurePresets(t.Context()))
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- wire.RunWorker(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	s := &site{App: app, t: t}
	s.stop = func() {
		s.stop = func() {}
		end()
		require.NoError(t, <-ended)
		app.Close()
	}
	t.Cleanup(func() { s.stop() })
	return s
}

// program is one of PostgreSQL's.
func program(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err)
	return path
}

func dump(t *testing.T, database string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "holdfast.dump")
	run(t, program(t, "pg_dump"), "--format=custom", "--compress=1", "--file", file, database)
	return file
}

// restored is a new database with what a dump has.
func restored(t *testing.T, file string) (database string) {
	t.Helper()
	database = pgtest.NewEmptyURL(t)
	run(t, program(t, "pg_restore"), "--no-owner", "--exit-on-error", "--dbname", database, file)
	return database
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// find is an order by its key.
func (s *site) find(org, key string) order.Order {
	s.t.Helper()
	o, err := s.Book.Get(s.t.Context(), org, order.ID(org, key))
	require.NoError(s.t, err)
	return o
}

// until waits for an order.
func (s *site) until(org, key string, is func(order.Order) bool) (o order.Order) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		o = s.find(org, key)
		return is(o)
	}, 2*time.Minute, 5*time.Millisecond, "the order %s waits", key)
	return o
}

// settles waits for the end of an order, and checks that what it charged is what
// it delivered, in the order, in the journal and item by item.
func (s *site) settles(org, key string) order.Order {
	s.t.Helper()
	o := s.until(org, key, func(o order.Order) bool { return o.Status.Over() })
	require.Equal(s.t, order.Settled, o.Status, "%+v", o.Failure)
	var delivered, captured, charged int64
	require.NoError(s.t, s.Pool.QueryRow(s.t.Context(), `SELECT count(*) FROM order_item WHERE order_id = $1 AND delivered_at IS NOT NULL`, o.ID).Scan(&delivered))
	lines, err := s.Ledger.HoldState(s.t.Context(), o.Org, o.ID)
	require.NoError(s.t, err)
	for _, l := range lines {
		require.Equal(s.t, l.Amount, l.Captured+l.Released, "%s credits", l.Type)
		charged += l.Captured
	}
	for _, c := range o.Credits {
		captured += c.Captured
	}
	require.Equal(s.t, delivered, charged)
	require.Equal(s.t, captured, charged)
	return o
}

// balances demands books without a finding, also against heads that were kept.
func (s *site) balances(against ...ledger.Head) {
	s.t.Helper()
	report, err := ledger.Audit(s.t.Context(), s.Pool, ledger.AuditOptions{Against: against})
	require.NoError(s.t, err)
	require.Empty(s.t, report.Findings)
}

func (s *site) order(key string, count int64) {
	s.t.Helper()
	_, err := s.Intake.Submit(s.t.Context(), intake.Submission{Org: "acme", Key: key, Request: order.Request{Kind: order.LeadList, Count: count}})
	require.NoError(s.t, err)
}

// A database of the first release, dumped while orders ran, with a Temporal that
// knows nothing of them: it is migrated, its open orders end with exact books,
// and what was over stays as it was. (Its workflows kept to themselves that an
// order was paused: the one called so goes on.)
func TestADatabaseOfTheFirstReleaseGoesOn(t *testing.T) {
	s := open(t, servers(t).Config, restored(t, "testdata/first-release.dump"))
	s.balances()
	_, err := s.Pool.Exec(t.Context(), `UPDATE plan SET body = jsonb_set(body, '{refund,delay}', '"0s"')`) // 5 minutes in it
	require.NoError(t, err)
	over := map[string]order.Order{}
	for key, org := range map[string]string{"first": "acme", "cancelled": "acme", "rev": "duo", "exp": "duo"} {
		over[key] = s.find(org, key)
		require.True(t, over[key].Status.Over(), key)
	}
	require.Equal(t, order.Completed, s.find("acme", "delivered").Status)

	done, err := s.Reconcile.Run(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Recovered)
	require.Zero(t, done.Failed)
	s.settles("acme", "delivered")
	s.settles("duo", "filling")
	s.settles("acme", "paused")
	s.order("new", 50)
	s.settles("acme", "new")
	for key, was := range over {
		require.Equal(t, was, s.find(was.Org, key), key)
	}
	s.balances()
}

// A backup is restored while Temporal has gone on: orders that were under way
// then and have ended since, that are under way still, and that the backup does
// not know. docs/backup.md gives the steps.
func TestABackupIsRestoredUnderATemporalThatIsAhead(t *testing.T) {
	sv := servers(t)
	before := open(t, sv.Config, sv.Config.DatabaseURL)
	require.NoError(t, stacktest.ImportLeads(t.Context(), before.App, sv.Lab, 3000))
	plan, err := before.Accounts.Plan(t.Context(), "verified-leads", 0)
	require.NoError(t, err)
	quick := *plan
	quick.RefundDelay = 0
	_, err = before.Accounts.SavePlan(t.Context(), &quick)
	require.NoError(t, err)
	_, err = before.Accounts.CreateOrg(t.Context(), account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	_, err = before.Ledger.Grant(t.Context(), ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 10_000, Source: ledger.SourcePack})
	require.NoError(t, err)
	before.order("over", 100)
	before.until("acme", "over", func(o order.Order) bool { return o.Status == order.Completed || o.Status.Over() })
	for _, key := range []string{"ended since", "under way"} {
		before.order(key, 1000)
		_, err := before.Intake.Pause(t.Context(), "acme", order.ID("acme", key))
		require.NoError(t, err)
	}
	backup := dump(t, sv.Config.DatabaseURL)
	heads, err := ledger.Heads(t.Context(), before.Pool, "")
	require.NoError(t, err)

	for _, key := range []string{"ended since", "under way"} {
		_, err := before.Intake.Resume(t.Context(), "acme", order.ID("acme", key))
		require.NoError(t, err)
	}
	before.order("forgotten", 200)
	before.until("acme", "under way", func(o order.Order) bool { return o.Tally.Verified() > 0 })
	_, err = before.Intake.Pause(t.Context(), "acme", order.ID("acme", "under way"))
	require.NoError(t, err)
	for _, key := range []string{"ended since", "forgotten"} {
		before.until("acme", key, func(o order.Order) bool { return o.Status == order.Completed || o.Status.Over() })
	}
	before.stop()

	database := restored(t, backup)
	after := open(t, sv.Config, database)
	after.balances(heads...)
	done, err := after.Reconcile.AfterRestore(t.Context())
	require.NoError(t, err)
	require.Zero(t, done.Failed)
	for _, key := range []string{"ended since", "under way"} {
		_, err := after.Intake.Resume(t.Context(), "acme", order.ID("acme", key))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { // its customer sends it again
		after.order("forgotten", 200)
		_, err := after.Book.Get(t.Context(), "acme", order.ID("acme", "forgotten"))
		return err == nil
	}, time.Minute, time.Second)
	for _, key := range []string{"over", "ended since", "under way", "forgotten"} {
		after.settles("acme", key)
	}
	after.balances(heads...)
}
