package verify

import "time"

// Version names the engine in every result, so that a stored verdict tells
// which rules it was given by. Raise it when the rules or the words that read
// a refusal change, or what it takes for a refusal to count: remembered refusals
// of other versions are not used.
const Version = "holdfast-smtp/8"

// Verdict is the answer about one address.
type Verdict string

// The verdicts. Valid and Invalid are definite: they are given only when DNS or
// the mail host said so about this very address.
const (
	Valid      Verdict = "valid"      // the host accepts this mailbox and refuses one that cannot exist
	Invalid    Verdict = "invalid"    // mail to this address cannot arrive
	CatchAll   Verdict = "catch_all"  // the host accepts every mailbox of the domain
	Risky      Verdict = "risky"      // the mailbox exists, but mail to it is likely to bounce now
	Disposable Verdict = "disposable" // a throw-away mail domain
	Unknown    Verdict = "unknown"    // nothing was said about this address
)

// Reason says why the verdict was given.
type Reason string

// The reasons, grouped by the verdict they come with.
const (
	// Valid.
	Accepted Reason = "accepted"

	// Invalid.
	Syntax          Reason = "syntax"           // not an address that the public internet delivers to
	NoDomain        Reason = "no_domain"        // NXDOMAIN
	NoMailHost      Reason = "no_mail_host"     // the domain exists, but nothing takes its mail
	NullMX          Reason = "null_mx"          // RFC 7505: the domain states that it takes no mail
	NoSuchUser      Reason = "no_such_user"     // the host does not know the mailbox
	MailboxDisabled Reason = "mailbox_disabled" // the host knows the mailbox and refuses mail for it for good

	// CatchAll.
	DomainAcceptsAll Reason = "domain_accepts_all"

	// Risky.
	MailboxFull Reason = "mailbox_full"

	// Disposable.
	DisposableDomain Reason = "disposable_domain"

	// Unknown.
	Greylisted      Reason = "greylisted"        // asked to come back; Result.RetryAt says when
	Temporary       Reason = "temporary"         // the host has a problem of its own
	Blocked         Reason = "blocked"           // the host refuses our address or identity
	Policy          Reason = "policy"            // refused for a reason that tells nothing about the mailbox
	Restricted      Reason = "restricted"        // the mailbox or group takes mail from certain senders only
	SenderRefused   Reason = "sender_refused"    // the host does not like our sender
	ConnectFailed   Reason = "connect_failed"    // no mail host of the domain could be reached
	ProviderFailed  Reason = "provider_failed"   // another verification service could not tell
	ConnectionLost  Reason = "connection_lost"   // the host hung up, again and again, before it answered
	ProtocolError   Reason = "protocol_error"    // what answered does not speak SMTP
	Tarpit          Reason = "tarpit"            // the host answers too slowly to be asked
	BudgetSpent     Reason = "budget_spent"      // of all identities; only an OutageError has it
	DNSError        Reason = "dns_error"         // the name servers gave no answer; not the same as "no"
	CatchAllUnknown Reason = "catch_all_unknown" // accepted, but the host would not say about an impossible mailbox
	NeedsSMTPUTF8   Reason = "needs_smtputf8"    // a non-ASCII local part at a host that cannot take one (RFC 6531)
	NeedsTLS        Reason = "needs_tls"         // the host or our configuration insists on TLS and it failed
)

// Result is the verdict about one address and the evidence for it.
type Result struct {
	Email        string     `json:"email"` // as it was given
	Verdict      Verdict    `json:"verdict"`
	Reason       Reason     `json:"reason"`
	Role         bool       `json:"role"`              // a function, not a person: info@, sales@
	Disposable   bool       `json:"disposable"`        // a throw-away mail domain
	Free         bool       `json:"free"`              // a public mailbox provider
	Alias        bool       `json:"alias"`             // a relay that passes mail on to an address it hides
	Cleaned      bool       `json:"cleaned"`           // the address was taken out of what was given, see Address
	Address      string     `json:"address,omitempty"` // the address that was verified, where that is not Email
	Doubtful     bool       `json:"doubtful"`          // invalid, at a host that has taken no recipient of the domain
	Suggestion   string     `json:"did_you_mean"`      // the address that was probably meant, where the domain takes no mail
	Provider     string     `json:"provider"`          // who runs the domain's mail hosts: google, microsoft, …, other; empty where none is known
	Pattern      Pattern    `json:"pattern,omitempty"` // how the name looks beside the domain's valid ones
	Score        int        `json:"score"`             // 0 to 100, see SetScore
	ScoreParts   ScoreParts `json:"score_parts"`       // what it is made of
	MXHost       string     `json:"mx_host"`           // the host that was asked
	SMTPCode     int        `json:"smtp_code"`         // its reply code, 0 when there was none
	SMTPEnhanced string     `json:"smtp_enhanced"`     // its enhanced status code (RFC 3463)
	SMTPText     string     `json:"smtp_text"`         // its words, lines joined by a space
	CheckedAt    time.Time  `json:"checked_at"`
	RetryAt      time.Time  `json:"retry_at,omitzero"` // set when asking again later may help
	Engine       string     `json:"engine"`
	Identity     string     `json:"identity,omitempty"` // who asked, where we have several identities
}

// takesNoMail reports whether the verdict was given because the domain takes no
// mail at all.
func (r *Result) takesNoMail() bool {
	return r.Verdict == Invalid && (r.Reason == NoDomain || r.Reason == NoMailHost || r.Reason == NullMX)
}
