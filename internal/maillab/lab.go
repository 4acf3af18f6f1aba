// Package maillab is a small internet on loopback: a DNS server and thousands
// of SMTP hosts whose domains and mailboxes are made up from a seed. The truth
// about every address is computed from the address alone, so that a verifier
// can be measured against it. It is what `dev`, `demo`, tests and benchmarks
// verify against; nothing in it ever listens beyond loopback.
package maillab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Lab is a running world.
type Lab struct {
	world   *World
	hosts   []*mailHost
	byName  map[*host]*mailHost
	port    int
	dnsAddr string
	udp     *dns.Server
	tcp     *dns.Server
	tls     *tls.Config

	done    chan struct{} // closed by Close
	running sync.WaitGroup
	connsMu sync.Mutex
	conns   map[net.Conn]struct{} // nil once closed
	fillers []net.Conn            // keep black holes full

	listedMu sync.Mutex
	listed   map[netip.Addr]map[*host]bool // clients that hosts refuse; no hosts: all do

	hostsDark, dnsDark atomic.Bool

	askedMu sync.Mutex
	asked   map[question]int

	connections, commands, recipients, messages, improper atomic.Int64
	queries                                               [queryTypes]atomic.Int64
}

// Stats counts what clients did to the lab since it started.
type Stats struct {
	Connections  int64            // TCP connections to mail hosts
	PeakSessions int              // most connections open at once at any one host
	Commands     int64            // SMTP commands
	Recipients   int64            // RCPT commands in a transaction
	Messages     int64            // DATA begun: a verifier that sends mail
	Improper     int64            // sessions ended because of pipelining that was not offered
	Bans         int64            // bans given for too many sessions a second
	Queries      int64            // DNS questions
	QueriesBy    map[string]int64 // by type: MX, A, AAAA, other
}

// HostStats counts what clients did to the mail hosts of one domain.
type HostStats struct {
	Connections  int
	PeakSessions int // most connections open at once
	Bans         int
	Complaints   int // replies about how the client asks
}

// Start runs a lab on loopback. It fails with one sentence when a port is
// taken or the machine has no 127.0.0.0/8.
func Start(c Config) (*Lab, error) {
	c = c.withDefaults()
	for _, k := range c.Only {
		if !isCompanyKind(k) {
			return nil, fmt.Errorf("the mail lab has no company domains of kind %q; choose kinds of the usual mix", k)
		}
	}
	secure, err := selfSigned()
	if err != nil {
		return nil, err
	}
	l := &Lab{
		world:  NewWorld(c),
		byName: make(map[*host]*mailHost),
		tls:    secure,
		done:   make(chan struct{}),
		conns:  make(map[net.Conn]struct{}),
		asked:  make(map[question]int),
	}
	for _, h := range l.world.hosts {
		m := &mailHost{host: h, lab: l}
		l.hosts = append(l.hosts, m)
		l.byName[h] = m
	}
	if err := l.openHosts(c.SMTPPort); err != nil {
		return nil, err
	}
	if err := l.openDNS(c.DNSAddr); err != nil {
		l.Close()
		return nil, err
	}
	for _, h := range l.hosts {
		if h.listener != nil && h.reach == talks {
			l.running.Go(h.listen)
		}
	}
	return l, nil
}

// openHosts opens one listener per mail host, all on one port. When the port
// is for us to choose, one that is free at every address is looked for.
func (l *Lab) openHosts(port int) error {
	chosen := port != 0
	for try := 0; ; try++ {
		err := l.listenAll(port)
		if err == nil {
			return nil
		}
		for _, h := range l.hosts {
			if h.listener != nil {
				h.listener.Close() //nolint:errcheck // nothing was accepted
				h.listener = nil
			}
		}
		if chosen || try == 20 || !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("the mail lab cannot listen for SMTP; choose another port, or raise the limit of open files: %w", err)
		}
	}
}

func (l *Lab) listenAll(port int) error {
	for _, h := range l.hosts {
		if h.reach == refuses {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(h.addr, uint16(port)).String())
		if err != nil {
			if h.addr.Is6() { // a machine without IPv6: that host is dead here
				continue
			}
			return err
		}
		h.listener = listener
		if port == 0 {
			addr, err := netip.ParseAddrPort(listener.Addr().String())
			if err != nil {
				return err
			}
			port = int(addr.Port())
		}
		if h.reach == blackHole {
			if err := l.fill(h.listener); err != nil {
				return err
			}
		}
	}
	l.port = port
	return nil
}

// fill makes a black hole of a listener: a queue for no connection at all,
// which one connection of our own keeps full. The kernel then drops the
// handshakes of all others.
func (l *Lab) fill(listener net.Listener) error {
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 0) }); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(context.Background(), "tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	l.fillers = append(l.fillers, conn)
	return nil
}

// openDNS answers on the same port over UDP and TCP.
func (l *Lab) openDNS(addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("the mail lab's DNS address is %q; give a loopback address with a port, like 127.0.0.1:5353", addr)
	}
	for try := 0; ; try++ {
		packets, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", at.String())
		if err != nil {
			return fmt.Errorf("the mail lab cannot listen for DNS; choose another address: %w", err)
		}
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", packets.LocalAddr().String())
		if err != nil {
			packets.Close() //nolint:errcheck // nothing was read
			if at.Port() == 0 && try < 20 && errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			return fmt.Errorf("the mail lab cannot listen for DNS; choose another address: %w", err)
		}
		l.dnsAddr = packets.LocalAddr().String()
		l.udp = &dns.Server{PacketConn: packets, Handler: l, UDPSize: 4096}
		l.tcp = &dns.Server{Listener: listener, Handler: l}
		for _, server := range []*dns.Server{l.udp, l.tcp} {
			up := make(chan struct{})
			server.NotifyStartedFunc = func() { close(up) }
			l.running.Go(func() { server.ActivateAndServe() }) //nolint:errcheck // ends at Close
			<-up
		}
		return nil
	}
}

// Close ends all sessions and waits until nothing of the lab runs any more.
func (l *Lab) Close() {
	l.connsMu.Lock()
	if l.conns == nil {
		l.connsMu.Unlock()
		return
	}
	close(l.done)
	for conn := range l.conns {
		conn.Close() //nolint:errcheck // all that can be done
	}
	l.conns = nil
	l.connsMu.Unlock()
	for _, h := range l.hosts {
		if h.listener != nil {
			h.listener.Close() //nolint:errcheck // all that can be done
		}
	}
	for _, conn := range l.fillers {
		conn.Close() //nolint:errcheck // all that can be done
	}
	if l.udp != nil {
		l.udp.Shutdown() //nolint:errcheck // all that can be done
		l.tcp.Shutdown() //nolint:errcheck // all that can be done
	}
	l.running.Wait()
}

// track counts a session in. It returns false when the lab is closed.
func (l *Lab) track(conn net.Conn) bool {
	l.connsMu.Lock()
	defer l.connsMu.Unlock()
	if l.conns == nil {
		conn.Close() //nolint:errcheck // not served
		return false
	}
	l.conns[conn] = struct{}{}
	l.running.Add(1)
	return true
}

// untrack ends a session.
func (l *Lab) untrack(conn net.Conn) {
	conn.Close() //nolint:errcheck // all that can be done
	l.connsMu.Lock()
	delete(l.conns, conn)
	l.connsMu.Unlock()
	l.running.Done()
}

// sleep returns false when the lab is closed in the meantime.
func (l *Lab) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// Networks are where mail hosts of a lab can be. A verifier that connects to
// the public internet alone has to let them through.
func Networks() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.64.0.0/10"), netip.PrefixFrom(loopback6, loopback6.BitLen())}
}

// DNSAddr is the host:port of the DNS server, the same for UDP and TCP.
func (l *Lab) DNSAddr() string { return l.dnsAddr }

// SMTPPort is the port every mail host listens on.
func (l *Lab) SMTPPort() int { return l.port }

// World is what is true in this lab.
func (l *Lab) World() *World { return l.world }

// Truth computes the truth about an address.
func (l *Lab) Truth(email string) Truth { return l.world.Truth(email) }

// Stats counts what clients did so far.
func (l *Lab) Stats() Stats {
	s := Stats{
		Connections: l.connections.Load(),
		Commands:    l.commands.Load(),
		Recipients:  l.recipients.Load(),
		Messages:    l.messages.Load(),
		Improper:    l.improper.Load(),
		QueriesBy:   make(map[string]int64, queryTypes),
	}
	for i, name := range [queryTypes]string{"MX", "A", "AAAA", "other"} {
		n := l.queries[i].Load()
		s.QueriesBy[name] = n
		s.Queries += n
	}
	for _, h := range l.hosts {
		h.mu.Lock()
		s.PeakSessions = max(s.PeakSessions, h.peak)
		s.Bans += int64(h.bans)
		h.mu.Unlock()
	}
	return s
}

// HostStats counts what clients did to the mail hosts of a domain; for a
// provider's customer, to the whole provider.
func (l *Lab) HostStats(domain string) HostStats {
	var s HostStats
	d := l.world.domains[asciiDomain(domain)]
	if d == nil {
		return s
	}
	for _, of := range d.hosts {
		h := l.byName[of]
		h.mu.Lock()
		s.Connections += h.connections
		s.PeakSessions = max(s.PeakSessions, h.peak)
		s.Bans += h.bans
		s.Complaints += h.complaints
		h.mu.Unlock()
	}
	return s
}

func isCompanyKind(k Kind) bool {
	for _, m := range mix {
		if m.kind == k {
			return true
		}
	}
	return false
}
