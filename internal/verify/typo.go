package verify

// wellKnown are the domains whose names are mistyped most often.
var wellKnown = []string{
	"gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "hotmail.com", "hotmail.co.uk", "outlook.com", "live.com", "msn.com",
	"icloud.com", "aol.com", "comcast.net", "verizon.net", "proton.me", "protonmail.com", "gmx.de", "gmx.net", "web.de", "t-online.de",
	"freenet.de", "orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "libero.it", "btinternet.com", "mail.ru", "yandex.ru",
	"qq.com", "163.com",
}

// neighbours are domains of their own, one slip away from a well-known one.
var neighbours = set(`cloud.com libera.it life.com like.com line.com love.com five.com give.com olive.com alive.com mail.com emails.com`)

// meantDomain returns the well-known domain that was probably meant: one slip
// of the keyboard away, from a name that is not well known itself. Short names
// have too many neighbours of their own.
func (l *lists) meantDomain(domain string) string {
	if largestList.has(domain) || l.free[domain] || neighbours[domain] {
		return ""
	}
	for _, known := range wellKnown {
		if len(known) >= 9 && oneSlip(domain, known) {
			return known
		}
	}
	return ""
}

// oneSlip reports whether a becomes b by one character left out, put in or
// exchanged, or by two neighbours changing places.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
