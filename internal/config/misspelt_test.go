package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMisspeltVariablesAreNamed(t *testing.T) {
	require.Equal(t, []string{
		"HOLDFAST_DATABSE_URL is no variable of Holdfast and is ignored; did you mean HOLDFAST_DATABASE_URL?",
		"HOLDFAST_OPERATOR_KEY_FIL is no variable of Holdfast and is ignored; did you mean HOLDFAST_OPERATOR_KEY_FILE?",
		"HOLDFAST_SMTPPORT is no variable of Holdfast and is ignored; did you mean HOLDFAST_SMTP_PORT?",
		"HOLDFAST_XYZZY_QUX is no variable of Holdfast and is ignored.",
	}, misspelt([]string{
		"HOLDFAST_SMTPPORT=25", "HOLDFAST_DATABSE_URL=x", "HOLDFAST_XYZZY_QUX=", "HOLDFAST_OPERATOR_KEY_FIL=/x",
		"HOLDFAST_DATABASE_URL=x", "HOLDFAST_API_KEY_FILE=/x", "HOLDFAST_REACHER_MAX_SPEND=1", "HOLDFAST_PGTEST_IDLE=1", "HOME=/", "TEMPORAL_ADRESS=x", //nolint:misspell // the mistake is meant
	}))
}

func TestWeakOperatorKeysOnPublicAddressesAreRefused(t *testing.T) {
	for _, c := range []struct {
		addr, key string
		refused   bool
	}{
		{"0.0.0.0:8080", "secret", true},
		{":8080", "changeme-changeme", true},
		{"[::]:8080", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
		{"10.0.0.1:8080", "operator", true},
		{"0.0.0.0:8080", "op_4k2n6vq7ea5n2m6yf4w3", false},
		{"0.0.0.0:8080", "", false}, // there is no operator
		{"127.0.0.1:8080", "secret", false},
		{"[::1]:8080", "secret", false},
		{"localhost:8080", "secret", false},
	} {
		err := Config{HTTPAddr: c.addr, OperatorKey: c.key}.CheckOperatorKey()
		if !c.refused {
			require.NoError(t, err, "%v", c)
			continue
		}
		require.ErrorContains(t, err, "HOLDFAST_OPERATOR_KEY can be guessed")
		require.NotContains(t, err.Error(), c.key)
	}
}
