package value_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

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
