package verify

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// stage is the point of the conversation at which a reply came. Only what is
// said at RCPT can be about the mailbox; everything before it is about us.
type stage uint8

const (
	atConnect stage = 1 << iota // the greeting
	atHello                     // EHLO, HELO, STARTTLS
	atMail
	atRcpt
	anyStage = atConnect | atHello | atMail | atRcpt
)

// next is what the session does after a reply.
type next uint8

const (
	settle          next = iota // the finding stands
	unclear                     // it stands; the words could mean anything, the mailbox too
	perhaps                     // it stands where the host means the mailbox: these words are used for much else
	softUnknown                 // it stands: no such mailbox, says a host that will not say so for good
	putOff                      // it stands: greylisted, says the host by name
	nextTransaction             // ask again in another transaction: this one is full
	nextSession                 // ask again in another session, if this one has been answering so far
	hangUp                      // the host closes the connection: resume in another session
)

// finding is what a reply means.
type finding struct {
	verdict Verdict
	reason  Reason
	next    next
}

// aboutMailbox reports whether the reply was about the mailbox, for sure.
func (f finding) aboutMailbox() bool {
	return f.verdict != Unknown && f.next != perhaps || f.next == softUnknown
}

// open reports whether the words could mean anything.
func (f finding) open() bool { return f.next == unclear || f.next == perhaps }

// isNoSuchUser reports whether the host says that the mailbox does not exist, be
// it for now.
func (f finding) isNoSuchUser() bool {
	return f.reason == NoSuchUser && f.next != perhaps || f.next == softUnknown
}

// rule is one row of the table in rules.go: the first row whose conditions all
// hold decides. A condition that is left empty always holds.
type rule struct {
	stages   stage
	codes    string   // reply codes or their first digits: "550 553", "4"
	enhanced string   // enhanced codes: "5.1.1 x.2.2 5.7.*"; "none" where there is none
	says     meaning  // any of these
	silent   meaning  // none of these
	words    []string // one of these stands in the text, between spaces
	finding  finding
}

// classifier remembers the meaning of replies: hosts say the same to most
// addresses, and reading a text again costs more than the rest of the answer.
type classifier struct {
	sender string // the address that mail comes from
	mu     sync.Mutex
	seen   memory[saying, finding]
}

// saying is a reply as far as its meaning depends on it.
type saying struct {
	at       stage
	code     int
	enhanced enhanced
	provider *provider
	text     phrases
}

func newClassifier(sender string) *classifier {
	return &classifier{sender: strings.ToLower(sender), seen: newMemory[saying, finding](1 << 14)}
}

// classify is the function of that name, with memory. Where the host names our
// sender's address, or another one at its domain, it speaks of the sender: "no
// such user" is not about the address that was asked for.
func (c *classifier) classify(at stage, r reply, p *provider, about Address) finding {
	if accepts(at, r.code) { // half of all replies: their words change nothing
		return finding{Valid, Accepted, settle}
	}
	r.text = strings.ToLower(r.text)
	if home := c.sender[strings.LastIndexByte(c.sender, '@')+1:]; home != "" && home != about.Domain && strings.Contains(r.text, home) {
		r.text = atHome(r.text, home)
	} else if c.sender != "" && strings.ToLower(about.String()) != c.sender {
		r.text = strings.ReplaceAll(r.text, c.sender, "sender")
	}
	s := saying{at, r.code, r.enhanced, p, newPhrases(r.text, about)}
	c.mu.Lock()
	f, ok := c.seen.get(s)
	c.mu.Unlock()
	if !ok {
		f = s.meaning()
		c.mu.Lock()
		c.seen.put(s, f)
		c.mu.Unlock()
	}
	return f
}

// atHome puts the word "sender" where an address at the sender's domain stands.
func atHome(text, domain string) string {
	for from := 0; ; {
		at := strings.Index(text[from:], "@"+domain)
		if at < 0 {
			return text
		}
		begin, end := from+at, from+at+1+len(domain)
		from = end
		if end < len(text) && (isNameByte(text[end]) && text[end] != '.' || text[end] == '.' && end+1 < len(text) && isNameByte(text[end+1])) {
			continue // a longer name
		}
		for begin > 0 && isLocalByte(text[begin-1]) {
			begin--
		}
		text = text[:begin] + " sender " + text[end:]
		from = begin
	}
}

// accepts reports whether MAIL or RCPT was accepted (RFC 5321 §4.3.2).
func accepts(at stage, code int) bool {
	return at == atRcpt && (code == 250 || code == 251) || at == atMail && code/100 == 2
}

// classify finds the meaning of a reply: the provider's own rows first, then
// the table. about is the address that was asked for; what the host repeats of
// it is no part of what it says.
func classify(at stage, r reply, p *provider, about Address) finding {
	return saying{at, r.code, r.enhanced, p, newPhrases(r.text, about)}.meaning()
}

func (s saying) meaning() finding {
	said := theLexicon.read(s.text.withoutAsides())
	if !s.text.words() {
		said |= wordless | named
	}
	if s.provider != nil {
		for i := range s.provider.rules {
			if s.provider.rules[i].holds(s, said) {
				return s.provider.rules[i].finding
			}
		}
	}
	for i := range rules {
		if rules[i].holds(s, said) {
			return rules[i].finding
		}
	}
	return finding{Unknown, ProtocolError, settle}
}

func (u *rule) holds(s saying, said meaning) bool {
	return u.stages&s.at != 0 &&
		(u.codes == "" || codeIn(s.code, u.codes)) &&
		(u.enhanced == "" || enhancedIn(s.enhanced, u.enhanced)) &&
		(u.says == 0 || u.says&said != 0) && u.silent&said == 0 &&
		(u.words == nil || slices.ContainsFunc(u.words, func(w string) bool { return strings.Contains(string(s.text), " "+w) }))
}

// codeIn reports whether the code, or its first digits, stand in the list.
func codeIn(code int, list string) bool {
	text := strconv.Itoa(code)
	for want := range strings.SplitSeq(list, " ") {
		if strings.HasPrefix(text, want) {
			return true
		}
	}
	return false
}

// enhancedIn reports whether the code stands in the list, in which x is any
// class, * any detail and "none" the lack of a code.
func enhancedIn(e enhanced, list string) bool {
	if e == (enhanced{}) {
		return list == "none"
	}
	for want := range strings.SplitSeq(list, " ") {
		class, rest, _ := strings.Cut(want, ".")
		subject, detail, _ := strings.Cut(rest, ".")
		if (class == "x" || class == strconv.Itoa(e.class)) &&
			(subject == "*" || subject == strconv.Itoa(e.subject)) &&
			(detail == "*" || detail == strconv.Itoa(e.detail)) {
			return true
		}
	}
	return false
}
