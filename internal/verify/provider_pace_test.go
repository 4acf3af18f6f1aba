package verify

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProviderPaces_V6: a provider's hosts have one pace together, with any
// names, and never more sessions than it says.
func TestProviderPaces_V6(t *testing.T) {
	e, err := New(Config{DNSServers: []string{"127.0.0.1:9"}, SMTPPort: 2525, Helo: "mail.ours.example"})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	for _, of := range []struct {
		name      string
		hosts     []string
		sessions  int
		perSecond float64
	}{
		{"google", []string{"gmail-smtp-in.l.google.com", "aspmx.l.google.com", "alt1.aspmx.l.google.com", "aspmx2.googlemail.com"}, 10, 2},
		{"microsoft", []string{"hotmail-com.olc.protection.outlook.com", "acme-com.mail.protection.outlook.com", "acme-com.a-v1.mx.microsoft"}, 10, 2},
		{"yahoo", []string{"mta5.am0.yahoodns.net", "mx-eu.mail.am0.yahoodns.net"}, 4, 1},
		{"qq", []string{"mx1.qq.com", "mxbiz1.qq.com"}, 2, 0.5},
		{"netease", []string{"163mx01.mxmail.netease.com", "126mx01.mxmail.netease.com", "yeahmx01.mxmail.netease.com"}, 2, 0.5},
		{"orange", []string{"smtp-in.orange.fr", "smtp-in.wanadoo.fr"}, 2, 0.5},
		{"mailru", []string{"mxs.mail.ru", "emx.mail.ru"}, 4, 1},
		{"yandex", []string{"mx.yandex.ru", "mx.yandex.net"}, 4, 1},
		{"gmx", []string{"mx00.gmx.net", "mx01.emig.gmx.net", "mx-ha.web.de", "mx00.mail.com"}, 3, 1},
	} {
		for _, mx := range of.hosts {
			p := providerOf(mx)
			require.NotNil(t, p, mx)
			require.Equal(t, of.name, p.name, mx)
			h := newHost(e, of.name, p)
			require.InDelta(t, of.perSecond, float64(h.starts.Limit()), 1e-9, mx)
			h.work = 100_000
			for range 100 { // good batches, and a host where each command takes time
				h.grow()
				h.content(false, separateReply)
				h.hurry()
			}
			require.LessOrEqual(t, h.window, of.sessions, mx)
			require.LessOrEqual(t, float64(h.starts.Limit()), politeRate, mx)
			require.Greater(t, h.window, min(firstWindow, of.sessions)-1, mx)
		}
	}
	require.Nil(t, providerOf("mx.notqq.com.example.org"))
}
