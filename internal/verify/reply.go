package verify

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a reply. RFC 5321 §4.5.3.1.5 allows 512 octets a line; servers send
// more. A server that sends more than this is not a mail host.
const (
	maxReplyLine  = 1 << 16
	keptReplyLine = 4096
	maxReplyLines = 128
)

// reply is one SMTP reply, all its lines (RFC 5321 §4.2).
type reply struct {
	code     int      // 200…599
	enhanced enhanced // zero where the server sent none
	text     string   // lines joined by a space, without the codes
	lines    []string // text by line, as EHLO needs it
}

func (r reply) class() int { return r.code / 100 }

// enhanced is an enhanced status code (RFC 3463): class, subject, detail.
type enhanced struct{ class, subject, detail int }

func (e enhanced) String() string {
	if e == (enhanced{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e.class, e.subject, e.detail)
}

// errNotSMTP says that the peer sent something that is no SMTP reply.
var errNotSMTP = errors.New("the host does not speak SMTP")

// readReply reads one reply. Lines may end in a bare LF. The code of the last
// line counts; a reply whose lines disagree about the class of the code is not
// one, because it is unknown which of them is meant.
func readReply(br *bufio.Reader) (reply, error) {
	var r reply
	for range maxReplyLines {
		line, err := readLine(br)
		if err != nil {
			return reply{}, err
		}
		code, more, text, ok := parseReplyLine(line)
		if !ok || (r.code != 0 && code/100 != r.code/100) {
			return reply{}, fmt.Errorf("%w: it sent %q", errNotSMTP, printable(line, 60))
		}
		r.code = code
		enh, text := splitEnhanced(text, code/100)
		if enh != (enhanced{}) && r.enhanced == (enhanced{}) {
			r.enhanced = enh
		}
		r.lines = append(r.lines, printable(text, 512))
		if !more {
			r.text = strings.TrimSpace(strings.Join(r.lines, " "))
			if r.enhanced == (enhanced{}) {
				r.enhanced = findEnhanced(r.text, code/100)
			}
			return r, nil
		}
	}
	return reply{}, fmt.Errorf("%w: a reply of more than %d lines", errNotSMTP, maxReplyLines)
}

// readLine reads one line and keeps as much of it as fits the buffer.
func readLine(br *bufio.Reader) (string, error) {
	chunk, err := br.ReadSlice('\n')
	line := string(chunk)
	for length := len(chunk); errors.Is(err, bufio.ErrBufferFull); length += len(chunk) {
		if length > maxReplyLine {
			return "", fmt.Errorf("%w: a line of more than %d octets", errNotSMTP, maxReplyLine)
		}
		chunk, err = br.ReadSlice('\n')
	}
	return line, err
}

// parseReplyLine splits Reply-line = Reply-code [ SP textstring ] CRLF, with a
// hyphen instead of the space when more lines follow (RFC 5321 §4.2.1).
func parseReplyLine(line string) (code int, more bool, text string, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", true
	}
	switch line[3] {
	case '-':
		return code, true, line[4:], true
	case ' ', '\t':
		return code, false, line[4:], true
	}
	return 0, false, "", false
}

// splitEnhanced takes the enhanced code from the start of a line (RFC 2034 §4).
// Its class must be that of the reply.
func splitEnhanced(text string, class int) (enhanced, string) {
	trimmed := strings.TrimLeft(text, " ")
	e, n := parseEnhanced(trimmed)
	if n == 0 || e.class != class || (n < len(trimmed) && trimmed[n] != ' ') {
		return enhanced{}, text
	}
	return e, strings.TrimLeft(trimmed[n:], " ")
}

// findEnhanced finds an enhanced code that is written as "#5.1.1" or "(5.1.1)"
// further inside the text, as qmail and its kin do, or after the reply code of
// another host, "550 5.1.1".
func findEnhanced(text string, class int) enhanced {
	for i := range len(text) {
		if text[i] != '#' && text[i] != '(' && !endsInCode(text[:i+1], class) {
			continue
		}
		if e, n := parseEnhanced(text[i+1:]); n > 0 && e.class == class {
			return e
		}
	}
	return enhanced{}
}

// endsInCode reports whether the text ends in a reply code of the class and a
// space or hyphen.
func endsInCode(text string, class int) bool {
	n := len(text)
	return n >= 4 && (text[n-1] == ' ' || text[n-1] == '-') && isDigit(text[n-2]) && isDigit(text[n-3]) && int(text[n-4]-'0') == class &&
		(n == 4 || !isDigit(text[n-5]))
}

// parseEnhanced reads class "." subject "." detail at the start of s and
// returns how long it was; 0 when there is none. Subject and detail have one to
// three digits (RFC 3463 §2).
func parseEnhanced(s string) (e enhanced, n int) {
	if len(s) < 5 || (s[0] != '2' && s[0] != '4' && s[0] != '5') || s[1] != '.' {
		return enhanced{}, 0
	}
	e.class = int(s[0] - '0')
	subject, n1 := leadingNumber(s[2:])
	if n1 == 0 || 2+n1 >= len(s) || s[2+n1] != '.' {
		return enhanced{}, 0
	}
	detail, n2 := leadingNumber(s[3+n1:])
	if n2 == 0 {
		return enhanced{}, 0
	}
	e.subject, e.detail = subject, detail
	return e, 3 + n1 + n2
}

// leadingNumber reads up to three digits; a fourth one makes it no number.
func leadingNumber(s string) (value, n int) {
	for n < len(s) && isDigit(s[n]) {
		if n == 3 {
			return 0, 0
		}
		value = value*10 + int(s[n]-'0')
		n++
	}
	return value, n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// printable makes text from the wire fit for people, JSON and logs: what is not
// UTF-8 or not printable becomes a "?", and no more than limit octets are kept.
func printable(s string, limit int) string {
	s = strings.TrimRight(s, "\r\n")
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
