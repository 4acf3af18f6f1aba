package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"blitiri.com.ar/go/spf"

	"holdfast/internal/netguard"
)

// States of an identity's check.
const (
	CheckOK      = "ok"
	CheckFailed  = "failed"
	CheckUnknown = "unknown" // it could not be found out
)

// IdentityCheck is one point of how mail hosts see us.
type IdentityCheck struct {
	Check  string `json:"check"`  // address, helo, reverse_dns, mail_from, spf, dnsbl, port_25
	State  string `json:"state"`  // ok, failed, unknown
	Detail string `json:"detail"` // what was found
	Advice string `json:"advice,omitempty"`
}

// IdentityReport is how mail hosts see one of our identities.
type IdentityReport struct {
	Name      string          `json:"name,omitempty"` // where there are several
	Helo      string          `json:"helo"`
	From      string          `json:"from"`
	Address   string          `json:"address"` // by which mail hosts see us; empty where it is not known
	OK        bool            `json:"ok"`      // no check failed
	Checks    []IdentityCheck `json:"checks"`
	CheckedAt time.Time       `json:"checked_at"`
}

// DNSBLZones are the lists of senders that are asked where the configuration
// names none.
var DNSBLZones = []string{"zen.spamhaus.org", "b.barracudacentral.org", "bl.spamcop.net", "psbl.surriel.com"}

// identityWithin bounds the check of an identity.
const identityWithin = 30 * time.Second

// CheckIdentity finds out how mail hosts would see an engine with this
// configuration, also one that New refuses for its EHLO name.
func CheckIdentity(ctx context.Context, cfg Config) (IdentityReport, error) {
	if err := cfg.complete(); err != nil {
		return IdentityReport{}, err
	}
	e, err := newEngine(cfg)
	if err != nil {
		return IdentityReport{}, err
	}
	defer e.Close()
	return e.CheckIdentity(ctx), nil
}

// CheckIdentities does what CheckIdentity does for each of several identities.
func CheckIdentities(ctx context.Context, cfg Config, list []Identity) ([]IdentityReport, error) {
	if err := checkIdentities(list); err != nil {
		return nil, err
	}
	reports, errs := make([]IdentityReport, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	for i, c := range cfg.configs(list) {
		all.Go(func() {
			reports[i], errs[i] = CheckIdentity(ctx, c)
			reports[i].Name = list[i].Name
		})
	}
	all.Wait()
	return reports, errors.Join(errs...)
}

// CheckIdentity finds out how mail hosts see us, and what to do about it. Only
// DNS and the canaries are asked; no address is.
func (e *Engine) CheckIdentity(ctx context.Context) IdentityReport {
	ctx, cancel := context.WithTimeout(ctx, identityWithin)
	defer cancel()
	c := identityCheck{e: e, dns: e.netResolver()}
	r := IdentityReport{Helo: e.cfg.Helo, From: e.cfg.From, OK: true, CheckedAt: time.Now().UTC()}
	var address IdentityCheck
	c.addr, address = e.seenAddress()
	if c.addr.IsValid() {
		r.Address = c.addr.String()
	}
	steps := []func(context.Context) IdentityCheck{c.helo, c.reverse, c.mailFrom, c.spf, c.dnsbl, c.port25}
	r.Checks = make([]IdentityCheck, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() { r.Checks[i] = step(ctx) })
	}
	all.Wait()
	r.Checks = append([]IdentityCheck{address}, r.Checks...)
	r.OK = !slices.ContainsFunc(r.Checks, func(c IdentityCheck) bool { return c.State == CheckFailed })
	return r
}

type identityCheck struct {
	e    *Engine
	dns  *net.Resolver
	addr netip.Addr // by which mail hosts see us; not valid where it is not known
}

// netResolver asks our name servers what our own resolver does not ask for: TXT
// and PTR records.
func (e *Engine) netResolver() *net.Resolver {
	var turn atomic.Uint32
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := e.cfg.DNSServers[int(turn.Add(1)-1)%len(e.cfg.DNSServers)]
		return (&net.Dialer{Timeout: e.cfg.DNSTimeout}).DialContext(ctx, network, server)
	}}
}

// seenAddress is the address by which mail hosts see us: the one configured, or
// the machine's own where that is public.
func (e *Engine) seenAddress() (netip.Addr, IdentityCheck) {
	check := IdentityCheck{Check: "address"}
	for _, text := range []string{e.cfg.PublicAddr, e.cfg.SourceAddr} {
		if addr, err := netip.ParseAddr(text); err == nil && (text == e.cfg.PublicAddr || netguard.Public(addr)) {
			check.State, check.Detail = CheckOK, fmt.Sprintf("mail hosts see %s", addr)
			return addr, check
		}
	}
	check.State = CheckUnknown
	check.Advice = "Set HOLDFAST_SMTP_ADDRESS to the public address of your connections."
	if e.cfg.Proxy != "" {
		check.Detail = "connections go through a proxy, whose address is not known"
		return netip.Addr{}, check
	}
	conn, err := net.Dial("udp", "192.0.2.1:9") //nolint:noctx // chooses a route; sends nothing
	if err != nil {
		check.Detail = "the machine has no route to the internet"
		return netip.Addr{}, check
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	addr := local.AddrPort().Addr().Unmap()
	if !netguard.Public(addr) {
		check.Detail = fmt.Sprintf("the machine's own address %s is private", addr)
		return netip.Addr{}, check
	}
	check.State, check.Detail, check.Advice = CheckOK, fmt.Sprintf("mail hosts see %s", addr), ""
	return addr, check
}

// privateNames end names that are known within a network only (RFC 6761, RFC 6762,
// RFC 8375, and custom).
var privateNames = []string{"local", "localdomain", "localhost", "lan", "internal", "intranet", "home", "corp", "private", "home.arpa", "invalid"}

// isFullName reports whether a HELO name is a domain name that others could
// look up. An address is none.
func isFullName(name string) bool {
	if _, err := parseDomain(name); err != nil {
		return false
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err != nil && !slices.ContainsFunc(privateNames, func(of string) bool { return strings.HasSuffix("."+strings.ToLower(name), "."+of) })
}

func failedCheck(name, advice, format string, args ...any) IdentityCheck {
	return IdentityCheck{Check: name, State: CheckFailed, Detail: fmt.Sprintf(format, args...), Advice: advice}
}

func unknownCheck(name, format string, args ...any) IdentityCheck {
	return IdentityCheck{Check: name, State: CheckUnknown, Detail: fmt.Sprintf(format, args...)}
}

func okCheck(name, format string, args ...any) IdentityCheck {
	return IdentityCheck{Check: name, State: CheckOK, Detail: fmt.Sprintf(format, args...)}
}

// notFound reports whether name servers said that there is no such record.
func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// helo checks that our name in EHLO is a full one and resolves to our address.
func (c identityCheck) helo(ctx context.Context) IdentityCheck {
	const name = "helo"
	helo := c.e.cfg.Helo
	if !isFullName(helo) {
		return failedCheck(name, "Set HOLDFAST_SMTP_HELO to a full host name of yours, such as mail.example.com, that resolves to your address and back.",
			"%q is not a full host name", helo)
	}
	addrs, err := c.dns.LookupIPAddr(ctx, helo+".")
	switch {
	case notFound(err) || err == nil && len(addrs) == 0:
		return failedCheck(name, fmt.Sprintf("Add an A or AAAA record for %s with your address.", helo), "%s has no address", helo)
	case err != nil:
		return unknownCheck(name, "%s could not be looked up: %v", helo, err)
	case !c.addr.IsValid():
		return unknownCheck(name, "%s has the address %s; ours is not known", helo, addrs[0].IP)
	case !slices.ContainsFunc(addrs, func(a net.IPAddr) bool { return a.IP.Equal(c.addr.AsSlice()) }):
		return failedCheck(name, fmt.Sprintf("Let %s resolve to %s, or set HOLDFAST_SMTP_HELO to the name that does.", helo, c.addr),
			"%s resolves to %s, not to %s", helo, addrs[0].IP, c.addr)
	}
	return okCheck(name, "%s resolves to %s", helo, c.addr)
}

// reverse checks that our address resolves to our name, which resolves back
// (FCrDNS).
func (c identityCheck) reverse(ctx context.Context) IdentityCheck {
	const name = "reverse_dns"
	if !c.addr.IsValid() {
		return unknownCheck(name, "our address is not known")
	}
	advice := fmt.Sprintf("Ask the hosting provider of %s to set its reverse DNS to %s.", c.addr, c.e.cfg.Helo)
	names, err := c.dns.LookupAddr(ctx, c.addr.String())
	switch {
	case notFound(err) || err == nil && len(names) == 0:
		return failedCheck(name, advice, "%s has no name (PTR record)", c.addr)
	case err != nil:
		return unknownCheck(name, "the name of %s could not be looked up: %v", c.addr, err)
	case !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSuffix(n, "."), c.e.cfg.Helo) }):
		return failedCheck(name, advice, "%s is called %s, not %s", c.addr, strings.TrimSuffix(names[0], "."), c.e.cfg.Helo)
	}
	addrs, err := c.dns.LookupIPAddr(ctx, c.e.cfg.Helo+".")
	if err != nil && !notFound(err) {
		return unknownCheck(name, "%s could not be looked up: %v", c.e.cfg.Helo, err)
	}
	if !slices.ContainsFunc(addrs, func(a net.IPAddr) bool { return a.IP.Equal(c.addr.AsSlice()) }) {
		return failedCheck(name, fmt.Sprintf("Add an A or AAAA record for %s with %s.", c.e.cfg.Helo, c.addr), "%s is called %s, which does not resolve back", c.addr, c.e.cfg.Helo)
	}
	return okCheck(name, "%s and %s resolve to each other", c.addr, c.e.cfg.Helo)
}

// mailFrom checks that mail to our sender can arrive.
func (c identityCheck) mailFrom(ctx context.Context) IdentityCheck {
	const name = "mail_from"
	from, err := ParseAddress(c.e.cfg.From)
	if err != nil {
		return failedCheck(name, "Set HOLDFAST_SMTP_FROM to an address of yours that takes mail.", "%s is %v", c.e.cfg.From, err)
	}
	p := c.e.dns.pathTo(ctx, from.Domain)
	switch {
	case len(p.top) > 0:
		return okCheck(name, "mail for %s goes to %s", from.Domain, p.top[0].name)
	case p.settled.verdict == Invalid:
		return failedCheck(name, fmt.Sprintf("Add an MX record for %s, or set HOLDFAST_SMTP_FROM to an address at a domain that takes mail.", from.Domain),
			"%s takes no mail (%s)", from.Domain, p.settled.reason)
	}
	return unknownCheck(name, "where mail for %s goes could not be looked up: %s", from.Domain, p.why)
}

// spf checks that the sender's domain lets our address send (RFC 7208).
func (c identityCheck) spf(ctx context.Context) IdentityCheck {
	const name = "spf"
	if !c.addr.IsValid() {
		return unknownCheck(name, "our address is not known")
	}
	_, domain, _ := strings.Cut(c.e.cfg.From, "@")
	result, err := spf.CheckHostWithSender(c.addr.AsSlice(), c.e.cfg.Helo, c.e.cfg.From, spf.WithContext(ctx), spf.WithResolver(c.dns))
	kind := "ip4"
	if c.addr.Is6() {
		kind = "ip6"
	}
	advice := fmt.Sprintf("Put %s:%s into the SPF record (TXT, v=spf1) of %s.", kind, c.addr, domain)
	switch result {
	case spf.Pass:
		return okCheck(name, "%s lets %s send", domain, c.addr)
	case spf.TempError:
		return unknownCheck(name, "the SPF record of %s could not be looked up: %v", domain, err)
	case spf.None:
		return failedCheck(name, advice, "%s has no SPF record", domain)
	case spf.PermError:
		return failedCheck(name, advice, "the SPF record of %s is broken: %v", domain, err)
	case spf.Neutral, spf.SoftFail, spf.Fail:
	}
	return failedCheck(name, advice, "the SPF record of %s does not let %s send (%s)", domain, c.addr, result)
}

// dnsbl checks that no list of senders of unwanted mail has our address
// (RFC 5782).
func (c identityCheck) dnsbl(ctx context.Context) IdentityCheck {
	const name = "dnsbl"
	zones := c.e.cfg.DNSBLZones
	switch {
	case len(zones) == 0:
		return okCheck(name, "no lists are configured")
	case !c.addr.IsValid():
		return unknownCheck(name, "our address is not known")
	}
	var listed, silent []string
	for _, zone := range zones {
		addrs, err := c.dns.LookupIPAddr(ctx, reversed(c.addr)+"."+zone+".")
		switch {
		case notFound(err):
		case err != nil, !slices.ContainsFunc(addrs, func(a net.IPAddr) bool { return isListing(a.IP) }):
			silent = append(silent, zone)
		default:
			listed = append(listed, zone)
		}
	}
	switch {
	case len(listed) > 0:
		return failedCheck(name, "Find out why on the list's site, mend it, and ask to be taken off; send from another address until then.",
			"%s is on %s", c.addr, strings.Join(listed, ", "))
	case len(silent) == len(zones):
		return unknownCheck(name, "no list gave an answer; lists refuse public resolvers, so ask through your own")
	case len(silent) > 0:
		return okCheck(name, "%s is on none of the lists that answered; %s did not", c.addr, strings.Join(silent, ", "))
	}
	return okCheck(name, "%s is on none of %s", c.addr, strings.Join(zones, ", "))
}

// isListing reports whether a list's answer says that the address is on it:
// 127.0.0.0/8, but for what says that we may not ask (127.255.255.0/24).
func isListing(ip net.IP) bool {
	ip = ip.To4()
	return ip != nil && ip[0] == 127 && !(ip[1] == 255 && ip[2] == 255)
}

// reversed is an address as lists are asked for it.
func reversed(addr netip.Addr) string {
	octets := addr.AsSlice()
	var labels []string
	for _, octet := range slices.Backward(octets) {
		if addr.Is4() {
			labels = append(labels, fmt.Sprint(octet))
		} else {
			labels = append(labels, fmt.Sprintf("%x", octet&15), fmt.Sprintf("%x", octet>>4))
		}
	}
	return strings.Join(labels, ".")
}

// port25 checks that mail hosts can be reached and take our sender.
func (c identityCheck) port25(ctx context.Context) IdentityCheck {
	name := "port_25"
	if len(c.e.canaryList(ctx)) == 0 {
		return unknownCheck(name, "there is no mail host to try; name the domain of one in HOLDFAST_SMTP_CANARIES")
	}
	says, why := c.e.askMailHosts(ctx)
	switch says {
	case answered:
		return okCheck(name, "a mail host greeted us and took our sender")
	case refused:
		if why.reason == ConnectFailed || why.reason == ConnectionLost {
			return failedCheck(name, "Ask your hosting provider to open outgoing TCP port 25, or set HOLDFAST_SMTP_PROXY to a proxy outside.", "no mail host could be reached: %s", why.example)
		}
		return failedCheck(name, "Mend the failing points above, or send from another address.", "mail hosts refuse us (%s): %s", why.reason, why.example)
	case cannotTell:
	}
	return unknownCheck(name, "the mail hosts that were tried did not say")
}
