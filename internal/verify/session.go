package verify

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast/internal/netguard"
)

// exchanger is one address of one mail host, as it is dialled.
type exchanger struct {
	name string // as the MX record has it
	addr netip.Addr
}

// session is one SMTP conversation. It belongs to one goroutine.
type session struct {
	e        *Engine
	route    *route
	at       exchanger
	provider *provider
	conn     net.Conn
	in       *bufio.Reader
	out      []byte // commands that wait to be sent together
	ends     time.Time

	greeting   reply
	hello      reply // to EHLO; zero after HELO
	pipelining bool
	utf8       bool
	startTLS   bool
	encrypted  bool
	heloOnly   bool // the host is known to hang up at EHLO

	inTransaction bool          // RSET is due before the next MAIL
	transactions  int           // MAILs accepted
	heard         int           // RCPTs answered with something that was not a refusal of us
	asked         int           // RCPTs answered
	spoke         int           // of these, answers about a mailbox
	accepted      int           // RCPTs accepted
	unknownUsers  int           // RCPTs refused as unknown
	run           int           // of these, in a row
	noes          int           // replies with 5xx
	complaint     bool          // the host complained of how much or how fast we ask
	errorLimit    bool          // of unknown users
	filled        bool          // the host has had enough of this session
	leaving       bool          // it ends because there are too many
	quick         bool          // a reply came quickly
	slowSince     int           // refusals after which replies became slow
	slowRun       int           // slow replies in a row since
	slowAfter     int           // slowSince, once it was no chance
	separate      int           // replies of the batch under way that came one by one
	waited        time.Duration // for these
	rested        bool          // it has been idle; the host may have left without a word
	broken        bool          // the connection is of no more use
	atClose       func() bool   // stops what Engine.Close would do to the connection
	slowest       time.Duration // wait for a reply in the batch under way
	batchBegan    time.Time
}

// failure is why a session could not begin, or ended before its work was done.
type failure struct {
	reason    Reason
	next      next
	reply     reply // what the host said, if it said anything
	err       error
	host      string
	kind      failureKind
	complaint bool // about how much or how fast we ask
	atEHLO    bool // the session ended as the answer to EHLO
}

type failureKind uint8

const (
	unreachable failureKind = iota // no TCP connection
	turnedAway                     // the host said no
	dropped                        // the connection closed without a word
	timedOut                       // no answer within the deadline
	desynced                       // replies that do not belong to the commands
	noReset                        // the host takes one transaction a session
)

func (f *failure) Error() string {
	if f.err != nil {
		return f.host + ": " + f.err.Error()
	}
	return fmt.Sprintf("%s: %d %s", f.host, f.reply.code, f.reply.text)
}

// dial connects to one address of a host and brings the session to the point
// where MAIL can be said: banner, EHLO or HELO, STARTTLS where offered and not
// known to be broken.
func (e *Engine) dial(ctx context.Context, at exchanger, p *provider, useTLS, heloOnly bool) (*session, *failure) {
	if !e.cfg.Allow.Permits(at.addr) {
		return nil, &failure{reason: ConnectFailed, kind: unreachable, err: netguard.ErrNotPublic, host: at.name}
	}
	e.stats.connections.Add(1)
	ctx, cancel := context.WithTimeout(ctx, e.cfg.ConnectTimeout)
	defer cancel()
	address := netip.AddrPortFrom(at.addr, uint16(e.cfg.SMTPPort)).String()
	conn, err := e.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &failure{reason: ConnectFailed, kind: unreachable, err: err, host: at.name}
	}
	s := &session{
		e: e, at: at, provider: p, conn: conn,
		in:   bufio.NewReaderSize(conn, keptReplyLine),
		ends: time.Now().Add(e.cfg.SessionTimeout), heloOnly: heloOnly,
	}
	s.atClose = context.AfterFunc(e.ctx, func() { _ = conn.SetDeadline(time.Now().Add(e.cfg.QuitTimeout)) })
	if f := s.open(useTLS); f != nil {
		s.close()
		return nil, f
	}
	return s, nil
}

// open reads the banner and introduces us (RFC 5321 §3.1, §3.2).
func (s *session) open(useTLS bool) *failure {
	banner, f := s.read()
	if f != nil {
		if f.kind == dropped {
			f.reason = ConnectFailed
		}
		return f
	}
	s.greeting = banner
	if banner.class() != 2 {
		return s.refused(atConnect, banner)
	}
	if f := s.introduce(); f != nil {
		return f
	}
	if s.startTLS && useTLS {
		return s.upgrade()
	}
	if s.e.cfg.TLS == TLSRequired {
		return &failure{reason: NeedsTLS, kind: turnedAway, host: s.at.name, reply: s.hello}
	}
	return nil
}

// introduce says EHLO, or HELO to a host that does not know EHLO (RFC 5321
// §3.2; one that closes instead is met with HELO by a new session, see host).
func (s *session) introduce() *failure {
	s.pipelining, s.utf8, s.startTLS = false, false, false
	if s.heloOnly {
		return s.helo()
	}
	r, f := s.command("EHLO " + s.e.cfg.Helo)
	if f != nil {
		f.atEHLO = true
		return f
	}
	if r.class() == 2 {
		s.hello = r
		for _, line := range r.lines[min(1, len(r.lines)):] {
			keyword, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
			switch keyword {
			case "PIPELINING":
				s.pipelining = true
			case "SMTPUTF8":
				s.utf8 = true
			case "STARTTLS":
				s.startTLS = !s.encrypted
			}
		}
		return nil
	}
	if r.code == 421 || r.class() != 5 {
		return s.refused(atHello, r)
	}
	return s.helo()
}

func (s *session) helo() *failure {
	r, f := s.command("HELO " + s.e.cfg.Helo)
	if f != nil {
		return f
	}
	if r.class() != 2 {
		return s.refused(atHello, r)
	}
	return nil
}

// upgrade begins TLS (RFC 3207) without checking who the certificate names:
// against a listener in the middle it is no help, against one at the side it is
// (RFC 7435).
func (s *session) upgrade() *failure {
	f := s.handshake()
	if f != nil {
		f.reason = NeedsTLS // the TLS handshake failed; plain text may work
	}
	return f
}

func (s *session) handshake() *failure {
	r, f := s.command("STARTTLS")
	if f != nil {
		return f
	}
	if r.class() != 2 {
		return &failure{reason: NeedsTLS, kind: turnedAway, reply: r, host: s.at.name}
	}
	if s.in.Buffered() > 0 { // commands or replies slipped in before TLS (RFC 3207 §6)
		return s.failed(desynced, errors.New("it talked on after STARTTLS"))
	}
	config := s.e.tls.Clone()
	config.ServerName = s.at.name
	secure := tls.Client(s.conn, config)
	if err := s.conn.SetDeadline(s.deadline()); err != nil {
		return s.failed(dropped, err)
	}
	if err := secure.HandshakeContext(context.Background()); err != nil {
		return &failure{reason: NeedsTLS, kind: turnedAway, err: err, host: s.at.name}
	}
	s.conn, s.encrypted = secure, true
	s.in.Reset(secure)
	return s.introduce()
}

// couldEncrypt reports whether TLS is offered and was left out because it failed
// before.
func (s *session) couldEncrypt() bool {
	return s.startTLS && !s.encrypted && s.e.cfg.TLS != TLSNever
}

// refused makes a failure of a reply that was no yes.
func (s *session) refused(at stage, r reply) *failure {
	found := s.e.classifier.classify(at, r, s.provider, Address{})
	s.heed(at, found, r, Address{})
	return &failure{reason: found.reason, next: found.next, kind: turnedAway, reply: r, host: s.at.name, complaint: s.complaint}
}

// atBackup reports whether the session is with a host that the domain names only
// for when its first ones cannot be reached. Many of these take all mail.
func (s *session) atBackup() bool {
	return !slices.ContainsFunc(s.route.path.top, func(x exchanger) bool { return x.addr == s.at.addr })
}

func (s *session) failed(kind failureKind, err error) *failure {
	f := &failure{kind: kind, err: err, host: s.at.name, reason: ConnectionLost}
	switch {
	case kind == timedOut:
		f.reason = Tarpit
	case errors.Is(err, errNotSMTP):
		f.reason, f.kind = ProtocolError, desynced
	case kind == desynced:
		f.reason = ProtocolError
	}
	return f
}

// deadline is when the next reply must be there.
func (s *session) deadline() time.Time {
	patience := s.e.cfg.CommandTimeout
	if s.e.closing.Load() {
		patience = s.e.cfg.QuitTimeout
	}
	at := time.Now().Add(patience)
	if s.ends.Before(at) {
		return s.ends
	}
	return at
}

// command sends one command and reads its reply.
func (s *session) command(line string) (reply, *failure) {
	s.queue(line)
	if f := s.flush(); f != nil {
		return reply{}, f
	}
	return s.read()
}

// queue adds a command to those that flush sends.
func (s *session) queue(line string) {
	s.out = append(append(s.out, line...), '\r', '\n')
}

// flush sends the queued commands in one write. What the host says before it
// has been asked belongs to no command: it ends the session.
func (s *session) flush() *failure {
	if s.in.Buffered() > 0 || (!s.encrypted && pendingInput(s.conn)) {
		r, f := s.read()
		switch {
		case f != nil:
			return f
		case r.code == 421:
			return s.refused(atRcpt, r)
		}
		return s.failed(desynced, fmt.Errorf("it said %q without being asked", r.text))
	}
	out := s.out
	s.out = s.out[:0]
	if err := s.conn.SetWriteDeadline(s.deadline()); err != nil {
		return s.failed(dropped, err)
	}
	if _, err := s.conn.Write(out); err != nil {
		return s.ioFailure(err)
	}
	return nil
}

// read reads one reply within the deadline.
func (s *session) read() (reply, *failure) {
	if s.in.Buffered() == 0 {
		if err := s.conn.SetReadDeadline(s.deadline()); err != nil {
			return reply{}, s.failed(dropped, err)
		}
		start := time.Now()
		_, err := s.in.Peek(1)
		waited := time.Since(start)
		s.slowest = max(s.slowest, waited)
		if err != nil {
			return reply{}, s.ioFailure(err)
		}
		s.timed(waited)
	}
	r, err := readReply(s.in)
	if err != nil {
		return reply{}, s.ioFailure(err)
	}
	if r.class() == 5 {
		s.noes++
	}
	return r, nil
}

func (s *session) ioFailure(err error) *failure {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s.failed(timedOut, err)
	case errors.Is(err, io.EOF):
		return s.failed(dropped, errors.New("it closed the connection"))
	}
	return s.failed(dropped, err)
}

// quit ends the session as RFC 5321 §4.1.1.10 wants it: QUIT, and the host
// closes after its reply.
func (s *session) quit() {
	s.ends = time.Now().Add(s.e.cfg.QuitTimeout)
	s.out = s.out[:0]
	_, _ = s.command("QUIT") // a host that does not answer is left all the same
	s.close()
}

func (s *session) close() {
	s.atClose()
	_ = s.conn.Close() // there is nothing left to be lost
}
