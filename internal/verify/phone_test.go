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
		{"+1 111 111 1111", "", Unknown, NumberRange, "+11111111111", "unknown", ""},
		{"202 456 1111", "", Unknown, NumberCountry, "", "unknown", ""},
		{"0033 6 12 34 56 78", "", Unknown, NumberCountry, "", "unknown", ""},

		// A national number is read in the plan of its country, however that is written.
		{"06 12 34 56 78", "FR", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"06 12 34 56 78", "France", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"030 901820", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030/901820", "germany", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"(415) 555-2671", "us", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"(415) 555-2671", "USA", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"415.555.2671", "United States", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"020 7031 3000", "UK", Valid, NumberPattern, "+442070313000", "fixed_line", "GB"},
		{"020 7031 3000", "United Kingdom", Valid, NumberPattern, "+442070313000", "fixed_line", "GB"},
		{"0033 6 12 34 56 78", "FR", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"0033 6 12 34 56 78", "DE", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"0033 6 12 34 56 78", "US", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"+33 (0)6 12 34 56 78", "US", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"+33 6 12 34 56 78", "Atlantis", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"06 12 34 56 78", "Atlantis", Unknown, NumberCountry, "", "unknown", ""},

		// What stands behind or before a number is no part of it.
		{"0171-2345678 (mobil)", "DE", Valid, NumberPattern, "+491712345678", "mobile", "DE"},
		{"0171-2345678 mobile", "DE", Valid, NumberPattern, "+491712345678", "mobile", "DE"},
		{"(415) 555-2671 ext. 12", "US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"(415) 555-2671 x12", "US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"415-555-2671 #12", "US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"Tel. 030 901820", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"tel:+4930901820", "", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"+49 30 901820 / +49 171 2345678", "", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"\u200e+49 30 901820\u202c", "", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"＋４９ ３０ ９０１８２０", "", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820 / 0171 2345678", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820 | 0171 2345678", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820\n0171 2345678", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820 0171 2345678", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"06 12 34 56 78 01 42 68 53 00", "FR", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"(415) 555-2671  (212) 555-2368", "US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"020 7031 3000 07911 123456", "UK", Valid, NumberPattern, "+442070313000", "fixed_line", "GB"},
		{"+33 6 12 34 56 78 01 42 68 53 00", "FR", Valid, NumberPattern, "+33612345678", "mobile", "FR"},
		{"+0049 30 901820", "", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820", "de-DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"030 901820", "Federal Republic of Germany", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},
		{"020-1234567", "The Netherlands", Valid, NumberPattern, "+31201234567", "fixed_line", "NL"},
		{"(415) 555-2671", "en_US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"(415) 555-2671", "America", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"1-800-FLOWERS", "US", Valid, NumberPattern, "+18003569377", "toll_free", "US"},

		{"1800flowers", "US", Valid, NumberPattern, "+18003569377", "toll_free", "US"},
		{"0800 REVERSE", "GB", Valid, NumberPattern, "+448007383773", "toll_free", "GB"},
		{"0171-2345678mobil", "DE", Valid, NumberPattern, "+491712345678", "mobile", "DE"},
		{"4155552671.0", "US", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"+14155552671.00", "", Valid, NumberPattern, "+14155552671", "fixed_line_or_mobile", "US"},
		{"030.901820", "DE", Valid, NumberPattern, "+4930901820", "fixed_line", "DE"},

		// Possible, but in no known range, or without its area code.
		{"911", "US", Unknown, NumberRange, "+1911", "unknown", ""},
		{"112", "FR", Unknown, NumberRange, "+33112", "unknown", "FR"},
		{"123", "US", Invalid, NumberPattern, "+1123", "unknown", ""},
		{"555 2671", "US", Unknown, NumberRange, "+15552671", "unknown", ""},
		{"+44 10 0000 0000", "", Unknown, NumberRange, "+441000000000", "unknown", ""},
		{"+33 1 23", "", Invalid, NumberPattern, "+33123", "unknown", "FR"},
		{"+999 123456", "", Invalid, NotANumber, "", "unknown", ""},
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
