package pgtest

import (
	"testing"

	"go.uber.org/goleak"
)

// VerifyNoLeaks runs the tests of a package and demands that nothing goes on in
// the background after them, but for the wait for the shared server.
func VerifyNoLeaks(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("holdfast/internal/postgres/pgtest.awaitKeeper"))
}
