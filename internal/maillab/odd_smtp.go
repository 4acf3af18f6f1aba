package maillab

import (
	"slices"
	"strings"
	"time"
)

// always is a host that gives one reply at one stage.
func always(at stage, say string) manner { return manner{rules: []rule{{at: at, say: say}}} }

// missingSays is a host that words "no such user" in its own way.
func missingSays(say string) manner {
	v := plainVoice
	v.missing = say
	return manner{voice: v}
}

// oddSMTP is the part of the fault table that shows in the SMTP conversation.
func oddSMTP() []OddHost {
	return slices.Concat(oddConnections(), oddGreetings(), oddTransactions(), oddRecipients(), oddLimits(), oddWires(), oddAddresses())
}

func oddConnections() []OddHost {
	return []OddHost{
		OddHost{
			Name: "connect-refused", RFC: "RFC 5321 section 4.5.4.1",
			Behaviour: "The only MX refuses connections.",
			build:     func(s *site) { s.mx(10, s.host("mx", refuses, manner{})) },
		}.both(honest("connect_failed")),
		OddHost{
			Name: "connect-blackhole", RFC: "RFC 5321 section 4.5.3.2",
			Behaviour: "The TCP handshake is never answered.",
			build:     func(s *site) { s.mx(10, s.host("mx", blackHole, manner{})) },
		}.both(honest("connect_failed")),
		OddHost{
			Name: "banner-never", RFC: "RFC 5321 section 4.5.3.2.1",
			Behaviour: "Accepts the connection and never says a word.",
			manner:    manner{rules: []rule{{at: atBanner, mute: true, then: fallSilent}}},
		}.both(honest("tarpit")),
		OddHost{
			Name: "banner-drop", RFC: "RFC 5321 section 3.8",
			Behaviour: "Closes every connection before the banner.",
			manner:    manner{rules: []rule{{at: atBanner, mute: true, then: hangUp}}},
		}.both(honest("connection_lost")),
		OddHost{
			Name: "banner-reset", RFC: "RFC 5321 section 3.8",
			Behaviour: "Resets every connection before the banner.",
			manner:    manner{rules: []rule{{at: atBanner, mute: true, then: reset}}},
		}.both(honest("connection_lost")),
		OddHost{
			Name: "banner-554", RFC: "RFC 5321 section 3.1",
			Behaviour: "Greets with 554 and hangs up: the client's address is listed.",
			manner:    manner{rules: []rule{{at: atBanner, say: "554 5.7.1 {client} is listed, see https://blocklist.test/", then: hangUp}}},
		}.both(honest("blocked")),
		OddHost{
			Name: "banner-554-stays", RFC: "RFC 5321 section 3.1",
			Behaviour: "Greets with 554 and waits for QUIT, answering 503 to all else.",
			manner: manner{rules: []rule{
				{at: atBanner, say: "554 No SMTP service here"},
				{at: atEhlo, say: "503 bad sequence of commands"},
				{at: atHelo, say: "503 bad sequence of commands"},
			}},
		}.both(honest("blocked")),
		OddHost{
			Name: "banner-521", RFC: "RFC 7504 section 3",
			Behaviour: "Greets with 521: this machine takes no mail at all.",
			manner:    manner{rules: []rule{{at: atBanner, say: "521 {host} does not accept mail", then: hangUp}}},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "banner-421", RFC: "RFC 5321 section 3.8",
			Behaviour: "Greets with 421 and hangs up, always.",
			manner:    manner{rules: []rule{{at: atBanner, say: "421 4.3.2 {host} Service not available", then: hangUp}}},
		}.both(honest("temporary")),
		{
			Name: "banner-421-once", RFC: "RFC 5321 section 3.8",
			Behaviour: "Greets a client's first connection with 421, and is fine afterwards.",
			Patience:  "a second connection", twin: true,
			manner: manner{rules: []rule{{at: atBanner, in: byClient, to: 1, say: "421 4.3.2 Busy, try again", then: hangUp}}},
		},
		{
			Name: "banner-drop-once", RFC: "RFC 5321 section 4.5.4.1",
			Behaviour: "Closes a client's first connection without a banner, and is fine afterwards.",
			Patience:  "a second connection", twin: true,
			manner: manner{rules: []rule{{at: atBanner, in: byClient, to: 1, mute: true, then: hangUp}}},
		},
		{
			Name: "banner-lines", RFC: "RFC 5321 section 4.2.1",
			Behaviour: "Greets in seven lines.", twin: true,
			manner: always(atBanner, "220-{host} ESMTP\n220-We do not authorize the use of this system\n220-to transport unsolicited\n220-and/or bulk e-mail.\n220-\n220- ***\n220 Ready"),
		},
		{
			Name: "banner-bare", RFC: "RFC 5321 section 4.2",
			Behaviour: "Greets with the code alone.", twin: true,
			manner: always(atBanner, "220"),
		},
		{
			Name: "banner-slow", RFC: "RFC 5321 section 4.5.3.2.1",
			Behaviour: "Greets after 300 ms.", Patience: "300 ms for a banner", twin: true,
			manner: manner{rules: []rule{{at: atBanner, after: 300 * time.Millisecond}}},
		},
		{
			Name: "banner-early-talker", RFC: "RFC 5321 section 4.3.1",
			Behaviour: "Greets after 100 ms, and refuses clients that did not wait for it.",
			manner:    manner{punishesEarly: true}, twin: true,
		},
		OddHost{
			Name: "banner-http", RFC: "RFC 5321 section 4.2",
			Behaviour: "Something that is not SMTP: it answers like a web server.",
			manner:    manner{rules: []rule{{at: atBanner, say: "HTTP/1.1 400 Bad Request\nConnection: close\n", then: hangUp}}},
		}.both(honest("protocol_error")),
		OddHost{
			Name: "banner-ssh", RFC: "RFC 5321 section 4.2",
			Behaviour: "Something that is not SMTP: it greets like a secure shell and waits.",
			manner:    manner{rules: []rule{{at: atBanner, say: "SSH-2.0-OpenSSH_9.2", then: fallSilent}}},
		}.both(honest("protocol_error")),
		OddHost{
			Name: "banner-then-421", RFC: "RFC 5321 section 3.8",
			Behaviour: "Greets, then says 421 at once and hangs up.",
			manner:    manner{rules: []rule{{at: atBanner, say: "220 {host} ESMTP\n421 4.3.2 Shutting down", then: hangUp}}},
		}.both(honest("connection_lost")),
		OddHost{
			Name: "banner-endless", RFC: "RFC 5321 section 4.2.1",
			Behaviour: "Greets with a multi-line reply that never ends.",
			manner:    manner{rules: []rule{{at: atBanner, say: "220-{host} ESMTP", then: goOnForever}}},
		}.both(honest("tarpit")),
	}
}

func oddGreetings() []OddHost {
	return []OddHost{
		{
			Name: "ehlo-500", RFC: "RFC 5321 section 3.2", Behaviour: "Does not know EHLO; HELO works.", twin: true,
			manner: always(atEhlo, "500 Command unrecognized"),
		},
		{
			Name: "ehlo-502", RFC: "RFC 5321 section 4.2.4", Behaviour: "Does not implement EHLO; HELO works.",
			manner: always(atEhlo, "502 5.5.1 Command not implemented"),
		},
		{
			Name: "ehlo-504", RFC: "RFC 5321 section 4.2.4", Behaviour: "Answers 504 to EHLO; HELO works.",
			manner: always(atEhlo, "504 Command parameter not implemented"),
		},
		{
			Name: "ehlo-drop", RFC: "RFC 5321 section 3.2", Behaviour: "Closes the connection at EHLO; HELO works on a new one.",
			Patience: "a second connection with HELO",
			manner:   manner{rules: []rule{{at: atEhlo, mute: true, then: hangUp}}},
		},
		OddHost{
			Name: "ehlo-550", RFC: "RFC 5321 section 4.1.4", Behaviour: "Refuses the client's name in EHLO and HELO.",
			manner: manner{rules: []rule{
				{at: atEhlo, say: "550 5.7.1 Access denied, bad name in EHLO"},
				{at: atHelo, say: "550 5.7.1 Access denied, bad name in HELO"},
			}},
		}.both(honest("blocked")),
		OddHost{
			Name: "ehlo-421", RFC: "RFC 5321 section 3.8", Behaviour: "Answers EHLO with 421 and hangs up.",
			manner: manner{rules: []rule{{at: atEhlo, say: "421 4.3.0 Try later", then: hangUp}}},
		}.both(honest("temporary")),
		OddHost{
			Name: "ehlo-450", RFC: "RFC 5321 section 4.2.1", Behaviour: "Answers EHLO and HELO with 450.",
			manner: manner{rules: []rule{
				{at: atEhlo, say: "450 4.7.1 Client host rejected: cannot find your hostname"},
				{at: atHelo, say: "450 4.7.1 Client host rejected: cannot find your hostname"},
			}},
		}.both(honest("temporary")),
		OddHost{
			Name: "ehlo-silent", RFC: "RFC 5321 section 4.5.3.2", Behaviour: "Never answers EHLO.",
			manner: manner{rules: []rule{{at: atEhlo, mute: true, then: fallSilent}}},
		}.both(honest("tarpit")),
		{
			Name: "ehlo-many", RFC: "RFC 5321 section 4.1.1.1", Behaviour: "Offers 80 extensions.", twin: true,
			manner: always(atEhlo, "250-{host}\n"+numbered(78, "250-X-EXTENSION-%d 1 2 3\n")+"250-PIPELINING\n250 SIZE"),
		},
		{
			Name: "ehlo-odd-case", RFC: "RFC 5321 section 2.4", Behaviour: "Writes keywords in odd case and with trailing blanks.", twin: true,
			manner: always(atEhlo, "250-{host} hello\n250-PipeLining  \n250-size 1000 \n250 8bitmime"),
		},
		{
			Name: "ehlo-pipelining-in-name", RFC: "RFC 2920 section 3.1", Behaviour: "Says PIPELINING only in its greeting line and does not offer it; pipelining is punished.",
			manner: manner{noPipelining: true, rules: []rule{{at: atEhlo, say: "250-pipelining.odd.test PIPELINING\n250-XPIPELINING\n250 SIZE"}}},
		},
		{
			Name: "ehlo-long-line", RFC: "RFC 5321 section 4.5.3.1.5", Behaviour: "Answers EHLO with a line of 3,000 octets.", twin: true,
			Patience: "lines beyond the limit of 512 octets",
			manner:   always(atEhlo, "250-{host} "+strings.Repeat("x", 3000)+"\n250-PIPELINING\n250 SIZE"),
		},
		{
			Name: "ehlo-one-line", RFC: "RFC 5321 section 4.1.1.1", Behaviour: "Answers EHLO in one line and offers nothing.",
			manner: manner{noPipelining: true, noParameters: true, rules: []rule{{at: atEhlo, say: "250 {host}"}}},
		},
		{
			Name: "firewall-stars", RFC: "RFC 5321 section 4.2", Behaviour: "A firewall blots out the banner and every EHLO keyword.",
			manner: manner{noPipelining: true, rules: []rule{
				{at: atBanner, say: "220 ***************************************************"},
				{at: atEhlo, say: "250-{host}\n250-XXXXXXXA\n250-XXXXXXXXXXXXB\n250 XXXA"},
			}},
		},
		{
			Name: "pipelining-discarded", RFC: "RFC 2920 section 3.2", Behaviour: "Offers PIPELINING, then throws away what came with the first command of a packet.",
			Patience: "one command at a time after the first loss",
			manner:   manner{discards: true},
		},
		{
			Name: "pipelining-punished", RFC: "RFC 2920 section 3.1", Behaviour: "Does not offer PIPELINING and hangs up on clients that do it anyway.",
			manner: manner{noPipelining: true},
		},
		{
			Name: "pipelining-tls", RFC: "RFC 3207 section 4.2", Behaviour: "Wants STARTTLS, and a new EHLO after it.", twin: true,
			manner: manner{tls: tlsRequired},
		},
		{
			Name: "starttls-broken", RFC: "RFC 3207 section 4.1", Behaviour: "Offers STARTTLS but the handshake fails; plain text works.", twin: true,
			manner: manner{tls: tlsBroken},
		},
		{
			Name: "starttls-454", RFC: "RFC 3207 section 4", Behaviour: "Offers STARTTLS but answers 454; plain text works.",
			manner: manner{tls: offersTLS, rules: []rule{{at: atStartTLS, say: "454 4.7.0 TLS not available due to temporary reason"}}},
		},
		{
			Name: "starttls-silent", RFC: "RFC 3207 section 4", Behaviour: "Offers STARTTLS but never answers it; plain text works.",
			Patience: "a second connection in plain text, where TLS was tried",
			manner:   manner{tls: offersTLS, rules: []rule{{at: atStartTLS, mute: true, then: fallSilent}}},
		},
		OddHost{
			Name: "starttls-required-broken", RFC: "RFC 3207 section 4.1", Behaviour: "Demands STARTTLS and the handshake fails.",
			manner: manner{tls: tlsMustBreak},
		}.both(honest("needs_tls")),
		{
			Name: "starttls-offered", RFC: "RFC 3207 section 4", Behaviour: "Offers STARTTLS with a certificate that no authority signed.", twin: true,
			manner: manner{tls: offersTLS},
		},
	}
}

func oddTransactions() []OddHost {
	return []OddHost{
		OddHost{
			Name: "mail-550", RFC: "RFC 5321 section 3.3", Behaviour: "Refuses every sender.",
			manner: always(atMail, "550 5.7.1 Sender rejected"),
		}.both(honest("sender_refused")),
		OddHost{
			Name: "mail-553", RFC: "RFC 3463 section 3.2 (X.1.8)", Behaviour: "Does not find the sender's domain.",
			manner: always(atMail, "553 5.1.8 Domain of sender address does not exist"),
		}.both(honest("sender_refused")),
		OddHost{
			Name: "mail-501-5.1.7", RFC: "RFC 3463 section 3.2 (X.1.7)", Behaviour: "Finds the sender's address badly written.",
			manner: always(atMail, "501 5.1.7 Bad sender address syntax"),
		}.both(honest("sender_refused")),
		OddHost{
			Name: "mail-550-no-such-user", RFC: "RFC 5321 section 3.3", Behaviour: "Says 550 5.1.1 User unknown, of the sender.",
			manner: always(atMail, "550 5.1.1 Sender verify failed: User unknown"),
		}.both(honest("sender_refused")),
		OddHost{
			Name: "mail-530", RFC: "RFC 4954 section 6", Behaviour: "Takes mail from authenticated clients only.",
			manner: always(atMail, "530 5.7.0 Authentication required"),
		}.both(honest("policy")),
		OddHost{
			Name: "mail-451", RFC: "RFC 5321 section 4.2.3", Behaviour: "Has a local error at every MAIL.",
			manner: always(atMail, "451 4.3.0 Temporary lookup failure"),
		}.both(honest("temporary")),
		OddHost{
			Name: "mail-452", RFC: "RFC 5321 section 4.2.3", Behaviour: "Has no disk space at every MAIL.",
			manner: always(atMail, "452 4.3.1 Insufficient system storage"),
		}.both(honest("temporary")),
		{
			Name: "mail-451-once", RFC: "RFC 5321 section 4.5.4.1", Behaviour: "Answers the first MAIL of each session with 451, the next with 250.",
			Patience: "a second MAIL in the same session", twin: true,
			manner: manner{rules: []rule{{at: atMail, to: 1, say: "451 4.3.0 Not ready yet"}}},
		},
		OddHost{
			Name: "mail-drop", RFC: "RFC 5321 section 3.8", Behaviour: "Closes the connection at MAIL.",
			manner: manner{rules: []rule{{at: atMail, mute: true, then: hangUp}}},
		}.both(honest("connection_lost")),
		OddHost{
			Name: "mail-silent", RFC: "RFC 5321 section 4.5.3.2.2", Behaviour: "Never answers MAIL.",
			manner: manner{rules: []rule{{at: atMail, mute: true, then: fallSilent}}},
		}.both(honest("tarpit")),
		{
			Name: "mail-parameters", RFC: "RFC 5321 section 4.1.1.11", Behaviour: "Refuses every parameter of MAIL.", twin: true,
			manner: manner{noParameters: true},
		},
		{
			Name: "mail-null-sender", RFC: "RFC 5321 section 4.5.5", Behaviour: "Refuses the null sender, and takes any other.", twin: true,
			Patience: "a sender that is not empty",
			manner:   manner{rules: []rule{{at: atMail, who: nullSender, say: "550 5.7.1 Null sender not accepted here"}}},
		},
		{
			Name: "mail-once", RFC: "RFC 5321 section 3.8", Behaviour: "Takes one transaction a session: the second MAIL gets 421.", twin: true,
			manner: manner{rules: []rule{{at: atMail, from: 2, say: "421 4.7.0 One transaction per session", then: hangUp}}},
		},
		{
			Name: "mail-once-503", RFC: "RFC 5321 section 4.1.4", Behaviour: "Answers 503 to a second MAIL, with or without RSET before it.", twin: true,
			Patience: "a new connection for each transaction",
			manner:   manner{rules: []rule{{at: atMail, from: 2, say: "503 5.5.1 Sender already specified"}}},
		},
		{
			Name: "rset-drop", RFC: "RFC 5321 section 4.1.1.5", Behaviour: "Closes the connection at RSET.", twin: true,
			manner: manner{rules: []rule{{at: atRset, mute: true, then: hangUp}}},
		},
		{
			Name: "rset-502", RFC: "RFC 5321 section 4.5.1", Behaviour: "Does not implement RSET, though it must.", twin: true,
			manner: always(atRset, "502 5.5.1 Command not implemented"),
		},
		{
			Name: "rset-silent", RFC: "RFC 5321 section 4.5.3.2", Behaviour: "Never answers RSET.",
			Patience: "a new connection after the deadline",
			manner:   manner{rules: []rule{{at: atRset, mute: true, then: fallSilent}}},
		},
		{
			Name: "noop-drop", RFC: "RFC 5321 section 4.1.1.9", Behaviour: "Closes the connection at NOOP.",
			manner: manner{rules: []rule{{at: atNoop, mute: true, then: hangUp}}},
		},
		{
			Name: "quit-silent", RFC: "RFC 5321 section 4.1.1.10", Behaviour: "Never answers QUIT.", twin: true,
			manner: manner{rules: []rule{{at: atQuit, mute: true, then: fallSilent}}},
		},
		{
			Name: "quit-drop", RFC: "RFC 5321 section 4.1.1.10", Behaviour: "Resets the connection at QUIT.",
			manner: manner{rules: []rule{{at: atQuit, mute: true, then: reset}}},
		},
		{
			Name: "idle-421", RFC: "RFC 5321 section 4.5.3.2.7", Behaviour: "Says 421 and hangs up after 250 ms without a command.", twin: true,
			manner: manner{idle: 250 * time.Millisecond},
		},
		OddHost{
			Name: "data-550", RFC: "RFC 5321 section 3.3", Behaviour: "Accepts every recipient and refuses the message.",
			everyone: true,
			manner:   always(atMessage, "550 5.1.1 No such user after all"),
		}.both(catchAllTruth),
	}
}
