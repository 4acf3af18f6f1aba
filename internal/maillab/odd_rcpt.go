package maillab

import (
	"bytes"
	"strings"
	"time"
)

func oddRecipients() []OddHost {
	return []OddHost{
		{
			Name: "ordinary", RFC: "RFC 5321 section 3.3", Behaviour: "Nothing odd, for comparison.", twin: true,
		},
		OddHost{
			Name: "catch-all", Behaviour: "Accepts every recipient.", twin: true,
			everyone: true,
		}.both(catchAllTruth),
		{
			Name: "catch-all-but", Behaviour: "Accepts every recipient except former mailboxes, which it names unknown.", twin: true,
			everyone: true, Existing: catchAllTruth, Missing: Truth{Verdict: "invalid", Reason: "no_such_user", Also: []string{"catch_all"}},
			manner: manner{rules: []rule{{at: atRcpt, who: former, say: plainVoice.missing}}},
		},
		OddHost{
			Name: "rcpt-252", RFC: "RFC 5321 section 3.5.3", Behaviour: "Answers 252, cannot verify but will try, to every recipient.",
			manner: always(atRcpt, "252 2.1.5 Cannot verify the user, will attempt delivery"),
		}.both(catchAllTruth),
		{
			Name: "rcpt-251", RFC: "RFC 5321 section 3.4", Behaviour: "Answers 251, will forward, to existing mailboxes.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, who: existing, say: "251 2.1.5 User not local; will forward"}}},
		},
		{
			Name: "rcpt-551", RFC: "RFC 5321 section 3.4", Behaviour: "Answers 551, user not local, with where the mailbox went.", twin: true,
			manner: missingSays("551 5.1.6 User not local; please try <{rcpt}.new>"),
		},
		{
			Name: "missing-no-code", RFC: "RFC 2034 section 3", Behaviour: "Knows no enhanced codes.", twin: true,
			manner: manner{voice: terseVoice},
		},
		{
			Name: "missing-code-in-text", Behaviour: "Writes the enhanced code at the end of the text.", twin: true,
			manner: manner{voice: wordyVoice},
		},
		{
			Name: "missing-lines", RFC: "RFC 5321 section 4.2.1", Behaviour: "Explains itself in several lines.", twin: true,
			manner: manner{voice: bigVoice},
		},
		{
			Name: "missing-5.4.1", Behaviour: "A tenant's directory check: 550 5.4.1 Access denied means no such user.", twin: true,
			Patience: "knowing this vendor's words",
			manner:   missingSays("550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [AM0EUR02FT012.eop-EUR02.prod.protection.outlook.com]"),
		},
		{
			Name: "missing-553", Behaviour: "Answers 553 with 5.1.1 in the text.",
			manner: missingSays("553 sorry, that domain has no such mailbox (#5.1.1)"),
		},
		{
			Name: "missing-5.1.10", RFC: "RFC 7505 section 4.2", Behaviour: "Answers 550 5.1.10 RecipientNotFound.",
			manner: missingSays("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {rcpt} not found by SMTP address lookup"),
		},
		{
			Name: "missing-5.1.0", RFC: "RFC 3463 section 3.2", Behaviour: "Answers 550 5.1.0 Address rejected.",
			manner: missingSays("550 5.1.0 <{rcpt}> Address rejected: user unknown"),
		},
		{
			Name: "missing-554-5.1.1", RFC: "RFC 3463 section 3.2", Behaviour: "Answers 554 with 5.1.1.",
			manner: missingSays("554 5.1.1 <{rcpt}>: Recipient address rejected: undeliverable address"),
		},
		{
			Name: "missing-501-5.1.3", RFC: "RFC 3463 section 3.2", Behaviour: "Answers 550 5.1.3: the address is no mailbox.",
			manner: missingSays("550 5.1.3 Invalid recipient address"),
		},
		{
			Name: "missing-bare", RFC: "RFC 5321 section 4.2", Behaviour: "Answers a missing mailbox with the code 550 alone.", twin: true,
			Patience: "taking the code's word",
			manner:   missingSays("550"),
		},
		{
			Name: "missing-upper-case", Behaviour: "Shouts.",
			manner: missingSays("550 5.1.1 USER UNKNOWN <{rcpt}>"),
		},
		{
			Name: "missing-german", Behaviour: "Speaks German, in ISO 8859-1.", twin: true,
			manner: missingSays("550 5.1.1 Empf\xe4nger unbekannt <{rcpt}>"),
		},
		{
			Name: "missing-nul", RFC: "RFC 5321 section 4.1.1.4", Behaviour: "Has NUL and escape octets in its text.",
			manner: missingSays("550 5.1.1 no\x00such\x1b[31m user"),
		},
		{
			Name: "missing-long", RFC: "RFC 5321 section 4.5.3.1.5", Behaviour: "Answers in a line of 6,000 octets.",
			Patience: "lines beyond the limit of 512 octets",
			manner:   missingSays("550 5.1.1 " + strings.Repeat("unknown ", 750)),
		},
		{
			Name: "missing-many-lines", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers in 120 lines.",
			manner: missingSays(numbered(120, "550-5.1.1 reason %d\n") + "550 5.1.1 user unknown"),
		},
		{
			Name: "missing-450", Behaviour: "Defers unknown recipients for ever: 450 4.1.1.", twin: true,
			Missing: Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"invalid"}},
			manner:  missingSays("450 4.1.1 <{rcpt}>: Recipient address rejected: unverified address"),
		},
		{
			Name: "full-452", RFC: "RFC 3463 section 3.3 (X.2.2)", Behaviour: "Every existing mailbox is full: 452 4.2.2.", twin: true,
			Existing: Truth{Verdict: "risky", Reason: "mailbox_full"},
			manner:   manner{rules: []rule{{at: atRcpt, who: existing, say: plainVoice.fullNow}}},
		},
		{
			Name: "full-552", RFC: "RFC 3463 section 3.3 (X.2.2)", Behaviour: "Every existing mailbox is full: 552 5.2.2.", twin: true,
			Existing: mailboxFullTruth,
			manner:   manner{rules: []rule{{at: atRcpt, who: existing, say: plainVoice.fullForGood}}},
		},
		{
			Name: "full-no-code", RFC: "RFC 5321 section 4.2.3", Behaviour: "Every existing mailbox is full: 552 without an enhanced code.",
			Existing: mailboxFullTruth,
			manner:   manner{rules: []rule{{at: atRcpt, who: existing, say: "552 Requested mail action aborted: exceeded storage allocation"}}},
		},
		{
			Name: "disabled", RFC: "RFC 3463 section 3.3 (X.2.1)", Behaviour: "Every existing mailbox is disabled: 550 5.2.1.", twin: true,
			Existing: Truth{Verdict: "invalid", Reason: "mailbox_disabled"},
			manner:   manner{rules: []rule{{at: atRcpt, who: existing, say: plainVoice.disabled}}},
		},
		{
			Name: "too-fast-4.2.1", RFC: "RFC 3463 section 3.3 (X.2.1)", Behaviour: "Existing mailboxes get too much mail just now: 450 4.2.1.",
			Existing: Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"risky"}},
			manner:   manner{rules: []rule{{at: atRcpt, who: existing, say: "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages"}}},
		},
		OddHost{
			Name: "rcpt-550-5.7.1", RFC: "RFC 3463 section 3.8 (X.7.1)", Behaviour: "Refuses every recipient by policy.", twin: true,
			manner: always(atRcpt, "550 5.7.1 Delivery not authorized, message refused"),
		}.both(honest("policy")),
		OddHost{
			Name: "rcpt-550-5.7.606", Behaviour: "A big provider's ban of the client's address: 550 5.7.606.",
			manner: always(atRcpt, "550 5.7.606 Access denied, banned sending IP [{client}]. To request removal from this list please visit https://sender.test/"),
		}.both(honest("blocked")),
		OddHost{
			Name: "rcpt-554-blocklist", Behaviour: "Refuses every recipient because a public list has the client.", twin: true,
			manner: always(atRcpt, "554 5.7.1 Service unavailable; Client host [{client}] blocked using zen.blocklist.test"),
		}.both(honest("blocked")),
		OddHost{
			Name: "rcpt-550-blocked-text", Behaviour: "Refuses every recipient with 550 and no enhanced code: only the text says that it is about the client.",
			manner: always(atRcpt, "550 Mail from {client} is blocked due to poor reputation"),
		}.both(honest("blocked")),
		OddHost{
			Name: "rcpt-550-dns-text", Behaviour: "Refuses every recipient because the client has no reverse DNS, without an enhanced code.",
			manner: always(atRcpt, "550 Client host rejected: cannot find your reverse hostname, [{client}]"),
		}.both(honest("blocked")),
		OddHost{
			Name: "rcpt-550-sender", RFC: "RFC 3463 section 3.2 (X.1.8)", Behaviour: "Dislikes the sender, and says so at RCPT.",
			manner: always(atRcpt, "550 5.1.8 Sender address rejected: Domain not found"),
		}.both(honest("sender_refused")),
		OddHost{
			Name: "rcpt-relay-denied", RFC: "RFC 5321 section 3.6.2", Behaviour: "Is the MX but does not know it: relay access denied.", twin: true,
			manner: always(atRcpt, "554 5.7.1 <{rcpt}>: Relay access denied"),
		}.both(honest("policy")),
		OddHost{
			Name: "rcpt-530", RFC: "RFC 4954 section 6", Behaviour: "Asks for authentication at RCPT.",
			manner: always(atRcpt, "530 5.7.0 Authentication required"),
		}.both(honest("policy")),
		OddHost{
			Name: "rcpt-503", RFC: "RFC 5321 section 4.1.4", Behaviour: "Finds every RCPT out of order.",
			manner: always(atRcpt, "503 5.5.1 Bad sequence of commands"),
		}.both(honest("policy")),
		OddHost{
			Name: "rcpt-451", RFC: "RFC 5321 section 4.2.3", Behaviour: "Has a local error at every RCPT, for ever.", twin: true,
			manner: always(atRcpt, "451 4.3.0 Error: local error in processing"),
		}.both(honest("temporary")),
		OddHost{
			Name: "rcpt-450-forever", RFC: "RFC 6647 section 2", Behaviour: "Greylists and never lets go.",
			manner: always(atRcpt, "450 4.7.1 <{rcpt}>: Recipient address rejected: Greylisted for 300 seconds"),
		}.both(honest("greylisted")),
		OddHost{
			Name: "rcpt-354", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers RCPT with 354, which is for DATA.",
			manner: always(atRcpt, "354 Go ahead"),
		}.both(honest("protocol_error")),
		OddHost{
			Name: "rcpt-no-code", RFC: "RFC 5321 section 4.2", Behaviour: "Answers RCPT with words and no code.",
			manner: always(atRcpt, "OK whatever"),
		}.both(honest("protocol_error")),
		OddHost{
			Name: "rcpt-999", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers RCPT with a code of no class.",
			manner: always(atRcpt, "999 5.1.1 Who knows"),
		}.both(honest("protocol_error")),
		OddHost{
			Name: "rcpt-contradiction", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers in two lines with different codes.",
			manner: always(atRcpt, "250-2.1.5 Ok\n550 5.1.1 or rather not"),
		}.both(honest("protocol_error")),
		OddHost{
			Name: "rcpt-drop", RFC: "RFC 5321 section 3.8", Behaviour: "Closes the connection at every RCPT.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, mute: true, then: hangUp}}},
		}.both(honest("connection_lost")),
		OddHost{
			Name: "rcpt-silent", RFC: "RFC 5321 section 4.5.3.2.3", Behaviour: "Never answers RCPT.",
			manner: manner{rules: []rule{{at: atRcpt, mute: true, then: fallSilent}}},
		}.both(honest("tarpit")),
		OddHost{
			Name: "rcpt-endless", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers RCPT with a reply that never ends.",
			manner: manner{rules: []rule{{at: atRcpt, say: "250-2.1.5 Ok", then: goOnForever}}},
		}.both(honest("tarpit")),
		{
			Name: "greylist", RFC: "RFC 6647 section 2.2", Behaviour: "Defers every recipient the first time: 450 4.2.0.", twin: true,
			Patience: "coming back after the greylist delay",
			manner:   manner{greylist: greylistAll},
		},
		{
			Name: "greylist-known", RFC: "RFC 6647 section 2.2", Behaviour: "Refuses unknown recipients at once and defers the others: 451.", twin: true,
			Patience: "coming back after the greylist delay",
			manner:   manner{voice: terseVoice, greylist: greylistKnown},
		},
		OddHost{
			Name: "greylist-catch-all", RFC: "RFC 6647 section 2.2", Behaviour: "Defers every recipient the first time and accepts all of them later.",
			Patience: "coming back after the greylist delay, with the same probe address",
			everyone: true, manner: manner{greylist: greylistAll},
		}.both(catchAllTruth),
	}
}

func oddLimits() []OddHost {
	return []OddHost{
		{
			Name: "rcpt-421", RFC: "RFC 5321 section 3.8", Behaviour: "Says 421 to the sixth RCPT of a session and hangs up.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, from: 6, say: "421 4.7.0 Too many recipients in this session", then: hangUp}}},
		},
		{
			Name: "rcpt-421-stays", RFC: "RFC 5321 section 3.8", Behaviour: "Says 421 to the sixth RCPT of a session and to all after it, but does not hang up.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, from: 6, say: "421 4.7.0 Too many recipients in this session"}}},
		},
		{
			Name: "rcpt-drop-fourth", RFC: "RFC 5321 section 3.8", Behaviour: "Closes the connection without a word at the fourth RCPT of a session.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, from: 4, mute: true, then: hangUp}}},
		},
		{
			Name: "rcpt-reset-fourth", RFC: "RFC 5321 section 3.8", Behaviour: "Resets the connection at the fourth RCPT of a session.",
			manner: manner{rules: []rule{{at: atRcpt, from: 4, mute: true, then: reset}}},
		},
		{
			Name: "rcpt-silent-fourth", RFC: "RFC 5321 section 4.5.3.2.3", Behaviour: "Falls silent at the fourth RCPT of a session.",
			Patience: "new connections after the deadline",
			manner:   manner{rules: []rule{{at: atRcpt, from: 4, mute: true, then: fallSilent}}},
		},
		{
			Name: "rcpt-452-second", RFC: "RFC 5321 section 4.5.3.1.10", Behaviour: "Takes one recipient a transaction: 452 to the second.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: inTransaction, from: 2, say: "452 4.5.3 Too many recipients"}}},
		},
		{
			Name: "rcpt-452-tenth", RFC: "RFC 5321 section 4.5.3.1.10", Behaviour: "Takes nine recipients a transaction: 452 without an enhanced code to the tenth.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: inTransaction, from: 10, say: "452 Too many recipients"}}},
		},
		{
			Name: "rcpt-552-tenth", RFC: "RFC 5321 section 4.5.3.1.10", Behaviour: "Says the old 552 to too many recipients, which counts as 452.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: inTransaction, from: 10, say: "552 5.5.3 Too many recipients"}}},
		},
		{
			Name: "rcpt-550-tenth", RFC: "RFC 3463 section 3.6 (X.5.3)", Behaviour: "Says 550 5.5.3 to too many recipients.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: inTransaction, from: 10, say: "550 5.5.3 Too many recipients"}}},
		},
		{
			Name: "rcpt-451-tenth", RFC: "RFC 5321 section 4.5.3.1.10", Behaviour: "Says 451 4.7.1 to the tenth recipient of a transaction.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: inTransaction, from: 10, say: "451 4.7.1 Too many recipients, please try again later"}}},
		},
		{
			Name: "rcpt-rate-421", RFC: "RFC 5321 section 3.8", Behaviour: "Says 421 and its rate limit to the eleventh recipient of a session, and hangs up.", twin: true,
			Patience: "asking slowly",
			manner: manner{rules: []rule{{
				at: atRcpt, from: 11, then: hangUp, complaint: true,
				say: "421-4.7.28 Our system has detected an unusual amount of mail from your address.\n421 4.7.28 Mail from it has been temporarily rate limited.",
			}}},
		},
		{
			Name: "rcpt-rate-450", RFC: "RFC 5321 section 4.2.1", Behaviour: "Says 450 and its rate limit to all recipients of a session after the tenth.", twin: true,
			Patience: "asking slowly",
			manner:   manner{rules: []rule{{at: atRcpt, from: 11, say: "450 4.7.1 Rate limit exceeded, slow down", complaint: true}}},
		},
		{
			Name: "rcpt-errors-20", RFC: "RFC 5321 section 3.8", Behaviour: "Says 421 and hangs up when a session has asked for more than twenty unknown users.", twin: true,
			Patience: "few unknown users a session",
			manner:   manner{rules: []rule{{at: atRcpt, in: unknownSoFar, from: 21, say: "421 4.7.0 Error: too many errors", then: hangUp, complaint: true}}},
		},
		{
			Name: "unknown-421", RFC: "RFC 5321 section 7.3", Behaviour: "Says 421 and hangs up after ten unknown recipients of a session.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: unknownSoFar, from: 10, say: "421 4.7.0 Error: too many errors", then: hangUp}}},
		},
		{
			Name: "unknown-550", RFC: "RFC 5321 section 7.3", Behaviour: "After ten unknown recipients of a session it refuses all others by policy: 550 5.7.1.", twin: true,
			Patience: "a new connection after the policy refusal",
			manner:   manner{rules: []rule{{at: atRcpt, in: unknownSoFar, from: 10, say: "550 5.7.1 Too many invalid recipients"}}},
		},
		{
			Name: "unknown-tarpit", RFC: "RFC 5321 section 7.3", Behaviour: "Takes 10 ms more for each answer after five unknown recipients of a session.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: unknownSoFar, from: 5, after: 10 * time.Millisecond}}},
		},
		{
			Name: "unknown-postfix", RFC: "RFC 5321 section 7.3", Behaviour: "Answers slowly after ten unknown recipients of a session, and says 421 and hangs up after twenty, as Postfix does.", twin: true,
			Patience: "few unknown users a session",
			manner: manner{rules: []rule{
				{at: atRcpt, in: unknownSoFar, from: 21, say: "421 4.7.0 Error: too many errors", then: hangUp, complaint: true},
				{at: atRcpt, in: unknownSoFar, from: 11, after: 250 * time.Millisecond},
			}},
		},
		{
			Name: "late-once", RFC: "RFC 5321 section 4.5.3.2", Behaviour: "Takes 600 ms for the ninth answer to a client, and for no other.", twin: true,
			manner: manner{rules: []rule{{at: atRcpt, in: ofClient, from: 9, to: 9, after: 600 * time.Millisecond}}},
		},
		{
			Name: "slow", RFC: "RFC 5321 section 4.5.3.2", Behaviour: "Takes 30 ms for every answer.", twin: true,
			manner: manner{pause: 30 * time.Millisecond},
		},
		{
			Name: "sessions-10", RFC: "RFC 5321 section 3.8", Behaviour: "Allows ten sessions of a client at once: 421 to the eleventh.", twin: true,
			manner: manner{maxSessions: 10},
		},
		{
			Name: "sessions-1", RFC: "RFC 5321 section 3.8", Behaviour: "Allows one session of a client at a time.",
			manner: manner{maxSessions: 1},
		},
		{
			Name: "sessions-2-drop", RFC: "RFC 5321 section 3.8", Behaviour: "Allows two sessions of a client at once and closes the third without a word.", twin: true,
			manner: manner{maxSessions: 2, dropsSessions: true},
		},
		{
			Name: "sessions-5-a-second", RFC: "RFC 5321 section 7.8", Behaviour: "Bans a client for two seconds that opens more than five sessions in a second; new attempts prolong the ban.", twin: true,
			Patience: "pacing",
			manner:   manner{maxPerSecond: 5, banSeconds: 2},
		},
	}
}

func oddWires() []OddHost {
	return []OddHost{
		{
			Name: "wire-lf", RFC: "RFC 5321 section 2.3.8", Behaviour: "Ends its lines in LF alone.", twin: true,
			manner: manner{wire: bareLF},
		},
		{
			Name: "wire-trickled", RFC: "RFC 5321 section 4.2", Behaviour: "Sends every octet in a packet of its own.", twin: true,
			manner: manner{wire: trickled},
		},
		{
			Name: "wire-torn", RFC: "RFC 5321 section 2.3.8", Behaviour: "Sends CR and LF in different packets.", twin: true,
			manner: manner{wire: torn, voice: bigVoice},
		},
	}
}

func oddAddresses() []OddHost {
	return []OddHost{
		{
			Name: "local-case", RFC: "RFC 5321 section 2.4", Behaviour: "Tells upper from lower case: User1 exists where user1 does not.", twin: true,
			spell: "User%d",
			read: func(local []byte) []byte {
				if rest, ok := bytes.CutPrefix(local, []byte("User")); ok {
					return append([]byte("user"), rest...)
				}
				return []byte("nobody")
			},
		},
		{
			Name: "local-quoted", RFC: "RFC 5321 section 4.1.2", Behaviour: "Has mailboxes whose names need quotes.",
			spell: `"john..user%d"`, read: strictDigits(`"john..user`, `"`),
		},
		{
			Name: "local-tag", RFC: "RFC 5233 section 1", Behaviour: "Delivers user1+news to user1, and knows no user1-news.",
			spell: "user%d+news", read: onlyDigits,
		},
		{
			Name: "local-long", RFC: "RFC 5321 section 4.5.3.1.1", Behaviour: "Has mailboxes with names of up to 64 octets.",
			spell: strings.Repeat("a", 54) + ".user%d", read: strictDigits(strings.Repeat("a", 54)+".user", ""),
		},
		{
			Name: "local-symbols", RFC: "RFC 5322 section 3.2.3", Behaviour: "Has mailboxes with every symbol an atom may have.",
			spell: "!#$%%&'*+/=?^_`{|}~-user%d", read: strictDigits("!#$%&'*+/=?^_`{|}~-user", ""),
		},
		{
			Name: "local-utf8", RFC: "RFC 6531 section 3.3", Behaviour: "Has mailboxes with names in Greek, and SMTPUTF8.", twin: true,
			spell: "χρήστης%d", read: strictDigits("χρήστης", ""),
			manner: manner{utf8: true},
		},
		OddHost{
			Name: "local-utf8-missing", RFC: "RFC 6531 section 3.2", Behaviour: "Is asked for names in Greek but has no SMTPUTF8.",
			spell: "χρήστης%d", read: strictDigits("χρήστης", ""),
		}.both(honest("needs_smtputf8")),
		{
			Name: "domain-idn", RFC: "RFC 5890 section 2.3.2.1", Behaviour: "Has a domain with an umlaut.", twin: false,
			domain: "bücher.odd.test",
		},
		{
			Name: "domain-idn-eai", RFC: "RFC 6531 section 3.1", Behaviour: "Has a Chinese domain and Chinese mailboxes, and SMTPUTF8.",
			domain: "例子.odd.test", spell: "用户%d", read: strictDigits("用户", ""),
			manner: manner{utf8: true},
		},
		{
			Name: "domain-long", RFC: "RFC 1035 section 2.3.4", Behaviour: "Has a label of 63 octets.",
			domain: strings.Repeat("long", 15) + "abc.odd.test",
		},
	}
}

// onlyDigits reads a mailbox by the first number in its name; without one it
// is no mailbox.
func onlyDigits(local []byte) []byte {
	i := bytes.IndexAny(local, "0123456789")
	if i < 0 || bytes.IndexByte(local, '-') >= 0 {
		return []byte("nobody")
	}
	j := i
	for j < len(local) && '0' <= local[j] && local[j] <= '9' {
		j++
	}
	return append([]byte("user"), local[i:j]...)
}

// strictDigits reads the number between a prefix and a suffix; any other spelling
// is no mailbox.
func strictDigits(prefix, suffix string) func([]byte) []byte {
	return func(local []byte) []byte {
		number, ok := bytes.CutPrefix(local, []byte(prefix))
		number, closed := bytes.CutSuffix(number, []byte(suffix))
		if !ok || !closed || len(number) == 0 || len(bytes.Trim(number, "0123456789")) > 0 {
			return []byte("nobody")
		}
		return append([]byte("user"), number...)
	}
}
