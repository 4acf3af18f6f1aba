package verify

import (
	"strings"
	"unicode"
)

// Pattern says whether a local part looks like those of the domain's valid
// addresses.
type Pattern string

// The patterns.
const (
	PatternUnknown  Pattern = ""         // too little is known of the domain
	PatternMatch    Pattern = "match"    // at least half of them look like it
	PatternMismatch Pattern = "mismatch" // none does
)

// patternOf is how many valid addresses of a domain it takes.
const patternOf = 3

// Shape is how a local part looks, without what it says: w for a word, i for a
// single letter, 9 for digits, and what stands between them. first.last is w.w,
// a letter and a name is i.w; what follows a + is left out.
func Shape(local string) string {
	local, _, _ = strings.Cut(local, "+")
	var b strings.Builder
	letters, digits := 0, false
	end := func() {
		switch {
		case letters == 1:
			b.WriteByte('i')
		case letters > 1:
			b.WriteByte('w')
		}
		letters = 0
	}
	for _, r := range local {
		isDigit := unicode.IsDigit(r)
		if unicode.IsLetter(r) || unicode.IsMark(r) {
			letters++
			digits = false
			continue
		}
		end()
		switch {
		case isDigit && !digits:
			b.WriteByte('9')
		case !isDigit:
			b.WriteRune(r)
		}
		digits = isDigit
	}
	end()
	return b.String()
}

// Shapes counts the shapes of valid addresses by domain.
type Shapes map[string]map[string]int64

// Add counts the address of a valid result. Public mailbox providers have no
// pattern: everyone chooses a name there.
func (s Shapes) Add(r *Result) {
	if r.Verdict != Valid || r.Free || r.Role {
		return
	}
	if addr, _, err := ReadAddress(r.Email); err == nil {
		s.Count(addr.Domain, Shape(addr.Local), 1)
	}
}

// Count adds n valid addresses of a domain with a shape.
func (s Shapes) Count(domain, shape string, n int64) {
	if s[domain] == nil {
		s[domain] = map[string]int64{}
	}
	s[domain][shape] += n
}

// Compare says how an address looks beside the valid ones of its domain.
func (s Shapes) Compare(email string) Pattern {
	addr, _, err := ReadAddress(email)
	if err != nil {
		return PatternUnknown
	}
	shapes := s[addr.Domain]
	all := int64(0)
	for _, n := range shapes {
		all += n
	}
	alike := shapes[Shape(addr.Local)]
	switch {
	case all < patternOf:
		return PatternUnknown
	case 2*alike >= all:
		return PatternMatch
	case alike == 0:
		return PatternMismatch
	}
	return PatternUnknown
}
