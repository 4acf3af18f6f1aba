// Package site gives what is served over HTTP the parts that it works with: once,
// for serve, the benchmarks and the tests, so that a new part reaches all of them.
package site

import (
	"context"

	"holdfast/internal/api"
	"holdfast/internal/dashboard"
	"holdfast/internal/verdicts"
	"holdfast/internal/wire"
)

// API is the configuration of an API of app: without an operator, limits or
// metrics.
func API(r *wire.App) api.Config {
	return api.Config{
		Accounts: r.Accounts, Ledger: r.Ledger, Billing: r.Billing, Book: r.Book, Catalogue: r.Catalogue, Intake: r.Intake,
		Webhooks: r.Webhooks, Erasures: r.Erasures, Suppressions: r.Suppressions, Metadata: r.Metadata, Payments: r.Payments, TestClocks: r.TestClocks,
		Sandbox: r.Config.Sandbox, Log: r.Log,
	}
}

// Dashboard is the configuration of a dashboard of app, over their API. What it
// says of outages, readiness and the audit is for the caller to add.
func Dashboard(r *wire.App, backend *api.API) dashboard.Config {
	return dashboard.Config{
		Workers: func(ctx context.Context) ([]verdicts.WorkerState, error) { return verdicts.Workers(ctx, r.Pool) },
		API:     backend, Accounts: r.Accounts, Ledger: r.Ledger, Book: r.Book, Catalogue: r.Catalogue, Reconcile: r.Reconcile,
		OIDC: dashboard.OIDC(r.Config.OIDC), Log: r.Log,
	}
}
