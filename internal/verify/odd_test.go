package verify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// patient makes deadlines short enough for hosts that never answer.
func patient(c *verify.Config) {
	c.ConnectTimeout = 500 * time.Millisecond
	c.CommandTimeout = 400 * time.Millisecond
	c.SlowReply = 100 * time.Millisecond
	c.Patience = 2 * time.Second
}

// TestOddHosts_V1 asks every host of the fault table and demands that no
// definite verdict is wrong.
func TestOddHosts_V1(t *testing.T) {
	for _, n := range []int{1, 50} {
		l := newLab(t, maillab.Config{Domains: 1, GreylistDelay: 200 * time.Millisecond}, patient)
		for _, odd := range maillab.OddHosts() {
			for _, domain := range []string{odd.Domain(), odd.PlainDomain()} {
				if domain == "" {
					continue
				}
				t.Run(fmt.Sprintf("%d@%s", n, domain), func(t *testing.T) {
					emails := l.World().Mailboxes(domain, n)
					results := l.ask(t, emails)
					unknown := 0
					for i, r := range results {
						truth := l.Truth(emails[i])
						require.False(t, truth.Wrong(string(r.Verdict)), "%s: %s/%s, truth is %s/%s; %d %q; %s",
							emails[i], r.Verdict, r.Reason, truth.Verdict, truth.Reason, r.SMTPCode, r.SMTPText, odd.Behaviour)
						if r.Verdict == verify.Unknown && truth.Verdict != "unknown" {
							unknown++
							if unknown == 1 {
								t.Logf("unknown %s: %s, truth is %s/%s; %d %q; %s; %s", emails[i], r.Reason, truth.Verdict, truth.Reason, r.SMTPCode, r.SMTPText, odd.Behaviour, odd.Patience)
							}
						}
					}
					if unknown > 0 {
						t.Logf("COVERAGE %d of %d unknown", unknown, n)
					}
				})
			}
		}
	}
}
