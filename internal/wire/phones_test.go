package wire_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/config"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

func TestThePhoneLookupIsConfigured(t *testing.T) {
	asked := 0
	carrier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		account, token, _ := r.BasicAuth()
		if account+":"+token != "AC1:secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"valid":true,"country_code":"GB","line_type_intelligence":{"type":"landline","carrier_name":"BT"}}`))
	}))
	t.Cleanup(carrier.Close)
	twilio := config.Service{URL: carrier.URL, Key: "AC1:secret"}
	for lookup, want := range map[string]verify.Reason{"": verify.NumberPattern, config.PhonePattern: verify.NumberPattern, config.PhoneTwilio: verify.NumberAssigned} {
		phones, err := wire.OpenPhones(config.Config{PhoneLookup: lookup, Twilio: twilio}, nil)
		require.NoError(t, err)
		require.NoError(t, phones.Check(t.Context(), []verify.Number{{Text: "+44 20 7031 3000"}}, func(_ int, r verify.PhoneResult) {
			require.Equal(t, verify.Valid, r.Verdict)
			require.Equal(t, want, r.Reason)
		}))
	}
	require.Equal(t, 1, asked)

	_, err := wire.OpenPhones(config.Config{PhoneLookup: config.PhoneTwilio}, nil)
	require.ErrorContains(t, err, "HOLDFAST_PHONE_LOOKUP")
}
