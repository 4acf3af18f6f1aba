package wire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/internal/postgres"
	"holdfast/internal/verdicts"
	"holdfast/internal/verify"
)

// Ready says whether PostgreSQL and Temporal answer, the schema is this
// program's and the clocks agree, and how verification is.
func (r *App) Ready(ctx context.Context) (state map[string]string, ready bool) {
	state, ready = map[string]string{"status": "ready", "database": "ok", "temporal": "ok"}, true
	if r.Config.SMTPHelo+r.Config.SMTPIdentities != "" { // without one nothing is verified in the world
		state["identity"] = r.identity.state()
	}
	r.addBudgets(ctx, state)
	fail := func(part, what string, err error) {
		r.Log.Warn("Not ready.", "part", part, "error", err)
		state["status"], state[part], ready = "not ready", what, false
	}
	if err := r.Pool.Ping(ctx); err != nil {
		fail("database", "does not answer", err)
	} else if err := postgres.CheckVersion(ctx, r.Pool); err != nil {
		fail("schema", "is not this program's", err)
	} else if err := r.Ledger.CheckClock(ctx); err != nil {
		fail("clock", "differs from the database's by more than 5 minutes", err)
	}
	if _, err := r.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		fail("temporal", "does not answer", err)
	}
	if outage, _, err := verdicts.Outages(ctx, r.Pool); err == nil && outage != nil && ready {
		state["status"], state["verification"] = "degraded", outage.Message
	}
	return state, ready
}

// addBudgets says of each of several sending identities what it has asked for and
// may, and, where this process sends, whether it rests.
func (r *App) addBudgets(ctx context.Context, state map[string]string) {
	if r.Config.SMTPIdentities == "" {
		return
	}
	list, err := identities(r.Config)
	if err != nil {
		state["identity"] = err.Error()
		return
	}
	var resting map[string]bool
	if v := r.verification.Load(); v != nil && v.engine != nil {
		resting = v.engine.Load().Resting
	}
	spending := verdicts.NewSpending(r.Pool)
	for i := range list {
		says := "what it has asked for cannot be read"
		if spent, err := spending.Spent(ctx, list[i].Name); err == nil {
			says = budgetState(&list[i], spent, time.Now())
		}
		if resting[list[i].Name] {
			says += "; rests, because mail hosts refuse it"
		}
		state["identity "+list[i].Name] = says
	}
}

// budgetState is what an identity has asked for and may, in a few words.
func budgetState(id *verify.Identity, spent verify.Budget, now time.Time) string {
	allowed := id.Allowed(now)
	if allowed.Day < 0 {
		return "not used before " + id.WarmUp.From
	}
	of := func(spent, limit int) string {
		if limit == 0 {
			return strconv.Itoa(spent)
		}
		return fmt.Sprintf("%d of %d", spent, limit)
	}
	says := "addresses asked for: " + of(spent.Hour, allowed.Hour) + " this hour, " + of(spent.Day, allowed.Day) + " today"
	if allowed != id.Budget {
		says += fmt.Sprintf(" (warming up to %d a day)", id.Day)
	}
	return says
}

// identityAge is how long the check that /readyz shows is good for.
const identityAge = time.Hour

// identityWatch checks in the background how mail hosts see us, when it is asked
// and the last check is old.
type identityWatch struct {
	check func(context.Context) ([]verify.IdentityReport, error)

	mu      sync.Mutex
	running bool
	says    string
	at      time.Time
}

// state is the last check in a few words. It never waits.
func (w *identityWatch) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running && time.Since(w.at) > identityAge {
		w.running = true
		go w.run()
	}
	if w.says == "" {
		return "being checked"
	}
	return w.says
}

func (w *identityWatch) run() {
	reports, err := w.check(context.Background())
	says := "ok"
	var failed []string
	for _, report := range reports {
		for _, check := range report.Checks {
			if check.State == verify.CheckFailed {
				failed = append(failed, strings.TrimSpace(report.Name+" "+check.Check)+" ("+check.Detail+")")
			}
		}
	}
	if err != nil {
		says = "cannot be checked: " + err.Error()
	} else if len(failed) > 0 {
		says = "failed: " + strings.Join(failed, "; ") + "; holdfast verify --check-identity says what to do"
	}
	w.mu.Lock()
	w.says, w.at, w.running = says, time.Now(), false
	w.mu.Unlock()
}
