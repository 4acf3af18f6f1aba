package maillab

import "time"

// stage is the point of an SMTP session at which a rule speaks.
type stage int

const (
	atBanner stage = iota
	atEhlo
	atHelo
	atMail
	atRcpt
	atData
	atMessage // the dot that ends a message
	atRset
	atNoop
	atQuit
	atStartTLS
	stages
)

// span is what a rule counts events over.
type span int

const (
	inSession     span = iota // events of this stage in this session
	inTransaction             // recipients since the last MAIL
	unknownSoFar              // recipients this session asked for that do not exist
	unknownEver               // recipients this client asked this host for, ever, that do not exist
	strangeSoFar              // recipients of this session that do not read like a mailbox's name
	byClient                  // sessions of this client with this host, ever
	ofClient                  // recipients this client asked this host for, ever
	inWindow                  // the same, in the running window; see manner.window
)

// ending is what a host does after its reply.
type ending int

const (
	stay        ending = iota
	hangUp             // closes the connection
	reset              // closes it with a TCP reset
	fallSilent         // reads on and never answers again
	goOnForever        // adds line after line to its reply
)

// who limits a rule to recipients with a state.
type who int

const (
	anyone     who = iota
	existing       // mailboxes that exist
	absent         // mailboxes that do not
	former         // those of them that read like a mailbox\'s name, unlike a probe
	strange        // recipients, there or not, that do not read like a mailbox's name, as a probe
	nullSender     // transactions from <>
)

// rule is one deviation from the usual conversation: the from-th to to-th
// event (counted from 1; to 0 means for ever) at a stage gets this reply.
type rule struct {
	at       stage
	in       span
	from, to int
	who      who
	// say is the whole reply, lines separated by "\n"; {rcpt} and {client}
	// stand for the recipient and the client's address. Empty: the usual reply.
	say   string
	mute  bool // no reply at all
	after time.Duration
	then  ending
	// complaint marks a reply about how the client asks, for HostStats.
	complaint bool
}

// wire is how a host puts its replies onto the connection.
type wire int

const (
	whole    wire = iota // a group of replies in one packet
	bareLF               // lines end in LF alone
	trickled             // in packets of one byte
	torn                 // CR and LF in different packets
)

type tlsMode int

const (
	noTLS        tlsMode = iota
	offersTLS            // STARTTLS works
	tlsRequired          // 530 to MAIL before STARTTLS
	tlsBroken            // offered, but the handshake fails
	tlsMustBreak         // required, but the handshake fails
)

type greylist int

const (
	noGreylist      greylist = iota
	greylistAll              // every recipient is deferred first
	greylistStrange          // recipients that do not read like a mailbox's name are deferred first
	greylistKnown            // unknown recipients are refused at once, the others deferred first
)

// voice is how a mail server words its replies.
type voice struct {
	banner, mail, accepted, missing, disabled, fullNow, fullForGood, tooManySessions, deferred string
}

// manner is how a mail host behaves. The zero value with a voice is a modern
// mail server with every common extension except those switched on below.
type manner struct {
	voice        voice
	rules        []rule
	noPipelining bool // not advertised, and punished (RFC 2920 section 3.1)
	noParameters bool // MAIL with parameters gets 555
	utf8         bool // SMTPUTF8 (RFC 6531)
	tls          tlsMode
	wire         wire
	greylist     greylist
	pause        time.Duration // before every reply
	idle         time.Duration // 421 after this long without a command; 0 = never

	maxSessions   int  // at once, of one client; the next gets tooManySessions
	dropsSessions bool // … or no reply at all
	maxPerSecond  int  // new sessions of one client; more earn a ban
	banSeconds    int  // how long a ban lasts; new attempts prolong it

	window time.Duration // of rules that count in one; a new one begins when it is over

	punishesEarly bool // refuses clients that talk before the banner

	discards     bool // throws pipelined input away after each command it answers
	discardsFrom int  // … from this recipient of the session on
}

// The voices of common mail servers.
var (
	plainVoice = voice{
		banner:          "220 {host} ESMTP",
		mail:            "250 2.1.0 Ok",
		accepted:        "250 2.1.5 Ok",
		missing:         "550 5.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table",
		disabled:        "550 5.2.1 <{rcpt}>: Recipient address rejected: Mailbox disabled",
		fullNow:         "452 4.2.2 <{rcpt}>: Mailbox is full, try again later",
		fullForGood:     "552 5.2.2 <{rcpt}>: Mailbox over quota",
		tooManySessions: "421 4.7.0 {host} Error: too many connections from {client}",
		deferred:        "450 4.2.0 <{rcpt}>: Recipient address rejected: Greylisted, please try again later",
	}
	bigVoice = voice{
		banner:          "220 {host} ESMTP ready",
		mail:            "250 2.1.0 OK",
		accepted:        "250 2.1.5 OK",
		missing:         "550-5.1.1 The account you tried to reach does not exist. Please check\n550-5.1.1 the recipient's address for typos or unnecessary spaces and\n550 5.1.1 try again.",
		disabled:        "550-5.2.1 The account you tried to reach\n550 5.2.1 is disabled.",
		fullNow:         "452-4.2.2 The recipient's inbox is out of storage space. Please direct\n452 4.2.2 the recipient to free some.",
		fullForGood:     "552-5.2.2 The recipient's inbox is out of storage space\n552 5.2.2 and inactive.",
		tooManySessions: "421 4.7.0 Too many concurrent SMTP connections, try again later",
		deferred:        "451 4.7.1 Temporarily rejected, try again in a few minutes",
	}
	tenantVoice = voice{
		banner:          "220 {host} Microsoft ESMTP MAIL Service ready",
		mail:            "250 2.1.0 Sender OK",
		accepted:        "250 2.1.5 Recipient OK",
		missing:         "550 5.4.1 Recipient address rejected: Access denied. [edge.mailcloud.test]",
		disabled:        "550 5.2.1 The mailbox is disabled",
		fullNow:         "452 4.2.2 Mailbox full",
		fullForGood:     "554 5.2.2 Mailbox full; recipient quota exceeded",
		tooManySessions: "421 4.3.2 The maximum number of concurrent connections has been exceeded",
		deferred:        "451 4.7.500 Server busy. Please try again later",
	}
	terseVoice = voice{ // no enhanced codes
		banner:          "220 {host} ESMTP Exim 4.96",
		mail:            "250 OK",
		accepted:        "250 Accepted",
		missing:         "550 Unknown user",
		disabled:        "550 Account disabled",
		fullNow:         "452 mailbox full",
		fullForGood:     "552 mailbox quota exceeded",
		tooManySessions: "421 Too many concurrent SMTP connections from this IP address; please try again later.",
		deferred:        "451 Greylisted, please try again in a few minutes",
	}
	wordyVoice = voice{ // the enhanced code in the text
		banner:          "220 {host} ESMTP",
		mail:            "250 ok",
		accepted:        "250 ok",
		missing:         "550 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
		disabled:        "550 sorry, that mailbox is disabled (#5.2.1)",
		fullNow:         "452 sorry, that mailbox is over quota (#4.2.2)",
		fullForGood:     "552 sorry, that mailbox is over quota (#5.2.2)",
		tooManySessions: "421 too many connections from your address (#4.4.5)",
		deferred:        "451 greylisted, please come back (#4.3.0)",
	}
)

// ordinaryManner is that of a company's own host, chosen by a hash.
func ordinaryManner(choice uint64) manner {
	voices := []voice{plainVoice, plainVoice, tenantVoice, terseVoice, wordyVoice}
	return manner{
		voice: voices[choice>>24%5],
		utf8:  choice>>32%2 == 0,
		tls:   []tlsMode{noTLS, offersTLS, offersTLS}[choice>>40%3],
	}
}

// providerManner is that of the nth big provider.
func providerManner(n int, pause time.Duration) *manner {
	sessions := 50
	if pause > 0 { // a busy host has room for many that wait
		sessions = 100
	}
	voices := []voice{tenantVoice, bigVoice, plainVoice, terseVoice, plainVoice}
	return &manner{
		voice: voices[n%len(voices)],
		utf8:  n%len(voices) == 1,
		tls:   offersTLS,
		// A hundred recipients is what RFC 5321 section 4.5.3.1.8 guarantees.
		rules:       []rule{{at: atRcpt, in: inTransaction, from: 101, say: "452 4.5.3 Too many recipients"}},
		maxSessions: sessions,
		pause:       pause,
	}
}
