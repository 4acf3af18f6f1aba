package maillab

import (
	"fmt"
	"slices"
	"time"
)

// oddTurns is the part of the fault table whose hosts change in the middle: after
// a name that does not exist, after some sessions, after STARTTLS, or from one mail
// host and domain to the next.
func oddTurns() []OddHost {
	return slices.Concat(afterStrange(), afterSessions(), afterUnknown(), oddPlaces(), oddCodes())
}

// afterStrange are hosts that change when they are asked for a name that does not
// read like a mailbox's, as a probe does.
func afterStrange() (list []OddHost) {
	const patient = "a name that a person may have, for the probe"
	for _, t := range []struct{ name, say string }{
		{"german", "550 Genug probiert"},
		{"action", "550 Requested action not taken"},
		{"554", "554 Goodbye, prober"},
		{"451", "451 4.7.1 Not any more today"},
		{"lines", "550-We do not like guests\n550 who try our doors"},
	} {
		m := manner{rules: []rule{{at: atRcpt, in: strangeSoFar, from: 1, say: t.say}}}
		behaviour := " until it is asked for a name that does not exist, then says for the rest of the session: " + t.say + "."
		list = append(list,
			OddHost{Name: "turn-strange-" + t.name, Behaviour: "Answers as it should" + behaviour, Patience: patient, twin: true, manner: m},
			OddHost{Name: "turn-strange-all-" + t.name, Behaviour: "Accepts everyone" + behaviour, Patience: patient, twin: true, everyone: true, manner: m}.both(catchAllTruth))
	}
	for _, t := range []struct {
		name, how string
		do        rule
	}{
		{"421", "says 421 and hangs up", rule{say: "421 4.7.0 Closing", then: hangUp}},
		{"drop", "hangs up without a word", rule{mute: true, then: hangUp}},
		{"reset", "resets the connection", rule{mute: true, then: reset}},
		{"silent", "falls silent", rule{mute: true, then: fallSilent}},
	} {
		t.do.at, t.do.who = atRcpt, strange
		m := manner{rules: []rule{t.do}}
		list = append(list,
			OddHost{Name: "turn-probe-" + t.name, Behaviour: "Answers as it should, and " + t.how + " when it is asked for a name that does not exist.", Patience: patient, manner: m},
			OddHost{Name: "turn-probe-all-" + t.name, Behaviour: "Accepts everyone, and " + t.how + " when it is asked for a name that does not exist.", Patience: patient, everyone: true, manner: m}.both(catchAllTruth))
	}
	return append(list,
		OddHost{
			Name: "turn-grey-strange", Behaviour: "Greylists names that do not exist, and no others.", Patience: "coming back", twin: true,
			manner: manner{greylist: greylistStrange},
		},
		OddHost{
			Name: "turn-grey-strange-all", Behaviour: "Accepts everyone, and greylists names that do not exist.", Patience: "coming back", twin: true, everyone: true,
			manner: manner{greylist: greylistStrange},
		}.both(catchAllTruth))
}

// afterSessions are hosts whose sessions are not alike.
func afterSessions() (list []OddHost) {
	for _, t := range []struct {
		name, say string
		from      int
	}{
		{"polish", "550 Na dzisiaj wystarczy", 3},
		{"unavailable", "550 Requested action not taken: mailbox unavailable", 2},
		{"recipient", "554 5.2.0 Bad recipient", 3},
		{"553", "553 5.0.0 So much for now", 4},
		{"450", "450 4.2.0 So much for now", 2},
	} {
		m := manner{rules: []rule{{at: atRcpt, in: byClient, from: t.from, say: t.say}}}
		some := OddHost{Name: "turn-session-" + t.name, Behaviour: "Answers in a client's first sessions, then says to everyone for ever: " + t.say + ".", Patience: "few sessions", twin: true, manner: m}
		all := OddHost{Name: "turn-session-all-" + t.name, Behaviour: "Accepts everyone in a client's first sessions, then says for ever: " + t.say + ".", Patience: "few sessions", twin: true, everyone: true, manner: m}.both(catchAllTruth)
		list = append(list, some, all)
	}
	for i, t := range vagueWordings {
		for _, from := range []int{2, 4} {
			m := missingSays(t.say)
			m.rules = []rule{{at: atRcpt, in: byClient, from: from, say: t.say}}
			list = append(list, OddHost{
				Name:      fmt.Sprintf("turn-session-same-%s-%d", t.name, from),
				Behaviour: fmt.Sprintf("Says %s to missing mailboxes, and from a client's session %d on to everyone for ever.", t.say, from), Patience: "few sessions", twin: true, manner: m,
			})
		}
		for _, in := range []struct {
			name, of string
			in       span
		}{{"host", "ever", ofClient}, {"minute", "in a minute", inWindow}, {"session", "in a session", inSession}} {
			k := []int{1, 3, 7, 20}[i]
			same := missingSays(t.say)
			same.window = time.Minute
			same.rules = []rule{{at: atRcpt, in: in.in, from: k + 1, say: t.say}}
			usual := same
			usual.voice = plainVoice
			name := fmt.Sprintf("turn-%s-%s-%d", in.name, t.name, k)
			behaviour := fmt.Sprintf("Answers %d recipients of a client %s, and says to all others: %s.", k, in.of, t.say)
			list = append(list,
				OddHost{Name: name, Behaviour: behaviour, Patience: "few recipients", twin: true, manner: usual},
				OddHost{Name: name + "-same", Behaviour: behaviour + " It says the same of missing mailboxes.", Patience: "few recipients", twin: true, manner: same},
				OddHost{Name: name + "-all", Behaviour: behaviour + " It accepts everyone before.", Patience: "few recipients", twin: true, everyone: true, manner: usual}.both(catchAllTruth))
		}
	}
	return append(list,
		OddHost{
			Name: "turn-pipelining-once", RFC: "RFC 2920 section 3.1", Behaviour: "Offers PIPELINING to a client's first session, and to no other.",
			manner: manner{rules: []rule{{at: atEhlo, in: byClient, from: 2, say: "250-{host}\n250 ENHANCEDSTATUSCODES"}}},
		},
		OddHost{
			Name: "turn-pipelining-lost", RFC: "RFC 2920 section 3.2", Behaviour: "Offers PIPELINING, and throws away what came with a command from the fourth recipient of a session on.",
			Patience: "one command at a time after the first loss", manner: manner{discardsFrom: 4},
		},
		OddHost{
			Name: "turn-pipelining-shifted", RFC: "RFC 2920 section 3.2", Behaviour: "Says one reply too many to the third recipient of a session: to one that exists that it does not, to another that it does.",
			Patience: "one command at a time", twin: true,
			manner: manner{rules: []rule{
				{at: atRcpt, from: 3, to: 3, who: existing, say: "250 2.1.5 Ok\n550 5.1.1 User unknown"},
				{at: atRcpt, from: 3, to: 3, who: absent, say: "550 5.1.1 User unknown\n250 2.1.5 Ok"},
			}},
		},
		OddHost{
			Name: "turn-tls-drop", RFC: "RFC 3207 section 4.2", Behaviour: "Takes STARTTLS and hangs up at the EHLO after it; plain text works.", Patience: "a second connection in plain text, where TLS was tried",
			manner: manner{tls: offersTLS, rules: []rule{{at: atEhlo, from: 2, mute: true, then: hangUp}}},
		},
		OddHost{
			Name: "turn-tls-554", RFC: "RFC 3207 section 4.2", Behaviour: "Takes STARTTLS and answers 554 to the EHLO after it; plain text works.", Patience: "a second connection in plain text, where TLS was tried",
			manner: manner{tls: offersTLS, rules: []rule{{at: atEhlo, from: 2, say: "554 5.7.0 No"}}},
		},
		OddHost{
			Name: "turn-utf8-refused", RFC: "RFC 6531 section 3.4", Behaviour: "Offers SMTPUTF8 and refuses every MAIL that uses it; its mailboxes have names in Greek.", spell: "χρήστης%d", read: strictDigits("χρήστης", ""),
			manner: manner{utf8: true, rules: []rule{{at: atMail, say: "555 5.5.4 Unsupported option: SMTPUTF8"}}},
		}.both(honest("needs_smtputf8")))
}

// afterUnknown are hosts that defend themselves against those who ask for many
// names: after some unknown ones they accept everyone.
func afterUnknown() (list []OddHost) {
	for _, in := range []struct {
		name, of string
		in       span
	}{{"session", "of a session", unknownSoFar}, {"client", "of a client, for ever", unknownEver}} {
		for k := 1; k <= 10; k++ {
			o := OddHost{
				Name:      fmt.Sprintf("give-in-%s-%d", in.name, k),
				Behaviour: fmt.Sprintf("Refuses %d unknown recipients %s, then accepts everyone.", k, in.of), Patience: "few unknown recipients", twin: true,
				manner: manner{rules: []rule{{at: atRcpt, in: in.in, from: k + 1, say: "250 2.1.5 Ok"}}},
			}
			list = append(list, o)
			if k%3 == 1 {
				o.Name += "-vague"
				o.manner.voice = missingSays(vagueWordings[k/3].say).voice
				list = append(list, o)
			}
		}
	}
	return list
}

// oddPlaces are domains that share mail hosts, and domains whose mail hosts do not
// agree.
func oddPlaces() []OddHost {
	says := func(say string) manner { return manner{rules: []rule{{at: atRcpt, say: say}}} }
	shared := func(w *World) *host { return w.domains["turn-shared.odd.test"].hosts[0] }
	return []OddHost{
		{Name: "turn-shared", Behaviour: "Shares its mail host with the next two domains, and is the only one whose mailboxes it knows."},
		OddHost{
			Name: "turn-shared-all", Behaviour: "Shares its mail host, which accepts everyone here.", everyone: true,
			build: func(s *site) {
				s.domain.hosts = []*host{shared(s.world)}
				s.mx(10, shared(s.world))
			},
		}.both(catchAllTruth),
		OddHost{
			Name: "turn-shared-not", Behaviour: "Has an MX that does not know the domain, and takes others.",
			build: func(s *site) { s.mx(10, shared(s.world)) },
		}.both(honest("policy")),
		{
			Name: "turn-mx-equal-defers", RFC: "RFC 5321 section 5.1", Behaviour: "Of two equal MX one defers everyone for ever.", Patience: "asking the other one",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, says("450 4.2.0 <{rcpt}>: not now")))
				s.mx(10, s.host("mx2", talks, s.manner))
			},
		},
		{
			Name: "turn-mx-equal-refuses", RFC: "RFC 5321 section 5.1", Behaviour: "Of two equal MX one refuses everyone in words of its own.", Patience: "asking the other one",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, says("550 Tänään ei")))
				s.mx(10, s.host("mx2", talks, s.manner))
			},
		},
		OddHost{
			Name: "turn-mx-first-defers", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX defers everyone for ever, the second accepts everyone.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, says("451 4.3.0 Not ready")))
				s.mx(20, s.trap("mx2"))
			},
		}.both(Truth{Verdict: "unknown", Reason: "temporary", Also: []string{"catch_all"}}),
	}
}

// oddCodes are codes and words that do not belong together.
func oddCodes() []OddHost {
	all := func(name, say string, t Truth) OddHost {
		return OddHost{Name: "turn-code-" + name, Behaviour: "Says to every recipient: " + say + ".", twin: true, manner: always(atRcpt, say)}.both(t)
	}
	return []OddHost{
		{
			Name: "turn-code-253", RFC: "RFC 5321 section 4.3.2", Behaviour: "Answers 253, which RCPT does not have, to existing mailboxes.", Existing: honest("protocol_error"),
			manner: manner{rules: []rule{{at: atRcpt, who: existing, say: "253 Ok, 1 pending message"}}},
		},
		{
			Name: "turn-code-words-missing", Behaviour: "Refuses missing mailboxes in words that a mail client would decode: 550 =?utf-8?B?a2VpbiBQb3N0ZmFjaA==?=.", Missing: unclear,
			manner: missingSays("550 =?utf-8?B?a2VpbiBQb3N0ZmFjaA==?="),
		},
		all("250-unknown", "250 2.1.5 User unknown, the postmaster will sort it out", catchAllTruth),
		all("250-5.1.1", "250 5.1.1 ok", catchAllTruth),
		all("251-forward", "251 2.1.5 User not local; will forward to <desk@elsewhere.test>", catchAllTruth),
		all("lines", "550-5.1.1 Mail refused\n550 5.7.1 Your address is on our list", honest("blocked")),
		all("content", "550 5.1.1 The message contains a virus", honest("policy")),
		all("size", "552 5.2.2 Message is larger than this host takes", honest("policy")),
		all("client", "550 5.1.1 Error: your client talks too early", honest("policy")),
		all("4.7.1", "550 4.7.1 Try another time", honest("policy")),
		all("450-unknown", "450 4.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table", honest("temporary")),
		all("450-lookup", "450 4.3.0 User lookup: no such user (server has no connection)", honest("temporary")),
		all("server", "550 Der Server des Empfängers ist unbekannt", honest("policy")),
		all("filter", "550 Le filtre du destinataire a expiré", honest("policy")),
		all("provider", "550 El buzón de quejas de su proveedor no existe", honest("policy")),
		all("origin", "550 Доступ с этого адреса закрыт", honest("policy")),
		all("japanese", "550 受信者のサーバーが見つかりません", honest("policy")),
	}
}
