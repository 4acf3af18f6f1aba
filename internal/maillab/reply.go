package maillab

import (
	"bytes"
	"net"
	"strings"
	"time"
)

// step answers an event at a stage: by the rule for it, or as usual.
func (c *conversation) step(at stage, usual string, address []byte, box mailbox) {
	r := c.find(at, box)
	pause := c.manner.pause
	if r != nil {
		pause += r.after
	}
	if pause > 0 && !(c.flush() && c.lab.sleep(pause)) {
		c.over = true
		return
	}
	if r != nil && r.complaint {
		c.host.mu.Lock()
		c.host.complaints++
		c.host.mu.Unlock()
	}
	switch {
	case r != nil && r.mute:
		c.said = ""
	case r != nil && r.say != "":
		c.say(r.say, address)
	default:
		c.say(usual, address)
	}
	if r != nil && r.then != stay {
		c.end(r, address)
	}
}

// find counts an event and returns the first rule that speaks to it, or nil.
func (c *conversation) find(at stage, box mailbox) *rule {
	c.counts[at]++
	for i := range c.manner.rules {
		r := &c.manner.rules[i]
		if r.at != at || !c.concerns(r.who, box) {
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
		case unknownEver:
			n = c.unknowns
		case strangeSoFar:
			n = c.strange
		case byClient:
			n = c.nth
		case ofClient:
			n = c.ever
		case inWindow:
			n = c.windowed
		}
		if n >= r.from && (r.to == 0 || n <= r.to) {
			return r
		}
	}
	return nil
}

// concerns reports whether a rule for these speaks to the event at hand.
func (c *conversation) concerns(w who, box mailbox) bool {
	switch w {
	case existing:
		return box == exists
	case absent:
		return box == missing
	case former:
		return box == missing && c.named
	case strange:
		return !c.named
	case nullSender:
		return len(c.sender) == 0
	case anyone:
	}
	return true
}

// end ends the session the way a rule wants it.
func (c *conversation) end(r *rule, address []byte) {
	c.over = true
	if !c.flush() {
		return
	}
	switch r.then {
	case reset:
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) //nolint:errcheck // closed next
		}
	case fallSilent:
		for ignored := make([]byte, 512); ; {
			if _, err := c.in.Read(ignored); err != nil {
				return
			}
		}
	case goOnForever:
		for c.flush() && c.lab.sleep(5*time.Millisecond) {
			c.say(r.say, address)
		}
	case hangUp, stay:
	}
}

// saidYes reports whether the last reply was positive.
func (c *conversation) saidYes() bool { return strings.HasPrefix(c.said, "2") }

// say adds a reply to those that wait to be sent, its placeholders filled in.
func (c *conversation) say(reply string, address []byte) {
	c.said = reply
	for reply != "" {
		i := strings.IndexAny(reply, "{\n")
		if i < 0 {
			c.out.WriteString(reply)
			break
		}
		c.out.WriteString(reply[:i])
		reply = reply[i:]
		switch {
		case strings.HasPrefix(reply, "{rcpt}"):
			c.out.Write(address)
			reply = reply[len("{rcpt}"):]
		case strings.HasPrefix(reply, "{host}"):
			c.out.WriteString(c.host.name)
			reply = reply[len("{host}"):]
		case strings.HasPrefix(reply, "{client}"):
			c.out.WriteString(c.client.String())
			reply = reply[len("{client}"):]
		case reply[0] == '\n':
			c.out.WriteString("\r\n")
			reply = reply[1:]
		default:
			c.out.WriteByte(reply[0])
			reply = reply[1:]
		}
	}
	c.out.WriteString("\r\n")
}

// flush sends the replies that wait, the way the host puts them onto the wire.
// It returns false when the client is gone or the lab is closed.
func (c *conversation) flush() bool {
	replies := c.out.Bytes()
	c.out.Reset()
	if len(replies) == 0 {
		return true
	}
	var packets [][]byte
	switch c.manner.wire {
	case whole:
		packets = [][]byte{replies}
	case bareLF:
		packets = [][]byte{bytes.ReplaceAll(replies, []byte("\r\n"), []byte("\n"))}
	case trickled:
		packets = bytes.SplitAfter(replies, nil)
	case torn:
		packets = bytes.SplitAfter(replies, []byte("\r"))
	}
	for i, packet := range packets {
		// Pauses make sure that the first ones, with the code, really travel
		// alone; more of them would only make the host slow.
		if 0 < i && i < 8 && !c.lab.sleep(200*time.Microsecond) {
			return false
		}
		if _, err := c.conn.Write(packet); err != nil {
			return false
		}
	}
	return true
}
