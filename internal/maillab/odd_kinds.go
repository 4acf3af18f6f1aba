package maillab

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// oddKinds is the part of the fault table that has other members of kinds that
// stand in the other parts: limits, greylisting, names that lead astray.
func oddKinds() []OddHost {
	return slices.Concat(moreLimits(), moreGreylisting(), morePaths())
}

// moreLimits are hosts that have enough, in words that name users, mailboxes or
// domains, and hosts that say so to everybody.
func moreLimits() []OddHost {
	after := func(in span, k int, say string) manner {
		return manner{rules: []rule{{at: atRcpt, in: in, from: k + 1, say: say}}}
	}
	const patient = "asking the rest in other sessions"
	var list []OddHost
	for _, t := range []struct {
		name, say string
		in        span
		k         int
	}{
		{"german", "550 Anfragen Ihres Servers werden nicht mehr beantwortet", inSession, 3},
		{"spanish", "550 Servicio no disponible para usted", inSession, 2},
		{"russian", "550 Сервис временно недоступен для вас", inSession, 2},
		{"chinese", "550 您的发信行为异常", inSession, 2},
		{"japanese", "550 ご利用の環境からは受け付けられません", inSession, 1},
		{"transaction", "554 5.5.0 Transaction failed", inSession, 3},
		{"unavailable", "550 Requested action not taken: mailbox unavailable", inSession, 3},
		{"bad-address", "553 Bad address", inSession, 2},
		{"5.2.0", "550 5.2.0 Recipient unavailable", inSession, 2},
		{"network", "554 5.0.0 Network error", inSession, 1},
		{"452", "452 4.5.9 Enough", inSession, 2},
		{"571", "571 Delivery not authorized", inSession, 2},
	} {
		list = append(list, OddHost{
			Name: "kind-tail-" + t.name, Behaviour: "Answers a few recipients a session and says to the rest: " + t.say + ".", twin: true,
			Patience: patient, manner: after(t.in, t.k, t.say),
		})
	}
	for _, t := range []struct {
		name, say string
		k         int
	}{
		{"three", "550 Three unknown users, no more answers", 3},
		{"hosts", "550 Hosts that send to invalid users are refused", 4},
		{"ratio", "554 5.7.1 Ratio of unknown users too high", 5},
		{"french", "550 Trop de destinataires inconnus", 4},
		{"polish", "550 Zbyt wielu nieznanych odbiorców", 3},
	} {
		list = append(list, OddHost{
			Name: "kind-unknown-" + t.name, Behaviour: "Says to all recipients after a few unknown ones of a session: " + t.say + ".", twin: true,
			Patience: "few unknown users a session", manner: after(unknownSoFar, t.k, t.say),
		})
	}
	for _, t := range []struct{ name, say string }{
		{"own-user", "550 Your own mailbox could not be verified: user unknown"},
		{"callback", "550 5.7.1 Callback to your address said: no such user"},
		{"domain", "550 The recipient's domain does not exist"},
		{"server", "550 Сервер получателя не найден"},
		{"backend", "550 5.4.4 storage backend of the mailbox not found"},
		{"table", "550 user table not found"},
		{"login", "550 authentication required for unknown users"},
		{"you", "550 you are unknown to this user"},
		{"honeypot", "550 Our honeypot users do not exist, and you wrote to one"},
		{"submitter", "550 submitter account unknown"},
		{"no-domain-user", "550 this domain has no users"},
		{"quota-sender", "552 Ihr Kontingent ist erschöpft"},
		{"quota-server", "552 server quota reached"},
		{"hosting", "550 hosting account suspended"},
	} {
		list = append(list, OddHost{
			Name: "kind-all-" + t.name, Behaviour: "Says to every recipient: " + t.say + ".", manner: always(atRcpt, t.say),
		}.both(Truth{Verdict: "unknown", Reason: "policy"}))
	}
	for _, t := range []struct {
		name, say string
		k         int
	}{
		{"unavailable", "550 Requested action not taken: mailbox unavailable", 1},
		{"bad-address", "550 Bad address", 2},
		{"451", "451 4.7.1 Come back with fewer", 2},
	} {
		list = append(list, OddHost{
			Name: "kind-all-tail-" + t.name, Behaviour: "Accepts everyone, but only a few a session, and says to the rest: " + t.say + ".", twin: true,
			everyone: true, Patience: patient, manner: after(inSession, t.k, t.say),
		}.both(catchAllTruth))
	}
	return list
}

// moreGreylisting are hosts that put recipients off in words of their own.
func moreGreylisting() (list []OddHost) {
	for _, t := range []struct {
		name, say string
		g         greylist
	}{
		{"421", "421 4.7.1 Please come back in a minute", greylistAll},
		{"450-busy", "450 4.3.2 System busy", greylistAll},
		{"451-german", "451 Bitte versuchen Sie es in wenigen Minuten erneut", greylistAll},
		{"452", "452 4.7.1 Try again in 60 seconds", greylistKnown},
		{"471", "471 4.7.1 Deferred", greylistKnown},
		{"user", "450 4.1.1 <{rcpt}>: user not checked yet, please retry", greylistAll},
	} {
		v := plainVoice
		v.deferred = t.say
		list = append(list, OddHost{
			Name: "kind-grey-" + t.name, RFC: "RFC 6647 section 2.2", Behaviour: "Greylists with " + t.say + ".",
			Patience: "coming back after the greylist delay", manner: manner{voice: v, greylist: t.g},
		})
	}
	return list
}

// morePaths are names that lead astray, or the long way round.
func morePaths() []OddHost {
	return []OddHost{
		{
			Name: "kind-dns-mx-alias-chain", RFC: "RFC 2181 section 10.3", Behaviour: "The MX names an alias of an alias of the host.",
			Patience: "following the aliases",
			build: func(s *site) {
				h := s.host("host", talks, s.manner)
				s.zone("mx").cname = "mx2." + s.domain.name
				s.zone("mx2").cname = "mx3." + s.domain.name
				s.zone("mx3").cname = h.name
				s.mxName(10, "mx."+s.domain.name)
			},
		},
		OddHost{
			Name: "kind-dns-mx-alias-loop", RFC: "RFC 1034 section 3.6.2", Behaviour: "The MX names an alias of an alias of itself.",
			build: func(s *site) {
				s.zone("mx").cname = "mx2." + s.domain.name
				s.zone("mx2").cname = "mx." + s.domain.name
				s.mxName(10, "mx."+s.domain.name)
			},
		}.both(honest("dns_error")),
		OddHost{
			Name: "kind-dns-mx-alias-nowhere", RFC: "RFC 2308 section 2.1", Behaviour: "The MX names an alias of a name that does not exist.",
			build: func(s *site) {
				s.zone("mx").cname = "gone." + s.domain.name
				s.mxName(10, "mx."+s.domain.name)
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "kind-dns-null-mx-10", RFC: "RFC 7505 section 3", Behaviour: "States that it takes no mail, with a preference of 10.",
			build: func(s *site) { s.mxName(10, ".") },
		}.both(invalid("null_mx")),
		{
			Name: "kind-dns-mx-ip-and-host", RFC: "RFC 5321 section 2.3.5", Behaviour: "The first MX names an IP address instead of a host, the second a host.",
			build: func(s *site) {
				s.mxName(5, "192.0.2.25")
				s.mx(10, s.host("mx", talks, s.manner))
			},
		},
		OddHost{
			Name: "kind-dns-mx-ip-private", RFC: "RFC 1918 section 3", Behaviour: "The only MX names a private IP address instead of a host.",
			build: func(s *site) { s.mxName(10, "192.168.7.25") },
		}.both(invalid("no_mail_host")),
		{
			Name: "kind-dns-mx-self", RFC: "RFC 5321 section 5.1", Behaviour: "The domain is its own MX.",
			build: func(s *site) {
				s.zone("").a = []netip.Addr{s.host("www", talks, s.manner).addr}
				s.mxName(10, s.domain.name)
			},
		},
		{
			Name: "kind-dns-alias-implicit", RFC: "RFC 5321 section 5.1", Behaviour: "The domain is an alias of a name that has an address and no MX.",
			build: func(s *site) {
				s.zone("").cname = "real." + s.domain.name
				s.zone("real").a = []netip.Addr{s.host("www", talks, s.manner).addr}
			},
		},
		OddHost{
			Name: "kind-dns-alias-null", RFC: "RFC 7505 section 3", Behaviour: "The domain is an alias of a name that takes no mail.",
			build: func(s *site) {
				s.zone("").cname = "real." + s.domain.name
				s.zone("real").mx = []mx{{0, "."}}
			},
		}.both(invalid("null_mx")),
		OddHost{
			Name: "kind-dns-address-servfail", RFC: "RFC 5321 section 5.1", Behaviour: "Has no MX, and its address gets SERVFAIL.",
			build: func(s *site) { s.zone("").addrFault = faultServFail },
		}.both(honest("dns_error")),
		OddHost{
			Name: "kind-dns-lame", RFC: "RFC 1912 section 2.8", Behaviour: "Its name servers do not know the domain: an answer without records, authority and recursion.",
			build: func(s *site) { s.zone("").mxFault, s.zone("").addrFault = faultReferral, faultReferral },
		}.both(honest("dns_error")),
		{
			Name: "kind-mx-first-lame", RFC: "RFC 1912 section 2.8", Behaviour: "The name servers of the first MX do not know it, the second answers.",
			build: func(s *site) {
				s.mxName(5, "lame."+s.domain.name)
				s.zone("lame").addrFault = faultReferral
				s.mx(10, s.host("mx", talks, s.manner))
			},
		},
		{
			Name: "kind-mx-first-empty-label", RFC: "RFC 1123 section 2.1", Behaviour: "The first MX has a name with an underscore and no address, the second answers.",
			build: func(s *site) {
				s.mxName(5, "_gone."+s.domain.name)
				s.mx(10, s.host("mx", talks, s.manner))
			},
		},
		{
			Name: "kind-mx-slow-banner", RFC: "RFC 5321 section 4.5.3.2.1", Behaviour: "The first MX greets after 300 ms, the second at once.",
			build: func(s *site) {
				slow := s.manner
				slow.rules = []rule{{at: atBanner, after: 300 * time.Millisecond}}
				s.mx(10, s.host("mx1", talks, slow))
				s.mx(20, s.trap("mx2"))
			},
		},
		OddHost{
			Name: "kind-mx-mapped-private", RFC: "RFC 4291 section 2.5.5.2", Behaviour: "The MX have private and loopback addresses in IPv6 clothes.",
			build: func(s *site) {
				s.mxAt("mx1", "::ffff:10.1.2.3")
				s.mxAt("mx2", "fe80::25")
				s.mxAt("mx3", "ff02::1")
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "kind-mx-nat64-private", RFC: "RFC 6052 section 2.1", Behaviour: "The only MX has a loopback address behind the well-known prefix of NAT64.",
			build: func(s *site) { s.mxAt("mx", "64:ff9b::7f00:1") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "kind-mx-shared-space", RFC: "RFC 6598 section 7", Behaviour: "The only MX has an address that carriers share.",
			build: func(s *site) { s.mxAt("mx", "100.64.1.25") },
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "kind-mx-broadcast", RFC: "RFC 919 section 7", Behaviour: "The MX have the broadcast address and one of class E.",
			build: func(s *site) {
				s.mxAt("mx1", "255.255.255.255")
				s.mxAt("mx2", "240.0.0.25")
			},
		}.both(invalid("no_mail_host")),
		OddHost{
			Name: "kind-mx-sub-localhost", RFC: "RFC 6761 section 6.3", Behaviour: "The only MX names a name below localhost.",
			build: func(s *site) { s.mxName(10, "mail.localhost") },
		}.both(invalid("no_mail_host")),
	}
}

// referral is the answer of a server that does not serve the name.
func referral(answer *dns.Msg) {
	answer.RecursionAvailable = false
	answer.Ns = []dns.RR{&dns.NS{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: defaultTTL}, Ns: "a.root-servers.net.",
	}}
}
