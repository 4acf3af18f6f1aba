package verify

import (
	"net/netip"
	"strings"
	"unicode"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

// phrases is a reply's text as words in lower case and without accents, one
// space around each. Addresses, URLs and names of hosts are left out: what
// stands in them is a name, not what the host says. The address that was asked
// for is the word "@": spam.victim@… must not make a refusal of spam,
// unknown.user@… not an unknown user.
type phrases string

// asked stands for the address that was asked for.
const asked = "@"

// newPhrases takes a text apart into words.
func newPhrases(text string, about Address) phrases {
	text = fold(text)
	local := fold(about.Local)
	var b strings.Builder
	b.Grow(len(text) + 2)
	b.WriteByte(' ')
	for field := range strings.FieldsSeq(text) {
		for _, mark := range []string{"http:", "https:", "www."} {
			field, _, _ = strings.Cut(field, mark)
		}
		addWords(&b, withoutAddresses(field, local, about.Domain), local, about.Domain)
	}
	return phrases(b.String())
}

// fold makes letters comparable: lower case, without accents.
func fold(s string) string {
	s = strings.ToLower(s)
	if isASCII(s) {
		return s
	}
	return plainLetters.Replace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s)))
}

// plainLetters are those that have no accent to be taken off.
var plainLetters = strings.NewReplacer("ß", "ss", "ø", "o", "ł", "l", "đ", "d", "æ", "ae", "œ", "oe", "ı", "i", "’", "'", "`", "'")

// withoutAddresses puts asked where the asked address stands, and a space where
// another one does.
func withoutAddresses(field, local, domain string) string {
	for {
		at := strings.IndexByte(field, '@')
		if at < 0 || field == asked {
			return field
		}
		from, to := at, at+1
		if from > 0 && field[from-1] == '"' {
			from = max(strings.LastIndexByte(field[:from-1], '"'), 0)
		} else {
			for from > 0 && isLocalByte(field[from-1]) {
				from--
			}
		}
		for to < len(field) && isNameByte(field[to]) {
			to++
		}
		instead := " "
		if host := strings.Trim(field[at+1:to], ".-"); field[from:at] == local && (host == "" || host == domain) {
			instead = " \x00 "
		}
		field = field[:from] + instead + field[to:]
	}
}

// isLocalByte reports what a local part is made of, as far as it is needed to
// find where one begins.
func isLocalByte(c byte) bool {
	return c > ' ' && !strings.ContainsRune(`<>()[]{}",:;=@`, rune(c)) && c != 0
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || isDigit(c) || c >= 0x80 || c == '-' || c == '.'
}

// addWords adds the words of a field, each with a space after it.
func addWords(b *strings.Builder, field, local, domain string) {
	if local != "" && isLocal(field, local) {
		field = "\x00"
	}
	for i := 0; i < len(field); {
		if field[i] == 0 {
			b.WriteString(asked + " ")
			i++
			continue
		}
		end := i
		for end < len(field) && (isNameByte(field[end]) || isJoker(field, end)) {
			end++
		}
		if end == i {
			i++
			continue
		}
		name := strings.Trim(field[i:end], ".-")
		i = end
		if name == domain || isHostName(name) {
			if _, err := netip.ParseAddr(name); err == nil && strings.HasSuffix(b.String(), " address ") {
				b.WriteString("ipnumber ")
			}
			continue
		}
		for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '-' }) {
			b.WriteString(word)
			b.WriteByte(' ')
		}
	}
}

// isJoker reports a letter that did not survive the way: a question mark within
// a word.
func isJoker(s string, i int) bool {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c == '?' }
	return s[i] == '?' && i > 0 && i+1 < len(s) && letter(s[i-1]) && letter(s[i+1])
}

// isLocal reports whether the field is the asked local part, standing as an
// address: within brackets or quotes, or with a character that words do not
// have. "User" of "User unknown" is none, although there may be a user@.
func isLocal(field, local string) bool {
	core := strings.Trim(field, `<>()[]"':;,.`)
	if core != strings.Trim(local, `"`) {
		return false
	}
	return strings.ContainsAny(field, `<>()[]"'`) || strings.ContainsAny(core, "0123456789._-+")
}

// isHostName reports whether a text with dots in it is the name or the address
// of a host, and not words whose space after the full stop is missing.
func isHostName(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	switch s[dot+1:] {
	case "test", "local", "localdomain", "lan", "internal", "invalid", "example":
		return true
	}
	if s[dot+1:] == "" || isDigit(s[dot+1]) {
		return false
	}
	_, icann := publicsuffix.PublicSuffix(s)
	return icann
}

// words reports whether there is any word at all.
func (p phrases) words() bool {
	return strings.ContainsFunc(string(p), unicode.IsLetter)
}

func (p phrases) withoutAsides() phrases {
	text := string(p)
	for _, aside := range asides {
		text = strings.ReplaceAll(text, aside, " ")
	}
	return phrases(text)
}
