package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

const ourAddress = "95.216.10.7"

// good is a zone in which nothing is wrong with us.
var good = []string{
	"mail.ours.example. A " + ourAddress,
	"7.10.216.95.in-addr.arpa. PTR mail.ours.example.",
	"ours.example. MX 10 mail.ours.example.",
	`ours.example. TXT "v=spf1 ip4:95.216.10.0/28 -all"`,
}

// checked returns the states of the checks in a lab with these records.
func checked(t *testing.T, change func(*verify.Config), records ...string) (verify.IdentityReport, map[string]verify.IdentityCheck) {
	t.Helper()
	var zone []dns.RR
	for _, text := range records {
		record, err := dns.NewRR(strings.Replace(text, " ", " 60 IN ", 1))
		require.NoError(t, err, text)
		zone = append(zone, record)
	}
	lab, err := maillab.Start(maillab.Config{Domains: 20, Records: zone})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	cfg := verify.Config{
		DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), Helo: "mail.ours.example", From: "verify@ours.example",
		PublicAddr: ourAddress, DNSBLZones: []string{"bl.example", "zen.example"}, Canaries: lab.World().Domains()[:3],
	}
	if change != nil {
		change(&cfg)
	}
	report, err := verify.CheckIdentity(t.Context(), cfg)
	require.NoError(t, err)
	checks := map[string]verify.IdentityCheck{}
	for _, check := range report.Checks {
		checks[check.Check] = check
	}
	return report, checks
}

func TestIdentityThatMailHostsTrust(t *testing.T) {
	report, _ := checked(t, nil, good...)
	for _, check := range report.Checks {
		if check.Check != "port_25" { // the canary may be one of the lab's that refuses everyone
			require.Equal(t, verify.CheckOK, check.State, "%s: %s", check.Check, check.Detail)
		}
	}
	require.Equal(t, ourAddress, report.Address)
}

// Each point that fails says what to do about it.
func TestIdentityThatMailHostsDistrust(t *testing.T) {
	without := func(i int, more ...string) []string {
		zone := append([]string{}, good[:i]...)
		return append(append(zone, good[i+1:]...), more...)
	}
	for _, c := range []struct {
		name, check, says, advice string
		records                   []string
		change                    func(*verify.Config)
	}{
		{"a bare name", "helo", `"box" is not a full host name`, "HOLDFAST_SMTP_HELO", good, func(c *verify.Config) { c.Helo = "box" }},
		{"a name without an address", "helo", "has no address", "A or AAAA record", without(0), nil},
		{"a name of another address", "helo", "not to " + ourAddress, "HOLDFAST_SMTP_HELO", without(0, "mail.ours.example. A 95.216.10.9"), nil},
		{"an address without a name", "reverse_dns", "has no name", "hosting provider", without(1), nil},
		{
			"an address of another name", "reverse_dns", "is called box.host.example", "reverse DNS to mail.ours.example",
			without(1, "7.10.216.95.in-addr.arpa. PTR box.host.example."), nil,
		},
		{"a name that does not resolve back", "reverse_dns", "does not resolve back", "A or AAAA", without(0, "mail.ours.example. A 95.216.10.9"), nil},
		{"a sender that takes no mail", "mail_from", "takes no mail (null_mx)", "MX record", without(2, "ours.example. MX 0 ."), nil},
		{"a sender at no domain", "mail_from", "takes no mail (no_domain)", "MX record", good, func(c *verify.Config) { c.From = "verify@nowhere.example" }},
		{"no SPF", "spf", "has no SPF record", "ip4:" + ourAddress, without(3), nil},
		{"an SPF without us", "spf", "does not let", "ip4:" + ourAddress, without(3, `ours.example. TXT "v=spf1 mx:other.example -all"`), nil},
		{"a broken SPF", "spf", "is broken", "ip4:" + ourAddress, without(3, `ours.example. TXT "v=spf1 ip4:nonsense -all"`), nil},
		{"a list", "dnsbl", "is on bl.example", "taken off", append([]string{"7.10.216.95.bl.example. A 127.0.0.2"}, good...), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, checks := checked(t, c.change, c.records...)
			require.Equal(t, verify.CheckFailed, checks[c.check].State, "%+v", checks[c.check])
			require.Contains(t, checks[c.check].Detail, c.says)
			require.Contains(t, checks[c.check].Advice, c.advice)
			require.False(t, report.OK)
		})
	}
	_, checks := checked(t, nil, append([]string{"7.10.216.95.bl.example. A 127.255.255.254", "7.10.216.95.zen.example. A 127.255.255.252"}, good...)...)
	require.Equal(t, verify.CheckUnknown, checks["dnsbl"].State, "a list that refuses our resolver says nothing about us")
	_, checks = checked(t, func(c *verify.Config) { c.PublicAddr, c.SourceAddr = "", "127.0.0.1" }, good...)
	require.NotEqual(t, verify.CheckOK, checks["spf"].State+checks["address"].State, "an address that is not known proves nothing")
}

// The default name, that of a machine without a domain, is refused in a sentence.
func TestABareHostNameIsRefused(t *testing.T) {
	for _, helo := range []string{"box", "localhost", "box.local", "box.lan", "ip-10-0-0-5.ec2.internal", "box.home.arpa", "BOX.LOCALDOMAIN", "192.0.2.1"} {
		_, err := verify.New(verify.Config{DNSServers: []string{"127.0.0.1:53"}, Helo: helo})
		require.ErrorContains(t, err, fmt.Sprintf("mail hosts refuse the EHLO name %q", helo))
		require.ErrorContains(t, err, "HOLDFAST_SMTP_HELO")
	}
	e, err := verify.New(verify.Config{DNSServers: []string{"127.0.0.1:53"}, Helo: "mail.ours.example"})
	require.NoError(t, err)
	e.Close()
}

// TestEachIdentityIsChecked: each has a report of its own, by its name and address.
func TestEachIdentityIsChecked(t *testing.T) {
	lab, err := maillab.Start(maillab.Config{Domains: 20})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	cfg := verify.Config{
		DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), DNSBLZones: []string{}, Canaries: lab.World().Domains()[:3],
	}
	list := identities(2)
	list[0].PublicAddr, list[1].PublicAddr = ourAddress, "95.216.10.8"
	lab.List(source(2))
	reports, err := verify.CheckIdentities(t.Context(), cfg, list)
	require.NoError(t, err)
	require.Len(t, reports, 2)
	for i, state := range []string{verify.CheckOK, verify.CheckFailed} {
		require.Equal(t, list[i].Name, reports[i].Name)
		require.Equal(t, list[i].PublicAddr, reports[i].Address)
		checks := reports[i].Checks
		require.Equal(t, state, checks[len(checks)-1].State, "port 25 of %s: %s", list[i].Name, checks[len(checks)-1].Detail)
	}
}
