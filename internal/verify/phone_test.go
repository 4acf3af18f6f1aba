package verify

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPhone(t *testing.T) {
	for _, c := range []struct {
		text, region string
		verdict      Verdict
		reason       Reason
		e164, kind   string
		of           string
	}{
		{"+49 1512 3456789", "", Valid, NumberPattern, "+4915123456789", "mobile", "DE"},
		{"030 1234567", "DE", Valid, NumberPattern, "+49301234567", "fixed_line", "DE"},
		{"(202) 456-1111", "US", Valid, NumberPattern, "+12024561111", "fixed_line_or_mobile", "US"},
		{"+1 800 555 0199", "", Valid, NumberPattern, "+18005550199", "toll_free", "US"},
		{"+44 7911 123456", "", Valid, NumberPattern, "+447911123456", "mobile", "GG"},
		{"+1 111 111 1111", "", Invalid, NumberPattern, "+11111111111", "unknown", ""},
		{"202 456 1111", "", Invalid, NotANumber, "", "unknown", ""},
		{"call me", "US", Invalid, NotANumber, "", "unknown", ""},
		{"", "US", Invalid, NotANumber, "", "unknown", ""},
	} {
		r := CheckPhone(c.text, c.region)
		require.Equal(t, c.verdict, r.Verdict, c.text)
		require.Equal(t, c.reason, r.Reason, c.text)
		require.Equal(t, "pattern", r.Source)
		require.Equal(t, c.e164, r.E164, c.text)
		require.Equal(t, c.kind, r.Type, c.text)
		require.Equal(t, c.of, r.Region, c.text)
	}
}
