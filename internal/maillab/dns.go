package maillab

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// records is what DNS says for one name.
type records struct {
	mx    []mx
	a     []netip.Addr
	aaaa  []netip.Addr
	cname string
	ttl   uint32 // seconds; 0 means 300
	ttl0  bool   // really zero

	mxFault   fault // instead of an MX answer
	addrFault fault // instead of an A or AAAA answer
}

type mx struct {
	preference uint16
	host       string
}

// fault is a way for an answer to go wrong.
type fault int

const (
	noFault       fault = iota
	faultServFail       // SERVFAIL (RFC 1035 section 4.1.1)
	faultRefused        // REFUSED
	faultSilent         // no answer at all
	faultLoseOne        // the first question over UDP is lost
	faultFailOne        // SERVFAIL to the first question
	faultTruncate       // TC over UDP, the whole over TCP (RFC 1035 section 4.2.2)
	faultCutOff         // TC over UDP, and TCP is closed
	faultNoEDNS         // FORMERR to questions with EDNS (RFC 6891 section 7)
	faultReferral       // a referral to the root (RFC 1912 section 2.8)
	faultNameless       // NXDOMAIN though other types exist (RFC 4074 section 4.2)
)

const defaultTTL = 300

// ServeDNS answers like a recursive resolver that knows the lab and nothing
// else: every other name does not exist.
func (l *Lab) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	l.countQuery(q)
	if l.dnsDark.Load() {
		return
	}
	overTCP := w.RemoteAddr().Network() == "tcp"
	answer := new(dns.Msg)
	answer.SetReply(q)
	answer.RecursionAvailable = true
	if len(q.Question) != 1 {
		answer.Rcode = dns.RcodeFormatError
		l.answer(w, q, answer, overTCP)
		return
	}
	question := q.Question[0]
	switch f := l.faultOf(question); f {
	case faultSilent:
		return
	case faultLoseOne:
		if !overTCP && l.nth(question) == 1 {
			return
		}
	case faultFailOne:
		if l.nth(question) == 1 {
			answer.Rcode = dns.RcodeServerFailure
		}
	case faultServFail:
		answer.Rcode = dns.RcodeServerFailure
	case faultRefused:
		answer.Rcode = dns.RcodeRefused
	case faultNoEDNS:
		if q.IsEdns0() != nil {
			answer.Rcode = dns.RcodeFormatError
		}
	case faultReferral:
		referral(answer)
		l.answer(w, q, answer, overTCP)
		return
	case faultNameless:
		answer.Rcode = dns.RcodeNameError
	case faultTruncate, faultCutOff:
		if !overTCP {
			answer.Truncated = true
			l.answer(w, q, answer, overTCP)
			return
		}
		if f == faultCutOff {
			w.Close() //nolint:errcheck // that is the fault
			return
		}
	case noFault:
	}
	if answer.Rcode == dns.RcodeSuccess {
		l.resolve(answer, question)
	}
	l.answer(w, q, answer, overTCP)
}

// answer sends an answer after the lab's latency, cut to what the client takes.
func (l *Lab) answer(w dns.ResponseWriter, q, answer *dns.Msg, overTCP bool) {
	edns := q.IsEdns0()
	if edns != nil && answer.Rcode != dns.RcodeFormatError {
		answer.SetEdns0(1232, false)
	}
	if !overTCP {
		size := dns.MinMsgSize
		if edns != nil { // 1232 octets pass every network unfragmented
			size = max(size, min(int(edns.UDPSize()), 1232))
		}
		answer.Truncate(size)
	}
	if l.sleep(l.world.config.Latency) {
		w.WriteMsg(answer) //nolint:errcheck // the client may be gone
	}
}

// records answers with what the configuration has under a name.
func (l *Lab) records(answer *dns.Msg, question dns.Question) (known bool) {
	for _, r := range l.world.config.Records {
		if strings.EqualFold(r.Header().Name, question.Name) {
			known = true
			if r.Header().Rrtype == question.Qtype {
				answer.Answer = append(answer.Answer, r)
			}
		}
	}
	if known && len(answer.Answer) == 0 {
		answer.Ns = []dns.RR{soa()}
	}
	return known
}

// resolve fills in the answer to a question, following aliases.
func (l *Lab) resolve(answer *dns.Msg, question dns.Question) {
	name := question.Name
	if known := l.records(answer, question); known {
		return
	}
	for range 9 {
		r := l.world.zone[key(name)]
		if r == nil {
			answer.Rcode = dns.RcodeNameError
			answer.Ns = []dns.RR{soa()}
			return
		}
		header := func(rrtype uint16) dns.RR_Header {
			ttl := r.ttl
			if ttl == 0 && !r.ttl0 {
				ttl = defaultTTL
			}
			return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
		}
		if r.cname != "" {
			answer.Answer = append(answer.Answer, &dns.CNAME{Hdr: header(dns.TypeCNAME), Target: dns.Fqdn(r.cname)})
			name = dns.Fqdn(r.cname)
			continue
		}
		before := len(answer.Answer)
		switch question.Qtype {
		case dns.TypeMX:
			for _, m := range r.mx {
				answer.Answer = append(answer.Answer, &dns.MX{Hdr: header(dns.TypeMX), Preference: m.preference, Mx: dns.Fqdn(m.host)})
			}
		case dns.TypeA:
			for _, addr := range r.a {
				answer.Answer = append(answer.Answer, &dns.A{Hdr: header(dns.TypeA), A: addr.AsSlice()})
			}
		case dns.TypeAAAA:
			for _, addr := range r.aaaa {
				answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: header(dns.TypeAAAA), AAAA: addr.AsSlice()})
			}
		}
		if len(answer.Answer) == before {
			answer.Ns = []dns.RR{soa()}
		}
		return
	}
	answer.Rcode = dns.RcodeServerFailure // aliases without end
}

// soa says how long "there is none" may be kept (RFC 2308).
func soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: defaultTTL},
		Ns:  "ns.lab.test.", Mbox: "hostmaster.lab.test.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: defaultTTL,
	}
}

func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// faultOf returns what goes wrong with a question.
func (l *Lab) faultOf(q dns.Question) fault {
	r := l.world.zone[key(q.Name)]
	if r == nil {
		return noFault
	}
	if q.Qtype == dns.TypeMX {
		return r.mxFault
	}
	if r.addrFault == faultNameless && q.Qtype != dns.TypeAAAA {
		return noFault
	}
	return r.addrFault
}

// nth counts how often a question was asked.
func (l *Lab) nth(q dns.Question) int {
	l.askedMu.Lock()
	defer l.askedMu.Unlock()
	k := question{key(q.Name), q.Qtype}
	l.asked[k]++
	return l.asked[k]
}

type question struct {
	name   string
	rrtype uint16
}

func (l *Lab) countQuery(q *dns.Msg) {
	if len(q.Question) == 0 {
		return
	}
	switch q.Question[0].Qtype {
	case dns.TypeMX:
		l.queries[queryMX].Add(1)
	case dns.TypeA:
		l.queries[queryA].Add(1)
	case dns.TypeAAAA:
		l.queries[queryAAAA].Add(1)
	default:
		l.queries[queryOther].Add(1)
	}
}

const (
	queryMX = iota
	queryA
	queryAAAA
	queryOther
	queryTypes
)
