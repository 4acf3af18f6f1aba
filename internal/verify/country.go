package verify

import (
	"strings"
	"sync"

	"github.com/biter777/countries"
	"github.com/nyaruka/phonenumbers"
)

// dialled are the countries that have a numbering plan, by ISO 3166-1 alpha-2.
var dialled = sync.OnceValue(phonenumbers.GetSupportedRegions)

// Country returns the ISO 3166-1 alpha-2 code of a country that is written as a
// code of two or three letters or by its English name, in any case: us,
// USA and United States are US, UK is GB. It is empty where the text names no
// country.
func Country(text string) string {
	text = strings.TrimSpace(text)
	if language, country, ok := strings.Cut(strings.ReplaceAll(text, "_", "-"), "-"); ok && len(language) == 2 && len(country) == 2 {
		text = country // de-DE
	}
	code := strings.ToUpper(text)
	switch code {
	case "":
		return ""
	case "UK":
		return "GB"
	case "AMERICA":
		return "US"
	case "EL": // the European Union's code of Greece
		return "GR"
	}
	if dialled()[code] {
		return code
	}
	c := countries.ByName(text)
	for _, formal := range []string{"the ", "federal republic of ", "republic of ", "kingdom of ", "state of "} {
		if rest, ok := strings.CutPrefix(strings.ToLower(text), formal); ok && !c.IsValid() {
			c = countries.ByName(rest)
		}
	}
	if !c.IsValid() {
		return ""
	}
	return c.Alpha2()
}
