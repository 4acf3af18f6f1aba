package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func inFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Each secret can be a file, and what looks like a secret is one.
func TestEverySecretCanBeAFile(t *testing.T) {
	env := map[string]string{"HOLDFAST_DATABASE_URL": "postgres://app@db/holdfast"}
	for _, name := range SecretNames() {
		if name != "HOLDFAST_DATABASE_URL" {
			env[name+"_FILE"] = inFile(t, "of:"+name+"\n")
		}
	}
	env["HOLDFAST_SMTP_PROXY_FILE"] = inFile(t, "socks5://u:p@proxy:1080")
	c, err := load(t.Context(), envconfig.MapLookuper(env))
	require.NoError(t, err)
	require.Equal(t, "of:HOLDFAST_OPERATOR_KEY", c.OperatorKey)
	require.Equal(t, "of:HOLDFAST_TWILIO_KEY", c.Twilio.Key)
	require.Equal(t, "of:TEMPORAL_API_KEY", c.TemporalAPIKey)
	require.Equal(t, "postgres://app:of%3AHOLDFAST_DATABASE_PASSWORD@db/holdfast", c.DatabaseURL)

	suspicious := regexp.MustCompile("KEYS?$|SECRET$|PASSWORD$|TOKEN$")
	for name, secret := range variables() {
		require.Equal(t, name == "HOLDFAST_HTTP_TLS_KEY", suspicious.MatchString(name) && !secret, name) // that one is a file's name
	}
}

func TestWhatIsWrongWithASecretsFile(t *testing.T) {
	for says, env := range map[string]map[string]string{
		"HOLDFAST_OPERATOR_KEY and HOLDFAST_OPERATOR_KEY_FILE are both set; unset one": {"HOLDFAST_OPERATOR_KEY": "a", "HOLDFAST_OPERATOR_KEY_FILE": inFile(t, "b")},
		"HOLDFAST_OPERATOR_KEY_FILE names an empty file":                               {"HOLDFAST_OPERATOR_KEY_FILE": inFile(t, "\n")},
		"HOLDFAST_OPERATOR_KEY_FILE cannot be read":                                    {"HOLDFAST_OPERATOR_KEY_FILE": "/nowhere/at/all"},
		"HOLDFAST_DATABASE_PASSWORD needs HOLDFAST_DATABASE_URL with a user":           {"HOLDFAST_DATABASE_PASSWORD_FILE": inFile(t, "b")},
	} {
		_, err := load(t.Context(), envconfig.MapLookuper(env))
		require.ErrorContains(t, err, says)
	}
}
