package config

import (
	"bytes"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func TestAnEmptyEnvironmentHasUsableDefaults(t *testing.T) {
	c, err := load(t.Context(), envconfig.MapLookuper(nil))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", c.HTTPAddr)
	require.Equal(t, 25, c.SMTPPort)
	require.Equal(t, 5*time.Minute, c.GreylistRetry)
	require.Equal(t, []string{"smtp"}, c.Providers)
	require.EqualValues(t, 1_000_000, c.MaxOrderCount)
}

func TestEveryBadValueIsNamed(t *testing.T) {
	for name, value := range map[string]string{
		"HOLDFAST_DNS_SERVERS":         "127.0.0.1",
		"HOLDFAST_HTTP_ADDR":           "8080",
		"HOLDFAST_SMTP_PORT":           "70000",
		"HOLDFAST_VERDICT_CACHE":       "perhaps",
		"HOLDFAST_SMTP_FROM":           "verify",
		"HOLDFAST_SMTP_GREYLIST_RETRY": "-5m",
		"HOLDFAST_MAX_ORDER_COUNT":     "0",
		"HOLDFAST_LOG_LEVEL":           "loud",
		"HOLDFAST_LOG_FORMAT":          "xml",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t.Context(), envconfig.MapLookuper(map[string]string{name: value}))
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, "write")
		})
	}
}

func TestLoggerHeedsLevelAndFormat(t *testing.T) {
	var out bytes.Buffer
	log := Config{LogLevel: "warn", LogFormat: "json"}.Logger(&out)
	log.Info("quiet")
	log.Warn("heard")
	require.NotContains(t, out.String(), "quiet")
	require.Contains(t, out.String(), `"msg":"heard"`)
}

func TestAValueOfTheWrongTypeIsNamed(t *testing.T) {
	_, err := load(t.Context(), envconfig.MapLookuper(map[string]string{"HOLDFAST_SMTP_PORT": "smtp"}))
	require.ErrorContains(t, err, "HOLDFAST_SMTP_PORT is not of type int; write one")
}
