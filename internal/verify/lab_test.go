package verify_test

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// TestMain lets all tests that may run side by side do so, however few
// processors there are: they wait for silent hosts, they hardly compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // fuzzing does compute
		if err := flag.Set("test.parallel", "16"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m) // nothing goes on in the background when the tests are over
}

// lab is a mail lab and an engine that is pointed at it.
type lab struct {
	*maillab.Lab
	engine *verify.Engine
}

func newLab(t *testing.T, c maillab.Config, adjust func(*verify.Config)) *lab {
	t.Helper()
	l, err := maillab.Start(c)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return (&lab{Lab: l}).with(t, adjust)
}

// with returns the same lab with an engine of its own.
func (l *lab) with(t *testing.T, adjust func(*verify.Config)) *lab {
	t.Helper()
	cfg := verify.Config{
		DNSServers:     []string{l.DNSAddr()},
		SMTPPort:       l.SMTPPort(),
		Allow:          maillab.Networks(),
		Helo:           "verifier.test",
		GreylistRetry:  300 * time.Millisecond,
		DNSTimeout:     200 * time.Millisecond,
		ConnectTimeout: 2 * time.Second,
		CommandTimeout: 5 * time.Second,
		Backoff:        20 * time.Millisecond,
	}
	if adjust != nil {
		adjust(&cfg)
	}
	e, err := verify.New(cfg)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return &lab{l.Lab, e}
}

func domainOf(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

// domainsOf yields the domain of each run of addresses.
func domainsOf(emails []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		last := ""
		for _, email := range emails {
			if domain := email[strings.LastIndexByte(email, '@')+1:]; domain != last {
				last = domain
				if !yield(domain) {
					return
				}
			}
		}
	}
}

// ask verifies the addresses and comes back to greylisted ones, as a workflow
// does, until they have an answer or the rounds are over.
func (l *lab) ask(t *testing.T, emails []string) []verify.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // 400,000 addresses on a busy machine; a hang fails all the same
	defer cancel()
	results := make([]verify.Result, len(emails))
	todo := make([]int, len(emails))
	for i := range todo {
		todo[i] = i
	}
	for range 3 {
		list := make([]string, len(todo))
		for k, i := range todo {
			list[k] = emails[i]
		}
		answered := make([]int, len(list))
		var wait time.Time
		err := l.engine.Verify(ctx, list, func(k int, r verify.Result) {
			answered[k]++
			results[todo[k]] = r
			if r.RetryAt.After(wait) {
				wait = r.RetryAt
			}
		})
		require.NoError(t, err)
		for k := range answered {
			require.Equal(t, 1, answered[k], "answers for %s", list[k])
		}
		todo = slices.DeleteFunc(todo, func(i int) bool { return results[i].RetryAt.IsZero() })
		if len(todo) == 0 {
			break
		}
		time.Sleep(time.Until(wait))
	}
	return results
}

// check compares the results with the truth. A definite verdict has to be true;
// the reason counts as well where exact is set.
func (l *lab) check(t *testing.T, emails []string, results []verify.Result, exact bool) {
	t.Helper()
	wrong := map[string]string{}
	for i, r := range results {
		truth := l.Truth(emails[i])
		fits := string(r.Verdict) == truth.Verdict || slices.Contains(truth.Also, string(r.Verdict)) ||
			!exact && r.Verdict == verify.Unknown
		if exact && r.Verdict == verify.Unknown && truth.Verdict == "unknown" && string(r.Reason) != truth.Reason {
			fits = false
		}
		if !fits {
			domain := emails[i][strings.LastIndexByte(emails[i], '@')+1:]
			wrong[fmt.Sprintf("%s: %s/%s, truth is %s/%s; %d %s", l.World().KindOf(domain), r.Verdict, r.Reason,
				truth.Verdict, truth.Reason, r.SMTPCode, r.SMTPEnhanced)] = fmt.Sprintf("%s %s %q", emails[i], r.MXHost, r.SMTPText)
		}
	}
	for what, example := range wrong {
		t.Errorf("%s, as for %s", what, example)
	}
}

func TestVerify_lab(t *testing.T) {
	l := newLab(t, maillab.Config{GreylistDelay: 200 * time.Millisecond, Domains: 1000}, nil)
	var emails []string
	for _, d := range l.World().Domains() {
		emails = append(emails, l.World().Mailboxes(d, 5)...)
	}
	start := time.Now()
	results := l.ask(t, emails)
	t.Log(time.Since(start), l.engine.Stats())
	l.check(t, emails, results, true)
}
