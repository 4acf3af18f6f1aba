package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// catchAll is what is known about whether a domain accepts every mailbox. It
// is asked for once, with one mailbox that cannot exist, and only when somebody
// was accepted; accepted addresses wait for the answer.
type catchAll struct {
	state   catchAllState
	until   time.Time // when the answer is to be asked for again
	asking  bool      // the probe stands in a transaction
	probe   *task     // nil when it has been answered
	reason  Reason    // of the answer to the probe
	refusal *saying   // of the probe, where it means something only beside those of others
	waiting []parked
}

type catchAllState uint8

const (
	notAsked   catchAllState = iota
	selective                // the impossible mailbox was refused: an accepted one exists
	acceptsAll               // it was accepted as well
	undecided                // the host would not say
)

// parked is an answer that means something only beside the answer to the probe.
type parked struct {
	task    *task
	finding finding
	reply   reply
	at      exchanger
	when    time.Time
}

// probeLocal is a local part that no person has, and the same one every time:
// a host that greylists it knows it again. It is pronounceable, for hosts that
// refuse what looks like random letters.
func probeLocal(secret, domain string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(domain))
	sum := mac.Sum(nil)
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	word := make([]byte, 0, 24)
	for i := range 12 {
		if i == 7 {
			word = append(word, '.')
		}
		letters := consonants
		if i%2 == 1 {
			letters = vowels
		}
		word = append(word, letters[int(sum[i])%len(letters)])
	}
	n := binary.BigEndian.Uint32(sum[16:])
	for range 4 {
		word = append(word, byte('0'+n%10))
		n /= 10
	}
	return string(word)
}

// known reports whether the domain needs no probe, now.
func (c *catchAll) known(now time.Time) bool {
	return c.state != notAsked && now.Before(c.until)
}

// settleParked gives an address its verdict once the probe has been answered.
func (c *catchAll) verdict(p parked) finding {
	switch {
	case p.finding.next == compare:
		if c.state == selective && c.refusal != nil && *c.refusal == refusalOf(p.reply, p.task.addr) {
			return finding{Invalid, NoSuchUser, settle}
		}
		return p.finding
	case c.state == selective:
		return p.finding
	case c.state == acceptsAll:
		return finding{CatchAll, DomainAcceptsAll, settle}
	case c.reason == Greylisted || c.reason == Temporary:
		return finding{Unknown, c.reason, settle}
	}
	return finding{Unknown, CatchAllUnknown, settle}
}

// answered notes the answer to the probe. ttl is how long it is remembered.
func (c *catchAll) answered(f finding, r reply, ttl time.Duration, now time.Time) {
	c.asking, c.reason, c.refusal, c.until = false, f.reason, nil, now.Add(ttl)
	if f.next == compare {
		refusal := refusalOf(r, c.probe.addr)
		c.refusal = &refusal
	}
	c.probe = nil
	switch {
	case f.verdict == Valid:
		c.state = acceptsAll
	case f.next == softUnknown, r.class() == 5 && f.reason != Blocked && f.reason != SenderRefused && f.reason != Temporary && f.reason != MailboxFull:
		c.state = selective
	default:
		c.state = undecided
		c.until = now // the next caller may ask again
	}
}

// refusalOf is what a host says to a recipient, whoever it is.
func refusalOf(r reply, about Address) saying {
	return saying{atRcpt, r.code, r.enhanced, nil, newPhrases(r.text, about)}
}
