package maillab

import (
	"net/netip"
	"slices"
	"time"
)

// oddMore is the part of the fault table that was written without a look at the
// rules: more members of the kinds that stand in the other parts.
func oddMore() []OddHost {
	return slices.Concat(sameWords(), partLimits(), oddTalk(), farPlaces(), longPaths())
}

// sameWords are said to every recipient and are about none.
func sameWords() (list []OddHost) {
	for _, t := range []struct{ name, say string }{
		{"if", "550 If the user is unknown you will be told later"},
		{"wenn", "550 Falls das Postfach voll ist, melden wir uns"},
		{"postmaster", "550 your postmaster mailbox does not exist"},
		{"service-account", "550 service account disabled"},
		{"sasl", "550 SASL user not found"},
		{"table", "550 address rewriting table not found"},
		{"directory", "550 cannot look up user: directory not found"},
		{"gateway", "550 gateway account suspended"},
		{"tenant", "552 tenant storage full"},
		{"lookup-quota", "550 5.7.1 User lookup quota exceeded"},
		{"czech", "550 Vaše schránka neexistuje"},
		{"chinese-disk", "552 服务器磁盘空间不足"},
		{"journal", "552 journal mailbox is full"},
	} {
		list = append(list, OddHost{
			Name: "more-all-" + t.name, Behaviour: "Says to every recipient: " + t.say + ".", manner: always(atRcpt, t.say),
		}.both(Truth{Verdict: "unknown", Reason: "policy"}))
	}
	return list
}

// partLimits are hosts that have had enough, for the rest of a session or for
// a part of it.
func partLimits() (list []OddHost) {
	for _, t := range []struct {
		name, say string
		from, to  int
		everyone  bool
	}{
		{"italian", "550 Non adesso, grazie", 3, 0, false},
		{"turkish", "554 Bugün yeter", 2, 0, false},
		{"korean", "550 오늘은 그만", 3, 0, false},
		{"arabic", "550 كفى اليوم", 2, 0, false},
		{"lines", "550-We have heard enough.\n550-See our help pages.\n550 Goodbye", 4, 0, false},
		{"541", "541 5.4.1 Not from here", 2, 0, false},
		{"555", "555 5.5.4 Unsupported", 3, 0, false},
		{"451-server", "451 4.7.500 Server busy", 3, 0, false},
		{"gap", "550 Not just now", 3, 4, false},
		{"gap-action", "550 Requested action not taken", 2, 3, false},
		{"all-greek", "550 Αρκετά για σήμερα", 2, 0, true},
		{"all-553", "553 5.1.3 Malformed", 3, 0, true},
		{"all-gap", "550 Not just now", 2, 3, true},
	} {
		o := OddHost{
			Name: "more-tail-" + t.name, Behaviour: "Says to some recipients of each session: " + t.say + ".", twin: true,
			Patience: "asking them in other sessions", everyone: t.everyone,
			manner: manner{rules: []rule{{at: atRcpt, from: t.from, to: t.to, say: t.say}}},
		}
		if t.everyone {
			o = o.both(catchAllTruth)
		}
		list = append(list, o)
	}
	return list
}

// oddTalk are greetings, lost connections and slow answers.
func oddTalk() []OddHost {
	return []OddHost{
		OddHost{
			Name: "more-banner-521-many", RFC: "RFC 7504 section 3", Behaviour: "Greets with 521 because of too many connections.",
			manner: always(atBanner, "521 Too many connections from your host"),
		}.both(honest("blocked")),
		OddHost{
			Name: "more-banner-550-ptr", RFC: "RFC 5321 section 3.1", Behaviour: "Greets with 550: no such user, it says of the client.",
			manner: always(atBanner, "550 5.1.1 User unknown: no PTR for {client}"),
		}.both(honest("blocked")),
		{
			Name: "more-banner-220-words", RFC: "RFC 5321 section 3.1", Behaviour: "Greets with 220 and says that it does not accept mail; it does.", twin: true,
			manner: always(atBanner, "220 mx.test does not accept mail from strangers"),
		},
		{
			Name: "more-banner-450-twice", RFC: "RFC 5321 section 3.1", Behaviour: "Greets a client's first two connections with 450, and is fine afterwards.",
			Patience: "a third connection",
			manner:   manner{rules: []rule{{at: atBanner, in: byClient, to: 2, say: "450 4.3.2 Starting up"}}},
		},
		OddHost{
			Name: "more-ehlo-521", RFC: "RFC 7504 section 3", Behaviour: "Answers EHLO and HELO with 521: this machine takes no mail at all.",
			manner: manner{rules: []rule{{at: atEhlo, say: "521 Host does not accept mail"}, {at: atHelo, say: "521 Host does not accept mail"}}},
		}.both(invalid("no_mail_host")),
		{
			Name: "more-drop-after-second", RFC: "RFC 5321 section 3.8", Behaviour: "Answers two recipients and closes the connection.", twin: true,
			Patience: "many sessions",
			manner:   manner{rules: []rule{{at: atRcpt, from: 2, then: hangUp}}},
		},
		{
			Name: "more-drop-first-sessions", RFC: "RFC 5321 section 4.5.4.1", Behaviour: "Closes a client's first two connections without a word, and is fine afterwards.",
			Patience: "a third connection",
			manner:   manner{rules: []rule{{at: atBanner, in: byClient, to: 2, mute: true, then: reset}}},
		},
		{
			Name: "more-slower", RFC: "RFC 5321 section 4.5.3.2.3", Behaviour: "Answers later and later.", twin: true,
			Patience: "waiting for each answer",
			manner: manner{rules: []rule{
				{at: atRcpt, from: 10, after: 80 * time.Millisecond}, {at: atRcpt, from: 5, after: 40 * time.Millisecond}, {at: atRcpt, from: 2, after: 20 * time.Millisecond},
			}},
		},
	}
}

// farPlaces are mail hosts with addresses that no mail can be sent to.
func farPlaces() (list []OddHost) {
	for _, t := range []struct{ name, addr, rfc string }{
		{"6to4", "2002:a01:203::25", "RFC 7526 section 4"},
		{"6to4-relay", "192.88.99.25", "RFC 7526 section 4"},
		{"teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "RFC 4380 section 2.6"},
		{"benchmark", "198.18.7.25", "RFC 2544 section C.2.2"},
		{"this-network", "0.8.8.8", "RFC 791 section 3.2"},
		{"assignments", "192.0.0.25", "RFC 6890 section 2.1"},
		{"site-local", "fec0::25", "RFC 3879 section 4"},
		{"discard", "100::25", "RFC 6666 section 4"},
		{"compatible", "::7f00:1", "RFC 4291 section 2.5.5.1"},
		{"nat64-local", "64:ff9b:1::a01:203", "RFC 8215 section 5"},
		{"multicast6", "ff0e::25", "RFC 4291 section 2.7"},
	} {
		list = append(list, OddHost{
			Name: "more-mx-" + t.name, RFC: t.rfc, Behaviour: "The only MX has the address " + t.addr + ".",
			build: func(s *site) { s.mxAt("mx", t.addr) },
		}.both(invalid("no_mail_host")))
	}
	return list
}

// longPaths are the longer ways through DNS.
func longPaths() []OddHost {
	return []OddHost{
		OddHost{
			Name: "more-dns-null-and-nowhere", RFC: "RFC 7505 section 3", Behaviour: "A null MX stands beside one whose name does not exist.",
			build: func(s *site) {
				s.mxName(0, ".")
				s.mxName(10, "gone."+s.domain.name)
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "more-dns-nowhere-but-address", RFC: "RFC 5321 section 5.1", Behaviour: "The only MX has no address; the domain has one, which must not be used.",
			build: func(s *site) {
				s.zone("gone")
				s.mxName(10, "gone."+s.domain.name)
				s.zone("").a = []netip.Addr{s.trap("www").addr}
			},
		}.both(invalid("no_mail_host")),
		{
			Name: "more-dns-benchmark-first", RFC: "RFC 2544 section C.2.2", Behaviour: "Nine MX lie in networks for benchmarks; the tenth answers.",
			build: func(s *site) {
				for i := range 9 {
					s.mxAt(numbered(1, "bench%d-")+string(rune(97+i)), "198.19.0.25")
				}
				s.mx(20, s.host("mx", talks, s.manner))
			},
		},
		OddHost{
			Name: "more-dns-nowhere-and-refused", RFC: "RFC 1035 section 4.1.1", Behaviour: "The first MX does not exist, and questions for the second are REFUSED.",
			build: func(s *site) {
				s.mxName(5, "gone."+s.domain.name)
				s.mxName(10, "refused."+s.domain.name)
				s.zone("refused").addrFault = faultRefused
			},
		}.both(honest("dns_error")),
		{
			Name: "more-dns-forty-truncated", RFC: "RFC 7766 section 5", Behaviour: "Forty MX do not fit into a packet; only the last has an address.",
			build: func(s *site) {
				for i := range 40 {
					s.mxName(uint16(i), "no-such-mail-exchanger-"+string(rune('a'+i%26))+string(rune('a'+i/26))+"."+s.domain.name)
				}
				s.mx(99, s.host("mx", talks, s.manner))
				s.zone("").mxFault = faultTruncate
			},
		},
		{
			Name: "more-dns-mapped-and-real", RFC: "RFC 4291 section 2.5.5.2", Behaviour: "The MX has a loopback address in IPv6 clothes and a good one.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("mx").aaaa = []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}
			},
		},
	}
}
