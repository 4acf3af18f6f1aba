package maillab

import (
	"bytes"
	"net/netip"
	"slices"
)

// oddRefusals is the part of the fault table that is about words: refusals that
// are not about the mailbox, and refusals that are and do not look like it.
func oddRefusals() []OddHost {
	return slices.Concat(oddProbes(), oddTails(), oddWords(), oddLanguages(), oddReach())
}

// unclear is the truth about missing mailboxes whose host says so in words that
// no reader can know.
var unclear = Truth{Verdict: "unknown", Reason: "policy", Also: []string{"invalid"}}

// oddProbes are catch-all hosts that refuse what does not read like a mailbox.
func oddProbes() (list []OddHost) {
	for _, p := range []struct{ name, say string }{
		{"5.7.1", "550 5.7.1 Access denied"},
		{"5.1.3", "501 5.1.3 Bad recipient address syntax"},
		{"5.3.4", "552 5.3.4 Message size exceeds fixed limit"},
		{"5.5.2", "500 5.5.2 Syntax error, command unrecognized"},
		{"bare", "550"},
		{"full", "552 5.2.2 <{rcpt}>: Mailbox full"},
		{"relay", "554 5.7.1 <{rcpt}>: Relay access denied"},
		{"blocked", "550 5.7.606 Access denied, banned sending IP [{client}]"},
		{"spam", "554 5.7.1 Message rejected as spam"},
		{"quota", "450 4.7.1 You have exceeded your sending quota"},
	} {
		list = append(list, OddHost{
			Name: "probe-" + p.name, Behaviour: "Accepts every name that a person may have, and answers all others with " + p.say + ".", twin: true,
			Patience: "a name that a person may have, for the probe", everyone: true, manner: manner{rules: []rule{{at: atRcpt, who: strange, say: p.say}}},
		}.both(catchAllTruth))
	}
	return list
}

// oddTails are hosts that have enough of a session, in words of their own.
func oddTails() []OddHost {
	after := func(in span, k int, say string) manner {
		return manner{rules: []rule{{at: atRcpt, in: in, from: k + 1, say: say}}}
	}
	patient := "asking the rest in other sessions"
	return []OddHost{
		{
			Name: "tail-550", Behaviour: "Answers two recipients a session and says 550 Ip frequency limited to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "550 Ip frequency limited. http://help.mail.test/why"),
		},
		{
			Name: "tail-550-one", Behaviour: "Answers one recipient a session and says 550 Requested action not taken to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 1, "550 Requested action not taken"),
		},
		{
			Name: "tail-french", Behaviour: "Answers two recipients a session and refuses the rest in French.", twin: true, Patience: patient,
			manner: after(inSession, 2, "550 Service refuse. Veuillez essayer plus tard."),
		},
		{
			Name: "tail-450", Behaviour: "Answers three recipients a session and says 450 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 3, "450 4.2.0 <{rcpt}>: not now"),
		},
		{
			Name: "tail-451-system", Behaviour: "Answers two recipients a session and says 451 4.3.0 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "451 4.3.0 Resources are short"),
		},
		{
			Name: "tail-5.7.1", Behaviour: "Answers two recipients a session and says 554 5.7.1 to the rest.", twin: true, Patience: patient,
			manner: after(inSession, 2, "554 5.7.1 Message rejected: recipient count"),
		},
		{
			Name: "tail-same-words", Behaviour: "Answers three recipients a session and says to the rest what it says to unknown ones: 550 rejected.", twin: true,
			Patience: patient, Missing: unclear,
			manner: manner{
				voice: missingSays("550 rejected").voice,
				rules: []rule{{at: atRcpt, from: 4, say: "550 rejected"}},
			},
		},
		OddHost{
			Name: "tail-catch-all", Behaviour: "Accepts one recipient a session and says 550 5.5.0 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 1, "550 5.5.0 Only 1 RCPT please"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-catch-all-policy", Behaviour: "Accepts two recipients a session and says 554 5.7.1 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 2, "554 5.7.1 Message rejected: recipient count"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-catch-all-450", Behaviour: "Accepts three recipients a session and says 450 to the rest.", twin: true, Patience: patient,
			everyone: true, manner: after(inSession, 3, "450 4.2.0 not now"),
		}.both(catchAllTruth),
		OddHost{
			Name: "tail-ever", Behaviour: "Accepts four recipients of a client and refuses all others for ever.", twin: true, Patience: "a new address of the client",
			everyone: true, manner: after(ofClient, 4, "550 Requested action not taken"),
		}.both(catchAllTruth),
		{
			Name: "temporary-unknown-451", Behaviour: "Says 451 4.3.0 Temporary lookup failure to unknown recipients, always.", twin: true,
			Patience: "seeing that the probe gets what others get",
			Missing:  Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"invalid"}},
			manner:   missingSays("451 4.3.0 <{rcpt}>: Temporary lookup failure"),
		},
		{
			Name: "temporary-unknown-450", Behaviour: "Says 450 to unknown recipients, always.", twin: true,
			Patience: "coming back after the time that greylisting takes",
			Missing:  Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"invalid"}},
			manner:   missingSays("450 4.2.0 <{rcpt}>: not now"),
		},
		{
			Name: "unlisted-words", Behaviour: "Says of unknown recipients what no table knows: 550 Kein Anschluss unter dieser Nummer.", twin: true,
			Missing: unclear,
			manner:  missingSays("550 Kein Anschluss unter dieser Nummer"),
		},
		{
			Name: "unlisted-words-id", Behaviour: "Says of unknown recipients what no table knows, with another number each time.",
			Missing: unclear,
			manner:  missingSays("550 Kein Anschluss unter dieser Nummer ({host} 4711-{rcpt})"),
		},
	}
}

// oddWords are replies whose words or codes point to two meanings.
func oddWords() []OddHost {
	all := func(name, say string, t Truth) OddHost {
		return OddHost{
			Name: name, Behaviour: "Answers every recipient with " + say + ".", manner: always(atRcpt, say),
		}.both(t)
	}
	missing := func(name, say string) OddHost {
		return OddHost{Name: name, Behaviour: "Answers a missing mailbox with " + say + ".", manner: missingSays(say)}
	}
	there := func(name, say string, t Truth) OddHost {
		return OddHost{
			Name: name, Behaviour: "Answers an existing mailbox with " + say + ".", Existing: t,
			manner: manner{rules: []rule{{at: atRcpt, who: existing, say: say}}},
		}
	}
	disabled := invalid("mailbox_disabled")
	return []OddHost{
		missing("words-5.7.1", "550 5.7.1 No such user!"),
		missing("words-554-5.7.1", "554 5.7.1 <{rcpt}>: Recipient address rejected: User unknown"),
		missing("words-callout", "550-Callout verification failed:\n550 550 No Such User Here"),
		missing("words-customer", "550 5.1.1 Not our Customer"),
		missing("words-relay", "550 5.1.1 <{rcpt}>: Addressee unknown, relay=[192.0.2.1]"),
		missing("words-domino", "550 5.7.1 {rcpt} not listed in Domino Directory"),
		missing("words-url", "550 User not found, see https://mail.test/spam/blocked"),
		missing("words-server", "550 5.1.1 no mailbox by that name at spamhaus.blocklist.sender.office.com"),
		missing("words-verification", "550 5.1.1 <{rcpt}>: Recipient address rejected: undeliverable address: host mx.mail.test[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)"),
		there("words-inactivity", "550 5.2.1 This mailbox has been blocked due to inactivity", disabled),
		there("words-discontinued", "554 delivery error: dd Sorry your message to {rcpt} cannot be delivered. This account has been disabled or discontinued [#102].", disabled),
		there("words-525", "525 5.7.13 User Account Disabled", disabled),
		there("words-full-size", "552 5.2.2 Mailbox size limit exceeded", mailboxFullTruth),
		there("words-full-messages", "552 User has too many messages on the server", mailboxFullTruth),
		all("words-loops", "550 5.4.6 <{rcpt}>: Recipient address rejected: undeliverable address: mail for corp.test loops back to myself", honest("policy")),
		all("words-group", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", honest("restricted")),
		all("words-sender", "550-Verification failed for <probe@probe.test>\n550-Sent: RCPT TO:<probe@probe.test>\n550-Response: 550 5.1.1 User unknown\n550 Sender verify failed", honest("sender_refused")),
		all("words-limit", "550 5.1.1 Recipient limit for unknown users reached", honest("policy")),
		all("words-556", "556 5.1.10 Recipient address has null MX", invalid("no_mail_host")),
	}
}

// oddLanguages are hosts that know no enhanced codes and little English.
func oddLanguages() (list []OddHost) {
	for _, l := range []struct{ name, say string }{
		{"german", "550 Empf\xe4nger <{rcpt}> ist hier nicht bekannt"},
		{"french", "550 Utilisateur inconnu !"},
		{"spanish", "550 No existe ese usuario"},
		{"portuguese", "550 Usuário não encontrado"},
		{"italian", "550 Nessun utente simile in questo indirizzo"},
		{"dutch", "550 Onbekende gebruiker"},
		{"polish", "550 Nie ma takiego konta"},
		{"czech", "550 Uživatel neexistuje"},
		{"swedish", "550 Mottagaren finns inte"},
		{"turkish", "550 Kullanıcı bulunamadı"},
		{"russian", "550 Пользователь не найден"},
		{"chinese", "550 收件人不存在"},
		{"japanese", "550 ユーザーが存在しません"},
		{"korean", "550 존재하지 않는 사용자입니다"},
	} {
		list = append(list, OddHost{
			Name: "missing-" + l.name + "-words", Behaviour: "Speaks of missing mailboxes in its own language, without an enhanced code: " + l.name + ".",
			manner: missingSays(l.say),
		})
	}
	return list
}

// oddReach are hosts and names that mail takes an unusual way to.
func oddReach() []OddHost {
	refusing := func(say string) manner {
		return manner{rules: []rule{{at: atBanner, say: say, then: hangUp}}}
	}
	return []OddHost{
		OddHost{
			Name: "banner-521-blocked", RFC: "RFC 7504 section 3", Behaviour: "Greets with 521 because the client is on a list.",
			manner: refusing("521 5.7.1 Service unavailable; client [{client}] blocked using dnsbl.test"),
		}.both(honest("blocked")),
		{
			Name: "mx-first-521", RFC: "RFC 7504 section 3", Behaviour: "The first MX greets with 521, it takes no mail; the second answers.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, refusing("521 {host} does not accept mail")))
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
		OddHost{
			Name: "mx-521-and-dead", RFC: "RFC 7504 section 3", Behaviour: "The first MX greets with 521, and the second refuses connections.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, refusing("521 {host} does not accept mail")))
				s.mx(20, s.host("mx2", refuses, manner{}))
			},
		}.both(honest("connect_failed")),
		{
			Name: "dns-nxdomain-mx", RFC: "RFC 8020 section 2", Behaviour: "Broken name servers: NXDOMAIN for the MX, and yet there is an address whose host takes mail.",
			build: func(s *site) {
				s.zone("").a = []netip.Addr{s.host("www", talks, s.manner).addr}
				s.zone("").mxFault = faultNameless
			},
		},
		{
			Name: "local-dots", RFC: "RFC 5321 section 4.1.2", Behaviour: "A Japanese mobile provider: names with dots where none may be, which are quoted on the wire.",
			domain: "docomo.ne.jp", spell: "ok..user%d", read: func(local []byte) []byte { return strictDigits("ok..user", "")(bytes.Trim(local, `"`)) },
		},
		{
			Name: "domain-emoji", RFC: "RFC 5892 section 2", Behaviour: "Has a domain with an emoji.",
			domain: "💌.odd.test",
		},
	}
}
