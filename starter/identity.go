package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

// errIdentity ends verify --check-identity where a point failed; the points say
// what to do.
var errIdentity = errors.New("mail hosts will not trust this identity; mend the points above")

// checkIdentity prints how mail hosts see us.
func (a *app) checkIdentity(ctx context.Context, cfg config.Config) error {
	report, err := verify.CheckIdentity(ctx, wire.EngineConfig(cfg))
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		for _, check := range report.Checks {
			a.say("%-8s %-12s %s", check.State, check.Check, check.Detail)
			if check.Advice != "" && check.State != verify.CheckOK {
				a.say("%22s%s", "", check.Advice)
			}
		}
	}
	if !report.OK {
		return errIdentity
	}
	return nil
}

// identityAge is how long the check that /readyz shows is good for.
const identityAge = time.Hour

// identityWatch checks in the background how mail hosts see us, when it is asked
// and the last check is old.
type identityWatch struct {
	check func(context.Context) (verify.IdentityReport, error)

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
	report, err := w.check(context.Background())
	says := "ok"
	if err != nil {
		says = "cannot be checked: " + err.Error()
	} else if !report.OK {
		var failed []string
		for _, check := range report.Checks {
			if check.State == verify.CheckFailed {
				failed = append(failed, check.Check+" ("+check.Detail+")")
			}
		}
		says = "failed: " + strings.Join(failed, "; ") + "; holdfast verify --check-identity says what to do"
	}
	w.mu.Lock()
	w.says, w.at, w.running = says, time.Now(), false
	w.mu.Unlock()
}
