package verify

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestParseAddress_V4 is a corpus written from the RFCs; a result of "" means
// that the text is no address.
func TestParseAddress_V4(t *testing.T) {
	l64, l65 := strings.Repeat("a", 64), strings.Repeat("a", 65)
	label63, label64 := strings.Repeat("d", 63), strings.Repeat("d", 64)
	long := strings.Join([]string{label63, label63, label63}, ".")
	for _, c := range []struct{ rule, text, want string }{
		{"RFC 5321 §4.1.2", "ada@example.com", "ada@example.com"},
		{"RFC 5321 §2.4 local parts keep their case", "Ada.B@Example.COM", "Ada.B@example.com"},
		{"RFC 5322 §3.2.3 atext", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{"RFC 5233 subaddress is not ours to remove", "ada+tag@example.com", "ada+tag@example.com"},
		{"RFC 5321 §4.1.2 one character", "a@b.co", "a@b.co"},
		{"RFC 5321 §4.1.2 digits", "1@2x.example", "1@2x.example"},
		{"white space around is not part of it", " ada@example.com\r\n", "ada@example.com"},
		{"RFC 5321 §4.1.2 empty", "", ""},
		{"RFC 5321 §4.1.2 no @", "ada.example.com", ""},
		{"RFC 5321 §4.1.2 empty local part", "@example.com", ""},
		{"RFC 5321 §4.1.2 empty domain", "ada@", ""},
		{"RFC 5321 §4.1.2 two @", "a@b@example.com", ""},
		{"RFC 5321 §4.1.2 dot first", ".ada@example.com", ""},
		{"RFC 5321 §4.1.2 dot last", "ada.@example.com", ""},
		{"RFC 5321 §4.1.2 two dots", "a..b@example.com", ""},
		{"RFC 5322 §3.2.3 space", "a b@example.com", ""},
		{"RFC 5322 §3.2.3 specials", "a,b@example.com", ""},
		{"RFC 5322 §3.2.3 specials", "a(b)@example.com", ""},
		{"RFC 5322 §3.2.3 specials", "a<b>@example.com", ""},
		{"RFC 5322 §3.2.3 specials", `a\b@example.com`, ""},
		{"RFC 5322 §3.4 a display name is not the mailbox", "Ada <ada@example.com>", ""},
		{"RFC 5322 §3.2.2 comments are not sent in SMTP", "ada(work)@example.com", ""},
		{"RFC 5321 §4.1.2 control character", "a\x00b@example.com", ""},
		{"RFC 5321 §4.1.2 line break", "a\r\nRCPT@example.com", ""},
		{"RFC 5321 §4.1.2 quoted string", `"a b"@example.com`, `"a b"@example.com`},
		{"RFC 5321 §4.1.2 quoted @", `"a@b"@example.com`, `"a@b"@example.com`},
		{"RFC 5321 §4.1.2 quoted dots", `"a..b"@example.com`, `"a..b"@example.com`},
		{"RFC 5321 §4.1.2 quotes that are not needed", `"ada"@example.com`, "ada@example.com"},
		{"RFC 5321 §4.1.2 quoted pair that is not needed", `"a\da"@example.com`, "ada@example.com"},
		{"RFC 5321 §4.1.2 quoted pair", `"a\"b"@example.com`, `"a\"b"@example.com`},
		{"RFC 5321 §4.1.2 quoted backslash", `"a\\b"@example.com`, `"a\\b"@example.com`},
		{"RFC 5321 §4.1.2 quote not closed", `"ada@example.com`, ""},
		{"RFC 5321 §4.1.2 quotes inside", `a"b"c@example.com`, ""},
		{"RFC 5321 §4.1.2 quotes and atoms", `"a"b@example.com`, ""},
		{"RFC 5321 §4.1.2 nothing quoted", `""@example.com`, ""},
		{"RFC 5321 §4.1.2 control character quoted", "\"a\tb\"@example.com", ""},
		{"RFC 5321 §4.1.2 backslash before nothing", `"a\`, ""},
		{"RFC 5321 §4.5.3.1.1 64 octets", l64 + "@example.com", l64 + "@example.com"},
		{"RFC 5321 §4.5.3.1.1 65 octets", l65 + "@example.com", ""},
		{"RFC 1035 §2.3.4 label of 63", "a@" + label63 + ".com", "a@" + label63 + ".com"},
		{"RFC 1035 §2.3.4 label of 64", "a@" + label64 + ".com", ""},
		{"RFC 5321 §4.5.3.1.3 254 octets", l64[:60] + "@" + long + ".c", l64[:60] + "@" + long + ".c"},
		{"RFC 5321 §4.5.3.1.3 255 octets", l64[:61] + "@" + long + ".c", ""},
		{"RFC 5321 §4.1.2 hyphen first", "a@-example.com", ""},
		{"RFC 5321 §4.1.2 hyphen last", "a@example-.com", ""},
		{"RFC 5321 §4.1.2 hyphen inside", "a@ex-am--ple.com", "a@ex-am--ple.com"},
		{"RFC 5321 §4.1.2 underscore", "a@ex_ample.com", ""},
		{"RFC 5321 §4.1.2 empty label", "a@example..com", ""},
		{"RFC 5321 §4.1.2 final dot", "a@example.com.", ""},
		{"RFC 7085 dotless", "a@localhost", ""},
		{"RFC 5321 §4.1.3 address literal", "a@[192.0.2.1]", ""},
		{"RFC 5321 §4.1.3 address literal", "a@[IPv6:2001:db8::1]", ""},
		{"RFC 3696 §2 number as top level", "a@192.0.2.1", ""},
		{"RFC 5890 U-label", "a@bücher.example", "a@xn--bcher-kva.example"},
		{"RFC 5890 U-label, case", "a@BÜCHER.example", "a@xn--bcher-kva.example"},
		{"RFC 5892 IDNA2008 keeps ß", "a@straße.example", "a@xn--strae-oqa.example"},
		{"RFC 5891 §5 A-label", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"RFC 5891 §5 broken A-label", "a@xn--zzzzzz99999.example", ""},
		{"emoji domains are for DNS to decide", "a@i♥ny.example", "a@xn--iny-zx5a.example"},
		{"emoji of several characters", "a@👩‍💻.example", "a@xn--1ug1855pcha.example"},
		{"docomo: dots beside each other", "a..b@docomo.ne.jp", `"a..b"@docomo.ne.jp`},
		{"ezweb: a dot at the end", "x.@EZWEB.ne.jp", `"x."@ezweb.ne.jp`},
		{"docomo: a dot at the beginning", ".x@docomo.ne.jp", `".x"@docomo.ne.jp`},
		{"docomo: not everything", "a..b c@docomo.ne.jp", ""},
		{"dots elsewhere", "a..b@example.com", ""},
		{"RFC 5893 bidi", "a@אa1ב.example", ""},
		{"RFC 6531 §3.3 local part", "jürgen@example.com", "jürgen@example.com"},
		{"RFC 6531 §3.3 local part", "χρήστης@παράδειγμα.example", "χρήστης@xn--hxajbheg2az3al.example"},
		{"RFC 6531 §3.3 quoted", `"jürgen müller"@example.com`, `"jürgen müller"@example.com`},
		{"RFC 6532 §3.1 not UTF-8", "j\xfcrgen@example.com", ""},
		{"invisible characters are no name", "a\u200bda@example.com", ""},
	} {
		addr, err := ParseAddress(c.text)
		if c.want == "" {
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax, "%s: %q gave %q", c.rule, c.text, addr)
			continue
		}
		require.NoError(t, err, "%s: %q", c.rule, c.text)
		require.Equal(t, c.want, addr.String(), c.rule)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"ada@example.com", `"a b"@example.com`, `"a\"b"@example.com`, "jürgen@bücher.example", "a@[192.0.2.1]", "a..b@example.com",
		"a@-b.com", "@", `"`, `"\`, "a@xn--.com", "\xff@a.b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		addr, err := ParseAddress(text)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(addr.String()), maxAddress)
		require.True(t, utf8.ValidString(addr.Local))
		require.True(t, isASCII(addr.Domain))
		require.NotContains(t, addr.String(), "\r")
		require.NotContains(t, addr.String(), "\n")
		again, err := ParseAddress(addr.String())
		require.NoError(t, err, "%q", addr)
		require.Equal(t, addr, again, "the normal form is its own normal form")
	})
}

func TestLists(t *testing.T) {
	l, err := newLists("")
	require.NoError(t, err)
	require.True(t, l.isDisposable("mailinator.com"))
	require.True(t, l.isDisposable("anything.mailinator.com"))
	require.False(t, l.isDisposable("amailinator.com.example"))
	for domain := range l.free {
		require.False(t, l.isDisposable(domain), domain)
	}
	require.True(t, l.isRole("Info"))
	require.True(t, l.isRole("sales+emea"))
	for _, local := range []string{"info2", "sales-uk", "support.de", "vertrieb_at", "contact-us", "karriere", "accueil", "zamowienia", "klantenservice", "owner-list"} {
		require.True(t, l.isRole(local), local)
	}
	for _, local := range []string{"ada.lovelace", "ann2", "ann.uk", "hr.li", "paris1", "info.lovelace", "sales-rep-ann", "7"} {
		require.False(t, l.isRole(local), local)
	}

	require.NoError(t, l.amend(strings.NewReader("# ours\nallow mailinator.com\ndisposable Junk.Example # new\nfree mail.example\nrole frontdesk\n")))
	require.False(t, l.isDisposable("x.mailinator.com"))
	require.True(t, l.isDisposable("a.b.junk.example"))
	require.True(t, l.isFree("mail.example"))
	require.True(t, l.isRole("frontdesk"))
	require.EqualError(t, l.amend(strings.NewReader("\nblock x.example\n")), `line 2 begins with "block"; it has to be disposable, allow, free or role`)
	require.EqualError(t, l.amend(strings.NewReader("allow\n")), "line 1 is not a kind and a name")
}

func TestSuggestion(t *testing.T) {
	l, err := newLists("")
	require.NoError(t, err)
	for text, want := range map[string]string{
		"gmial.com": "gmail.com", "gmai.com": "gmail.com", "gmaill.com": "gmail.com", "gmail.con": "gmail.com", "hotmial.com": "hotmail.com",
		"outlok.com": "outlook.com", "gmail.com": "", "ymail.com": "", "mail.com": "", "example.com": "", "googlemail.com": "",
	} {
		require.Equal(t, want, l.meantDomain(text), text)
	}
	for _, domain := range append(namesIn(t, "lists/own/free.txt"), "email.com", "life.com", "cloud.com", "libera.it", "live.de", "orange.com") {
		require.Empty(t, l.meantDomain(domain), domain)
	}
}
