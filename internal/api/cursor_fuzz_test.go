package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A cursor is taken by the list that gave it, and by no other; anything else is
// refused.
func FuzzCursor(f *testing.F) {
	f.Add("orders", "17", seal("orders", "17"))
	f.Add("history", "7-2", "")
	f.Add("", "", "AAAA")
	f.Add("events", "\x00", seal("orders", "\x00")+"=")
	f.Fuzz(func(t *testing.T, list, key, text string) {
		if sealed := seal(list, key); sealed != "" {
			again, err := unseal(list, sealed)
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
		if read, err := unseal(list, text); err == nil {
			require.NotEmpty(t, read)
			require.Equal(t, text, seal(list, read), "two cursors for one place")
		}
	})
}
