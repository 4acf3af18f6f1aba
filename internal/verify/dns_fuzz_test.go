package verify

import (
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// FuzzDNSReply_V1: all that a name server sends is refused or read to an end. A name
// is said not to exist only where the server says so, and nothing is kept for longer
// than the longest time.
func FuzzDNSReply_V1(f *testing.F) {
	add := func(reply func(m *dns.Msg)) {
		m := new(dns.Msg).SetQuestion("x.test.", dns.TypeMX)
		m.Response = true
		reply(m)
		packed, err := m.Pack()
		require.NoError(f, err)
		f.Add(packed)
	}
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		require.NoError(f, err)
		return rr
	}
	add(func(m *dns.Msg) {
		m.Answer = []dns.RR{record("x.test. 60 IN MX 10 mx.x.test."), record("x.test. 60 IN MX 0 .")}
	})
	add(func(m *dns.Msg) {
		m.Answer = []dns.RR{record("x.test. 60 IN CNAME y.test."), record("y.test. 60 IN CNAME x.test.")}
	})
	add(func(m *dns.Msg) {
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{record("test. 60 IN SOA a.test. b.test. 1 2 3 4 4294967295")}
	})
	add(func(m *dns.Msg) { m.Ns = []dns.RR{record("test. 60 IN NS ns.test.")} })
	f.Fuzz(func(t *testing.T, packed []byte) {
		reply := new(dns.Msg)
		if reply.Unpack(packed) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeMX, dns.TypeA, dns.TypeAAAA} {
			a, alias, err := read(dnsQuestion{name: "x.test", qtype: qtype}, reply)
			if err != nil {
				continue
			}
			require.LessOrEqual(t, len(a.mx)+len(a.addrs), len(reply.Answer))
			if a.status == dnsNXDomain {
				require.Equal(t, dns.RcodeNameError, reply.Rcode)
				require.Empty(t, a.mx)
				require.Empty(t, a.addrs)
			}
			if alias != "" {
				require.NotEqual(t, "x.test", alias)
			}
			require.False(t, a.expires.IsZero())
		}
	})
}
