package verify

import (
	"time"

	"github.com/nyaruka/phonenumbers"
)

// Reasons of phone verdicts: by what is known of numbering plans, or by the
// word of a carrier.
const (
	NumberPattern  Reason = "number_pattern"  // the number fits, or does not fit, its country's plan
	NumberAssigned Reason = "number_assigned" // a lookup knows which carrier has the number
	NotANumber     Reason = "not_a_number"    // no telephone number can be read from the text
)

// Where a phone verdict comes from.
const (
	FromPattern = "pattern" // the country's numbering plan; nobody was asked
	FromCarrier = "carrier" // a lookup at the carrier
)

// PhoneResult is the verdict about one telephone number. A number that is valid
// by its pattern can be dialled; whether anybody answers, only a carrier's word
// comes near to telling.
type PhoneResult struct {
	Phone     string    `json:"phone"` // as it was given
	Verdict   Verdict   `json:"verdict"`
	Reason    Reason    `json:"reason"`
	Source    string    `json:"source"`         // FromPattern or FromCarrier
	E164      string    `json:"e164"`           // ITU-T E.164; empty where none could be read
	Type      string    `json:"type"`           // mobile, fixed_line, fixed_line_or_mobile, voip, …
	Region    string    `json:"region"`         // ISO 3166-1 alpha-2
	Carrier   string    `json:"carrier"`        // where a lookup told
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
// numbering plan. region (ISO 3166-1 alpha-2) says whose plan a number without
// a + belongs to; it may be empty. Nobody is asked.
func CheckPhone(text, region string) PhoneResult {
	r := PhoneResult{Phone: text, Source: FromPattern, Verdict: Invalid, Reason: NotANumber, Type: "unknown", CheckedAt: time.Now().UTC()}
	n, err := phonenumbers.Parse(text, region)
	if err != nil {
		return r
	}
	r.Reason = NumberPattern
	r.E164 = phonenumbers.Format(n, phonenumbers.E164)
	r.Region = phonenumbers.GetRegionCodeForNumber(n)
	r.Type = phoneTypes[phonenumbers.GetNumberType(n)]
	if phonenumbers.IsValidNumber(n) {
		r.Verdict = Valid
	}
	return r
}
