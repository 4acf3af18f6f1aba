package main

import (
	"context"
	"errors"

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
