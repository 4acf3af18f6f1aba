package maillab

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// OddHost is one entry of the fault table: a domain whose mail host or DNS has
// one odd behaviour. Its mailboxes are user1, user2, …; about half exist.
type OddHost struct {
	Name      string
	Behaviour string // one sentence
	RFC       string // where the protocol speaks of it; empty for mere habits
	// Existing and Missing are the truth about mailboxes that exist and those
	// that do not. Left out, they are valid and invalid (no_such_user).
	Existing, Missing Truth
	// Patience says what the truth takes where an honest client may give up.
	Patience string

	manner   manner
	build    func(s *site)             // DNS and hosts; nil is one host behind one MX
	twin     bool                      // there is a second domain without PIPELINING
	everyone bool                      // RCPT is accepted with any local part
	domain   string                    // instead of Name + ".odd.test"
	spell    string                    // of mailbox n, instead of "user%d"
	read     func(local []byte) []byte // turns the spelling into "user%d" again
}

// Truths that say nothing about the mailbox, for Existing and Missing alike.
var (
	mailboxFullTruth = Truth{Verdict: "risky", Reason: "mailbox_full", Also: []string{"invalid"}}
	catchAllTruth    = Truth{Verdict: "catch_all", Reason: "domain_accepts_all"}
)

func honest(reason string) Truth { return Truth{Verdict: "unknown", Reason: reason} }

func invalid(reason string) Truth { return Truth{Verdict: "invalid", Reason: reason} }

// both makes one truth that of existing and missing mailboxes.
func (o OddHost) both(t Truth) OddHost {
	o.Existing, o.Missing = t, t
	return o
}

// reading turns the spelling of a mailbox into "user%d", where it is one.
func (o *OddHost) reading(local []byte) []byte {
	if o.read == nil {
		return local
	}
	return o.read(local)
}

// Domain is the domain with the odd behaviour.
func (o *OddHost) Domain() string {
	if o.domain != "" {
		return o.domain
	}
	return o.Name + ".odd.test"
}

// PlainDomain is a second domain with the same behaviour whose host does not
// offer PIPELINING; empty where that makes no difference.
func (o *OddHost) PlainDomain() string {
	if !o.twin {
		return ""
	}
	return o.Name + ".odd-plain.test"
}

// Counts reports whether the host's behaviour depends on how much it is asked, or
// how fast.
func (o OddHost) Counts() bool {
	m := &o.manner
	return m.maxSessions > 0 || m.maxPerSecond > 0 || m.pause > 0 || m.idle > 0 || m.greylist != noGreylist ||
		slices.ContainsFunc(m.rules, func(r rule) bool { return r.from > 1 || r.to > 0 })
}

func (o *OddHost) truth(m mailbox) Truth {
	if m == exists && o.Existing.Verdict != "" {
		return o.Existing
	}
	if m == missing && o.Missing.Verdict != "" {
		return o.Missing
	}
	return m.truth()
}

// OddHosts returns the fault table.
func OddHosts() []OddHost {
	return slices.Concat(oddSMTP(), oddRefusals(), oddDNS(), oddKinds(), oddMore(), oddTurns())
}

// addOdd builds the fault table's domains.
func (w *World) addOdd() {
	w.zone["odd.test"], w.zone["odd-plain.test"] = &records{}, &records{}
	table := OddHosts()
	if w.config.Limits {
		table = append(table, LimitHosts(w.config.LimitWindow)...)
	}
	for i := range table {
		o := &table[i]
		w.addOddDomain(o, o.Domain(), o.manner)
		if o.twin {
			plain := o.manner
			plain.noPipelining = true
			plain.rules = slices.Clone(plain.rules)
			for j := range plain.rules {
				plain.rules[j].say = pipeliningLine.ReplaceAllString(plain.rules[j].say, "${1}DSN")
			}
			w.addOddDomain(o, o.PlainDomain(), plain)
		}
	}
}

var pipeliningLine = regexp.MustCompile(`(?i)(250[ -])pipelining *`)

func (w *World) addOddDomain(o *OddHost, name string, m manner) {
	if m.voice.banner == "" {
		m.voice = plainVoice
	}
	d := &domain{name: asciiDomain(name), kind: Odd, odd: o, everyone: o.everyone}
	w.domains[d.name] = d
	s := &site{world: w, domain: d, manner: m}
	if o.build == nil {
		s.mx(10, s.host("mx", talks, m))
		return
	}
	o.build(s)
}

// site is a domain of the fault table while it is built.
type site struct {
	world  *World
	domain *domain
	manner manner // the entry's
}

// host adds a mail host called label.domain that takes the domain's mail.
func (s *site) host(label string, r reach, m manner) *host {
	if m.voice.banner == "" {
		m.voice = plainVoice
	}
	h := s.world.newHost(label+"."+s.domain.name, r, &m)
	s.domain.hosts = append(s.domain.hosts, h)
	return h
}

// mx adds an MX record of the domain.
func (s *site) mx(preference uint16, h *host) { s.mxName(preference, h.name) }

func (s *site) mxName(preference uint16, name string) {
	r := s.zone("")
	r.mx = append(r.mx, mx{preference, name})
}

// mxAt adds an MX record whose host has an address outside the lab.
func (s *site) mxAt(label, addr string) {
	r := s.zone(label)
	if at := netip.MustParseAddr(addr); at.Is4() {
		r.a = append(r.a, at)
	} else {
		r.aaaa = append(r.aaaa, at)
	}
	s.mxName(10, label+"."+s.domain.name)
}

// zone returns the records of label.domain, or of the domain itself.
func (s *site) zone(label string) *records {
	if label == "" {
		return s.world.record(s.domain.name)
	}
	return s.world.record(label + "." + s.domain.name)
}

// trap adds a host that accepts every recipient and must not be asked.
func (s *site) trap(label string) *host {
	return s.host(label, talks, manner{rules: []rule{{at: atRcpt, say: "250 2.1.5 Ok"}}})
}

// loopback6 is the one IPv6 address of every machine.
var loopback6 = netip.IPv6Loopback()

// numbered spells a line n times with its number.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i+1)
	}
	return b.String()
}

// asciiDomain is the domain as it stands in DNS (RFC 5890).
func asciiDomain(name string) string {
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return name
	}
	return ascii
}
