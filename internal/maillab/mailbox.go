package maillab

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// mailbox is the state of one mailbox at a host that knows its recipients.
type mailbox int

const (
	missing mailbox = iota
	exists
	disabled
	full // answers 452 or 552, by the hash
)

// Truth is what a verifier should find out about an address.
type Truth struct {
	// Verdict and Reason are the best answer, in the product's words.
	Verdict string
	Reason  string
	// Also lists other verdicts that are not wrong: where the protocol leaves
	// room, or the truth shows only to a very patient client. "unknown" is
	// never wrong and never listed.
	Also []string
}

// Right reports whether the verdict is the best answer or as good.
func (t Truth) Right(verdict string) bool {
	return verdict == t.Verdict || slices.Contains(t.Also, verdict)
}

// Wrong reports whether the verdict claims what is not so. The honest
// "unknown" is never wrong.
func (t Truth) Wrong(verdict string) bool { return verdict != "unknown" && !t.Right(verdict) }

// kindTruths are the truths of domains where the mailbox makes no difference.
var kindTruths = map[Kind]Truth{
	CatchAll:      {Verdict: "catch_all", Reason: "domain_accepts_all"},
	Disposable:    {Verdict: "disposable", Reason: "disposable_domain"},
	Refusing:      {Verdict: "unknown", Reason: "blocked"},
	SenderRefused: {Verdict: "unknown", Reason: "sender_refused"},
	Policy:        {Verdict: "unknown", Reason: "policy"},
	Unreachable:   {Verdict: "unknown", Reason: "connect_failed"},
	NullMX:        {Verdict: "invalid", Reason: "null_mx"},
	NoMailHost:    {Verdict: "invalid", Reason: "no_mail_host"},
	NoDomain:      {Verdict: "invalid", Reason: "no_domain"},
	ServFail:      {Verdict: "unknown", Reason: "dns_error"},
}

// Truth computes the truth about an address from the address alone.
func (w *World) Truth(email string) Truth {
	at := strings.LastIndexByte(email, '@')
	if at < 1 || at > 64 || at == len(email)-1 || strings.ContainsAny(email, " \t\r\n<>") {
		return Truth{Verdict: "invalid", Reason: "syntax"}
	}
	local := email[:at]
	name, err := idna.Lookup.ToASCII(email[at+1:])
	if err != nil {
		return Truth{Verdict: "invalid", Reason: "syntax"}
	}
	d := w.domains[strings.ToLower(name)]
	if d == nil {
		return Truth{Verdict: "invalid", Reason: "no_domain"}
	}
	if t, ok := kindTruths[d.kind]; ok {
		return t
	}
	box := w.mailbox(d, []byte(local))
	if d.odd != nil {
		return d.odd.truth(box)
	}
	return box.truth()
}

// truth is the truth about a mailbox whose host tells it.
func (m mailbox) truth() Truth {
	switch m {
	case exists:
		return Truth{Verdict: "valid", Reason: "accepted"}
	case disabled:
		return Truth{Verdict: "invalid", Reason: "mailbox_disabled"}
	case full:
		// RFC 3463 X.2.2: it exists, and today nothing can be delivered to it.
		return Truth{Verdict: "risky", Reason: "mailbox_full", Also: []string{"invalid"}}
	case missing:
	}
	return Truth{Verdict: "invalid", Reason: "no_such_user"}
}

// roles are mailboxes every host has, except in the fault table.
var roles = map[string]bool{
	"postmaster": true, "abuse": true, "info": true, "sales": true, "contact": true,
	"support": true, "office": true, "hello": true, "billing": true, "jobs": true,
}

// mailbox returns the state of a mailbox, from its name alone. Only names that
// read like a person's ("jane.doe", "doe_jane2"), "user" with a number, and role
// names can exist: any name that a verifier makes up as a probe is missing. The
// local part is compared without case, as nearly all hosts do.
func (w *World) mailbox(d *domain, local []byte) mailbox {
	var low [64]byte
	if len(local) > len(low) {
		return missing
	}
	if d.odd != nil {
		local = d.odd.reading(local)
	}
	name := low[:len(local)]
	for i, c := range local {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		name[i] = c
	}
	if d.odd == nil && roles[string(name)] {
		return exists
	}
	if !personal(name) {
		return missing
	}
	h := hash(w.config.Seed, string(name), d.name) % 1000
	if d.kind == Odd { // the table says what is special there
		if h < 500 {
			return exists
		}
		return missing
	}
	switch {
	case h < 520:
		return exists
	case h < 545:
		return disabled
	case h < 570:
		return full
	}
	return missing
}

// personal reports whether a lower-case local part can belong to a person.
func personal(local []byte) bool {
	n := len(local)
	for n > 0 && '0' <= local[n-1] && local[n-1] <= '9' {
		n--
	}
	if string(local[:n]) == "user" {
		return n < len(local)
	}
	for i, c := range local[:n] {
		if c == '.' || c == '_' || c == '-' {
			return nameWords[string(local[:i])] && nameWords[string(local[i+1:n])]
		}
	}
	return false
}

// hash mixes the seed and two words: FNV-1a, then a finalizer that spreads
// every input bit over the result.
func hash(seed uint64, a, b string) uint64 {
	h := seed ^ 14695981039346656037
	for i := range len(a) {
		h = (h ^ uint64(a[i])) * 1099511628211
	}
	h = (h ^ '@') * 1099511628211
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// Mailboxes returns n distinct addresses at a domain, about half of which exist
// where the host knows its recipients.
func (w *World) Mailboxes(domain string, n int) []string {
	spell := "user%d"
	if d := w.domains[asciiDomain(strings.ToLower(domain))]; d != nil && d.odd != nil && d.odd.spell != "" {
		spell = d.odd.spell
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf(spell+"@%s", i+1, domain)
	}
	return addresses
}

// domainOf finds a domain by its name as a client wrote it, in any case and,
// with SMTPUTF8, in Unicode.
func (w *World) domainOf(name []byte) *domain {
	var low [255]byte
	if len(name) > len(low) {
		return nil
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c >= 0x80 {
			puny, err := idna.Lookup.ToASCII(string(name))
			if err != nil {
				return nil
			}
			return w.domains[puny]
		}
		low[i] = c
	}
	return w.domains[string(low[:len(name)])]
}
