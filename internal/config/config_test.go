package config

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"holdfast/internal/verify/provider"
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
		"HOLDFAST_SMTP_SOURCE":         "here",
		"HOLDFAST_SMTP_TLS":            "sometimes",
		"HOLDFAST_VERIFY_PROVIDERS":    ",",
		"HOLDFAST_REACHER_MAX_SPEND":   "much",
		"HOLDFAST_PHONE_LOOKUP":        "guess",
		"HOLDFAST_TWILIO_MAX_SPEND":    "some",
		"HOLDFAST_MAX_ORDER_COUNT":     "0",
		"HOLDFAST_OIDC_ISSUER":         "https:login.example.com",
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

func TestProvidersHaveVariablesOfTheirOwn(t *testing.T) {
	c, err := load(t.Context(), envconfig.MapLookuper(map[string]string{
		"HOLDFAST_VERIFY_PROVIDERS":    "smtp,reacher",
		"HOLDFAST_REACHER_URL":         "http://reacher.internal",
		"HOLDFAST_REACHER_MAX_SPEND":   "1000",
		"HOLDFAST_ZEROBOUNCE_KEY":      "secret",
		"HOLDFAST_MILLIONVERIFIER_KEY": "other",
		"HOLDFAST_NEVERBOUNCE_URL":     "http://nb.internal",
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"smtp", "reacher"}, c.Providers)
	require.Equal(t, Service{URL: "http://reacher.internal", MaxSpend: 1000}, c.Services["reacher"])
	require.Equal(t, Service{Key: "secret"}, c.Services["zerobounce"])
	require.Equal(t, Service{URL: "http://nb.internal"}, c.Services["neverbounce"])
	require.Equal(t, Service{Key: "other"}, c.Services["millionverifier"])
}

func TestAProviderThatCannotBeAskedIsNamed(t *testing.T) {
	names := OwnEngine
	for _, s := range provider.Services() {
		names += ", " + s.Name
	}
	for problem, env := range map[string]map[string]string{
		`HOLDFAST_VERIFY_PROVIDERS has "best", which is no verification provider; write some of ` + names: {"HOLDFAST_VERIFY_PROVIDERS": "smtp,best"},
		`HOLDFAST_VERIFY_PROVIDERS has "smtp" twice; write it once`:                                       {"HOLDFAST_VERIFY_PROVIDERS": "smtp,smtp"},
		`HOLDFAST_REACHER_URL is empty; write the address of your reacher such as http://127.0.0.1:8080`:  {"HOLDFAST_VERIFY_PROVIDERS": "smtp, reacher"},
		`HOLDFAST_ZEROBOUNCE_KEY is empty; write the API key that zerobounce gave you`:                    {"HOLDFAST_VERIFY_PROVIDERS": "zerobounce"},
		`HOLDFAST_NEVERBOUNCE_MAX_SPEND is -1; write a number of addresses, 0 for no cap`:                 {"HOLDFAST_VERIFY_PROVIDERS": "neverbounce", "HOLDFAST_NEVERBOUNCE_KEY": "k", "HOLDFAST_NEVERBOUNCE_MAX_SPEND": "-1"},
	} {
		_, err := load(t.Context(), envconfig.MapLookuper(env))
		require.EqualError(t, err, problem)
	}
}

func TestAnIncompleteProviderOfSingleSignOnIsNamed(t *testing.T) {
	for problem, env := range map[string]map[string]string{
		`HOLDFAST_OIDC_ISSUER is empty; write the address of the OpenID Connect provider, or unset the other HOLDFAST_OIDC_ variables`: {"HOLDFAST_OIDC_CLIENT_ID": "holdfast"},
		`HOLDFAST_OIDC_CLIENT_ID is empty; write the identifier that the provider gave to Holdfast`:                                    {"HOLDFAST_OIDC_ISSUER": "https://login.example.com"},
		`HOLDFAST_OIDC_ISSUER is "http://login.example.com"; write an address such as https://login.example.com`:                       {"HOLDFAST_OIDC_ISSUER": "http://login.example.com", "HOLDFAST_OIDC_CLIENT_ID": "holdfast"},
		`HOLDFAST_OIDC_OPERATORS has "ann"; write e-mail addresses, several separated by commas`:                                       {"HOLDFAST_OIDC_ISSUER": "http://127.0.0.1:9998", "HOLDFAST_OIDC_CLIENT_ID": "holdfast", "HOLDFAST_OIDC_OPERATORS": "ann"},
	} {
		_, err := load(t.Context(), envconfig.MapLookuper(env))
		require.EqualError(t, err, problem)
	}
}

func TestAPhoneLookupThatCannotBeAskedIsNamed(t *testing.T) {
	env := map[string]string{"HOLDFAST_PHONE_LOOKUP": "twilio", "HOLDFAST_TWILIO_KEY": "secret"}
	_, err := load(t.Context(), envconfig.MapLookuper(env))
	require.ErrorContains(t, err, "HOLDFAST_TWILIO_KEY is not of the form account:token")
	require.NotContains(t, err.Error(), "secret", "a key is not shown")

	env["HOLDFAST_TWILIO_KEY"], env["HOLDFAST_TWILIO_MAX_SPEND"] = "AC1:secret", "-1"
	_, err = load(t.Context(), envconfig.MapLookuper(env))
	require.EqualError(t, err, "HOLDFAST_TWILIO_MAX_SPEND is -1; write a number of telephone numbers, 0 for no cap")

	env["HOLDFAST_TWILIO_MAX_SPEND"] = "500"
	c, err := load(t.Context(), envconfig.MapLookuper(env))
	require.NoError(t, err)
	require.Equal(t, Service{Key: "AC1:secret", MaxSpend: 500}, c.Twilio)
}

func TestTheReadmeNamesEveryVariable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	variables := 0
	for field := range reflect.TypeFor[Config]().Fields() {
		variable, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		if !strings.HasPrefix(variable, "HOLDFAST_") {
			continue
		}
		variables++
		family := variable[:strings.LastIndex(variable, "_")+1] + "…" // HOLDFAST_ZEROBOUNCE_…
		named := strings.Contains(string(readme), "`"+variable+"`") || strings.Contains(string(readme), "`"+family+"`")
		require.True(t, named, "the README says nothing of %s", variable)
	}
	require.Greater(t, variables, 10)
}
