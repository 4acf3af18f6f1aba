package main

import (
	"context"
	"errors"
	"slices"

	"holdfast/internal/config"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

// errIdentity ends verify --check-identity where a point failed; the points say
// what to do.
var errIdentity = errors.New("mail hosts will not trust this identity; mend the points above")

// checkIdentity prints how mail hosts see us.
func (a *app) checkIdentity(ctx context.Context, cfg config.Config) error {
	reports, err := wire.CheckIdentities(ctx, cfg)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printIdentities(reports)
	} else {
		a.sayIdentities(reports)
	}
	if err == nil && slices.ContainsFunc(reports, func(r verify.IdentityReport) bool { return !r.OK }) {
		return errIdentity
	}
	return err
}

// printIdentities prints one report, or a list where there are several identities.
func (a *app) printIdentities(reports []verify.IdentityReport) error {
	if len(reports) == 1 && reports[0].Name == "" {
		return a.printJSON(reports[0])
	}
	return a.printJSON(reports)
}

func (a *app) sayIdentities(reports []verify.IdentityReport) {
	for _, report := range reports {
		if report.Name != "" {
			a.say("%s (%s)", report.Name, report.Helo)
		}
		for _, check := range report.Checks {
			a.say("%-8s %-12s %s", check.State, check.Check, check.Detail)
			if check.Advice != "" && check.State != verify.CheckOK {
				a.say("%22s%s", "", check.Advice)
			}
		}
	}
}
