package order

// Reasons that a row of a list has instead of a verdict.
const (
	ReasonNoMatch   = "no_match"  // no lead fits what the row says
	ReasonAmbiguous = "ambiguous" // more than one lead fits it

	// ReasonMalformed begins the reason of a row that is no address; what is wrong
	// with it follows.
	ReasonMalformed = "malformed: "
)

// ReasonOf explains a reason.
type ReasonOf struct {
	Reason  string
	Verdict string // that it comes with; empty: of several, or of none
	Says    string // one sentence for customers
}

// Reasons are all reasons that verdicts and rows of results have, in the order in
// which they are explained: the description of the API and docs/verdicts.md are
// made of them.
var Reasons = []ReasonOf{
	{"accepted", "valid", "The mail host accepts mail for the address, and refuses it for one that cannot exist."},
	{ReasonOwned, "valid", "The organization has paid for this value before; it is free."},
	{ReasonOnFile, "valid", "The catalogue has it and there is nothing to verify."},
	{"number_assigned", "valid", "A lookup knows which carrier has the telephone number."},

	{"syntax", "invalid", "It is not an address that the public internet delivers to."},
	{"no_domain", "invalid", "The domain does not exist."},
	{"no_mail_host", "invalid", "The domain exists, but nothing takes its mail."},
	{"null_mx", "invalid", "The domain states that it takes no mail (RFC 7505)."},
	{"no_such_user", "invalid", "The mail host does not know the mailbox."},
	{"mailbox_disabled", "invalid", "The mail host knows the mailbox and permanently refuses mail for it."},
	{"not_a_number", "invalid", "It is no telephone number."},

	{"domain_accepts_all", "catch_all", "The mail host accepts addresses that cannot exist, so that accepting this one says nothing."},

	{"mailbox_full", "risky", "The mailbox exists and is full; mail to it is likely to bounce now."},

	{"disposable_domain", "disposable", "The domain gives out throwaway addresses."},

	{"greylisted", "unknown", "The mail host asked to come back later, and too much time has passed."},
	{"temporary", "unknown", "The mail host has a temporary problem of its own."},
	{"blocked", "unknown", "The mail host refuses our network address or identity; it says nothing about the mailbox."},
	{"policy", "", "The mail host refused for a reason that says nothing about the mailbox."},
	{"restricted", "unknown", "The mailbox or group takes mail from certain senders only."},
	{"sender_refused", "unknown", "The mail host refuses our sender address."},
	{"connect_failed", "unknown", "No mail host of the domain could be reached."},
	{"connection_lost", "unknown", "The mail host closed the connection again and again before it answered."},
	{"protocol_error", "unknown", "What answered does not speak SMTP."},
	{"tarpit", "unknown", "The mail host answers too slowly."},
	{"budget_spent", "unknown", "All our identities have reached their limit for this mail host today."},
	{"dns_error", "unknown", "The domain's name servers gave no answer."},
	{"catch_all_unknown", "unknown", "The mail host accepted the address, but could not be asked about one that cannot exist."},
	{"needs_smtputf8", "unknown", "The address has characters that the mail host cannot take (RFC 6531)."},
	{"needs_tls", "unknown", "An encrypted connection is required, and it failed."},
	{"provider_failed", "unknown", "The verification service that was asked could not find out."},
	{"number_range", "unknown", "The telephone number has the right length, but is in no known range."},
	{"number_country", "unknown", "It is a national telephone number and its country is not known."},
	{ReasonNotFound, "unknown", "The catalogue does not have it."},
	{ReasonDuplicate, "unknown", "Another item of the order has the same value and stands for this one."},
	{ReasonNotNew, "unknown", "The row that is enriched says it already."},
	{ReasonNotOwned, "unknown", "Nothing of the lead has been paid for that could be exported."},
	{ReasonSuppressed, "unknown", "The person is on a suppression list and is not delivered."},

	{"number_pattern", "", "The telephone number fits its country's numbering plan (valid), or does not (invalid)."},
	{ReasonNoMatch, "", "No lead fits what the row says; the row has no verdict."},
	{ReasonAmbiguous, "", "More than one lead fits what the row says; the row has no verdict."},
}
