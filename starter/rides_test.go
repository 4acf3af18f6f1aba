package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

// ridesEach is how many addresses each of 64 callers asks for while the server is
// killed. 157 make 10,048 orders, and take some minutes.
var ridesEach = flag.Int("rides.each", 6, "addresses that each of 64 callers asks for while the server is killed")

// ridesWorld is a stack whose HTTP server may be killed at any time.
type ridesWorld struct {
	*world
	parts *wire.App
	lab   *maillab.Lab
	key   string // of ann, a member of acme
	at    atomic.Value
	serve *process
}

func newRidesWorld(t *testing.T) *ridesWorld {
	servers, err := devstack.StartServers(t.Context(), config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, Providers: []string{config.OwnEngine},
	}, devstack.ServerOptions{Dir: temporary(t), Lab: maillab.Config{Domains: 100, Only: []maillab.Kind{maillab.Ordinary}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	require.NoError(t, postgres.Migrate(t.Context(), servers.Config.DatabaseURL))
	parts, stop, err := wire.StartWorker(t.Context(), servers.Config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	w := &ridesWorld{
		world: newWorld(t, "HOLDFAST_DATABASE_URL="+servers.Config.DatabaseURL, "TEMPORAL_ADDRESS="+servers.Config.TemporalAddress, "HOLDFAST_REQUESTS_PER_MINUTE=0"),
		parts: parts, lab: servers.Lab,
	}
	w.run("migrate").ok()
	w.org("acme", 100_000)
	w.key = w.member("acme", "ann")
	w.restart()
	return w
}

func (w *ridesWorld) org(id string, credits int) {
	w.run("org", "create", id, "--plan", "prepaid-verification").ok()
	w.run("credits", "grant", "--org", id, "--type", "email", "--amount", fmt.Sprint(credits)).ok()
}

func (w *ridesWorld) member(org, id string) (key string) {
	w.run("member", "create", id, "--org", org).ok()
	return strings.TrimSpace(w.run("key", "create", "--org", org, "--member", id).ok().stdout)
}

// restart starts the server, after a SIGKILL where one is running.
func (w *ridesWorld) restart() {
	if w.serve != nil {
		require.Equal(w.t, exitSignal+int(syscall.SIGKILL), w.serve.signal(syscall.SIGKILL))
	}
	var at string
	w.serve, at = startServe(w.world)
	w.at.Store(at)
}

// line is an answer to POST /verify.
type line struct {
	status  int
	Order   order.Order `json:"order"`
	Results []struct {
		OrderID string `json:"order_id"`
		Line    int    `json:"line"`
		Email   string `json:"email"`
		Verdict string `json:"verdict"`
	} `json:"results"`
}

// verify asks for an address until the server answers, as the docs tell clients to do.
func (w *ridesWorld) verify(ctx context.Context, key, idempotency, email string) (line, error) {
	for {
		answer, err := w.try(ctx, key, idempotency, email)
		if ctx.Err() != nil || (err == nil && answer.status < http.StatusInternalServerError) {
			return answer, ctx.Err()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *ridesWorld) try(ctx context.Context, key, idempotency, email string) (answer line, err error) {
	at, _ := w.at.Load().(string)
	body, err := json.Marshal(map[string]string{"email": email})
	if err != nil {
		return answer, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/api/v1/verify", strings.NewReader(string(body)))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", idempotency)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer func() { _ = response.Body.Close() }()
	answer.status = response.StatusCode
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}

// Calls that come together share workflows, and each is as if it were alone: its
// key stands for it, after any process is killed between any two steps; it gets its own
// answer and is charged once.
func TestCallsThatComeTogether(t *testing.T) {
	t.Parallel()
	w := newRidesWorld(t)
	t.Run("64 callers, the server killed three times", w.killed)
	t.Run("the credits go to those that came first", w.scarce)
	t.Run("a member's lines are the member's", w.members)
	t.Run("a line whose ride never began starts alone", w.neverBegan)
	report, err := ledger.Audit(t.Context(), w.parts.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

func (w *ridesWorld) killed(t *testing.T) {
	const callers = 64
	each := *ridesEach
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+time.Duration(callers*each)*50*time.Millisecond)
	defer cancel()
	emails := w.lab.World().Emails(callers*each, 0.5)
	var answered atomic.Int64
	var mu sync.Mutex
	lines := map[string]line{} // by key
	var calling errgroup.Group
	for c := range callers {
		calling.Go(func() error {
			for i := range each {
				n := c*each + i
				key, email := fmt.Sprintf("k-%d", n), emails[n]
				var twice errgroup.Group // a client that is impatient, or two
				var other line
				if n%4 == 0 {
					twice.Go(func() (err error) { other, err = w.verify(ctx, w.key, key, email); return err })
				}
				answer, err := w.verify(ctx, w.key, key, email)
				if err != nil {
					return err
				}
				if err := twice.Wait(); err != nil {
					return err
				}
				if n%4 == 0 && (other.status != answer.status || other.Order.ID != answer.Order.ID) {
					return fmt.Errorf("%s was answered with %+v and with %+v", key, answer, other)
				}
				if n%5 == 0 {
					again, err := w.verify(ctx, w.key, key, "other-"+email)
					if err != nil || again.status != http.StatusUnprocessableEntity {
						return fmt.Errorf("%s with another body: %d, %w", key, again.status, err)
					}
				}
				answered.Add(1)
				mu.Lock()
				lines[key] = answer
				mu.Unlock()
			}
			return nil
		})
	}
	for kill := range 3 {
		require.Eventually(t, func() bool { return answered.Load() > int64((kill+1)*callers*each/5) || ctx.Err() != nil }, time.Hour, time.Millisecond)
		w.restart()
	}
	require.NoError(t, calling.Wait())

	orders := map[string]bool{}
	for n, email := range emails {
		l := lines[fmt.Sprintf("k-%d", n)]
		require.Equal(t, http.StatusOK, l.status, "%+v", l)
		require.Len(t, l.Results, 1, "%+v", l.Order)
		require.Equal(t, w.lab.Truth(email).Verdict, l.Results[0].Verdict, email)
		require.Equal(t, l.Order.ID, l.Results[0].OrderID)
		require.Equal(t, 1, l.Results[0].Line)
		require.Equal(t, order.ID("acme", fmt.Sprintf("k-%d", n)), l.Order.ID)
		require.Equal(t, []order.Credit{{Type: "email", Held: 1, Captured: 1}}, l.Order.Credits)
		orders[l.Order.ID] = true
	}
	require.Len(t, orders, callers*each)
	w.requireSpent(t, "acme", 100_000, int64(callers*each))
	var charged, settled, events, alone, rides int
	require.NoError(t, w.parts.Pool.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM credit_entry WHERE owner = 'acme' AND kind = 'capture'),
			(SELECT count(*) FROM orders WHERE org = 'acme' AND status = 'settled'),
			(SELECT count(*) FROM outbox WHERE org = 'acme' AND topic = 'order.settled'),
			(SELECT count(*) FROM order_ride WHERE org = 'acme' AND order_id = ride_id),
			(SELECT count(DISTINCT ride_id) FROM order_ride WHERE org = 'acme' AND order_id <> ride_id)`).Scan(&charged, &settled, &events, &alone, &rides))
	require.Equal(t, [3]int{callers * each, callers * each, callers * each}, [3]int{charged, settled, events}, "each has its line in the history and its events")
	t.Logf("%d orders: %d alone, the others in %d rides", callers*each, alone, rides)
	require.Less(t, alone+rides, callers*each/2, "they share workflows")
}

// requireSpent waits for orders to settle, and demands the balance.
func (w *ridesWorld) requireSpent(t *testing.T, org string, had, spent int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		balances, err := w.parts.Ledger.Balances(t.Context(), org)
		return err == nil && len(balances) == 1 && balances[0].Held == 0 && balances[0].Available == had-spent
	}, 30*time.Second, 20*time.Millisecond, "%d of %d credits are spent", spent, had)
}

func (w *ridesWorld) scarce(t *testing.T) {
	const credits, calls = 7, 20
	w.org("poor", credits)
	key := w.member("poor", "pia")
	emails := w.lab.World().Emails(calls, 1)
	status := map[int]int{}
	var mu sync.Mutex
	var calling errgroup.Group
	for i, email := range emails {
		calling.Go(func() error {
			l, err := w.verify(t.Context(), key, fmt.Sprint(i), email)
			mu.Lock()
			defer mu.Unlock()
			status[l.status]++
			return err
		})
	}
	require.NoError(t, calling.Wait())
	require.Equal(t, map[int]int{http.StatusOK: credits, http.StatusPaymentRequired: calls - credits}, status)
	w.requireSpent(t, "poor", credits, credits)
}

func (w *ridesWorld) members(t *testing.T) {
	bob := w.member("acme", "bob")
	emails := w.lab.World().Emails(30, 1)
	var calling errgroup.Group
	for i, email := range emails {
		calling.Go(func() error {
			key, who := w.key, "ann"
			if i%2 == 1 {
				key, who = bob, "bob"
			}
			l, err := w.verify(t.Context(), key, fmt.Sprintf("m-%d", i), email)
			if err != nil || l.status != http.StatusOK || l.Order.Member != who {
				return fmt.Errorf("the line of %s: %+v, %w", who, l, err)
			}
			return nil
		})
	}
	require.NoError(t, calling.Wait())
	stolen, err := w.verify(t.Context(), bob, "m-0", emails[0])
	require.NoError(t, err)
	require.Equal(t, http.StatusUnprocessableEntity, stolen.status, "the key is another member's")
}

// neverBegan is a server that was killed after it had written the lines of a ride
// and before Temporal knew it.
func (w *ridesWorld) neverBegan(t *testing.T) {
	ctx := t.Context()
	email := w.lab.World().Emails(1, 1)[0]
	list, err := w.parts.Catalogue.KeepEmails(ctx, "acme", []string{email})
	require.NoError(t, err)
	in := order.Input{ID: order.ID("acme", "lost"), Org: "acme", Member: "ann", Request: order.Request{Kind: order.Verify, ListID: list.ID, Count: 1}}
	entered, err := w.parts.Book.EnterLines(ctx, "ride/never", []order.Input{in})
	require.NoError(t, err)
	require.Len(t, entered, 1)
	for range 2 {
		other, err := w.verify(ctx, w.key, "lost", "other-"+email)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnprocessableEntity, other.status)
		l, err := w.verify(ctx, w.key, "lost", email)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, l.status)
		require.Equal(t, "valid", l.Results[0].Verdict)
	}
	begun, err := w.parts.Book.Lines(ctx, "ride/never")
	require.NoError(t, err)
	require.Empty(t, begun, "should it begin after all, it leaves the order out")
}
