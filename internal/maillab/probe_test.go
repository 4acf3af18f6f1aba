package maillab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// probe is a plain, patient and slow verifier: one address per connection, one
// command at a time. It knows the protocol and nothing of the lab.
type probe struct {
	dnsAddr  string
	port     int
	connect  time.Duration // for a connection, and for an answer of DNS
	deadline time.Duration // for a session
	patience time.Duration // for temporary refusals
}

func probeOf(l *Lab) *probe {
	return &probe{l.DNSAddr(), l.SMTPPort(), 300 * time.Millisecond, 2 * time.Second, time.Second}
}

// patientProbeOf is for a busy machine.
func patientProbeOf(l *Lab) *probe {
	return &probe{l.DNSAddr(), l.SMTPPort(), 5 * time.Second, 30 * time.Second, 10 * time.Second}
}

// outcome is the last word about an address: a reply code with its text, the
// address taken out, or what went wrong before there was one.
type outcome struct {
	code int
	text string
}

func (o outcome) accepted() bool { return o.code/100 == 2 }

// ask finds out about one address.
func (p *probe) ask(email string) outcome {
	local, domain, _ := strings.Cut(reverse(email), "@")
	local, domain = reverse(domain), asciiDomain(reverse(local))
	hosts, failed := p.hosts(domain)
	if failed != "" {
		return outcome{text: failed}
	}
	var last outcome
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		for i, addr := range hosts {
			last = p.session(addr, local+"@"+domain, true)
			if last.text == "lost at EHLO" {
				last = p.session(addr, local+"@"+domain, false)
			}
			if last.code == 521 && i < len(hosts)-1 { // RFC 7504 section 3: that host takes no mail
				continue
			}
			if last.code >= 500 || last.code/100 == 2 {
				last.text = strings.ReplaceAll(last.text, email, "")
				return last
			}
		}
		if time.Since(begun) > p.patience {
			last.text = strings.ReplaceAll(last.text, email, "")
			return last
		}
	}
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// session asks one host about one address.
func (p *probe) session(addr netip.Addr, email string, extended bool) outcome {
	dialer := net.Dialer{Timeout: p.connect}
	conn, err := dialer.Dial("tcp", netip.AddrPortFrom(addr, uint16(p.port)).String())
	if errors.Is(err, syscall.ECONNRESET) {
		return outcome{text: "lost"}
	}
	if err != nil {
		return outcome{text: "cannot connect"}
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(p.deadline)); err != nil {
		return outcome{text: "cannot connect"}
	}
	text := textproto.NewConn(conn)
	command := func(format string, args ...any) (outcome, bool) {
		if format != "" {
			if err := text.PrintfLine(format, args...); err != nil {
				return outcome{text: "lost"}, false
			}
		}
		o, err := reply(text)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return outcome{text: "timeout"}, false
		case err != nil:
			return outcome{text: "lost"}, false
		}
		return o, o.code/100 == 2
	}
	if o, ok := command(""); !ok {
		return o
	}
	var o outcome
	ok := false
	if extended {
		o, ok = command("EHLO probe.test")
		switch {
		case o.text == "lost":
			o.text = "lost at EHLO"
			return o
		case o.code == 421 || o.text == "timeout":
			return o
		}
	}
	offered := o.text
	if !ok {
		if o, ok = command("HELO probe.test"); !ok {
			return o
		}
	}
	parameters := ""
	if strings.Contains(offered, "SMTPUTF8") && !ascii([]byte(email)) {
		parameters = " SMTPUTF8"
	}
	o, ok = command("MAIL FROM:<probe@probe.test>%s", parameters)
	if o.code == 530 && strings.Contains(offered, "STARTTLS") {
		if _, ok := command("STARTTLS"); !ok {
			return o
		}
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if secure.HandshakeContext(context.Background()) != nil {
			return o
		}
		text = textproto.NewConn(secure)
		command("EHLO probe.test")
		o, ok = command("MAIL FROM:<probe@probe.test>%s", parameters)
	}
	if o.code/100 == 4 { // perhaps only the first one
		o, ok = command("MAIL FROM:<probe@probe.test>%s", parameters)
	}
	if !ok {
		return o
	}
	if local, domain, _ := strings.Cut(email, "@"); strings.Contains(local, "..") && local[0] != '"' {
		email = `"` + local + `"@` + domain
	}
	o, _ = command("RCPT TO:<%s>", email)
	command("QUIT")
	return o
}

// reply reads a whole reply. A first line that is no reply at all is returned
// with code 0.
func reply(c *textproto.Conn) (outcome, error) {
	var o outcome
	for {
		line, err := c.ReadLine()
		if err != nil {
			return o, err
		}
		if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" {
			return outcome{text: line}, nil
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil {
			return o, err
		}
		o.code = code
		o.text += line[3:] + "\n"
		if len(line) < 4 || line[3] != '-' {
			return o, nil
		}
	}
}

// hosts finds the addresses of the domain's mail hosts in their order.
func (p *probe) hosts(domain string) ([]netip.Addr, string) {
	answer, failed := p.query(domain, dns.TypeMX)
	if failed == "NXDOMAIN" { // some name servers say so of types that they do not know
		if a, why := p.query(domain, dns.TypeA); why == "" {
			answer, failed = a[:0], ""
		}
	}
	if failed != "" {
		return nil, failed
	}
	answer = slices.DeleteFunc(answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCNAME })
	var records []*dns.MX
	for _, rr := range answer {
		if m, ok := rr.(*dns.MX); ok && (m.Mx != "." || len(answer) > 1) {
			records = append(records, m)
		} else if ok && m.Mx == "." {
			return nil, "null MX"
		}
	}
	if len(records) == 0 {
		records = []*dns.MX{{Mx: dns.Fqdn(domain)}}
	}
	slices.SortStableFunc(records, func(a, b *dns.MX) int { return int(a.Preference) - int(b.Preference) })
	var addrs []netip.Addr
	for _, m := range records {
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			answer, why := p.query(m.Mx, rrtype)
			if why == "SERVFAIL" || why == "REFUSED" {
				failed = why
			}
			for _, rr := range answer {
				switch rr := rr.(type) {
				case *dns.A:
					addr, _ := netip.AddrFromSlice(rr.A.To4())
					addrs = append(addrs, addr)
				case *dns.AAAA:
					addr, _ := netip.AddrFromSlice(rr.AAAA)
					addrs = append(addrs, addr)
				}
			}
		}
	}
	addrs = slices.DeleteFunc(addrs, func(addr netip.Addr) bool {
		return !slices.ContainsFunc(Networks(), func(n netip.Prefix) bool { return n.Contains(addr) })
	})
	if len(addrs) == 0 && failed == "" {
		failed = "no mail host"
	}
	return addrs, failed
}

// query asks one question, three times when it has to.
func (p *probe) query(name string, rrtype uint16) ([]dns.RR, string) {
	failed := ""
	edns := true
	for range 4 {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), rrtype)
		if edns {
			q.SetEdns0(1232, false)
		}
		client := dns.Client{Timeout: p.connect}
		m, _, err := client.Exchange(q, p.dnsAddr)
		if err == nil && m.Truncated {
			client.Net = "tcp"
			m, _, err = client.Exchange(q, p.dnsAddr)
		}
		switch {
		case err != nil && failed == "": // a late answer does not hide an earlier one
			failed = "no answer"
		case err != nil:
		case m.Rcode == dns.RcodeFormatError:
			edns = false
		case m.Rcode == dns.RcodeSuccess && !m.RecursionAvailable && !m.Authoritative && len(m.Answer) == 0:
			failed = "referral"
		case m.Rcode == dns.RcodeSuccess:
			return m.Answer, ""
		case m.Rcode == dns.RcodeNameError:
			return nil, "NXDOMAIN"
		default:
			failed = dns.RcodeToString[m.Rcode]
		}
	}
	return nil, failed
}

// dial opens a session with the first mail host of a domain and reads the banner.
func dial(l *Lab, domain string) (*textproto.Conn, error) {
	d := l.world.domains[asciiDomain(domain)]
	return textproto.Dial("tcp", netip.AddrPortFrom(d.hosts[0].addr, uint16(l.port)).String())
}

// talk sends lines in one packet and returns the codes of as many replies.
func talk(c *textproto.Conn, lines ...string) ([]int, error) {
	for _, line := range lines {
		fmt.Fprintf(c.W, "%s\r\n", line)
	}
	if err := c.W.Flush(); err != nil {
		return nil, err
	}
	var codes []int
	for range lines {
		o, err := reply(c)
		if err != nil {
			return codes, err
		}
		codes = append(codes, o.code)
	}
	return codes, nil
}
