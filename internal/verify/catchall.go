package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// catchAll is what is known about whether a domain accepts every mailbox. It
// is asked for once, with one mailbox that cannot exist, and only when another
// one was accepted; accepted addresses wait for the answer.
type catchAll struct {
	state      catchAllState
	until      time.Time // when to ask for the answer again
	asking     bool      // the probe stands in a transaction
	alone      bool      // it has to be the first recipient of a session, see session.check
	refusedNth int       // of the recipients of the session that refused it in words that could mean anything
	probe      *task     // nil until it is asked for
	reason     Reason    // of the answer to the probe
	putOff     deferral  // of the probe
	others     []remark  // what recipients of the domain got in words that say nothing about a mailbox
	waiting    []parked
	vague      []parked // refused in vague words by a host that has said nothing else yet

	// The domain's mail hosts, by name, that refused the probe, and others that did
	// not. An acceptance proves something only where the probe was refused.
	refusedAt, openAt []string

	doubts doubts
}

type catchAllState uint8

const (
	notAsked   catchAllState = iota
	selective                // the impossible mailbox does not exist: an accepted one does
	acceptsAll               // it was accepted as well
	undecided                // the host would not say
)

// parked is an answer that waits for what others show: an acceptance for the answer to
// the probe, a refusal in vague words for an acceptance.
type parked struct {
	task    *task
	finding finding
	reply   reply
	at      exchanger
	when    time.Time
}

// deferral is a temporary refusal of the probe, and since when it gets it.
type deferral struct {
	remark remark
	since  time.Time
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

// knownAt reports the same of one of the domain's mail hosts.
func (c *catchAll) knownAt(host string, now time.Time) bool {
	return c.known(now) && (c.state != selective || slices.Contains(c.refusedAt, host) || slices.Contains(c.openAt, host))
}

// verdict is that of an address that a mail host of the domain accepted, once the
// probe has been answered.
func (c *catchAll) verdict(p parked, host string) finding {
	switch {
	case c.state == selective && slices.Contains(c.refusedAt, host):
		return p.finding
	case c.state == selective:
		return finding{Unknown, CatchAllUnknown, settle}
	case c.state == acceptsAll:
		return finding{CatchAll, DomainAcceptsAll, settle}
	case c.reason == Greylisted || c.reason == Temporary:
		return finding{Unknown, c.reason, settle}
	}
	return finding{Unknown, CatchAllUnknown, settle}
}

// answered notes the answer to the probe. Only a host that says that the
// mailbox does not exist is selective, or one that refuses it again and again
// between acceptances of another: see session.check.
//
// What one of the domain's hosts says does not change what another one said.
func (c *catchAll) answered(t *transaction, a *ask, host string, cfg *Config, now time.Time) {
	if c.known(now) && c.state == selective && !slices.Contains(c.refusedAt, host) {
		c.asking, c.alone = false, false
		if a.finding.isNoSuchUser() {
			c.refusedAt = append(c.refusedAt, host)
		} else {
			c.openAt = append(c.openAt, host)
		}
		return
	}
	c.refusedAt, c.openAt = []string{host}, nil
	c.asking, c.alone, c.reason = false, false, a.finding.reason
	c.state, c.until = undecided, now.Add(cfg.BreakerPause)
	switch {
	case a.finding.verdict == Valid:
		c.state, c.until = acceptsAll, now.Add(cfg.CatchAllTTL)
	case a.finding.isNoSuchUser(), t.confirmed && c.lasting(a, cfg, now):
		c.state, c.until = selective, now.Add(cfg.CatchAllTTL)
	case c.reason == Greylisted || c.reason == Temporary:
		c.until = now.Add(cfg.GreylistRetry / 2) // before those who wait are back
	}
}

// lasting reports whether a refusal of the probe is not one that passes. A host
// that greylists refuses every new sender, so the same words have to come
// after the time that greylisting takes; trouble with looking mailboxes up has
// to meet another one as well.
func (c *catchAll) lasting(a *ask, cfg *Config, now time.Time) bool {
	if a.reply.class() == 5 {
		return true
	}
	said := remarkOf(a.reply, a.task.addr)
	if c.putOff.remark == said && now.Sub(c.putOff.since) >= cfg.GreylistRetry*9/10 {
		return true
	}
	return a.finding.reason == Temporary && slices.Contains(c.others, said)
}

// note keeps what an answer to a recipient looked like.
func (c *catchAll) note(a *ask, now time.Time) {
	if a.nth == 0 {
		return
	}
	if a.finding.aboutMailbox() || a.finding.next == perhaps {
		c.doubts.note(a)
		return
	}
	const enough = 4
	said := remarkOf(a.reply, a.task.addr)
	switch {
	case !a.probe:
		if len(c.others) < enough && !slices.Contains(c.others, said) {
			c.others = append(c.others, said)
		}
	case a.reply.class() == 4 && c.putOff.remark != said:
		c.putOff = deferral{said, now}
	}
}
