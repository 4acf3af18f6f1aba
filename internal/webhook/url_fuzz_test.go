package webhook

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/netguard"
)

// A URL that is taken is https to a name or to a public address, without a user or
// fragment, of any form.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://example.com/x", "http://127.0.0.1/", "https://[::ffff:10.0.0.1]:1/", "https://0x7f.1/", "https://a:b@c/", "https://x/#y", "//x", "https://[fe80::1%25eth0]/"} {
		f.Add(text)
	}
	w := &Webhooks{}
	f.Fuzz(func(t *testing.T, text string) {
		if w.checkURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.NotEmpty(t, u.Hostname())
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			require.True(t, netguard.Public(ip), text)
		}
	})
}
