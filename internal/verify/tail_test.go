package verify_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// limitDomains are all hosts that refuse everyone after a few recipients.
func limitDomains() map[string]maillab.OddHost {
	domains := map[string]maillab.OddHost{}
	for _, odd := range maillab.LimitHosts(0) {
		domains[odd.Domain()] = odd
		domains[odd.PlainDomain()] = odd
	}
	return domains
}

// TestLimit_V2 asks every host with a limit for lists of several sizes, in any
// order. No definite verdict may be wrong, so none contradicts another, and
// all that a new session can find out has to be found out.
func TestLimit_V2(t *testing.T) {
	for round, n := range []int{50, 1, 2, 3, 5, 3} {
		t.Run(fmt.Sprintf("%d addresses, order %d", n, round), func(t *testing.T) {
			t.Parallel()
			askLimited(t, n, uint64(round))
		})
	}
}

func askLimited(t *testing.T, n int, seed uint64) {
	window := 10 * time.Second // many times what a command takes on a busy machine
	if n > 5 {
		window = time.Minute
	}
	l := newLab(t, maillab.Config{Domains: 1, Limits: true, LimitWindow: window}, func(c *verify.Config) {
		c.HostSessionsPerSecond, c.DNSTimeout = 500, 2*time.Second
		c.Backoff = time.Millisecond
		c.Quicken(faster)
	})
	domains := limitDomains()
	random := rand.New(rand.NewPCG(seed, 1))
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range domains {
			if !yield(name) {
				return
			}
		}
	})
	var emails []string
	for _, name := range names {
		emails = append(emails, l.World().Mailboxes(name, n)...)
	}
	random.Shuffle(len(emails), func(i, j int) { emails[i], emails[j] = emails[j], emails[i] })
	results := l.ask(t, emails)
	refusesAll := refusesAll(emails, results)
	for i, r := range results {
		truth, domain := l.Truth(emails[i]), domainOf(emails[i])
		what := fmt.Sprintf("%s: %s/%s, truth is %s; %d %q", emails[i], r.Verdict, r.Reason, truth.Verdict, r.SMTPCode, r.SMTPText)
		require.False(t, truth.Wrong(string(r.Verdict)) && !refusesAll(i), what)
		late := r.Reason == verify.Tarpit || r.Reason == verify.ConnectFailed || r.Reason == verify.DNSError // a busy machine
		if inSession.MatchString(domain) && !strings.Contains(domain, "terse") && !strings.Contains(domain, "-same") && !late {
			require.True(t, truth.Right(string(r.Verdict)), what)
		}
	}
}

// inSession are the hosts at which other sessions find everything out.
var inSession = regexp.MustCompile(`^limit-session-[1-9]`)
