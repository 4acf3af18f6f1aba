package maillab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"hash/maphash"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// mailHost is a host of the world while the lab runs.
type mailHost struct {
	*host
	lab      *Lab
	listener net.Listener

	mu          sync.Mutex
	clients     map[netip.Addr]*clientState
	grey        map[uint64]time.Time // when a (client, sender, recipient) first came
	open        int
	peak        int
	connections int
	bans        int
	complaints  int
}

// clientState is what a host remembers of one client address.
type clientState struct {
	open, sessions int
	second         time.Time // start of the running second
	inSecond       int       // sessions begun in it
	bannedUntil    time.Time

	recipients int       // asked for
	unknown    int       // of these, that do not exist
	window     time.Time // start of the running window
	inWindow   int       // recipients asked for in it
}

// serves reports whether the host takes the domain's mail.
func (h *mailHost) serves(d *domain) bool { return slices.Contains(d.hosts, h.host) }

// admission is a host's answer to a new connection.
type admission int

const (
	welcome admission = iota
	tooMany
	banned
	listed
)

// admit counts a new session of a client and says whether it is welcome. Every
// admission, with any answer, ends with leave.
func (h *mailHost) admit(client netip.Addr, now time.Time) (admission, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.clients[client]
	if s == nil {
		s = &clientState{}
		if h.clients == nil {
			h.clients = make(map[netip.Addr]*clientState)
		}
		h.clients[client] = s
	}
	h.connections++
	h.open++
	h.peak = max(h.peak, h.open)
	s.open++
	s.sessions++
	if h.lab.isListed(h.host, client) {
		return listed, s.sessions
	}
	if limit := h.manner.maxPerSecond; limit > 0 {
		if now.Sub(s.second) >= h.lab.world.config.Second {
			s.second, s.inSecond = now, 0
		}
		s.inSecond++
		if s.inSecond > limit || now.Before(s.bannedUntil) {
			if !now.Before(s.bannedUntil) {
				h.bans++
			}
			s.bannedUntil = now.Add(time.Duration(h.manner.banSeconds) * h.lab.world.config.Second)
			return banned, s.sessions
		}
	}
	if limit := h.manner.maxSessions; limit > 0 && s.open > limit {
		return tooMany, s.sessions
	}
	return welcome, s.sessions
}

// count counts a recipient that a client asks for: ever, in the window, and those
// that do not exist.
func (h *mailHost) count(client netip.Addr, missing bool, now time.Time) (ever, inWindow, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.clients[client]
	if s == nil { // a conversation without a connection
		return 0, 0, 0
	}
	if missing {
		s.unknown++
	}
	s.recipients++
	if now.Sub(s.window) >= h.manner.window {
		s.window, s.inWindow = now, 0
	}
	s.inWindow++
	return s.recipients, s.inWindow, s.unknown
}

func (h *mailHost) leave(client netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	h.clients[client].open--
}

var greySeed = maphash.MakeSeed()

// isGrey reports whether a recipient is still to be deferred, and notes when
// this client first asked for it from this sender.
func (h *mailHost) isGrey(client netip.Addr, sender, recipient []byte, delay time.Duration) bool {
	var key maphash.Hash
	key.SetSeed(greySeed)
	key.WriteString(client.String())
	key.Write(sender)
	key.WriteByte(' ')
	key.Write(recipient)
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.grey == nil {
		h.grey = make(map[uint64]time.Time)
	}
	first, seen := h.grey[key.Sum64()]
	if !seen {
		h.grey[key.Sum64()] = now
		return true
	}
	return now.Sub(first) < delay
}

// listen accepts connections until the lab is closed.
func (h *mailHost) listen() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if !h.lab.sleep(time.Millisecond) { // out of descriptors: some will come back
				return
			}
			continue
		}
		if !h.lab.track(conn) {
			return
		}
		go h.serve(conn)
	}
}

// serve holds one session.
func (h *mailHost) serve(conn net.Conn) {
	defer h.lab.untrack(conn)
	client := netip.IPv6Unspecified()
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		client = addr.AddrPort().Addr().Unmap()
	}
	h.lab.connections.Add(1)
	if h.lab.hostsDark.Load() {
		return
	}
	answer, nth := h.admit(client, time.Now())
	defer h.leave(client)
	c := &conversation{lab: h.lab, host: h, manner: h.manner, client: client, nth: nth, conn: conn}
	if answer != welcome {
		if !h.manner.dropsSessions {
			c.refuse(answer)
		}
		return
	}
	c.converse()
}

// refuse turns a session away at the door.
func (c *conversation) refuse(a admission) {
	if !c.lab.sleep(2 * c.lab.world.config.Latency) {
		return
	}
	reply := c.manner.voice.tooManySessions
	switch a {
	case listed:
		reply = "554 5.7.1 Service unavailable; Client host [{client}] blocked using dnsbl.mail.test"
	case banned:
		reply = "554 5.7.1 Too many sessions a second, your address is banned for a while"
	case welcome, tooMany:
	}
	c.say(reply, nil)
	c.flush()
}

// selfSigned makes the certificate all hosts show, as many real ones do:
// without a name and without an authority.
func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("the mail lab could not make a TLS key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "mail.invalid"},
		DNSNames:     []string{"mail.invalid"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("the mail lab could not make a TLS certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}, nil
}
