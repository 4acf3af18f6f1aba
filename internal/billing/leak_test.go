package billing_test

import (
	"testing"

	"holdfast/internal/postgres/pgtest"
)

// Nothing goes on in the background when the tests are over.
func TestMain(m *testing.M) { pgtest.VerifyNoLeaks(m) }
