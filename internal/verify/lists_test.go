package verify

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func namesIn(t *testing.T, file string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list
}

// The lists are searched as they are, so they have to be sorted; each name is
// found and what lies between two names is not.
func TestListsAreSortedAndSearched(t *testing.T) {
	for file, list := range map[string]sortedNames{
		"lists/disposable.txt": disposableList, "lists/free.txt": freeList, "lists/role.txt": roleList, "lists/own/free.txt": largestList, "lists/own/relay.txt": relayList,
	} {
		names := namesIn(t, file)
		require.True(t, slices.IsSorted(names), file)
		for i, name := range names {
			if !list.has(name) || list.has(name+"-") != slices.Contains(names[i:min(i+3, len(names))], name+"-") {
				require.Fail(t, "the search is wrong", "%s: %s", file, name)
			}
		}
		for _, absent := range []string{"", "#", "~", "0", names[0][1:] + ".invalid", "zzzzzz.zz"} {
			require.False(t, list.has(absent), "%s: %q", file, absent)
		}
	}
}

func TestListsHaveTheSizeOfTheField(t *testing.T) {
	require.Greater(t, len(namesIn(t, "lists/disposable.txt")), 120_000)
	require.Greater(t, len(namesIn(t, "lists/free.txt")), 4479)
	require.Greater(t, len(namesIn(t, "lists/role.txt")), 892)
}

// No large provider is disposable, against the published lists, and nothing
// that a registry owns makes its customers so.
func TestLargeProvidersAreNeverDisposable(t *testing.T) {
	l, err := newLists("")
	require.NoError(t, err)
	large := namesIn(t, "lists/own/free.txt")
	require.Greater(t, len(large), 500)
	for _, domain := range large {
		require.False(t, l.isDisposable(domain), domain)
		require.False(t, l.isDisposable("mail."+domain), domain)
		require.True(t, l.isFree(domain), domain)
	}
	for _, domain := range []string{"company.web.id", "shop.za.com", "university.ac.uk", "ministry.gov.br", "firm.co.jp", "facebook.com"} {
		require.False(t, l.isDisposable(domain), domain)
	}
	for _, domain := range []string{"0-180.com", "sub.0-180.com", "yopmail.com", "guerrillamail.net", "a.b.mailinator.com"} {
		require.True(t, l.isDisposable(domain), domain)
	}
}

func TestRelaysAreAFlagOfTheirOwn(t *testing.T) {
	l, err := newLists("")
	require.NoError(t, err)
	for _, domain := range []string{"duck.com", "mozmail.com", "privaterelay.appleid.com", "simplelogin.com", "simplelogin.co", "ann.anonaddy.com", "passmail.net", "marketplace.amazon.nl", "members.ebay.de"} {
		require.True(t, isRelay(domain), domain)
		require.False(t, l.isDisposable(domain), domain)
	}
	for _, domain := range []string{"appleid.com", "apple.com", "icloud.com", "gmail.com", "notduck.com", "amazon.nl", "ebay.de", "craigslist.org"} {
		require.False(t, isRelay(domain), domain)
	}
}

func TestProvidersAreNamedByMailHost(t *testing.T) {
	for host, want := range map[string]string{
		"aspmx.l.google.com": "google", "example-com.mail.protection.outlook.com": "microsoft", "mta5.am0.yahoodns.net": "yahoo",
		"mx1.emailsrvr.com": "rackspace", "smtp.rzone.de": "strato", "route1.mx.cloudflare.net": "cloudflare",
		"mx.notrzone.de": "other", "mail.company.example": "other", "": "",
	} {
		require.Equal(t, want, ProviderOf(host), host)
	}
	require.Nil(t, providerOf("smtp.rzone.de"), "its hosts have limits of their own")
}
