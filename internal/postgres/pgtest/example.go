package pgtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Example gives an Example function a database of its own, as New does a test.
func Example(run func(pool *pgxpool.Pool)) {
	t := &example{}
	defer t.end()
	run(New(t))
}

// example is a test without a testing.T: what fails is a panic.
type example struct {
	testing.TB
	cleanups []func()
}

// Helper does nothing: there are no lines to leave out.
func (e *example) Helper() {}

// Context has no end.
func (e *example) Context() context.Context { return context.Background() }

// Cleanup keeps f for the end of the example.
func (e *example) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

// Errorf prints, which makes the example's output wrong.
func (e *example) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// FailNow ends the example.
func (e *example) FailNow() { panic("the example has no database") } //nolint:forbidigo // an Example cannot fail otherwise

func (e *example) end() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}
