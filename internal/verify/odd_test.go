package verify_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// silent makes deadlines short enough for hosts that never answer, and long enough
// for a busy machine.
func silent(c *verify.Config) {
	c.ConnectTimeout = 2 * time.Second
	c.CommandTimeout = 1500 * time.Millisecond
	c.SlowReply = 500 * time.Millisecond
	c.Patience = 4 * time.Second
	c.HostSessionsPerSecond = 200
	c.DNSTimeout = time.Second
}

// faster is by how much seconds are shorter, for the paces of the engine and for
// hosts that count sessions: what takes minutes at a host that has complained
// takes seconds.
const faster = 20

// quick is silent with short seconds.
func quick(c *verify.Config) {
	silent(c)
	c.MaxSessions = 1000
	c.Backoff = time.Millisecond
	c.Quicken(faster)
}

// patient has deadlines that a busy machine keeps as well.
func patient(c *verify.Config) {
	quick(c)
	c.DNSTimeout, c.ConnectTimeout, c.CommandTimeout = 10*time.Second, 30*time.Second, 30*time.Second
	c.SlowReply, c.Patience = 5*time.Second, 2*time.Minute
}

func quickLab(t *testing.T) *lab {
	return newLab(t, maillab.Config{Domains: 1, GreylistDelay: 200 * time.Millisecond, Second: time.Second / faster}, quick)
}

// oddDomains are the domains of the fault table, with what is odd about each, but for
// those of hosts that give in: see TestGiveIn_V2.
func oddDomains() map[string]maillab.OddHost {
	return oddDomainsWhere(func(maillab.OddHost) bool { return true })
}

func oddDomainsWhere(which func(maillab.OddHost) bool) map[string]maillab.OddHost {
	return domainsOfOdd(func(odd maillab.OddHost) bool { return which(odd) && !givesIn(odd) })
}

func givesIn(odd maillab.OddHost) bool { return strings.HasPrefix(odd.Name, "give-in-") }

func domainsOfOdd(which func(maillab.OddHost) bool) map[string]maillab.OddHost {
	domains := map[string]maillab.OddHost{}
	for _, odd := range maillab.OddHosts() {
		if !which(odd) {
			continue
		}
		domains[odd.Domain()] = odd
		if plain := odd.PlainDomain(); plain != "" {
			domains[plain] = odd
		}
	}
	return domains
}

// honest are the odd hosts at which "unknown" is all that should be said,
// although the lab knows more.
var honest = map[string]string{
	"rcpt-252":     "252 says that the host cannot tell",
	"missing-bare": "a bare 550 could be about anything",
	"missing-450":  "a mailbox is never called missing for a temporary reply",
	"dns-mx-ip":    "some deliver to an address in an MX record all the same",
}

// TestOddHosts_V1 asks every host of the fault table, with and without
// PIPELINING, for lists of every size: alone, by an engine of its own, for short
// lists and where behaviour depends on how much is asked, and with all others
// for a short and a long list. No definite verdict may be wrong, and where the
// truth does not take special patience it has to be found. The long lists come
// last: they keep the machine busy, which should decide no deadline.
func TestOddHosts_V1(t *testing.T) {
	everyHost := func(maillab.OddHost) bool { return true }
	for _, group := range []struct {
		alone, mixed []int
		hosts        func(maillab.OddHost) bool // that are asked alone
		share        int                        // of the hosts one in so many is asked with others, others in each run
	}{
		{[]int{1, 2, 3}, []int{2, 3}, everyHost, 1},
		{[]int{50}, []int{50}, everyHost, 1},
		{[]int{1000}, []int{1000}, maillab.OddHost.Counts, 3},
	} {
		t.Run("", func(t *testing.T) {
			for _, n := range group.alone {
				t.Run(fmt.Sprintf("alone, %d addresses", n), func(t *testing.T) {
					t.Parallel()
					askAlone(t, n, group.hosts)
				})
			}
			for _, n := range group.mixed {
				t.Run(fmt.Sprintf("mixed, %d addresses", n), func(t *testing.T) {
					t.Parallel()
					askMixed(t, n, group.share)
				})
			}
		})
	}
}

// TestGiveIn_V2: a host that accepts everyone after one to ten unknown users, of a
// session or of our address, gets no wrong definite verdict, and where other
// sessions help, all is found out. What it counts is what it was asked, so no
// deadline may run out on a busy machine.
func TestGiveIn_V2(t *testing.T) {
	for _, n := range []int{1, 2, 3, 50, 300} {
		t.Run(fmt.Sprintf("%d addresses", n), func(t *testing.T) {
			t.Parallel()
			l := quickLab(t)
			eachHost(domainsOfOdd(givesIn), 8, func(domain string, odd maillab.OddHost) {
				alone := l.with(t, patient)
				emails := shuffled(l.World().Mailboxes(domain, n))
				results := alone.ask(t, emails)
				alone.engine.Close()
				l.checkOdd(t, odd, n, emails, results)
				for i, r := range results {
					if strings.HasPrefix(odd.Name, "give-in-session-") && !strings.HasSuffix(odd.Name, "-vague") && !l.Truth(emails[i]).Right(string(r.Verdict)) {
						t.Errorf("%s: %s/%s", emails[i], r.Verdict, r.Reason)
					}
				}
			})
		})
	}
}

func askAlone(t *testing.T, n int, which func(maillab.OddHost) bool) {
	l := quickLab(t)
	eachHost(oddDomainsWhere(which), 32, func(domain string, odd maillab.OddHost) {
		alone := l.with(t, quick)
		emails := shuffled(l.World().Mailboxes(domain, n))
		results := alone.ask(t, emails)
		alone.engine.Close() // hundreds of engines have many sockets
		l.askAgain(t, emails, results)
		l.checkOdd(t, odd, n, emails, results)
	})
}

// eachHost does something with hosts, some at a time.
func eachHost(hosts map[string]maillab.OddHost, atOnce int, do func(domain string, odd maillab.OddHost)) {
	var all errgroup.Group
	all.SetLimit(atOnce)
	for domain, odd := range hosts {
		all.Go(func() error {
			do(domain, odd)
			return nil
		})
	}
	_ = all.Wait()
}

func shuffled(list []string) []string {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func askMixed(t *testing.T, n, share int) {
	domains := oddDomainsWhere(func(maillab.OddHost) bool { return rand.IntN(share) == 0 })
	l := quickLab(t)
	var emails []string
	for domain := range domains {
		emails = append(emails, shuffled(l.World().Mailboxes(domain, n))...)
	}
	results := l.ask(t, emails)
	l.askAgain(t, emails, results)
	i := 0
	for domain := range domainsOf(emails) {
		l.checkOdd(t, domains[domain], n, emails[i:i+n], results[i:i+n])
		i += n
	}
}

// mostAgain is of how many addresses of a host it is found out whether the machine
// was busy.
const mostAgain = 150

// askAgain asks with more patience where a deadline ran out at a host that has
// an answer: the machine was busy then. What has a verdict keeps it.
func (l *lab) askAgain(t *testing.T, emails []string, results []verify.Result) {
	domains := oddDomains()
	var list []string
	var at []int
	asked := map[string]int{}
	for i, r := range results {
		odd := domains[domainOf(emails[i])]
		if asked[odd.Name] == mostAgain {
			continue
		}
		if r.Verdict == verify.Unknown && odd.Patience == "" && honest[odd.Name] == "" && l.Truth(emails[i]).Verdict != "unknown" {
			list, at = append(list, emails[i]), append(at, i)
			asked[odd.Name]++
		}
	}
	if len(list) == 0 {
		return
	}
	t.Logf("asked again for %d", len(list))
	for k, r := range l.with(t, patient).ask(t, list) {
		results[at[k]] = r
	}
}

// refusesAll reports whether a result is a doubtful refusal of a domain that refused
// everyone who was asked for: a host that says of each in turn, from the first on,
// that it does not exist cannot be distinguished from one without mailboxes.
func refusesAll(emails []string, results []verify.Result) func(i int) bool {
	taken := map[string]bool{}
	for i, r := range results {
		taken[domainOf(emails[i])] = taken[domainOf(emails[i])] || r.Verdict == verify.Valid || r.Verdict == verify.CatchAll || r.Reason == verify.CatchAllUnknown
	}
	return func(i int) bool { return results[i].Doubtful && !taken[domainOf(emails[i])] }
}

// checkOdd compares the results for n addresses of one odd host with the truth.
func (l *lab) checkOdd(t *testing.T, odd maillab.OddHost, n int, emails []string, results []verify.Result) {
	unknown, example := 0, ""
	refusesAll := refusesAll(emails, results)
	for i, r := range results {
		truth := l.Truth(emails[i])
		what := fmt.Sprintf("%s: %s/%s (doubtful: %v), truth is %s/%s; %d %q: %s", emails[i], r.Verdict, r.Reason, r.Doubtful,
			truth.Verdict, truth.Reason, r.SMTPCode, r.SMTPText, odd.Behaviour)
		if truth.Wrong(string(r.Verdict)) && !refusesAll(i) {
			t.Errorf("wrong: %s", what)
			return
		}
		if r.Verdict == verify.Unknown && truth.Verdict != "unknown" {
			unknown, example = unknown+1, what
		}
	}
	if unknown > 0 && odd.Patience == "" && honest[odd.Name] == "" && n < 1000 {
		t.Errorf("%d of %d not found out, as %s", unknown, n, example)
	} else if unknown > 0 {
		t.Logf("%d of %d unknown, as %s (%s)", unknown, n, example, odd.Patience)
	}
}
