// Package netguard says which network addresses lie on the public internet. It
// is the one check for all that connects to an address which others have
// chosen: webhooks, and the mail hosts that DNS names.
package netguard

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
)

// ErrNotPublic says that an address is not on the public internet.
var ErrNotPublic = errors.New("the address is not on the public internet")

// global6 is the one block of IPv6 from which public unicast addresses are
// assigned (RFC 4291 §2.4). What lies outside is not reachable from everywhere.
var global6 = netip.MustParsePrefix("2000::/3")

// special are the blocks with another use among the public addresses, from
// IANA's special-purpose address registries (RFC 6890): of IPv4 all of them, of
// IPv6 those within global6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and the limited broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// Public reports whether the address is a public unicast address.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.Is6() && !global6.Contains(ip) {
		return false
	}
	return !within(special, ip)
}

// Allow are networks that may be connected to although they are not public.
type Allow []netip.Prefix

// Permits reports whether the address may be connected to.
func (a Allow) Permits(ip netip.Addr) bool { return Public(ip) || a.Names(ip) }

// Names reports whether the address lies in one of the networks.
func (a Allow) Names(ip netip.Addr) bool { return within(a, ip.Unmap().WithZone("")) }

// Control refuses the connections that are not permitted. It is meant for
// net.Dialer, which calls it after a name has been resolved: a name that leads
// elsewhere at the second look gains nothing.
func (a Allow) Control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !a.Permits(at.Addr()) {
		return ErrNotPublic
	}
	return nil
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Loopback are the networks of this machine itself.
func Loopback() Allow {
	return Allow{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}
