package provider_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/verify"
	"holdfast/internal/verify/provider"
)

func phones(t *testing.T, handle http.HandlerFunc, adjust ...func(*provider.Config)) *provider.Phones {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	c := provider.Config{URL: server.URL, Key: "AC1:sesame", Timeout: 5 * time.Second, Retries: -1}
	for _, a := range adjust {
		a(&c)
	}
	l, err := provider.NewPhones(c)
	require.NoError(t, err)
	return l
}

func check(t *testing.T, l *provider.Phones, numbers ...string) []verify.PhoneResult {
	t.Helper()
	results := make([]verify.PhoneResult, len(numbers))
	of := make([]verify.Number, len(numbers))
	for i, number := range numbers {
		of[i] = verify.Number{Text: number, Country: "US"}
	}
	require.NoError(t, l.Check(t.Context(), of, func(i int, r verify.PhoneResult) {
		require.Empty(t, results[i].Phone, "answered once")
		results[i] = r
	}))
	for i, r := range results {
		require.Equal(t, numbers[i], r.Phone)
	}
	return results
}

// TestPhones: the verdict says whose word it is, the plan's or the carrier's.
func TestPhones(t *testing.T) {
	const known = `{"phone_number":"+12024561111","country_code":"US","valid":true,"validation_errors":[],"line_type_intelligence":`
	answers := map[string]struct {
		body                              string
		verdict                           verify.Verdict
		reason                            verify.Reason
		source, kind, carrier, region, by string
	}{
		"+1 202 456 1111": {known + `{"error_code":null,"type":"landline","carrier_name":"Verizon"}}`, verify.Valid, verify.NumberAssigned, "carrier", "fixed_line", "Verizon", "US", ""},
		"+1 202 456 1112": {known + `{"error_code":null,"type":"mobile","carrier_name":"T-Mobile"}}`, verify.Valid, verify.NumberAssigned, "carrier", "mobile", "T-Mobile", "US", ""},
		"+1 202 456 1113": {known + `{"error_code":null,"type":"nonFixedVoip","carrier_name":"Bandwidth"}}`, verify.Valid, verify.NumberAssigned, "carrier", "voip", "Bandwidth", "US", ""},
		"+1 202 456 1114": {known + `{"error_code":60600,"type":null,"carrier_name":null}}`, verify.Valid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "the carrier said nothing about the number (error 60600)"},
		"+1 202 456 1115": {known + `null}`, verify.Valid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "the carrier said nothing about the number"},
		"+1 202 456 1116": {known + `{"type":"unknown"}}`, verify.Valid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "the carrier said nothing about the number"},
		"+1 202 456 1117": {`{"valid":false,"validation_errors":["INVALID_BUT_POSSIBLE"],"line_type_intelligence":null}`, verify.Invalid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "INVALID_BUT_POSSIBLE"},
		"+1 202 456 1118": {`{"code":20404}`, verify.Valid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "twilio does not say whether the number is valid"},
		"+1 202 456 1119": {`<html>`, verify.Valid, verify.NumberPattern, "pattern", "fixed_line_or_mobile", "", "US", "twilio answered something that is not its JSON: invalid character '<' looking for beginning of value"},
	}
	l := phones(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		number, found := strings.CutPrefix(r.URL.Path, "/v2/PhoneNumbers/+1")
		if user != "AC1" || password != "sesame" || !found || r.URL.Query().Get("Fields") != "line_type_intelligence" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(t, w, answers["+1 "+number[:3]+" "+number[3:6]+" "+number[6:]].body)
	}, func(c *provider.Config) { c.Failures = 100 })
	for number, want := range answers {
		r := check(t, l, number)[0]
		require.Equal(t, want.verdict, r.Verdict, number)
		require.Equal(t, want.reason, r.Reason, number)
		require.Equal(t, want.source, r.Source, number)
		require.Equal(t, want.kind, r.Type, number)
		require.Equal(t, want.carrier, r.Carrier, number)
		require.Equal(t, want.region, r.Region, number)
		require.Equal(t, want.by, r.Note, number)
	}
}

// TestPhones_limits: what cannot be a number costs nothing, no more is asked
// than may be paid, and a lookup that keeps failing is left alone.
func TestPhones_limits(t *testing.T) {
	var requests atomic.Int64
	capped := phones(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		reply(t, w, `{"valid":true,"line_type_intelligence":{"type":"mobile","carrier_name":"X"}}`)
	}, func(c *provider.Config) { c.MaxSpend, c.Concurrency = 1, 1 })
	results := check(t, capped, "call me", "+1 111 111 1111", "(202) 456-1111", "(202) 456-1112")
	require.Equal(t, verify.NotANumber, results[0].Reason)
	require.Equal(t, verify.Unknown, results[1].Verdict)
	require.Equal(t, "carrier", results[2].Source)
	require.Equal(t, "pattern", results[3].Source)
	require.Contains(t, results[3].Note, "spend cap")
	require.EqualValues(t, 1, requests.Load())

	requests.Store(0)
	broken := phones(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}, func(c *provider.Config) { c.Failures, c.Concurrency, c.Pause = 2, 1, time.Hour })
	for _, r := range check(t, broken, "2024561111", "2024561112", "2024561113", "2024561114") {
		require.Equal(t, "valid pattern", string(r.Verdict)+" "+r.Source)
		require.NotEmpty(t, r.Note)
	}
	require.EqualValues(t, 2, requests.Load())

	_, err := provider.NewPhones(provider.Config{Key: "sesame"})
	require.EqualError(t, err, "the phone lookup needs a key of the form account:token")
}
