package verify

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/time/rate"

	"holdfast/internal/netguard"
)

// TLSMode says when a conversation is encrypted.
type TLSMode string

// The TLS modes.
const (
	TLSOpportunistic TLSMode = ""         // where the host offers it (RFC 7435)
	TLSRequired      TLSMode = "required" // a host that cannot is not asked
	TLSNever         TLSMode = "never"
)

// Config is what an Engine needs to know. The zero value of every field has a
// usable default.
type Config struct {
	DNSServers []string // host:port; default: the servers of /etc/resolv.conf
	SMTPPort   int      // default 25
	Helo       string   // our name in EHLO; default: the machine's name
	From       string   // sender in MAIL FROM; default: verify@ the Helo name
	SourceAddr string   // local IP address to connect from; default: the system's choice
	PublicAddr string   // the address that mail hosts see, where it is not one of this machine's; for CheckIdentity alone
	DNSBLZones []string // lists that CheckIdentity asks about our address; nil: DNSBLZones, empty: none
	Proxy      string   // socks5://[user:password@]host:port for SMTP; default: none
	TLS        TLSMode

	// Allow are networks that mail hosts may be in although they are not public,
	// such as that of a mail lab. To all others nothing is ever dialled.
	Allow netguard.Allow

	// ListFile amends the embedded lists of disposable, free and role names; see
	// the README for its format.
	ListFile string

	// ProbeSecret makes the mailboxes that cannot exist. Workers that share it
	// ask for the same ones, which greylisting hosts reward. Default: a fixed text.
	ProbeSecret string

	GreylistRetry  time.Duration // how long a greylisting host wants us to wait; default 5 min
	DNSTimeout     time.Duration // for one query; default 2 s
	ConnectTimeout time.Duration // for a TCP connection; default 10 s
	CommandTimeout time.Duration // for one reply; default 30 s
	SessionTimeout time.Duration // for one session; default 5 min
	QuitTimeout    time.Duration // for the farewell; default 2 s
	IdleTimeout    time.Duration // how long a session without work is kept; default 3 s
	SlowReply      time.Duration // a reply that takes longer makes a host slow; default 1 s
	Patience       time.Duration // time spent on a slow host before it is given up; default 2 min
	Backoff        time.Duration // first pause after a host turned us away, doubled each time; default 250 ms
	BreakerPause   time.Duration // how long a host that was given up is left alone; default 30 s
	CatchAllTTL    time.Duration // how long a domain's catch-all answer is remembered; default 24 h

	MaxSessions        int // at once; slow hosts get as many again; default 200
	MaxSessionsPerHost int // at once at one host that is slow but content, or less; default 40
	MaxLookups         int // domains looked up at once; default 64
	Window             int // addresses of a Stream under way; default 50,000

	SessionsPerSecond     float64 // sessions begun by the engine; default: no limit
	HostSessionsPerSecond float64 // the most that are ever begun at one host; default 50

	// Canaries are domains whose mail hosts should work. They are asked, besides
	// hosts that worked lately, whether an outage is ours. Default: three big
	// providers where SMTPPort is 25, else none.
	Canaries []string

	// RecentHosts returns the names of more mail hosts that worked lately, such as
	// those of remembered verdicts. It is asked when hosts fail; it may be nil.
	RecentHosts func(ctx context.Context) []string

	separate time.Duration // a reply that took longer came by itself; see separateReply
	clock    float64       // a second of the paces of hosts lasts 1/clock; tests of long lists make it shorter
}

// rate is a pace of hosts, in sessions a second.
func (c *Config) rate(perSecond float64) rate.Limit { return rate.Limit(perSecond * c.clock) }

// complete checks what is set and fills in the defaults.
func (c *Config) complete() error {
	for _, step := range []func() error{c.completeServers, c.completeIdentity, c.completeLimits} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// completeServers is about what is asked: name servers and mail hosts.
func (c *Config) completeServers() (err error) {
	if len(c.DNSServers) == 0 {
		if c.DNSServers, err = systemServers(); err != nil {
			return err
		}
	}
	for _, s := range c.DNSServers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return fmt.Errorf("the DNS server %q is not host:port: %w", s, err)
		}
	}
	if c.SMTPPort == 0 {
		c.SMTPPort = 25
	}
	if c.SMTPPort < 1 || c.SMTPPort > 65535 {
		return fmt.Errorf("the SMTP port %d is not between 1 and 65535", c.SMTPPort)
	}
	if len(c.Canaries) == 0 && c.SMTPPort == 25 {
		c.Canaries = []string{"gmail.com", "outlook.com", "yahoo.com"}
	}
	if c.DNSBLZones == nil {
		c.DNSBLZones = DNSBLZones
	}
	switch c.TLS {
	case TLSOpportunistic, TLSRequired, TLSNever:
	default:
		return fmt.Errorf("the TLS mode %q is none of \"\", \"required\", \"never\"", c.TLS)
	}
	return nil
}

// DefaultHelo is the name in EHLO where none is set: the machine's.
func DefaultHelo() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the machine's name cannot be read; set HOLDFAST_SMTP_HELO: %w", err)
	}
	return name, nil
}

// completeIdentity is about who asks.
func (c *Config) completeIdentity() (err error) {
	if c.Helo == "" {
		if c.Helo, err = DefaultHelo(); err != nil {
			return err
		}
	}
	if strings.ContainsAny(c.Helo, " \t\r\n") {
		return fmt.Errorf("the EHLO name %q contains white space", c.Helo)
	}
	if c.From == "" {
		c.From = "verify@" + c.Helo
	}
	if strings.ContainsAny(c.From, " \t\r\n<>") || !strings.Contains(c.From, "@") {
		return fmt.Errorf("the sender %q is not an address", c.From)
	}
	if c.SourceAddr != "" && net.ParseIP(c.SourceAddr) == nil {
		return fmt.Errorf("the source address %q is not an IP address", c.SourceAddr)
	}
	if _, err := netip.ParseAddr(c.PublicAddr); c.PublicAddr != "" && err != nil {
		return fmt.Errorf("the public address %q is not an IP address", c.PublicAddr)
	}
	if c.ProbeSecret == "" {
		c.ProbeSecret = "holdfast"
	}
	return nil
}

// completeLimits is about times and numbers.
func (c *Config) completeLimits() error {
	if c.separate == 0 {
		c.separate = separateReply
	}
	if c.clock == 0 {
		c.clock = 1
	}
	if c.HostSessionsPerSecond <= 0 {
		c.HostSessionsPerSecond = 50
	}
	for _, d := range []struct {
		of       *time.Duration
		standard time.Duration
	}{
		{&c.GreylistRetry, 5 * time.Minute},
		{&c.DNSTimeout, 2 * time.Second},
		{&c.ConnectTimeout, 10 * time.Second},
		{&c.CommandTimeout, 30 * time.Second},
		{&c.SessionTimeout, 5 * time.Minute},
		{&c.QuitTimeout, 2 * time.Second},
		{&c.IdleTimeout, 3 * time.Second},
		{&c.SlowReply, time.Second},
		{&c.Patience, 2 * time.Minute},
		{&c.Backoff, 250 * time.Millisecond},
		{&c.BreakerPause, 30 * time.Second},
		{&c.CatchAllTTL, 24 * time.Hour},
	} {
		if *d.of <= 0 {
			*d.of = d.standard
		}
	}
	for _, n := range []struct {
		of       *int
		standard int
	}{{&c.MaxSessions, 200}, {&c.MaxSessionsPerHost, 40}, {&c.MaxLookups, 64}, {&c.Window, 50_000}} {
		if *n.of <= 0 {
			*n.of = n.standard
		}
	}
	return nil
}

// throughProxy returns a dialer that goes through a SOCKS5 proxy (RFC 1928).
func throughProxy(address string, direct *net.Dialer) (proxy.ContextDialer, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "socks5" && u.Scheme != "socks5h") || u.Port() == "" {
		return nil, fmt.Errorf("the proxy %q is not socks5://host:port", address)
	}
	d, err := proxy.FromURL(u, direct)
	if err != nil {
		return nil, fmt.Errorf("the proxy %q cannot be used: %w", address, err)
	}
	through, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("the proxy %q cannot be used with deadlines", address)
	}
	return through, nil
}
