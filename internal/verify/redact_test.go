package verify

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithoutAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"550 5.1.1 no such user":             "550 5.1.1 no such user",
		"550 <ada.lovelace@x.test>: unknown": "550 <[address]>: unknown",
		"mailto:ada@x.test, 'bo+1@y.test'":   "mailto:[address], '[address]'",
		"email=ada@x.test (ada@sub.x.test)":  "email=[address] ([address])",
		"ädä@bücher.test is gone":            "[address] is gone",
		"meet @ noon":                        "meet @ noon",
	} {
		require.Equal(t, want, WithoutAddresses(text))
	}
}
