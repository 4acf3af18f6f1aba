package value_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/value"
	"holdfast/internal/verify"
)

func TestV1_SpellingsOfOneAddressHaveOneKey(t *testing.T) {
	for _, same := range [][]string{
		{"ann@example.test", "ANN@EXAMPLE.TEST", " Ann@Example.Test ", `"ann"@example.test`},
		{"ann@bücher.test", "Ann@BÜCHER.test", "ann@xn--bcher-kva.test"},
		{`"a b"@example.test`, `"A B"@example.test`},
	} {
		want, ok := value.Address(same[0])
		require.True(t, ok)
		for _, text := range same {
			got, ok := value.Address(text)
			require.True(t, ok, text)
			require.Equal(t, want, got, text)
		}
	}
	seen := map[uuid.UUID]string{}
	for _, text := range []string{"ann@example.test", "ann.@example.test", "an.n@example.test", "ann+x@example.test", "ann@example2.test", "x@@y", "X", ""} {
		key, ok := value.Address(text)
		require.Equal(t, text == "ann@example.test" || text == "an.n@example.test" || text == "ann+x@example.test" || text == "ann@example2.test", ok, text)
		require.NotContains(t, seen, key, text)
		seen[key] = text
	}
}

func TestV2_SpellingsOfOneNumberHaveOneKey(t *testing.T) {
	want := value.Number("+16502530000", "")
	for text, country := range map[string]string{
		"+1 650 253 0000": "", "(650) 253-0000": "US", "650.253.0000": "US", "+1 (650) 253-0000": "DE",
	} {
		require.Equal(t, want, value.Number(text, country), text)
	}
	require.NotEqual(t, want, value.Number("+16502530001", ""))
	require.Equal(t, value.Number("1 2-3", ""), value.Number("123", ""))
	require.NotEqual(t, value.Number("call me", ""), value.Number("", ""))

	cell, keys := value.Numbers(" +1 650 253 0000; ;(650) 253-0000;+1 650 253 0001;", "US")
	require.Equal(t, "+1 650 253 0000;+1 650 253 0001", cell, "each once")
	require.Equal(t, []uuid.UUID{want, value.Number("+16502530001", "")}, keys)
	cell, keys = value.Numbers("", "US")
	require.Empty(t, cell)
	require.Empty(t, keys)
}

func TestV3_KindsOfInformationNeverMeet(t *testing.T) {
	address, _ := value.Address("1")
	require.NotEqual(t, address, value.Number("1", ""))
	require.NotEqual(t, address, value.Profile("1"))
	require.NotEqual(t, value.Number("1", ""), value.Profile("1"))
	require.NotEqual(t, value.Profile("a"), value.Profile("A"), "a profile is its text")
}

// The short way to a number's E.164 form is taken only where it leads there.
func TestV2_TheShortWayIsRight(t *testing.T) {
	short := 0
	for region := range phonenumbers.GetSupportedRegions() {
		for kind := range phonenumbers.UNKNOWN {
			n := phonenumbers.GetExampleNumberForType(region, kind)
			if n == nil {
				continue
			}
			e164 := phonenumbers.Format(n, phonenumbers.E164)
			want := value.Number(e164, "")
			for _, format := range []phonenumbers.PhoneNumberFormat{phonenumbers.INTERNATIONAL, phonenumbers.E164} {
				text := phonenumbers.Format(n, format)
				if r := verify.CheckPhone(text, ""); r.E164 != e164 {
					continue // the library does not read what it wrote
				}
				require.Equal(t, want, value.Number(text, ""), text)
				require.Equal(t, want, value.Number(strings.ReplaceAll(text, " ", "-"), ""), text)
				short++
			}
			code := fmt.Sprintf("+%d", n.GetCountryCode())
			prefixed := code + " (0) " + strings.TrimPrefix(e164, code)
			if r := verify.CheckPhone(prefixed, ""); r.E164 == e164 {
				require.Equal(t, want, value.Number(prefixed, ""), prefixed)
			}
		}
	}
	require.Greater(t, short, 1000)
}

// What a lead is found by in the catalogue is what is owned of it: OfLead and Keys
// agree on every field.
func TestTheKeysOfALeadAreThoseOfItsFields(t *testing.T) {
	const country = "US"
	for _, c := range []struct{ email, phone, direct, profile string }{
		{"ann@example.test", "(650) 253-0000; +1 650-253-0001;650 253 0000", "ann@home.test", "https://profile.test/ann"},
		{"ann@example.test", "", "", ""},
	} {
		of := value.OfLead(c.email, c.phone, c.direct, c.profile, country)
		require.Equal(t, []uuid.UUID{of.Email}, value.Keys(order.EmailField, c.email, country))
		require.ElementsMatch(t, value.Keys(order.PhoneField, c.phone, country), of.Numbers)
		if c.direct == "" {
			require.Zero(t, of.Direct)
			require.Zero(t, of.Profile)
			continue
		}
		require.Len(t, of.Numbers, 2, "the same number twice is one")
		require.Equal(t, "(650) 253-0000;+1 650-253-0001", of.Phone)
		require.Equal(t, []uuid.UUID{of.Direct}, value.Keys(order.DirectEmailField, c.direct, country))
		require.Equal(t, []uuid.UUID{of.Profile}, value.Keys(order.ProfileField, c.profile, country))
	}
	require.Zero(t, value.OfLead("no address", "", "", "", "").Email, "what cannot be an address is never matched by it")
	require.Empty(t, value.Keys(order.LeadField, "id_1", country), "a lead as a whole is owned by its id")
}
