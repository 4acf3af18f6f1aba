package workflows_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/internal/verdicts"
)

const (
	deadDomains = 60
	deadEach    = 20 // addresses
)

// deadHosts are the records of domains whose mail hosts are down, one each.
func deadHosts() (zone []dns.RR) {
	for i := range deadDomains {
		name := fmt.Sprintf("dead%d.example.", i)
		header := func(name string, kind uint16) dns.RR_Header {
			return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 60}
		}
		zone = append(zone,
			&dns.MX{Hdr: header(name, dns.TypeMX), Preference: 10, Mx: "mx." + name},
			&dns.A{Hdr: header("mx."+name, dns.TypeA), A: []byte{127, 127, 0, byte(i + 1)}})
	}
	return zone
}

// An order whose good addresses are all remembered meets dead hosts alone. That
// is no outage of ours: what the dead ones leave open is unknown and free, and
// the order ends at once.
func TestAnOrderThatMeetsDeadHostsAloneIsNoOutage(t *testing.T) {
	s := realStack(t)
	rows, err := s.Pool.Query(t.Context(), `SELECT email FROM lead WHERE id = ANY ($1)`, s.withVerdict(t, 40, "valid", "true"))
	require.NoError(t, err)
	good, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	org := s.org(t, "prepaid-verification", map[string]int64{"email": 5000})
	verified := func(key string, emails []string) order.Order {
		return s.settled(t, intake.Submission{Org: org, Key: key, Request: order.Request{Kind: order.Verify}, Emails: emails})
	}
	require.EqualValues(t, len(good), verified("good", good).Tally.Valid)
	require.EqualValues(t, 5000-len(good), s.available(t, org, "", "email"))

	// A worker that has met no host yet.
	s.anotherWorker(t)
	_, before, err := verdicts.Outages(t.Context(), s.Pool)
	require.NoError(t, err)
	all := append([]string(nil), good...)
	for i := range deadDomains * deadEach {
		all = append(all, fmt.Sprintf("user%d@dead%d.example", i/deadDomains, i%deadDomains))
	}
	o := verified("dead", all)
	require.EqualValues(t, len(good), o.Tally.Valid+o.Tally.AlreadyOwned)
	require.EqualValues(t, deadDomains*deadEach, o.Tally.Unknown)
	for _, r := range o.Reasons {
		if r.Verdict == "unknown" {
			require.Equal(t, "connect_failed", r.Reason)
		}
	}
	var captured int64
	for _, c := range o.Credits {
		captured += c.Captured
	}
	require.LessOrEqual(t, captured, int64(len(good)), "unknown addresses are free")
	require.Equal(t, 5000-int64(len(good))-captured, s.available(t, org, "", "email"))
	now, after, err := verdicts.Outages(t.Context(), s.Pool)
	require.NoError(t, err)
	require.Nil(t, now)
	require.Equal(t, before, after)
}
