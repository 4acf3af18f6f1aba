package maillab

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// conversation is one SMTP session as a host sees it (RFC 5321).
type conversation struct {
	lab    *Lab
	host   *mailHost
	manner *manner
	client netip.Addr
	nth    int // sessions of this client with this host, this one included

	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer // replies that wait for the end of the group
	said string       // the last reply, before its placeholders are filled in
	over bool         // nothing more is read

	greeted    bool // EHLO or HELO done
	extended   bool // by EHLO
	pipelining bool // offered to this client
	encrypted  bool
	counts     [stages]int // events of this session, by stage
	unknown    int         // recipients of this session that do not exist

	inMail     bool // between MAIL and RSET, or the end of the message
	utf8       bool // MAIL said SMTPUTF8
	sender     []byte
	recipients int  // asked for in this transaction
	accepted   int  // of those
	named      bool // the recipient at hand reads like a mailbox's name
	ever       int  // recipients that the client asked this host for
	strange    int  // recipients of this session that do not read like one
	windowed   int  // the same, in the running window
	unknowns   int  // of those ever, that do not exist
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

// converse serves one connection until either side ends it.
func (c *conversation) converse() {
	in := readers.Get().(*bufio.Reader)
	in.Reset(c.conn)
	c.in = in
	defer func() {
		in.Reset(nil)
		readers.Put(in)
	}()
	// The handshake was one round trip of its own.
	if !c.lab.sleep(2 * c.lab.world.config.Latency) {
		return
	}
	if !c.manner.punishesEarly || c.waited() {
		c.step(atBanner, c.manner.voice.banner, nil, missing)
	}
	for !c.over {
		if line, ok := c.readLine(); ok {
			c.command(line)
		}
		if from := c.manner.discardsFrom; c.manner.discards || from > 0 && c.counts[atRcpt] >= from {
			c.in.Discard(c.in.Buffered()) //nolint:errcheck // that many are there
		}
	}
	c.flush()
}

// waited turns away a client that talks before the banner (RFC 5321 section
// 4.3.1).
func (c *conversation) waited() bool {
	if !c.lab.sleep(100 * time.Millisecond) {
		c.over = true
		return false
	}
	c.setReadDeadline(time.Now().Add(time.Millisecond))
	defer c.setReadDeadline(time.Time{})
	if _, err := c.in.Peek(1); err != nil {
		return true
	}
	c.lab.improper.Add(1)
	c.say("554 5.5.0 You talked before the banner", nil)
	c.over = true
	return false
}

func (c *conversation) setReadDeadline(t time.Time) {
	c.conn.SetReadDeadline(t) //nolint:errcheck // a closed connection shows when it is read
}

// readLine returns the next command without its line ending, or false and the
// session is over. Replies are sent, and a round trip passes, only when no
// further command is waiting.
func (c *conversation) readLine() ([]byte, bool) {
	waiting, _ := c.in.Peek(c.in.Buffered()) // that many are there
	if bytes.IndexByte(waiting, '\n') < 0 {
		c.over = !c.flush() || !c.wait(len(waiting)) || !c.lab.sleep(c.lab.world.config.Latency)
	} else if !c.pipelining {
		// RFC 2920 section 3.1: only where PIPELINING was offered.
		c.lab.improper.Add(1)
		c.say("554 5.5.0 SMTP protocol synchronization error", nil)
		c.over = true
	}
	if c.over {
		return nil, false
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil { // gone, or a line beyond any limit
		c.over = true
		return nil, false
	}
	return bytes.TrimRight(line, "\r\n"), true
}

// wait blocks until more than the octets at hand have come.
func (c *conversation) wait(have int) bool {
	if c.manner.idle > 0 {
		c.setReadDeadline(time.Now().Add(c.manner.idle))
		defer c.setReadDeadline(time.Time{})
	}
	_, err := c.in.Peek(have + 1)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.say("421 4.4.2 Idle for too long, closing", nil)
	}
	return err == nil
}

// command carries out one command.
func (c *conversation) command(line []byte) {
	c.lab.commands.Add(1)
	verb, rest, _ := bytes.Cut(line, []byte{' '})
	switch {
	case is(verb, "RCPT"):
		c.rcpt(rest)
	case is(verb, "MAIL"):
		c.mail(rest)
	case is(verb, "RSET"):
		c.step(atRset, "250 2.0.0 Ok", nil, missing)
		if c.saidYes() {
			c.forget()
		}
	case is(verb, "EHLO"):
		c.ehlo(rest)
	case is(verb, "HELO"):
		c.helo(rest)
	case is(verb, "QUIT"):
		c.step(atQuit, "221 2.0.0 Bye", nil, missing)
		c.over = true
	case is(verb, "NOOP"):
		c.step(atNoop, "250 2.0.0 Ok", nil, missing)
	case is(verb, "DATA"):
		c.data()
	case is(verb, "STARTTLS"):
		c.startTLS()
	case is(verb, "VRFY"):
		c.say("252 2.0.0 Send some mail, I'll try my best", nil)
	default:
		c.say("500 5.5.2 Command not recognized", nil)
	}
}

func is(verb []byte, name string) bool {
	return len(verb) == len(name) && strings.EqualFold(string(verb), name)
}

// forget ends the transaction.
func (c *conversation) forget() {
	c.inMail, c.utf8, c.accepted, c.recipients = false, false, 0, 0
}

func (c *conversation) helo(name []byte) {
	if len(name) == 0 {
		c.say("501 5.5.4 HELO needs a name", nil)
		return
	}
	c.step(atHelo, "250 {host}", nil, missing)
	if c.saidYes() {
		c.greeted = true
		c.forget()
	}
}

func (c *conversation) ehlo(name []byte) {
	if len(name) == 0 {
		c.say("501 5.5.4 EHLO needs a name", nil)
		return
	}
	reply := "250-{host}\n250-SIZE 35882577\n250-8BITMIME\n"
	if !c.manner.noPipelining {
		reply += "250-PIPELINING\n"
	}
	if c.manner.tls != noTLS && !c.encrypted {
		reply += "250-STARTTLS\n"
	}
	if c.manner.utf8 {
		reply += "250-SMTPUTF8\n"
	}
	c.step(atEhlo, reply+"250 ENHANCEDSTATUSCODES", nil, missing)
	if c.saidYes() {
		c.greeted, c.extended, c.pipelining = true, true, !c.manner.noPipelining
		c.forget()
	}
}

func (c *conversation) mail(rest []byte) {
	address, parameters, ok := path(rest, "FROM:")
	m := c.manner
	switch {
	case !ok:
		c.say("501 5.5.4 Syntax: MAIL FROM:<address>", nil)
		return
	case !c.greeted:
		c.say("503 5.5.1 Send EHLO first", nil)
		return
	case c.inMail:
		c.say("503 5.5.1 Nested MAIL command", nil)
		return
	case (m.tls == tlsRequired || m.tls == tlsMustBreak) && !c.encrypted:
		c.say("530 5.7.0 Must issue a STARTTLS command first", nil)
		return
	case len(parameters) > 0 && (m.noParameters || !c.extended):
		c.say("555 5.5.4 Unsupported option", nil)
		return
	}
	utf8 := bytes.Contains(bytes.ToUpper(parameters), []byte("SMTPUTF8"))
	if utf8 && !m.utf8 {
		c.say("555 5.5.4 Unsupported option: SMTPUTF8", nil)
		return
	}
	c.sender = append(c.sender[:0], address...)
	c.step(atMail, m.voice.mail, address, missing)
	if c.saidYes() {
		c.forget()
		c.inMail, c.utf8 = true, utf8
	}
}

func (c *conversation) rcpt(rest []byte) {
	address, parameters, ok := path(rest, "TO:")
	switch {
	case !ok || len(address) == 0:
		c.say("501 5.1.3 Bad recipient address syntax", nil)
		return
	case !c.inMail:
		c.say("503 5.5.1 Need MAIL before RCPT", nil)
		return
	case len(parameters) > 0:
		c.say("555 5.5.4 Unsupported option", nil)
		return
	}
	c.lab.recipients.Add(1)
	c.recipients++
	at := bytes.LastIndexByte(address, '@')
	if at < 1 {
		c.say("550 5.1.3 <{rcpt}>: bad address", address)
		return
	}
	if local := address[:at]; local[0] != '"' && (local[0] == '.' || local[at-1] == '.' || bytes.Contains(local, []byte(".."))) {
		c.say("501 5.1.3 Bad recipient address syntax", nil) // RFC 5321 section 4.1.2
		return
	}
	d := c.lab.world.domainOf(address[at+1:])
	if d == nil || !c.host.serves(d) {
		c.say("554 5.7.1 <{rcpt}>: Relay access denied", address)
		return
	}
	if !c.utf8 && !ascii(address) {
		c.say("553 5.6.7 Address needs SMTPUTF8", address)
		return
	}
	box := c.lab.world.mailbox(d, address[:at])
	if box == missing && !d.everyone {
		c.unknown++
	}
	if d.odd != nil {
		c.named = personal(d.odd.reading(address[:at]))
		if !c.named {
			c.strange++
		}
		c.ever, c.windowed, c.unknowns = c.host.count(c.client, box == missing && !d.everyone, time.Now())
	}
	c.step(atRcpt, c.verdict(d, box, address), address, box)
	if c.saidYes() {
		c.accepted++
	}
}

// verdict is the usual reply to a recipient.
func (c *conversation) verdict(d *domain, box mailbox, address []byte) string {
	v := &c.manner.voice
	known := box != missing || d.everyone
	if g := c.manner.greylist; g == greylistAll || g == greylistKnown && known || g == greylistStrange && d.odd != nil && !c.named {
		if c.host.isGrey(c.client, c.sender, address, c.lab.world.config.GreylistDelay) {
			return v.deferred
		}
	}
	switch {
	case d.everyone || box == exists:
		return v.accepted
	case box == disabled:
		return v.disabled
	case box == full:
		if hash(c.lab.world.config.Seed, "quota", string(address))%2 == 0 {
			return v.fullNow
		}
		return v.fullForGood
	}
	return v.missing
}

// data takes a message and throws it away.
func (c *conversation) data() {
	if !c.inMail || c.accepted == 0 {
		c.say("503 5.5.1 Need RCPT before DATA", nil)
		return
	}
	c.step(atData, "354 End data with <CR><LF>.<CR><LF>", nil, missing)
	if !strings.HasPrefix(c.said, "3") || !c.flush() {
		return
	}
	c.lab.messages.Add(1)
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			c.over = true
			return
		}
		if string(bytes.TrimRight(line, "\r\n")) == "." {
			break
		}
	}
	c.forget()
	c.step(atMessage, "250 2.0.0 Ok: discarded", nil, missing)
}

func (c *conversation) startTLS() {
	mode := c.manner.tls
	if mode == noTLS || c.encrypted {
		c.say("502 5.5.1 STARTTLS is not offered", nil)
		return
	}
	c.step(atStartTLS, "220 2.0.0 Ready to start TLS", nil, missing)
	if !c.saidYes() {
		return
	}
	c.over = !c.flush()
	if mode == tlsBroken || mode == tlsMustBreak {
		c.out.WriteString("\x15\x03\x01\x00\x02\x02\x28") // an alert: handshake failure
		c.over = true
		return
	}
	// What was pipelined after STARTTLS is thrown away, RFC 3207 section 6.
	secure := tls.Server(c.conn, c.lab.tls)
	if secure.HandshakeContext(context.Background()) != nil { // Close ends it
		c.over = true
		return
	}
	c.conn = secure
	c.in.Reset(secure)
	// RFC 3207 section 4.2: all knowledge of the client is thrown away, too.
	c.encrypted, c.greeted, c.extended, c.pipelining = true, false, false, false
	c.forget()
}

// path reads "FROM:<address> parameters" (RFC 5321 section 4.1.1.2), with or
// without a source route and a blank after the colon.
func path(rest []byte, keyword string) (address, parameters []byte, ok bool) {
	if len(rest) < len(keyword) || !strings.EqualFold(string(rest[:len(keyword)]), keyword) {
		return nil, nil, false
	}
	rest = bytes.TrimLeft(rest[len(keyword):], " ")
	if len(rest) == 0 || rest[0] != '<' {
		return nil, nil, false
	}
	end, quoted := -1, false
	for i := 1; i < len(rest) && end < 0; i++ {
		switch {
		case rest[i] == '\\' && quoted:
			i++
		case rest[i] == '"':
			quoted = !quoted
		case rest[i] == '>' && !quoted:
			end = i
		}
	}
	if end < 0 {
		return nil, nil, false
	}
	address = rest[1:end]
	if len(address) > 0 && address[0] == '@' {
		_, address, _ = bytes.Cut(address, []byte{':'})
	}
	return address, bytes.TrimSpace(rest[end+1:]), true
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
