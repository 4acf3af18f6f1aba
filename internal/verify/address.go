package verify

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Length limits in octets: RFC 5321 §4.5.3.1.1 and §4.5.3.1.3 (the path of 256
// includes its angle brackets), RFC 1035 §2.3.4.
const (
	maxLocal   = 64
	maxAddress = 254
	maxDomain  = 253
	maxLabel   = 63
)

// Address is a mailbox in the form in which it is sent over the wire.
type Address struct {
	Local  string // as in RCPT TO: a dot-string, or a quoted string where it has to be one; case kept
	Domain string // lower case, A-labels (RFC 5890)
}

// String returns local@domain.
func (a Address) String() string { return a.Local + "@" + a.Domain }

// EAI reports whether the local part needs SMTPUTF8 (RFC 6531).
func (a Address) EAI() bool { return !isASCII(a.Local) }

// SyntaxError says why a text is not an address, and which rule says so.
type SyntaxError struct{ Why string }

func (e *SyntaxError) Error() string { return "not a deliverable address: " + e.Why }

func badSyntax(format string, args ...any) (Address, error) {
	return Address{}, &SyntaxError{Why: fmt.Sprintf(format, args...)}
}

// ParseAddress reads one mailbox as RFC 5321 §4.1.2 writes it and as the public
// internet delivers it: Local-part "@" Domain with at least two labels. Display
// names, comments, address literals and dotless domains are refused. White
// space around the address is ignored.
//
// Two spellings are made equal only where the RFCs say that they are the same
// mailbox: the domain's case and its U-labels, and quotes that a dot-string does
// not need (RFC 5321 §4.1.2). The case of the local part is kept.
func ParseAddress(text string) (Address, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return badSyntax("it is empty")
	}
	if !utf8.ValidString(text) {
		return badSyntax("it is not UTF-8 (RFC 6532 §3.1)")
	}
	local, rest, err := parseLocal(text)
	if err != nil {
		return Address{}, err
	}
	if len(rest) == 0 || rest[0] != '@' {
		return badSyntax("there is no @ after the local part (RFC 5321 §4.1.2)")
	}
	domain, err := parseDomain(rest[1:])
	if err != nil {
		return Address{}, err
	}
	if len(local)+1+len(domain) > maxAddress {
		return badSyntax("it is longer than %d octets (RFC 5321 §4.5.3.1.3)", maxAddress)
	}
	return Address{Local: local, Domain: domain}, nil
}

// parseLocal splits the local part off the text.
func parseLocal(text string) (local, rest string, err error) {
	if text[0] == '"' {
		return parseQuoted(text)
	}
	at := strings.IndexByte(text, '@')
	if at < 0 {
		_, err = badSyntax("there is no @ (RFC 5321 §4.1.2)")
		return "", "", err
	}
	local = text[:at]
	if err := checkDotString(local); err != nil {
		if local == "" || !allowsDots(text[at+1:]) || checkDotString(strings.Trim(strings.ReplaceAll(local, ".", "x"), ".")) != nil {
			return "", "", err
		}
		local = `"` + local + `"`
	}
	if len(local) > maxLocal {
		_, err = badSyntax("the local part is longer than %d octets (RFC 5321 §4.5.3.1.1)", maxLocal)
		return "", "", err
	}
	return local, text[at:], nil
}

// looseDots are the Japanese mobile providers that used to give out names with
// dots at an end or beside each other. They take them as quoted strings.
var looseDots = []string{
	"docomo.ne.jp", "ezweb.ne.jp", "au.com", "softbank.ne.jp", "vodafone.ne.jp", "disney.ne.jp", "ymobile.ne.jp", "y-mobile.ne.jp", "pdx.ne.jp", "uqmobile.jp",
}

func allowsDots(domain string) bool {
	domain = "." + strings.ToLower(strings.TrimSuffix(domain, "."))
	return slices.ContainsFunc(looseDots, func(of string) bool { return strings.HasSuffix(domain, "."+of) })
}

// checkDotString checks Dot-string = Atom *("." Atom), with UTF-8 letters
// allowed by RFC 6531 §3.3.
func checkDotString(s string) error {
	if s == "" {
		return &SyntaxError{Why: "the local part is empty (RFC 5321 §4.1.2)"}
	}
	if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return &SyntaxError{Why: "a dot of the local part stands at an end or beside another (RFC 5321 §4.1.2)"}
	}
	for _, r := range s {
		if r != '.' && !isAtext(r) {
			return &SyntaxError{Why: fmt.Sprintf("%q is not allowed in a local part without quotes (RFC 5322 §3.2.3)", r)}
		}
	}
	return nil
}

// parseQuoted reads Quoted-string = DQUOTE *QcontentSMTP DQUOTE and writes it
// back in its shortest form.
func parseQuoted(text string) (local, rest string, err error) {
	var content strings.Builder
	end := -1
	for i := 1; i < len(text) && end < 0; i++ {
		switch c := text[i]; {
		case c == '"':
			end = i
		case c == '\\':
			i++
			if i == len(text) || text[i] < ' ' || text[i] > '~' {
				_, err = badSyntax("a backslash quotes nothing printable (RFC 5321 §4.1.2)")
				return "", "", err
			}
			content.WriteByte(text[i])
		case c < ' ' || c == 0x7f:
			_, err = badSyntax("a control character stands between the quotes (RFC 5321 §4.1.2)")
			return "", "", err
		default:
			content.WriteByte(c)
		}
	}
	if end < 0 {
		_, err = badSyntax("the quoted local part does not end (RFC 5321 §4.1.2)")
		return "", "", err
	}
	if content.Len() == 0 {
		_, err = badSyntax("the local part is empty (RFC 5321 §4.1.2)")
		return "", "", err
	}
	for _, r := range content.String() {
		if r >= utf8.RuneSelf && !isUTF8Text(r) {
			_, err = badSyntax("%q is not allowed in a local part (RFC 6531 §3.3)", r)
			return "", "", err
		}
	}
	local = content.String()
	if checkDotString(local) != nil {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if len(local) > maxLocal {
		_, err = badSyntax("the local part is longer than %d octets (RFC 5321 §4.5.3.1.1)", maxLocal)
		return "", "", err
	}
	return local, text[end+1:], nil
}

// isAtext reports RFC 5322 §3.2.3 atext, widened by RFC 6531 §3.3.
func isAtext(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return isUTF8Text(r)
}

// isUTF8Text reports a non-ASCII character that can be part of a name: the RFC
// allows every one, mail systems only those that are seen.
func isUTF8Text(r rune) bool {
	return r != utf8.RuneError && unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
}

// lookupProfile is IDNA2008's profile for looking a name up (RFC 5891 §5).
var lookupProfile = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.CheckJoiners(true),
	idna.CheckHyphens(true),
	idna.StrictDomainName(true),
	idna.Transitional(false),
)

// symbolProfile takes names with symbols, as emoji domains have. IDNA2008 does
// not know them (RFC 5892 §2), but they are registered: DNS decides.
var symbolProfile = idna.New(idna.MapForLookup(), idna.CheckJoiners(false), idna.Transitional(false))

// parseDomain checks Domain = sub-domain *("." sub-domain) and returns it in
// lower-case A-labels.
func parseDomain(s string) (string, error) {
	if s == "" {
		return "", &SyntaxError{Why: "the domain is empty (RFC 5321 §4.1.2)"}
	}
	if s[0] == '[' {
		return "", &SyntaxError{Why: "an address literal is not reachable by the public's mail (RFC 5321 §4.1.3)"}
	}
	if !isASCII(s) || strings.Contains(strings.ToLower(s), "xn--") {
		ascii, err := lookupProfile.ToASCII(s)
		if err != nil && strings.ContainsFunc(s, unicode.IsSymbol) {
			ascii, err = symbolProfile.ToASCII(s)
		}
		if err != nil {
			return "", &SyntaxError{Why: fmt.Sprintf("the domain is not a valid international name: %v (RFC 5891 §5)", err)}
		}
		s = ascii
	}
	s = strings.ToLower(s)
	if len(s) > maxDomain {
		return "", &SyntaxError{Why: fmt.Sprintf("the domain is longer than %d octets (RFC 1035 §2.3.4)", maxDomain)}
	}
	labels := 0
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
		labels++
	}
	if labels < 2 {
		return "", &SyntaxError{Why: "the domain has only one label; no such mail is delivered on the public internet (RFC 7085)"}
	}
	if top := s[strings.LastIndexByte(s, '.')+1:]; strings.Trim(top, "0123456789") == "" {
		return "", &SyntaxError{Why: "the top-level domain is a number (RFC 3696 §2)"}
	}
	return s, nil
}

// checkLabel checks sub-domain = Let-dig [Ldh-str], already in lower case.
func checkLabel(label string) error {
	switch {
	case label == "":
		return &SyntaxError{Why: "a label of the domain is empty (RFC 5321 §4.1.2)"}
	case len(label) > maxLabel:
		return &SyntaxError{Why: fmt.Sprintf("a label of the domain is longer than %d octets (RFC 1035 §2.3.4)", maxLabel)}
	case label[0] == '-' || label[len(label)-1] == '-':
		return &SyntaxError{Why: "a label of the domain begins or ends with a hyphen (RFC 5321 §4.1.2)"}
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return &SyntaxError{Why: fmt.Sprintf("%q is not allowed in a domain (RFC 5321 §4.1.2)", c)}
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
