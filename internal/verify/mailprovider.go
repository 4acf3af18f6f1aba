package verify

import (
	"strings"
)

// provider is a mail service that many domains use. Its limits and blocks hold
// for all its hosts together, under all the MX names of its customers.
type provider struct {
	name     string
	suffixes []string // of MX names
	// acceptsAll is set where RCPT is accepted for every mailbox and the refusal
	// comes only after DATA: an accepted recipient then tells nothing.
	acceptsAll bool
	pace       pace
	rules      []rule // rows that hold only here, before the table's
}

var providers = []provider{
	{
		name:     "google",
		pace:     pace{10, 2},
		suffixes: []string{"google.com", "googlemail.com", "psmtp.com"},
		rules: []rule{
			{stages: atRcpt, codes: "450 550", enhanced: "x.2.1", says: receivesTooMuch, finding: finding{Unknown, Temporary, settle}},
			{stages: atRcpt, codes: "550", enhanced: "5.2.1", words: []string{"disabled", "inactive"}, finding: finding{Invalid, MailboxDisabled, settle}},
		},
	},
	{
		name:     "microsoft",
		pace:     pace{10, 2},
		suffixes: []string{"outlook.com", "outlook.cn", "office365.us", "mx.microsoft", "messaging.microsoft.com", "hotmail.com"},
		rules: []rule{
			// Directory-based edge blocking answers before any policy does.
			{stages: atRcpt, codes: "550", enhanced: "5.4.1", words: []string{"recipient address rejected"}, finding: finding{Invalid, NoSuchUser, settle}},
			{stages: atRcpt, codes: "550", enhanced: "5.5.0", words: []string{"requested action not taken mailbox unavailable"}, finding: finding{Invalid, NoSuchUser, settle}},
		},
	},
	{
		name:       "yahoo",
		pace:       pace{4, 1},
		suffixes:   []string{"yahoodns.net"},
		acceptsAll: true,
		rules: []rule{
			{stages: atRcpt | atMail, codes: "4 5", words: []string{"tss0", "ts0", "bl2", "ph0"}, finding: finding{Unknown, Blocked, nextSession}},
		},
	},
	{
		name:     "mimecast",
		suffixes: []string{"mimecast.com", "mimecast.co.za", "mimecast-offshore.com"},
		rules: []rule{
			{stages: atRcpt, codes: "451", words: []string{"internal resources are temporarily unavailable", "internal resources temporarily unavailable"}, finding: finding{Unknown, Greylisted, settle}},
			{stages: atRcpt, codes: "550", words: []string{"invalid recipient"}, finding: finding{Invalid, NoSuchUser, settle}},
		},
	},
	{
		name:     "proofpoint",
		suffixes: []string{"pphosted.com", "ppe-hosted.com"},
	},
	{
		name:     "cisco",
		suffixes: []string{"iphmx.com"},
		rules: []rule{
			// What the gateway says when its directory query finds no user.
			{stages: atRcpt, codes: "550", enhanced: "5.1.0", words: []string{"address rejected"}, finding: finding{Invalid, NoSuchUser, settle}},
		},
	},
	{name: "qq", pace: pace{2, 0.5}, suffixes: []string{"qq.com"}},
	{name: "netease", pace: pace{2, 0.5}, suffixes: []string{"163.com", "126.com", "yeah.net", "netease.com"}},
	{name: "orange", pace: pace{2, 0.5}, suffixes: []string{"orange.fr", "wanadoo.fr", "wanadoo.com", "orange.net"}},
	{name: "mailru", pace: pace{4, 1}, suffixes: []string{"mail.ru"}},
	{name: "yandex", pace: pace{4, 1}, suffixes: []string{"yandex.ru", "yandex.net", "yandex.com"}},
	{name: "gmx", pace: pace{3, 1}, suffixes: []string{"gmx.net", "gmx.com", "gmx.de", "web.de", "mail.com"}},
	{name: "ionos", suffixes: []string{"kundenserver.de", "ionos.com", "ionos.de", "1and1.com"}},
	{name: "ovh", suffixes: []string{"ovh.net"}},
	{name: "proton", suffixes: []string{"protonmail.ch"}},
	{name: "fastmail", suffixes: []string{"messagingengine.com"}},
	{name: "barracuda", suffixes: []string{"barracudanetworks.com"}},
	{name: "messagelabs", suffixes: []string{"messagelabs.com"}},
	{name: "icloud", suffixes: []string{"mail.icloud.com"}},
	{name: "zoho", suffixes: []string{"zoho.com", "zoho.eu", "zoho.in"}},
	{name: "trendmicro", suffixes: []string{"in.tmes.trendmicro.com", "in.hes.trendmicro.com"}},
}

// hosters run mail hosts for many domains. They have a name in results; their
// hosts have limits of their own.
var hosters = []provider{
	{name: "alibaba", suffixes: []string{"mxhichina.com", "aliyun.com", "alibaba-inc.com"}},
	{name: "amazon", suffixes: []string{"amazonaws.com", "awsapps.com"}},
	{name: "cloudflare", suffixes: []string{"mx.cloudflare.net"}},
	{name: "gandi", suffixes: []string{"gandi.net"}},
	{name: "godaddy", suffixes: []string{"secureserver.net"}},
	{name: "hornetsecurity", suffixes: []string{"hornetsecurity.com"}},
	{name: "hostinger", suffixes: []string{"hostinger.com"}},
	{name: "infomaniak", suffixes: []string{"infomaniak.ch", "infomaniak.com"}},
	{name: "libero", suffixes: []string{"libero.it"}},
	{name: "mailbox.org", suffixes: []string{"mailbox.org"}},
	{name: "mailgun", suffixes: []string{"mailgun.org"}},
	{name: "namecheap", suffixes: []string{"privateemail.com", "registrar-servers.com"}},
	{name: "naver", suffixes: []string{"naver.com", "worksmobile.com"}},
	{name: "rackspace", suffixes: []string{"emailsrvr.com"}},
	{name: "seznam", suffixes: []string{"seznam.cz"}},
	{name: "sophos", suffixes: []string{"sophos.com"}},
	{name: "spamexperts", suffixes: []string{"antispamcloud.com", "spamexperts.com"}},
	{name: "strato", suffixes: []string{"rzone.de"}},
	{name: "t-online", suffixes: []string{"t-online.de"}},
	{name: "tuta", suffixes: []string{"tutanota.de"}},
}

// startRate is how many sessions a second are begun at first.
func (p *provider) startRate() float64 {
	if p == nil || p.pace.perSecond == 0 {
		return startRate
	}
	return p.pace.perSecond
}

// providerOf returns the provider that an MX name belongs to, or nil.
func providerOf(mx string) *provider { return ownerOf(providers, mx) }

func ownerOf(list []provider, mx string) *provider {
	for i := range list {
		for _, suffix := range list[i].suffixes {
			if rest, ok := strings.CutSuffix(mx, suffix); ok && (rest == "" || rest[len(rest)-1] == '.') {
				return &list[i]
			}
		}
	}
	return nil
}
