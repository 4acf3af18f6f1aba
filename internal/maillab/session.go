package maillab

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
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
	out  *bufio.Writer

	greeted    bool // EHLO or HELO done
	extended   bool // by EHLO
	pipelining bool // advertised to this client
	encrypted  bool
	inMail     bool // between MAIL and RSET, or the end of the message
	utf8       bool // MAIL said SMTPUTF8
	sender     []byte
	accepted   int // recipients of this transaction
	counts     [stages]int
	recipients int // asked for in this transaction
	unknown    int // recipients that do not exist, in this session
	nullSender bool
	named      bool   // the recipient reads like a mailbox's name
	said       string // the last reply, before its placeholders are filled in
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4096) }}
)

// converse serves one connection until either side ends it.
func (c *conversation) converse() {
	in, out := readers.Get().(*bufio.Reader), writers.Get().(*bufio.Writer) //nolint:errcheck,forcetypeassert // the pools hold nothing else
	c.in, c.out = in, out
	in.Reset(c.conn)
	out.Reset(c.wired())
	defer func() {
		in.Reset(nil)
		out.Reset(nil)
		readers.Put(in)
		writers.Put(out)
	}()
	// The handshake was one round trip of its own.
	if !c.lab.sleep(2*c.lab.world.config.Latency) || c.manner.punishesEarly && c.early() || !c.step(atBanner, c.manner.voice.banner, nil, missing) {
		c.out.Flush() //nolint:errcheck // the client may be gone
		return
	}
	for {
		line, ok := c.readLine()
		if !ok || !c.command(line) {
			c.out.Flush() //nolint:errcheck // the client may be gone
			return
		}
		if c.manner.discards {
			c.in.Discard(c.in.Buffered()) //nolint:errcheck // that many are there
		}
	}
}

// early turns away clients that talk before the banner (RFC 5321 section 4.3.1).
func (c *conversation) early() bool {
	if !c.lab.sleep(100 * time.Millisecond) {
		return true
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) //nolint:errcheck // a closed connection shows when read
	defer c.conn.SetReadDeadline(time.Time{})                //nolint:errcheck // as above
	if _, err := c.in.Peek(1); err != nil {
		return false
	}
	c.lab.improper.Add(1)
	return c.say("554 5.5.0 You talked before the banner", nil)
}

// readLine returns the next command without its line ending. Replies are sent,
// and a round trip passes, only when no further command is waiting.
func (c *conversation) readLine() ([]byte, bool) {
	waiting, _ := c.in.Peek(c.in.Buffered())
	if bytes.IndexByte(waiting, '\n') < 0 {
		if c.out.Flush() != nil {
			return nil, false
		}
		if c.manner.idle > 0 {
			c.conn.SetReadDeadline(time.Now().Add(c.manner.idle)) //nolint:errcheck // a closed connection shows when read
		}
		if _, err := c.in.Peek(len(waiting) + 1); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // returned unwrapped
				c.say("421 4.4.2 Idle for too long, closing", nil)
			}
			return nil, false
		}
		if c.manner.idle > 0 {
			c.conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
		}
		if !c.lab.sleep(c.lab.world.config.Latency) {
			return nil, false
		}
	} else if !c.pipelining && !c.synchronized() {
		return nil, false
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil { // gone, or a line beyond any limit
		return nil, false
	}
	return bytes.TrimRight(line, "\r\n"), true
}

// synchronized punishes a client that sends commands together without having
// been offered PIPELINING (RFC 2920 section 3.1).
func (c *conversation) synchronized() bool {
	if !c.manner.noPipelining && c.greeted {
		return true
	}
	c.lab.improper.Add(1)
	c.say("554 5.5.0 SMTP protocol synchronization error", nil)
	return false
}

// command carries out one command. It returns false when the session is over.
func (c *conversation) command(line []byte) bool {
	c.lab.commands.Add(1)
	verb, rest := line, []byte(nil)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		verb, rest = line[:i], line[i+1:]
	}
	switch {
	case is(verb, "RCPT"):
		return c.rcpt(rest)
	case is(verb, "MAIL"):
		return c.mail(rest)
	case is(verb, "RSET"):
		ok := c.step(atRset, "250 2.0.0 Ok", nil, missing)
		if c.saidYes() {
			c.forget()
		}
		return ok
	case is(verb, "EHLO"):
		return c.ehlo(rest)
	case is(verb, "HELO"):
		if len(rest) == 0 {
			return c.say("501 5.5.4 HELO needs a name", nil)
		}
		ok := c.step(atHelo, "250 {host}", nil, missing)
		if c.saidYes() {
			c.greeted = true
			c.forget()
		}
		return ok
	case is(verb, "QUIT"):
		c.step(atQuit, "221 2.0.0 Bye", nil, missing)
		return false
	case is(verb, "NOOP"):
		return c.step(atNoop, "250 2.0.0 Ok", nil, missing)
	case is(verb, "DATA"):
		return c.data()
	case is(verb, "STARTTLS"):
		return c.startTLS()
	case is(verb, "VRFY"):
		return c.say("252 2.0.0 Send some mail, I'll try my best", nil)
	}
	return c.say("500 5.5.2 Command not recognized", nil)
}

func is(verb []byte, name string) bool {
	return len(verb) == len(name) && strings.EqualFold(string(verb), name)
}

// forget ends the transaction.
func (c *conversation) forget() bool {
	c.inMail, c.utf8, c.accepted, c.recipients = false, false, 0, 0
	return true
}

func (c *conversation) ehlo(name []byte) bool {
	if len(name) == 0 {
		return c.say("501 5.5.4 EHLO needs a name", nil)
	}
	m := c.manner
	var reply strings.Builder
	reply.WriteString("250-{host}\n250-SIZE 35882577\n250-8BITMIME\n")
	if !m.noPipelining {
		reply.WriteString("250-PIPELINING\n")
	}
	if m.tls != noTLS && !c.encrypted {
		reply.WriteString("250-STARTTLS\n")
	}
	if m.utf8 {
		reply.WriteString("250-SMTPUTF8\n")
	}
	reply.WriteString("250 ENHANCEDSTATUSCODES")
	ok := c.step(atEhlo, reply.String(), nil, missing)
	if c.saidYes() {
		c.greeted, c.extended = true, true
		c.pipelining = strings.Contains(strings.ToUpper(c.said), "PIPELINING")
		c.forget()
	}
	return ok
}

func (c *conversation) mail(rest []byte) bool {
	address, parameters, ok := path(rest, "FROM:")
	m := c.manner
	switch {
	case !ok:
		return c.say("501 5.5.4 Syntax: MAIL FROM:<address>", nil)
	case !c.greeted:
		return c.say("503 5.5.1 Send EHLO first", nil)
	case c.inMail:
		return c.say("503 5.5.1 Nested MAIL command", nil)
	case (m.tls == tlsRequired || m.tls == tlsMustBreak) && !c.encrypted:
		return c.say("530 5.7.0 Must issue a STARTTLS command first", nil)
	case len(parameters) > 0 && (m.noParameters || !c.extended):
		return c.say("555 5.5.4 Unsupported option", nil)
	}
	utf8 := bytes.Contains(bytes.ToUpper(parameters), []byte("SMTPUTF8"))
	if utf8 && !m.utf8 {
		return c.say("555 5.5.4 Unsupported option: SMTPUTF8", nil)
	}
	c.nullSender = len(address) == 0
	ok = c.step(atMail, m.voice.mail, address, missing)
	if c.saidYes() {
		c.forget()
		c.inMail, c.utf8 = true, utf8
		c.sender = append(c.sender[:0], address...)
	}
	return ok
}

func (c *conversation) rcpt(rest []byte) bool {
	address, parameters, ok := path(rest, "TO:")
	switch {
	case !ok || len(address) == 0:
		return c.say("501 5.1.3 Bad recipient address syntax", nil)
	case !c.inMail:
		return c.say("503 5.5.1 Need MAIL before RCPT", nil)
	case len(parameters) > 0:
		return c.say("555 5.5.4 Unsupported option", nil)
	}
	c.lab.recipients.Add(1)
	c.recipients++
	at := bytes.LastIndexByte(address, '@')
	if at < 1 {
		return c.say("550 5.1.3 <{rcpt}>: bad address", address)
	}
	d := c.lab.world.domainOf(address[at+1:])
	if d == nil || !c.host.serves(d) {
		return c.say("554 5.7.1 <{rcpt}>: Relay access denied", address)
	}
	if !c.utf8 && !ascii(address) {
		return c.say("553 5.6.7 Address needs SMTPUTF8", address)
	}
	box := c.lab.world.mailbox(d, address[:at])
	if box == missing && !d.everyone {
		c.unknown++
	}
	c.named = d.odd != nil && personal(address[:at])
	ok = c.step(atRcpt, c.verdict(d, box, address), address, box)
	if c.saidYes() {
		c.accepted++
	}
	return ok
}

// verdict is the usual reply to a recipient.
func (c *conversation) verdict(d *domain, box mailbox, address []byte) string {
	v := &c.manner.voice
	known := box != missing || d.everyone
	if g := c.manner.greylist; g == greylistAll || g == greylistReal && known {
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

func (c *conversation) data() bool {
	if !c.inMail || c.accepted == 0 {
		return c.say("503 5.5.1 Need RCPT before DATA", nil)
	}
	if !c.step(atData, "354 End data with <CR><LF>.<CR><LF>", nil, missing) {
		return false
	}
	if !strings.HasPrefix(c.said, "3") {
		return true
	}
	c.lab.messages.Add(1)
	for { // the message is read and thrown away
		line, ok := c.readMessageLine()
		if !ok {
			return false
		}
		if len(line) == 1 && line[0] == '.' {
			break
		}
	}
	return c.forget() && c.step(atMessage, "250 2.0.0 Ok: discarded", nil, missing)
}

func (c *conversation) readMessageLine() ([]byte, bool) {
	if c.in.Buffered() == 0 && c.out.Flush() != nil {
		return nil, false
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull { //nolint:errorlint // returned unwrapped
		return nil, false
	}
	return bytes.TrimRight(line, "\r\n"), true
}

func (c *conversation) startTLS() bool {
	if c.manner.tls == noTLS || c.encrypted {
		return c.say("502 5.5.1 STARTTLS is not offered", nil)
	}
	if !c.step(atStartTLS, "220 2.0.0 Ready to start TLS", nil, missing) || c.out.Flush() != nil {
		return false
	}
	if !c.saidYes() {
		return true
	}
	if c.manner.tls == tlsBroken || c.manner.tls == tlsMustBreak {
		c.conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x28")) //nolint:errcheck // alert: handshake failure; the client may be gone
		return false
	}
	// What was pipelined after STARTTLS is thrown away, RFC 3207 section 6.
	secure := tls.Server(c.conn, c.lab.tls())
	if secure.Handshake() != nil { //nolint:noctx // ended by Close, which closes the connection
		return false
	}
	c.conn = secure
	c.in.Reset(secure)
	c.out.Reset(c.wired())
	// RFC 3207 section 4.2: all knowledge of the client is discarded.
	c.encrypted, c.greeted, c.extended, c.pipelining = true, false, false, false
	return c.forget()
}

// step plays the rule for an event, or else gives the usual reply.
func (c *conversation) step(at stage, usual string, address []byte, box mailbox) bool {
	return c.play(c.find(at, box), usual, address)
}

// find counts an event and returns the first rule that speaks to it, or nil.
func (c *conversation) find(at stage, box mailbox) *rule {
	c.counts[at]++
	for i := range c.manner.rules {
		r := &c.manner.rules[i]
		if r.at != at || r.who == existing && box != exists || r.who == absent && box != missing ||
			r.who == former && (box != missing || !c.named) || r.who == nullSender && !c.nullSender {
			continue
		}
		var n int
		switch r.in {
		case inSession:
			n = c.counts[at]
		case inTransaction:
			n = c.recipients
		case unknownSoFar:
			n = c.unknown
		case byClient:
			n = c.nth
		}
		if n >= r.from && (r.to == 0 || n <= r.to) {
			return r
		}
	}
	return nil
}

// play gives a rule's reply or the usual one. It returns false when the
// session is over.
func (c *conversation) play(r *rule, usual string, address []byte) bool {
	pause := c.manner.pause
	if r != nil {
		pause += r.after
	}
	if pause > 0 && (c.out.Flush() != nil || !c.lab.sleep(pause)) {
		return false
	}
	if r == nil {
		return c.say(usual, address)
	}
	switch {
	case r.mute:
		c.said = ""
	case r.say != "":
		c.say(r.say, address)
	default:
		c.say(usual, address)
	}
	switch r.then {
	case hangUp:
		return false
	case reset:
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) //nolint:errcheck // closed next
		}
		return false
	case fallSilent:
		if c.out.Flush() == nil {
			c.in.WriteTo(discard{}) //nolint:errcheck // until the client leaves
		}
		return false
	case goOnForever:
		for c.out.Flush() == nil && c.lab.sleep(5*time.Millisecond) {
			c.say(r.say, address)
		}
		return false
	case stay:
	}
	return true
}

// discard takes and forgets; unlike io.Discard it has no ReadFrom of its own.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// say writes a reply, and always returns true: a client that is gone shows
// when the next command is read.
func (c *conversation) say(reply string, address []byte) bool {
	c.said = reply
	for reply != "" {
		i := strings.IndexAny(reply, "{\n")
		if i < 0 {
			c.out.WriteString(reply) //nolint:errcheck // shows at Flush, as all below
			break
		}
		c.out.WriteString(reply[:i]) //nolint:errcheck
		reply = reply[i:]
		switch {
		case reply[0] == '\n':
			c.out.WriteString("\r\n") //nolint:errcheck
			reply = reply[1:]
		case strings.HasPrefix(reply, "{rcpt}"):
			c.out.Write(address) //nolint:errcheck
			reply = reply[len("{rcpt}"):]
		case strings.HasPrefix(reply, "{host}"):
			c.out.WriteString(c.host.name) //nolint:errcheck
			reply = reply[len("{host}"):]
		case strings.HasPrefix(reply, "{client}"):
			c.out.WriteString(c.client.String()) //nolint:errcheck
			reply = reply[len("{client}"):]
		default:
			c.out.WriteByte('{') //nolint:errcheck
			reply = reply[1:]
		}
	}
	c.out.WriteString("\r\n") //nolint:errcheck
	return true
}

// saidYes reports whether the last reply was positive.
func (c *conversation) saidYes() bool { return strings.HasPrefix(c.said, "2") }

// wired returns where replies are written: the connection, as the host's
// manner puts them onto the wire.
func (c *conversation) wired() io.Writer {
	if c.manner.wire == whole {
		return c.conn
	}
	return &wireWriter{c.conn, c.manner.wire, c.lab}
}

// wireWriter puts replies onto a connection in an odd way.
type wireWriter struct {
	conn net.Conn
	wire wire
	lab  *Lab
}

func (w *wireWriter) Write(p []byte) (int, error) {
	var parts [][]byte
	switch w.wire {
	case bareLF:
		parts = [][]byte{bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))}
	case trickled:
		for i := range p {
			parts = append(parts, p[i:i+1])
		}
	case torn:
		parts = bytes.SplitAfter(p, []byte("\r"))
	case whole:
		parts = [][]byte{p}
	}
	for _, part := range parts {
		if _, err := w.conn.Write(part); err != nil {
			return 0, err
		}
		if w.wire != bareLF && !w.lab.sleep(200*time.Microsecond) {
			return 0, net.ErrClosed
		}
	}
	return len(p), nil
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
		if i := bytes.IndexByte(address, ':'); i >= 0 {
			address = address[i+1:]
		}
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
