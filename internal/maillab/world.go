package maillab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config describes a lab. The zero value is a lab of 2,000 domains with no
// added latency on free ports.
type Config struct {
	// Seed decides which domains and mailboxes exist and how hosts behave.
	Seed uint64
	// Domains is the number of company domains; 0 means 2,000. The
	// disposable and free domains and the odd hosts come on top.
	Domains int
	// SharedHosts is the number of big mail providers that serve the domains
	// of kind Shared; 0 means 5.
	SharedHosts int
	// SharedPause is what each of the big providers' replies takes.
	SharedPause time.Duration
	// Only limits the company domains to these kinds; empty means the usual mix.
	Only []Kind

	// Latency is added to every round trip: a DNS answer, an SMTP connection
	// (two: handshake and banner), a group of SMTP commands sent together.
	Latency time.Duration
	// GreylistDelay is how long a greylisting host turns a recipient away; 0
	// means 2 s.
	GreylistDelay time.Duration
	// Second is how long a second lasts for hosts that count sessions in one, and
	// for the bans they give; 0 means a second. Tests make it shorter.
	Second time.Duration
	// Limits adds the hosts of LimitHosts. LimitWindow is the time over which
	// some of them count; 0 means a minute.
	Limits      bool
	LimitWindow time.Duration

	// Records are answered besides the world's own, by their names and types.
	Records []dns.RR

	// DNSAddr is the loopback host:port for UDP and TCP; empty means a free
	// port on 127.0.0.1.
	DNSAddr string
	// SMTPPort is the port all mail hosts listen on; 0 means a free one.
	SMTPPort int
}

// withDefaults fills in what the caller left at zero.
func (c Config) withDefaults() Config {
	if c.Domains <= 0 {
		c.Domains = 2000
	}
	if c.SharedHosts <= 0 {
		c.SharedHosts = 5
	}
	if c.Second <= 0 {
		c.Second = time.Second
	}
	if c.GreylistDelay <= 0 {
		c.GreylistDelay = 2 * time.Second
	}
	if c.LimitWindow <= 0 {
		c.LimitWindow = time.Minute
	}
	if c.DNSAddr == "" {
		c.DNSAddr = "127.0.0.1:0"
	}
	return c
}

// Kind is what is special about a domain.
type Kind string

// The kinds of domains. Except where said, a company's domain has a mail host
// of its own with existing, missing, full and disabled mailboxes.
const (
	Ordinary      Kind = "ordinary"       // nothing special
	Shared        Kind = "shared"         // served by one of a handful of big providers
	CatchAll      Kind = "catch_all"      // accepts every recipient; half of them at a provider
	Greylisting   Kind = "greylisting"    // 4xx first, the truth after Config.GreylistDelay
	RcptLimited   Kind = "rcpt_limited"   // 452 after a few recipients of a transaction
	ConnLimited   Kind = "conn_limited"   // 421 beyond 10 sessions of a client
	HangsUp       Kind = "hangs_up"       // 421 and closed after some recipients
	Slow          Kind = "slow"           // every answer takes tens of milliseconds
	TLSRequired   Kind = "tls_required"   // 530 until STARTTLS
	HeloOnly      Kind = "helo_only"      // does not know EHLO
	Implicit      Kind = "implicit_mx"    // no MX: the address record is the mail host
	BackupMX      Kind = "backup_mx"      // the first MX is dead, the second answers
	Refusing      Kind = "refusing"       // 554 instead of a banner
	SenderRefused Kind = "sender_refused" // 550 to every MAIL
	Policy        Kind = "policy"         // 550 5.7.1 to every RCPT
	Unreachable   Kind = "unreachable"    // connections are refused
	NullMX        Kind = "null_mx"        // RFC 7505: takes no mail
	NoMailHost    Kind = "no_mail_host"   // the name exists without MX and address
	NoDomain      Kind = "no_domain"      // NXDOMAIN
	ServFail      Kind = "servfail"       // the name servers are broken
	Disposable    Kind = "disposable"     // a throw-away address service; not a company
	Odd           Kind = "odd"            // a host of the fault table, see OddHosts; not a company
)

type kindShare struct {
	kind  Kind
	share uint64
}

// mix is the usual share of each kind among company domains, in thousandths.
var mix = []kindShare{
	{Shared, 480},
	{Ordinary, 278},
	{CatchAll, 80},
	{Greylisting, 30},
	{RcptLimited, 20},
	{ConnLimited, 15},
	{HangsUp, 10},
	{Slow, 8},
	{TLSRequired, 5},
	{HeloOnly, 4},
	{Implicit, 10},
	{BackupMX, 5},
	{Refusing, 5},
	{SenderRefused, 4},
	{Policy, 6},
	{Unreachable, 8},
	{NullMX, 6},
	{NoMailHost, 8},
	{NoDomain, 15},
	{ServFail, 3},
}

// World is what is true in a lab: domains, mailboxes and mail hosts. It is
// computed from the seed alone and never changes; nothing in it listens.
type World struct {
	config    Config
	companies []*domain           // by index, in the order of the catalogue
	domains   map[string]*domain  // every domain, by lower-case ASCII name
	zone      map[string]*records // what DNS says, by lower-case name without final dot
	hosts     []*host
}

// domain is one mail domain and who takes its mail.
type domain struct {
	name  string
	kind  Kind
	hosts []*host // those that accept its mail; empty where there is none
	// everyone is set where RCPT is accepted with any local part.
	everyone bool
	odd      *OddHost
}

// reach is what happens to a connection to a mail host.
type reach int

const (
	talks     reach = iota // listens and answers
	refuses                // connection refused
	blackHole              // the handshake is never completed
)

// host is one mail host: an address and its manner of talking.
type host struct {
	name   string
	addr   netip.Addr
	reach  reach
	manner *manner
}

// NewWorld computes the world of a lab with this configuration. Only Seed,
// Domains, SharedHosts, Only and Limits matter.
func NewWorld(c Config) *World {
	c = c.withDefaults()
	w := &World{
		config:  c,
		domains: make(map[string]*domain, c.Domains+256),
		zone:    make(map[string]*records, 2*c.Domains+512),
	}
	providers := make([]*host, c.SharedHosts)
	for i := range providers {
		providers[i] = w.newHost(providerNames[i%len(providerNames)](i, "edge"), talks, providerManner(i, c.SharedPause))
	}
	kinds := mix
	if len(c.Only) > 0 {
		kinds = slices.DeleteFunc(slices.Clone(mix), func(k kindShare) bool { return !slices.Contains(c.Only, k.kind) })
	}
	var total uint64
	for _, k := range kinds {
		total += k.share
	}
	for i := range c.Domains {
		name := companyOf(c.Seed, i).domain
		d := &domain{name: name, kind: Ordinary}
		if total > 0 {
			pick, k := hash(c.Seed, "kind", name)%total, 0
			for ; pick >= kinds[k].share; k++ {
				pick -= kinds[k].share
			}
			d.kind = kinds[k].kind
		}
		w.companies = append(w.companies, d)
		w.domains[name] = d
		w.settle(d, providers)
	}
	for _, name := range DisposableDomains {
		d := &domain{name: name, kind: Disposable, everyone: true}
		w.domains[name] = d
		w.useProvider(d, providers, 0)
	}
	for i, name := range FreeDomains {
		d := &domain{name: name, kind: Shared}
		w.domains[name] = d
		w.useProvider(d, providers, uint64(i))
	}
	w.addOdd()
	return w
}

// settle gives a company's domain its mail host and DNS records by its kind.
func (w *World) settle(d *domain, providers []*host) {
	choice := hash(w.config.Seed, "host", d.name)
	own := func(m manner) *host {
		if choice>>8%100 < 8 {
			m.noPipelining = true
		}
		return w.newHost("mail."+d.name, talks, &m)
	}
	usual := ordinaryManner(choice)
	switch d.kind {
	case Shared:
		w.useProvider(d, providers, choice)
	case CatchAll:
		d.everyone = true
		if choice%2 == 0 {
			w.useProvider(d, providers, choice>>1)
			return
		}
		w.serve(d, own(usual))
	case Greylisting:
		usual.greylist = greylistAll
		w.serve(d, own(usual))
	case RcptLimited:
		usual.rules = []rule{{at: atRcpt, in: inTransaction, from: 3 + int(choice>>16%20), say: "452 4.5.3 Too many recipients"}}
		w.serve(d, own(usual))
	case ConnLimited:
		usual.maxSessions = 10
		w.serve(d, own(usual))
	case HangsUp:
		usual.rules = []rule{{at: atRcpt, from: 6 + int(choice>>16%20), say: "421 4.7.0 Too many recipients in this session, closing", then: hangUp}}
		w.serve(d, own(usual))
	case Slow:
		usual.pause = 20*time.Millisecond + time.Duration(choice>>16%20)*time.Millisecond
		w.serve(d, own(usual))
	case TLSRequired:
		usual.tls = tlsRequired
		w.serve(d, own(usual))
	case HeloOnly:
		usual.rules = []rule{{at: atEhlo, say: "502 5.5.1 Command not implemented"}}
		w.serve(d, own(usual))
	case Implicit:
		h := w.newHost(d.name, talks, &usual)
		d.hosts = []*host{h}
	case BackupMX:
		dead := w.newHost("mx1."+d.name, refuses, nil)
		alive := w.newHost("mx2."+d.name, talks, &usual)
		w.serve(d, dead, alive)
	case Refusing:
		usual.rules = []rule{{at: atBanner, say: "554 5.7.1 No SMTP service for you, your address is listed", then: hangUp}}
		w.serve(d, own(usual))
	case SenderRefused:
		usual.rules = []rule{{at: atMail, say: "550 5.7.1 Sender address rejected"}}
		w.serve(d, own(usual))
	case Policy:
		usual.rules = []rule{{at: atRcpt, say: "550 5.7.1 Message refused by policy"}}
		w.serve(d, own(usual))
	case Unreachable:
		w.serve(d, w.newHost("mail."+d.name, refuses, nil))
	case NullMX:
		w.zone[d.name] = &records{mx: []mx{{0, "."}}}
	case NoMailHost:
		w.zone[d.name] = &records{}
	case ServFail:
		w.zone[d.name] = &records{mxFault: faultServFail, addrFault: faultServFail}
	case NoDomain: // no records at all
	case Ordinary, Disposable, Odd:
		w.serve(d, own(usual))
	}
}

// newHost adds a mail host with an address of its own and its address record.
func (w *World) newHost(name string, r reach, m *manner) *host {
	n := len(w.hosts)
	// 127.64.1.1 onwards, never .0 or .255: away from 127.0.0.x, which other
	// programs use.
	addr := netip.AddrFrom4([4]byte{127, byte(64 + n/62500), byte(1 + n/250%250), byte(1 + n%250)})
	h := &host{name: name, addr: addr, reach: r, manner: m}
	w.hosts = append(w.hosts, h)
	w.record(name).a = append(w.record(name).a, addr)
	return h
}

// record returns the records of a name, made when it has none yet.
func (w *World) record(name string) *records {
	name = strings.ToLower(name)
	r := w.zone[name]
	if r == nil {
		r = &records{}
		w.zone[name] = r
	}
	return r
}

// serve makes the hosts the domain's mail hosts, the first preferred.
func (w *World) serve(d *domain, hosts ...*host) {
	r := w.record(d.name)
	for i, h := range hosts {
		r.mx = append(r.mx, mx{uint16(10 * (i + 1)), h.name})
	}
	d.hosts = hosts
}

// useProvider makes one of the big providers the domain's mail host. Some
// providers give each customer a mail host name of its own, at one address.
func (w *World) useProvider(d *domain, providers []*host, choice uint64) {
	i := int(choice % uint64(len(providers)))
	name := providerNames[i%len(providerNames)](i, d.name)
	w.record(name).a = []netip.Addr{providers[i].addr}
	w.record(d.name).mx = []mx{{10, name}}
	d.hosts = []*host{providers[i]}
}

// providerNames name the mail hosts of the big providers: the nth provider,
// serving this customer.
var providerNames = []func(n int, customer string) string{
	func(n int, customer string) string {
		return fmt.Sprintf("%s.tenant%d.mailcloud.test", strings.ReplaceAll(customer, ".", "-"), n)
	},
	func(n int, _ string) string { return fmt.Sprintf("aspmx%d.bigmail.test", n) },
	func(n int, _ string) string { return fmt.Sprintf("mx.hostpost-%d.test", n) },
	func(n int, _ string) string { return fmt.Sprintf("mx0%d.mailcluster.test", n) },
	func(n int, customer string) string {
		return fmt.Sprintf("mx-%s.filter%d.test", strings.ReplaceAll(customer, ".", "-"), n)
	},
}

// Domains returns the names of the company domains, most popular first.
func (w *World) Domains() []string {
	names := make([]string, len(w.companies))
	for i, d := range w.companies {
		names[i] = d.name
	}
	return names
}

// KindOf returns the kind of a domain; a name the lab does not know is NoDomain.
func (w *World) KindOf(name string) Kind {
	if d := w.domains[strings.ToLower(name)]; d != nil {
		return d.kind
	}
	return NoDomain
}
