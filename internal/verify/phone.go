package verify

import (
	"strings"
	"time"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// Reasons of phone verdicts: by what is known of numbering plans, or by the
// word of a carrier.
const (
	NumberPattern  Reason = "number_pattern"  // the number fits, or does not fit, its country's plan
	NumberAssigned Reason = "number_assigned" // a lookup knows which carrier has the number
	NumberRange    Reason = "number_range"    // of the right length, but in no range that the plan knows
	NumberCountry  Reason = "number_country"  // a national number whose country is not known
	NotANumber     Reason = "not_a_number"    // no telephone number can be read from the text
)

// Where a phone verdict comes from.
const (
	FromPattern = "pattern" // the country's numbering plan; nothing was asked
	FromCarrier = "carrier" // a lookup at the carrier
)

// Number is a telephone number as it was found, and the country it was found
// with.
type Number struct {
	Text    string
	Country string // as Country reads it; empty where it is not known
}

// PhoneResult is the verdict about one telephone number. A number that is valid
// by its pattern can be dialled; whether it is answered, only a carrier's word
// comes near to telling.
type PhoneResult struct {
	Phone     string    `json:"phone"` // as it was given
	Verdict   Verdict   `json:"verdict"`
	Reason    Reason    `json:"reason"`
	Source    string    `json:"source"`         // FromPattern or FromCarrier
	E164      string    `json:"e164"`           // ITU-T E.164; empty where none could be read
	Type      string    `json:"type"`           // mobile, fixed_line, fixed_line_or_mobile, voip, …
	Region    string    `json:"region"`         // ISO 3166-1 alpha-2
	Carrier   string    `json:"carrier"`        // where a lookup returned it
	Note      string    `json:"note,omitempty"` // the lookup's words, or why it gave none
	CheckedAt time.Time `json:"checked_at"`
}

var phoneTypes = map[phonenumbers.PhoneNumberType]string{
	phonenumbers.FIXED_LINE:           "fixed_line",
	phonenumbers.MOBILE:               "mobile",
	phonenumbers.FIXED_LINE_OR_MOBILE: "fixed_line_or_mobile",
	phonenumbers.TOLL_FREE:            "toll_free",
	phonenumbers.PREMIUM_RATE:         "premium_rate",
	phonenumbers.SHARED_COST:          "shared_cost",
	phonenumbers.VOIP:                 "voip",
	phonenumbers.PERSONAL_NUMBER:      "personal",
	phonenumbers.PAGER:                "pager",
	phonenumbers.UAN:                  "uan",
	phonenumbers.VOICEMAIL:            "voicemail",
	phonenumbers.UNKNOWN:              "unknown",
}

// CheckPhone reads a number as people write it and compares it with the
// numbering plan. country, as Country reads it, says whose plan a number without
// a + belongs to. A verdict is definite only where a plan says so: a national
// number without a country is unknown, and so is one of the right length that
// is in no known range. Nothing is asked.
func CheckPhone(text, country string) PhoneResult {
	r := PhoneResult{Phone: text, Source: FromPattern, Verdict: Invalid, Reason: NotANumber, Type: "unknown", CheckedAt: time.Now().UTC()}
	number := dialledPart(withoutFraction(text))
	if number == "" {
		return r
	}
	region := Country(country)
	if region == "" && number[0] != '+' {
		r.Verdict, r.Reason = Unknown, NumberCountry
		return r
	}
	n, ok := readNumber(number, text, region)
	if !ok {
		return r
	}
	r.Reason = NumberPattern
	r.E164 = phonenumbers.Format(n, phonenumbers.E164)
	r.Region = phonenumbers.GetRegionCodeForNumber(n)
	r.Type = phoneTypes[phonenumbers.GetNumberType(n)]
	switch {
	case phonenumbers.IsValidNumber(n):
		r.Verdict = Valid
	case isPossible(n), region != "" && phonenumbers.IsValidShortNumberForRegion(n, region):
		r.Verdict, r.Reason = Unknown, NumberRange
	}
	return r
}

// readNumber reads the dialled part of a text in a region's plan. What the plan
// cannot have, but is a number with 00 read as the international prefix of most
// countries, or with letters read as a telephone's keys (1-800-FLOWERS), is that.
func readNumber(number, text, region string) (*phonenumbers.PhoneNumber, bool) {
	n, err := phonenumbers.Parse(number, region)
	if err == nil && phonenumbers.IsValidNumber(n) {
		return n, true
	}
	if first, _, two := strings.Cut(number, "/"); two { // behind it stands another number, or the rest of this one
		if alone, err := phonenumbers.Parse(first, region); err == nil && phonenumbers.IsValidNumber(alone) {
			return alone, true
		}
	}
	if rest, ok := strings.CutPrefix(number, "00"); ok {
		if abroad, err := phonenumbers.Parse("+"+rest, region); err == nil && phonenumbers.IsValidNumber(abroad) {
			return abroad, true
		}
	}
	if isVanity(text) {
		if spelled, err := phonenumbers.Parse(text, region); err == nil && phonenumbers.IsValidNumber(spelled) {
			return spelled, true
		}
	}
	if err != nil || !isPossible(n) {
		if first := firstOfTwo(number, region); first != nil {
			return first, true
		}
	}
	return n, err == nil
}

// firstOfTwo returns the first of two numbers with a space between them only, as
// they stand in one cell of a table; nil where that is not the one way to read
// the text.
func firstOfTwo(number, region string) (found *phonenumbers.PhoneNumber) {
	for i, c := range number {
		if c != ' ' || strings.ContainsAny(number[:1], "0+") && !strings.ContainsAny(number[i+1:i+2], "0+") {
			continue // a number with its area code is followed by one with it
		}
		first, err := phonenumbers.Parse(number[:i], region)
		if err != nil || !phonenumbers.IsValidNumber(first) {
			continue
		}
		second, err := phonenumbers.Parse(number[i+1:], region)
		if err != nil || !phonenumbers.IsValidNumber(second) {
			continue
		}
		if found != nil && found.GetNationalNumber() != first.GetNationalNumber() {
			return nil
		}
		found = first
	}
	return found
}

// isPossible reports whether a number has a length that its plan knows, with or
// without the area code.
func isPossible(n *phonenumbers.PhoneNumber) bool {
	switch phonenumbers.IsPossibleNumberWithReason(n) { //nolint:exhaustive // all others are impossible
	case phonenumbers.IS_POSSIBLE, phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return true
	}
	return false
}

// dialledPart is the part of a text that is dialled, in ASCII: from the first
// digit or plus to what cannot be part of a number any more, which is a letter
// (an extension, a remark), a mark that begins an extension, or a second number.
func dialledPart(text string) string {
	var part strings.Builder
	digits := 0
	for _, r := range text {
		d := digitOf(r)
		switch {
		case d == 0 && digits == 0 && strings.HasPrefix(part.String(), "+"): // +0049: no country's code begins with 0
		case d >= 0:
			digits++
			part.WriteByte(byte('0' + d))
		case r == '+' || r == '\uff0b':
			if digits > 0 {
				return part.String()
			}
			part.Reset()
			part.WriteByte('+')
		case part.Len() == 0: // what stands in front
		case unicode.IsLetter(r), strings.ContainsRune("#;,*=|\n", r):
			if digits > 0 {
				return part.String()
			}
			part.Reset()
		case r == '(' || r == ')' || r == '-' || r == '.' || r == '/' || r == ' ':
			part.WriteRune(r)
		default: // other dashes, spaces and marks
			part.WriteByte(' ')
		}
	}
	if digits == 0 {
		return ""
	}
	return part.String()
}

// withoutFraction takes off what spreadsheets add to a number: 4155552671.0.
func withoutFraction(text string) string {
	whole, zeros, ok := strings.Cut(strings.TrimSpace(text), ".")
	if ok && len(whole) >= 7 && zeros != "" && strings.Trim(zeros, "0") == "" && strings.Trim(whole, "+0123456789") == "" {
		return whole
	}
	return text
}

// digitOf is the value of a decimal digit of any script, -1 of another
// character. Unicode keeps the ten digits of a script together.
func digitOf(r rune) int {
	if r >= '0' && r <= '9' {
		return int(r - '0')
	}
	if r < 0x80 || !unicode.Is(unicode.Nd, r) {
		return -1
	}
	d := 0
	for d < 9 && unicode.Is(unicode.Nd, r-rune(d)-1) {
		d++
	}
	return d
}

// isVanity reports whether a text is a number that ends in letters, joined to
// its digits as the keys of a telephone are written.
func isVanity(text string) bool {
	letters := 0
	for _, r := range strings.TrimSpace(text) {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			letters++
		case r >= '0' && r <= '9', r == '-', letters == 0 && strings.ContainsRune("+ ().", r):
		default:
			return false
		}
	}
	return letters > 0
}
