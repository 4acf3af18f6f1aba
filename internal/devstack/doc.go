// Package devstack finds and starts the servers that Holdfast stands on
// (PostgreSQL and Temporal) for `starter dev`, `starter demo`, the tests and the
// benchmarks, and stops them again. In production it does nothing: there they
// are reached through HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS, which it
// respects too.
package devstack
