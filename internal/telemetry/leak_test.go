package telemetry_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing goes on in the background when the tests are over.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
