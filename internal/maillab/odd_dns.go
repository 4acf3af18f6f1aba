package maillab

import "net/netip"

// oddDNS is the part of the fault table that shows in DNS.
func oddDNS() []OddHost {
	return []OddHost{
		OddHost{
			Name: "dns-nxdomain", RFC: "RFC 8020 section 2", Behaviour: "The domain does not exist.",
			build: func(*site) {},
		}.both(invalid("no_domain")),
		OddHost{
			Name: "dns-nodata", RFC: "RFC 2308 section 2.2", Behaviour: "The name exists without MX and address.",
			build: func(s *site) { s.zone("") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "dns-null-mx", RFC: "RFC 7505 section 3", Behaviour: "The domain states that it takes no mail; its address has a host that would.",
			build: func(s *site) {
				s.mxName(0, ".")
				s.zone("").a = []netip.Addr{s.trap("www").addr}
			},
		}.both(invalid("null_mx")),
		{
			Name: "dns-null-mx-and-mx", RFC: "RFC 7505 section 3", Behaviour: "A null MX stands beside a real one, which it must not; the real one counts.",
			Patience: "using the real MX",
			Missing:  Truth{Verdict: "invalid", Reason: "no_such_user"},
			build: func(s *site) {
				s.mxName(0, ".")
				s.mx(10, s.host("mx", talks, s.manner))
			},
		},
		OddHost{
			Name: "dns-servfail", RFC: "RFC 2308 section 7.1", Behaviour: "Every question gets SERVFAIL.",
			build: func(s *site) { s.zone("").mxFault, s.zone("").addrFault = faultServFail, faultServFail },
		}.both(honest("dns_error")),
		OddHost{
			Name: "dns-servfail-mx", RFC: "RFC 5321 section 5.1", Behaviour: "MX gets SERVFAIL while the address record leads to a host that accepts all.",
			build: func(s *site) {
				s.zone("").mxFault = faultServFail
				s.zone("").a = []netip.Addr{s.trap("www").addr}
			},
		}.both(honest("dns_error")),
		OddHost{
			Name: "dns-refused", RFC: "RFC 1035 section 4.1.1", Behaviour: "Every question is REFUSED.",
			build: func(s *site) { s.zone("").mxFault, s.zone("").addrFault = faultRefused, faultRefused },
		}.both(honest("dns_error")),
		OddHost{
			Name: "dns-silent", RFC: "RFC 1035 section 4.2.1", Behaviour: "No question is answered.",
			build: func(s *site) { s.zone("").mxFault, s.zone("").addrFault = faultSilent, faultSilent },
		}.both(honest("dns_error")),
		{
			Name: "dns-lost-once", RFC: "RFC 1035 section 4.2.1", Behaviour: "The first question of each kind is lost.", Patience: "asking again",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				s.mx(10, h)
				s.zone("").mxFault, s.zone("mx").addrFault = faultLoseOne, faultLoseOne
			},
		},
		{
			Name: "dns-servfail-once", RFC: "RFC 2308 section 7.1", Behaviour: "The first question of each kind gets SERVFAIL.", Patience: "asking again",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("").mxFault, s.zone("mx").addrFault = faultFailOne, faultFailOne
			},
		},
		{
			Name: "dns-truncated", RFC: "RFC 7766 section 5", Behaviour: "Answers over UDP are truncated; TCP has them whole.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("").mxFault, s.zone("mx").addrFault = faultTruncate, faultTruncate
			},
		},
		OddHost{
			Name: "dns-truncated-no-tcp", RFC: "RFC 7766 section 5", Behaviour: "Answers over UDP are truncated and TCP is closed without one.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("").mxFault, s.zone("").addrFault = faultCutOff, faultCutOff
			},
		}.both(honest("dns_error")),
		{
			Name: "dns-large", RFC: "RFC 6891 section 6.2.5", Behaviour: "Has 60 MX records, more than fit into a packet.",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				for i := range 60 {
					label := "a-rather-long-name-for-a-mail-exchanger-" + string(rune('a'+i/8)) + string(rune('a'+i%8))
					s.zone(label).a = []netip.Addr{h.addr}
					s.mxName(10, label+"."+s.domain.name)
				}
			},
		},
		{
			Name: "dns-no-edns", RFC: "RFC 6891 section 7", Behaviour: "Questions with EDNS get FORMERR.", Patience: "asking without EDNS",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("").mxFault, s.zone("mx").addrFault = faultNoEDNS, faultNoEDNS
			},
		},
		{
			Name: "dns-implicit-a", RFC: "RFC 5321 section 5.1", Behaviour: "Has no MX: the address is the mail host.",
			build: func(s *site) { s.zone("").a = []netip.Addr{s.host("www", talks, s.manner).addr} },
		},
		{
			Name: "dns-implicit-aaaa", RFC: "RFC 5321 section 5.1", Behaviour: "Has no MX and only an IPv6 address.", Patience: "IPv6",
			build: func(s *site) {
				h := s.host("www", talks, s.manner)
				s.zone("www").a, h.addr = nil, loopback6
				s.zone("").aaaa = []netip.Addr{loopback6}
			},
		},
		{
			Name: "dns-aaaa-nxdomain", RFC: "RFC 4074 section 4.2", Behaviour: "Asked for IPv6 the mail host does not exist, asked for IPv4 it does.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("mx").addrFault = faultNameless
			},
		},
		{
			Name: "dns-cname", RFC: "RFC 5321 section 5.1", Behaviour: "The domain is an alias of a name that has the MX.",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				s.zone("").cname = "real." + s.domain.name
				s.zone("real").mx = []mx{{10, h.name}}
			},
		},
		{
			Name: "dns-cname-chain", RFC: "RFC 1034 section 3.6.2", Behaviour: "The domain is an alias of an alias of an alias.",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				s.zone("").cname = "one." + s.domain.name
				s.zone("one").cname = "two." + s.domain.name
				s.zone("two").cname = "three." + s.domain.name
				s.zone("three").mx = []mx{{10, h.name}}
			},
		},
		OddHost{
			Name: "dns-cname-loop", RFC: "RFC 1034 section 3.6.2", Behaviour: "The domain is an alias of an alias of itself.",
			build: func(s *site) {
				s.zone("").cname = "one." + s.domain.name
				s.zone("one").cname = s.domain.name
			},
		}.both(honest("dns_error")),
		OddHost{
			Name: "dns-cname-nowhere", RFC: "RFC 2308 section 2.1", Behaviour: "The domain is an alias of a name that does not exist.",
			build: func(s *site) { s.zone("").cname = "gone." + s.domain.name },
		}.both(Truth{Verdict: "invalid", Reason: "no_domain"}),
		{
			Name: "dns-mx-alias", RFC: "RFC 2181 section 10.3", Behaviour: "The MX names an alias, which it must not; it leads to the host all the same.",
			Patience: "following the alias",
			build: func(s *site) {
				h := s.host("host", talks, s.manner)
				s.zone("mx").cname = h.name
				s.mxName(10, "mx."+s.domain.name)
			},
		},
		OddHost{
			Name: "dns-mx-nowhere", RFC: "RFC 5321 section 5.1", Behaviour: "The only MX names a host that does not exist; the domain's own address must not be used.",
			build: func(s *site) {
				s.mxName(10, "gone."+s.domain.name)
				s.zone("").a = []netip.Addr{s.trap("www").addr}
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "dns-mx-no-address", RFC: "RFC 5321 section 5.1", Behaviour: "The only MX names a host without an address.",
			build: func(s *site) {
				s.zone("mx")
				s.mxName(10, "mx."+s.domain.name)
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "dns-mx-ip", RFC: "RFC 5321 section 2.3.5", Behaviour: "The only MX names an IP address instead of a host.",
			build: func(s *site) {
				h := s.trap("host")
				s.mxName(10, h.addr.String())
			},
		}.both(Truth{Verdict: "invalid", Reason: "no_mail_host"}),
		OddHost{
			Name: "dns-mx-address-servfail", RFC: "RFC 2308 section 7.1", Behaviour: "The MX is known, its address gets SERVFAIL.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("mx").addrFault = faultServFail
			},
		}.both(honest("dns_error")),
		{
			Name: "dns-first-mx-nowhere", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX names a host that does not exist, the second answers.",
			build: func(s *site) {
				s.mxName(5, "gone."+s.domain.name)
				s.mx(10, s.host("mx", talks, s.manner))
			},
		},
		OddHost{
			Name: "dns-first-mx-nowhere-second-servfail", RFC: "RFC 2308 section 7.1", Behaviour: "The first MX names a host that does not exist, the address of the second gets SERVFAIL.",
			build: func(s *site) {
				s.mxName(5, "gone."+s.domain.name)
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("mx").addrFault = faultServFail
			},
		}.both(honest("dns_error")),
		{
			Name: "mx-first-refuses", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX refuses connections, the second answers.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", refuses, s.manner))
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
		{
			Name: "mx-first-blackhole", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX never answers the handshake, the second answers.", Patience: "a connect timeout",
			build: func(s *site) {
				s.mx(10, s.host("mx1", blackHole, s.manner))
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
		{
			Name: "mx-first-421", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX greets with 421, the second answers.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, manner{rules: []rule{{at: atBanner, say: "421 4.3.2 Busy", then: hangUp}}}))
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
		{
			Name: "mx-first-drops", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX closes the connection at EHLO and HELO, the second answers.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, manner{rules: []rule{
					{at: atEhlo, mute: true, then: hangUp}, {at: atHelo, mute: true, then: hangUp},
				}}))
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
		{
			Name: "mx-backup-accepts-all", RFC: "RFC 5321 section 5.1", Behaviour: "The second MX accepts everything; only the first knows the mailboxes.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, s.manner))
				s.mx(20, s.trap("mx2"))
			},
		},
		{
			Name: "mx-backup-alone", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX, which knows the mailboxes, cannot be reached; the second accepts everything.",
			Existing: honest("catch_all_unknown"), Missing: honest("catch_all_unknown"),
			build: func(s *site) {
				s.mx(10, s.host("mx1", refuses, s.manner))
				s.mx(20, s.trap("mx2"))
			},
		},
		{
			Name: "mx-backup-after", RFC: "RFC 5321 section 5.1", Behaviour: "The first MX, which knows the mailboxes, turns away all sessions but one; the second accepts everything.",
			Patience: "the first MX, when it has time",
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, manner{rules: []rule{
					{at: atBanner, in: byClient, from: 2, mute: true, then: hangUp},
					{at: atRcpt, from: 4, mute: true, then: hangUp},
				}}))
				s.mx(20, s.trap("mx2"))
			},
		},
		{
			Name: "mx-equal-accepts-all", RFC: "RFC 5321 section 5.1", Behaviour: "Two MX of equal preference; one accepts everything, the other knows the mailboxes.",
			Patience: "asking both",
			Existing: Truth{Verdict: "valid", Reason: "accepted", Also: []string{"catch_all"}},
			Missing:  Truth{Verdict: "invalid", Reason: "no_such_user", Also: []string{"catch_all"}},
			build: func(s *site) {
				s.mx(10, s.host("mx1", talks, s.manner))
				s.mx(10, s.trap("mx2"))
			},
		},
		{
			Name: "mx-backup-refuses-all", RFC: "RFC 5321 section 5.1", Behaviour: "The second MX denies relaying; only the first knows the mailboxes. The record of the second comes first in the answer.",
			build: func(s *site) {
				s.mx(20, s.host("mx2", talks, always(atRcpt, "554 5.7.1 Relay access denied")))
				s.mx(10, s.host("mx1", talks, s.manner))
			},
		},
		{
			Name: "mx-equal", RFC: "RFC 5321 section 5.1", Behaviour: "Four MX of equal preference, two of them dead.",
			build: func(s *site) {
				s.mx(10, s.host("mx1", refuses, s.manner))
				s.mx(10, s.host("mx2", talks, s.manner))
				s.mx(10, s.host("mx3", refuses, s.manner))
				s.mx(10, s.host("mx4", talks, s.manner))
			},
		},
		{
			Name: "mx-twenty", RFC: "RFC 5321 section 5.1", Behaviour: "Nineteen dead MX come before the one that answers.", Patience: "trying twenty hosts",
			build: func(s *site) {
				for i := range 19 {
					s.mx(uint16(i), s.host("dead"+string(rune('a'+i)), refuses, s.manner))
				}
				s.mx(99, s.host("mx", talks, s.manner))
			},
		},
		{
			Name: "mx-addresses", RFC: "RFC 5321 section 5.1", Behaviour: "The MX has three addresses, and only the last answers.", Patience: "trying every address of a host",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				s.zone("mx").a = []netip.Addr{s.host("dead1", refuses, s.manner).addr, s.host("dead2", refuses, s.manner).addr, h.addr}
				s.mx(10, h)
			},
		},
		{
			Name: "mx-twice", Behaviour: "The same MX is listed three times.",
			build: func(s *site) {
				h := s.host("mx", talks, s.manner)
				s.mx(10, h)
				s.mx(10, h)
				s.mx(20, h)
			},
		},
		{
			Name: "mx-upper-case", RFC: "RFC 4343 section 2", Behaviour: "DNS writes the MX in upper case.",
			build: func(s *site) {
				s.host("mx", talks, s.manner)
				s.mxName(10, "MX.MX-UPPER-CASE.ODD.TEST")
			},
		},
		{
			Name: "mx-ttl-zero", RFC: "RFC 1035 section 3.2.1", Behaviour: "Answers may not be kept: their TTL is 0.",
			build: func(s *site) {
				s.mx(10, s.host("mx", talks, s.manner))
				s.zone("").ttl0, s.zone("mx").ttl0 = true, true
			},
		},
		{
			Name: "mx-preference-65535", RFC: "RFC 1035 section 3.3.9", Behaviour: "The only MX has the highest preference value there is.",
			build: func(s *site) { s.mx(65535, s.host("mx", talks, s.manner)) },
		},
		OddHost{
			Name: "mx-localhost", RFC: "RFC 6761 section 6.3", Behaviour: "The only MX names localhost, which has a loopback address.",
			build: func(s *site) {
				s.world.record("localhost").a = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
				s.mxName(10, "localhost")
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-loopback", RFC: "RFC 1122 section 3.2.1.3", Behaviour: "The only MX has a loopback address.",
			build: func(s *site) { s.mxAt("mx", "127.0.0.1") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-private", RFC: "RFC 1918 section 3", Behaviour: "Two MX have addresses in private networks.",
			build: func(s *site) {
				s.mxAt("mx1", "10.11.12.13")
				s.mxAt("mx2", "192.168.1.25")
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-link-local", RFC: "RFC 3927 section 2.7", Behaviour: "The only MX has a link-local address.",
			build: func(s *site) { s.mxAt("mx", "169.254.169.254") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-unspecified", RFC: "RFC 1122 section 3.2.1.3", Behaviour: "The only MX has the address 0.0.0.0.",
			build: func(s *site) { s.mxAt("mx", "0.0.0.0") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-multicast", RFC: "RFC 5771 section 3", Behaviour: "The only MX has a multicast address.",
			build: func(s *site) { s.mxAt("mx", "224.0.0.251") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-documentation", RFC: "RFC 9637 section 3", Behaviour: "The MX have addresses that are for documentation only.",
			build: func(s *site) {
				s.mxAt("mx1", "203.0.113.25")
				s.mxAt("mx2", "3fff:0:1::25")
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-unique-local", RFC: "RFC 4193 section 3", Behaviour: "The only MX has an IPv6 address of a private network.",
			build: func(s *site) { s.mxAt("mx", "fd12:3456::25") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "mx-mapped-loopback", RFC: "RFC 4291 section 2.5.5.2", Behaviour: "The only MX has a loopback address, written as IPv6.",
			build: func(s *site) { s.mxAt("mx", "::ffff:127.0.0.1") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "dns-implicit-loopback", RFC: "RFC 5321 section 5.1", Behaviour: "Has no MX and a loopback address.",
			build: func(s *site) { s.zone("").a = []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		}.both(invalid("no_mail_host")),
		{
			Name: "mx-first-private", RFC: "RFC 1918 section 3", Behaviour: "The first MX has a private address, the second answers.",
			build: func(s *site) {
				s.mxAt("mx1", "172.16.0.25")
				s.mx(20, s.host("mx2", talks, s.manner))
			},
		},
	}
}
