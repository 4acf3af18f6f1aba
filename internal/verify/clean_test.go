package verify

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadAddressTakesAnAddressOutOfItsWrapping(t *testing.T) {
	for text, want := range map[string]string{
		"ann@x.test":                             "",
		" ann@x.test\t":                          "",
		"'ann@x.test":                            "", // the apostrophe may be hers
		`"ann lee"@x.test`:                       "",
		"ann@bücher.test":                        "",
		"Ann Lee <ann@x.test>":                   "ann@x.test",
		`"Lee, Ann" <ann@x.test>;`:               "ann@x.test",
		"<ann@x.test>":                           "ann@x.test",
		"Ann <mailto:ann@x.test>":                "ann@x.test",
		"mailto:ann@x.test":                      "ann@x.test",
		"MAILTO:ann@x.test?subject=hi&cc=b@c.de": "ann@x.test",
		"mailto:ann%40x.test":                    "ann@x.test",
		`"ann@x.test"`:                           "ann@x.test",
		`'ann@x.test'`:                           "ann@x.test",
		"“ann@x.test”":                           "ann@x.test",
		"«ann@x.test»":                           "ann@x.test",
		"(ann@x.test)":                           "ann@x.test",
		"[ann@x.test],":                          "ann@x.test",
		"ann@x.test.":                            "ann@x.test",
		"ann@x.test,":                            "ann@x.test",
		"ann@x.test;":                            "ann@x.test",
		"ann@x.test ;":                           "ann@x.test",
		"ann@x.test>":                            "ann@x.test",
		`"ann lee"@x.test,`:                      `"ann lee"@x.test`,
		"ann\u200b@x.test":                       "ann@x.test",
		"\ufeffann@x.test":                       "ann@x.test",
		"ann@x\u00ad.test":                       "ann@x.test",
		"\u202aann@x.test\u202c":                 "ann@x.test",
		"ａｎｎ＠ｘ．ｔｅｓｔ":                             "ann@x.test",
		"ann＠x.test。":                            "ann@x.test",
		"ann﹫x.test":                             "ann@x.test",
		`"'ann@x.test'"`:                         "ann@x.test",
		"「ann@x.test」":                           "ann@x.test",
		"【ann@x.test】、":                          "ann@x.test",
		"• ann@x.test":                           "ann@x.test",
		"ann@x.test…":                            "ann@x.test",
		"ann@x.test!":                            "ann@x.test",
		"ann@x.test?":                            "ann@x.test",
		"ann@x.test/":                            "ann@x.test",
		"ann@x.test\x00":                         "ann@x.test",
		"mailto://ann@x.test":                    "ann@x.test",
		"Email: ann@x.test":                      "ann@x.test",
		"E-Mail : ann@x.test":                    "ann@x.test",
		"SMTP:ann@x.test":                        "ann@x.test",
		"ann@x.test (Ann Lee)":                   "ann@x.test",
		"Ann Lee (ann@x.test)":                   "ann@x.test",
		"ann @ x.test":                           "ann@x.test",
		"ann@ x.test":                            "ann@x.test",
		"ann@x .test":                            "ann@x.test",
		"[ann@x.test](mailto:ann@x.test)":        "ann@x.test",
		"&lt;ann@x.test&gt;":                     "ann@x.test",
		"ann&#64;x.test":                         "ann@x.test",
		"ann%40x.test":                           "ann@x.test",
		"ann@x.test<br>":                         "ann@x.test",
		"<b>ann@x.test</b>":                      "ann@x.test",
		"Ann <ann@x.test":                        "ann@x.test",
		"ann\u00a0@x.test":                       "ann@x.test",
		"\u3000ann@x.test\u2003":                 "ann@x.test",
		"ann@x。test":                             "ann@x.test",
		"ann＠x｡test":                             "ann@x.test",
		`<a href="mailto:ann@x.test">ann@x.test</a>`: "ann@x.test",
	} {
		a, cleaned, err := ReadAddress(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want != "", cleaned, "%q", text)
		if cleaned {
			require.Equal(t, want, a.String(), "%q", text)
		}
	}
	for _, text := range []string{
		"x@@y", "x@@y.test", "ann", "@x.test", "ann@", "ann@x", "a@b.test, c@d.test", "a@b.test;c@d.test", "ann@[192.0.2.1]", "",
		"<>", "Ann <ann>", "a..b@x.test", ".ann@x.test", "mailto:", "ann lee@x.test", "a@b@c.test", "Ann <ann@x.test> <bob@x.test> and more",
		"ann@x,test", "ann@x..test", "ann lee @ x.test", "ann(at)x.test", "Ann ann@x.test", "http://ann@x.test", "ann@x.test (bob@x.test)", "bob@x.test <ann@x.test", "<ann@x.test> bob@x.test", "Ann <ann lee@x.test", "ann@x test",
	} {
		_, cleaned, err := ReadAddress(text)
		require.Error(t, err, "%q", text)
		require.False(t, cleaned, "%q", text)
	}
}

// FuzzReadAddress: what is cleaned is an address, and reading it again changes
// nothing.
func FuzzReadAddress(f *testing.F) {
	for _, seed := range []string{"Ann <ann@x.test>", `"a\"b"@x.test,`, "mailto:%", "<<a@b.c>>", "ａ＠ｂ．ｃ", "'''a@b.cd'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, _, err := ReadAddress(text)
		if err != nil {
			return
		}
		again, cleaned, err := ReadAddress(a.String())
		if err != nil || again != a || cleaned {
			t.Errorf("%q is read as %q, and that as %q (%v, cleaned %v)", text, a, again, err, cleaned)
		}
	})
}
