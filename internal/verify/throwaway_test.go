package verify_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// A domain that no list has is disposable when its mail goes to a throw-away
// service, by the names of the hosts or by their addresses.
func TestDisposableByMailHost(t *testing.T) {
	var zone []dns.RR
	for _, text := range []string{
		"by-name.example. 60 IN MX 10 mail.mailinator.com.",
		"mailinator.com. 60 IN MX 10 mail.mailinator.com.",
		"mail.mailinator.com. 60 IN A 127.64.200.1",
		"by-address.example. 60 IN MX 10 mx.by-address.example.",
		"mx.by-address.example. 60 IN A 127.64.200.1",
		"by-network.example. 60 IN MX 10 mx.by-network.example.",
		"mx.by-network.example. 60 IN A 127.64.201.9",
		"company.example. 60 IN MX 10 mail.mailinator.com.",
		"plain.example. 60 IN MX 10 mx.plain.example.",
		"mx.plain.example. 60 IN A 127.64.202.1",
		"masked.example. 60 IN MX 10 mx1.simplelogin.co.",
		"mx1.simplelogin.co. 60 IN A 127.64.202.1",
		"gmial.com. 60 IN MX 10 mx.plain.example.",
	} {
		record, err := dns.NewRR(text)
		require.NoError(t, err, text)
		zone = append(zone, record)
	}
	lab, err := maillab.Start(maillab.Config{Domains: 10, Records: zone})
	require.NoError(t, err)
	t.Cleanup(lab.Close)
	file := filepath.Join(t.TempDir(), "lists")
	require.NoError(t, os.WriteFile(file, []byte("allow company.example\ndisposable 127.64.201.0/24\n"), 0o600))
	e, err := verify.New(verify.Config{
		DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), Helo: "verifier.test", ListFile: file,
	})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	emails := []string{
		"a@by-name.example", "a@by-address.example", "a@by-network.example", "a@company.example", "a@plain.example", "a@masked.example",
		"ann@gmial.com", "ann@gmai.com", "Ann Lee <ann@by-name.example>",
	}
	results := make([]verify.Result, len(emails))
	require.NoError(t, e.Verify(t.Context(), emails, func(i int, r verify.Result) { results[i] = r }))
	for i, disposable := range []bool{true, true, true, false, false, false} {
		require.Equal(t, disposable, results[i].Disposable, emails[i])
		require.Equal(t, disposable, results[i].Verdict == verify.Disposable, emails[i])
	}
	require.True(t, results[5].Alias, "a domain on the hosts of a relay")
	require.False(t, results[4].Alias)
	require.Equal(t, "other", results[4].Provider)
	require.Empty(t, results[6].Suggestion, "the domain takes mail: it may be meant")
	require.Equal(t, "ann@gmail.com", results[7].Suggestion)
	require.True(t, results[8].Cleaned)
	require.Equal(t, "ann@by-name.example", results[8].Address)
}
