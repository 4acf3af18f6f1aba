package verify

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReadAddress reads an address as people paste it: what ParseAddress takes, and
// what becomes that when it is taken out of its wrapping, which cleaned tells:
// a name with the address in angle brackets, mailto:, quotes and brackets
// around it, punctuation behind it, invisible and full-width characters. The
// error is ParseAddress's about the text as it is.
func ReadAddress(text string) (a Address, cleaned bool, err error) {
	seen := visible(text)
	if a, err = ParseAddress(seen); err == nil {
		return a, seen != text, nil
	}
	for range maxWrappings {
		inner := unwrap(seen)
		if inner == seen {
			break
		}
		seen = inner
		if a, inside := ParseAddress(seen); inside == nil {
			return a, true, nil
		}
	}
	return Address{}, false, err
}

// maxWrappings bounds how often something is taken off an address.
const maxWrappings = 8

// visible is a text without its invisible characters and the typographic quotes
// around it, and with full-width characters as the ASCII ones that they look
// like.
func visible(text string) string {
	if isASCII(text) || !utf8.ValidString(text) {
		return text
	}
	last := rune(0)
	text = strings.Trim(text, "“”„‘’‚«»‹› \t\r\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～': // U+FF01 to U+FF5E, in the order of ASCII
			r -= '！' - '!'
		case r == '﹫':
			r = '@'
		case (r == '\u200c' || r == '\u200d') && last >= utf8.RuneSelf: // joiners mean something in other scripts
		case unicode.Is(unicode.Cf, r), r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0', r >= '\ufe00' && r <= '\ufe0f':
			return -1
		}
		last = r
		return r
	}, text)
}

// pairs stand around an address; their first halves may begin a local part.
var pairs = []string{`''`, "``", `{}`, `||`, `**`, `__`}

// unwrap takes one wrapping off. Only what cannot belong to an address at its
// place is taken: no domain ends in punctuation.
func unwrap(text string) string {
	text = strings.TrimSpace(text)
	if n := len(text); n > len("mailto:") && strings.EqualFold(text[:len("mailto:")], "mailto:") {
		text, _, _ = strings.Cut(text[len("mailto:"):], "?")
		if plain, err := url.PathUnescape(text); err == nil {
			return plain
		}
		return text
	}
	if begin := strings.LastIndexByte(text, '<'); begin >= 0 {
		if end := strings.IndexByte(text[begin:], '>'); end > 0 && strings.Trim(text[begin+end:], ">.,;: ") == "" {
			return text[begin+1 : begin+end]
		}
	}
	for _, pair := range pairs {
		if len(text) > 2 && text[0] == pair[0] && text[len(text)-1] == pair[1] {
			return text[1 : len(text)-1]
		}
	}
	if strings.Contains(text, "@[") { // an address literal ends in a bracket of its own
		return text
	}
	behind := strings.TrimRight(text, " \t\r\n.,;:'\"`>)]}|*。、")
	if len(behind) > 0 && behind[0] == '"' && isQuotedLocal(behind) {
		return behind
	}
	return strings.TrimLeft(behind, " \t\r\n,;:\"<([")
}

// isQuotedLocal reports whether a text begins with a quoted local part.
func isQuotedLocal(text string) bool {
	_, rest, err := parseQuoted(text)
	return err == nil && strings.HasPrefix(rest, "@")
}
