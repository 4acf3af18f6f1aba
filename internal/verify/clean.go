package verify

import (
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReadAddress reads an address as people paste it: what ParseAddress takes, and
// what becomes that when it is taken out of its wrapping, which cleaned tells:
// a name with the address in brackets, mailto:, a label ("Email:"), quotes and
// brackets around it, a remark or punctuation behind it, spaces around the @,
// HTML's and URLs' way of writing characters, invisible and full-width ones. What
// would be a guess (a comma for a dot, one of two addresses) is not done. The
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
// around it, and with full-width characters and other spaces as the ASCII ones
// that they look like.
func visible(text string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) })
	if isASCII(text) || !utf8.ValidString(text) {
		return text
	}
	last := rune(0)
	text = strings.Trim(text, "“”„‟‘’‚‛«»‹›「」『』｢｣【】〈〉《》〔〕、，；：。…•·▪●→–—\u00a0 \t\r\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '！' && r <= '～': // U+FF01 to U+FF5E, in the order of ASCII
			r -= '！' - '!'
		case r == '﹫':
			r = '@'
		case r == '。' || r == '｡':
			r = '.'
		case unicode.Is(unicode.Zs, r):
			r = ' '
		case (r == '\u200c' || r == '\u200d') && last >= utf8.RuneSelf: // joiners mean something in other scripts
		case unicode.Is(unicode.Cf, r), r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0', r >= '\ufe00' && r <= '\ufe0f':
			return -1
		}
		last = r
		return r
	}, text)
}

// pairs stand around an address; their first halves may begin a local part.
var pairs = []string{`""`, `''`, "``", `{}`, `||`, `**`, `__`}

// unwrap takes one wrapping off. Only what cannot belong to an address at its
// place is taken: no domain ends in punctuation.
func unwrap(text string) string {
	text = strings.TrimSpace(text)
	if plain, ok := decoded(text); ok {
		return plain
	}
	if begin := strings.LastIndexByte(text, '<'); begin >= 0 {
		if end := strings.IndexByte(text[begin:], '>'); end > 0 && strings.Trim(text[begin+end:], ">.,;: ") == "" {
			if inside := text[begin+1 : begin+end]; strings.ContainsRune(inside, '@') {
				return inside
			}
			return text[:begin] // a tag of HTML
		}
		if inside := text[begin+1:]; !strings.ContainsAny(inside, "> ") && strings.Count(text, "@") == 1 {
			return inside // a bracket that was cut off
		}
	}
	if inside, rest, ok := strings.Cut(text, ">"); ok && rest != "" && text[0] == '<' && (strings.HasPrefix(inside, "<a ") || !strings.ContainsRune(inside, '@')) {
		return rest // what stands within a tag of HTML
	}
	for _, pair := range pairs {
		if len(text) > 2 && text[0] == pair[0] && text[len(text)-1] == pair[1] {
			return text[1 : len(text)-1]
		}
	}
	if strings.Contains(text, "@[") { // an address literal ends in a bracket of its own
		return text
	}
	if inside, ok := withRemark(text); ok {
		return inside
	}
	behind := strings.TrimRight(text, " \t\r\n.,;:!?/\\'\"`>)]}|*。、")
	if len(behind) > 0 && behind[0] == '"' && isQuotedLocal(behind) {
		return withoutSpaces(behind)
	}
	return withoutSpaces(strings.TrimLeft(behind, " \t\r\n,;:\"<(["))
}

// labels stand before an address, with a colon.
var labels = set(`mailto email e-mail mail smtp sip xmpp address e-mail-address emailaddress to from cc bcc contact adresse adres correo courriel`) //nolint:misspell // not English

// decoded takes the way of writing off that HTML, URLs and labels have.
func decoded(text string) (string, bool) {
	if label, rest, ok := strings.Cut(text, ":"); ok && labels[strings.ReplaceAll(strings.ToLower(strings.TrimSpace(label)), " ", "")] {
		if strings.EqualFold(label, "mailto") {
			rest, _, _ = strings.Cut(strings.TrimLeft(rest, "/"), "?")
			if plain, err := url.PathUnescape(rest); err == nil {
				return plain, true
			}
		}
		return rest, true
	}
	if inside, rest, ok := strings.Cut(text, "]("); ok && text[0] == '[' && strings.HasSuffix(rest, ")") {
		return inside[1:], true // a link of Markdown
	}
	if plain := html.UnescapeString(text); plain != text && strings.Contains(plain, "@") {
		return plain, true
	}
	if plain, err := url.PathUnescape(text); err == nil && !strings.Contains(text, "@") && strings.Contains(plain, "@") {
		return plain, true
	}
	return text, false
}

// withRemark takes the address of "ann@x.example (Ann)" and "Ann (ann@x.example)".
func withRemark(text string) (string, bool) {
	before, inside, ok := strings.Cut(text, "(")
	inside, closed := strings.CutSuffix(inside, ")")
	if !ok || !closed || strings.ContainsAny(inside, "()") || strings.Count(text, "@") != 1 || strings.TrimSpace(before) == "" {
		return text, false
	}
	if strings.Contains(inside, "@") {
		return inside, true
	}
	return before, true
}

// withoutSpaces takes out those on both sides of the @ and around the dots of the
// domain. The ones of a local part may be a dot that is missing.
func withoutSpaces(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 || !strings.ContainsRune(text, ' ') {
		return text
	}
	domain := strings.TrimSpace(text[at+1:])
	for _, spaced := range []string{" .", ". "} {
		domain = strings.ReplaceAll(domain, spaced, ".")
	}
	return strings.TrimSpace(text[:at]) + "@" + domain
}

// isQuotedLocal reports whether a text begins with a quoted local part.
func isQuotedLocal(text string) bool {
	_, rest, err := parseQuoted(text)
	return err == nil && strings.HasPrefix(rest, "@")
}
