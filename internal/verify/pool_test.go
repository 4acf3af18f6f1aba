package verify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// clock is one that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

// source is the address of the nth identity.
func source(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(n + 1)}) }

func identities(n int) (list []verify.Identity) {
	for i := range n {
		list = append(list, verify.Identity{
			Name: fmt.Sprintf("mail%d", i+1), Helo: fmt.Sprintf("mail%d.verifier.test", i+1), SourceAddr: source(i + 1).String(),
		})
	}
	return list
}

// pooled is a lab and a pool that is pointed at it.
type pooled struct {
	*maillab.Lab
	pool  *verify.Pool
	clock *clock
}

func newPool(t *testing.T, l *maillab.Lab, list []verify.Identity, adjust func(*verify.Config)) *pooled {
	t.Helper()
	cfg := verify.Config{
		DNSServers: []string{l.DNSAddr()}, SMTPPort: l.SMTPPort(), Allow: maillab.Networks(),
		GreylistRetry: 300 * time.Millisecond, Backoff: 20 * time.Millisecond,
	}
	if adjust != nil {
		adjust(&cfg)
	}
	c := &clock{at: noon}
	p, err := verify.NewPool(cfg, list, verify.NewSpent(c.now))
	require.NoError(t, err)
	p.SetClock(c.now)
	t.Cleanup(p.Close)
	return &pooled{l, p, c}
}

func ordinaryLab(t *testing.T, domains int) *maillab.Lab {
	t.Helper()
	l, err := maillab.Start(maillab.Config{Domains: domains, Only: []maillab.Kind{maillab.Ordinary}})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// ask verifies addresses of which every one has to be answered, rightly.
func (p *pooled) ask(t *testing.T, emails []string) []verify.Result {
	t.Helper()
	results, err := p.try(t, emails)
	require.NoError(t, err)
	for i, r := range results {
		truth := p.Truth(emails[i])
		require.Equal(t, truth.Verdict, string(r.Verdict), "%s: %s by %s: %d %s", emails[i], r.Reason, r.Identity, r.SMTPCode, r.SMTPText)
	}
	return results
}

func (p *pooled) try(t *testing.T, emails []string) ([]verify.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results := make([]verify.Result, len(emails))
	err := p.pool.Verify(ctx, emails, func(i int, r verify.Result) {
		require.Empty(t, results[i].Email, "one answer for each")
		results[i] = r
	})
	return results, err
}

func (p *pooled) mailboxes(domains []string, n int) (emails []string) {
	for _, d := range domains {
		emails = append(emails, p.World().Mailboxes(d, n)...)
	}
	return emails
}

func byIdentity(results []verify.Result) map[string]int {
	n := map[string]int{}
	for _, r := range results {
		if r.Identity != "" {
			n[r.Identity]++
		}
	}
	return n
}

// TestPool_spreads: hosts are spread over the identities, and one meets the same
// identity each time, also that of another worker.
func TestPool_spreads(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 60)
	p, other := newPool(t, l, identities(3), nil), newPool(t, l, identities(3), nil)
	emails := p.mailboxes(l.World().Domains(), 3)
	results := p.ask(t, emails)
	for i, r := range other.ask(t, emails) {
		require.Equal(t, results[i].Identity, r.Identity)
	}
	for name, n := range byIdentity(results) {
		require.Greater(t, n, len(emails)/6, name)
	}
}

// TestPool_blockedAtOneHost: a host that refuses one identity answers through
// another one, and is not asked by the first again.
func TestPool_blockedAtOneHost(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 20)
	p := newPool(t, l, identities(3), nil)
	domain := l.World().Domains()[0]
	emails := l.World().Mailboxes(domain, 10)
	asked := p.ask(t, emails)[0].Identity
	blocked := source(int(asked[len(asked)-1] - '0'))
	l.List(blocked, domain)
	p = newPool(t, l, identities(3), func(c *verify.Config) { c.IdleTimeout = time.Millisecond })
	for _, r := range p.ask(t, emails) {
		require.NotEqual(t, asked, r.Identity)
	}
	before := l.SessionsOf(blocked)
	p.ask(t, l.World().Mailboxes(domain, 30))
	require.Equal(t, before, l.SessionsOf(blocked))
}

// TestPool_rests: an identity that several hosts refuse, while they answer others,
// rests. When its rest is over and it works, it is used again.
func TestPool_rests(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 40)
	p := newPool(t, l, identities(2), nil)
	l.List(source(1))
	domains := l.World().Domains()
	results := p.ask(t, p.mailboxes(domains[:20], 3))
	require.Equal(t, map[string]int{"mail2": len(results)}, byIdentity(results))
	require.NotZero(t, l.SessionsOf(source(1)))

	before := l.SessionsOf(source(1))
	p.ask(t, p.mailboxes(domains[20:], 3))
	require.Equal(t, before, l.SessionsOf(source(1)), "it rests")

	l.Unlist(source(1))
	p.clock.pass(2 * time.Hour) // hosts are asked again, too
	results = p.ask(t, p.mailboxes(domains, 3))
	require.NotZero(t, byIdentity(results)["mail1"], "it works again")
}

// TestPool_outage_V9: an outage is one only when no identity works.
func TestPool_outage_V9(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 40)
	domains := l.World().Domains()
	p := newPool(t, l, identities(2), func(c *verify.Config) { c.Canaries = domains[:1] })
	l.List(source(1))
	emails := p.mailboxes(domains, 2)
	p.ask(t, emails)

	l.List(source(2))
	p2 := newPool(t, l, identities(2), func(c *verify.Config) { c.Canaries, c.BreakerPause = domains[:1], time.Millisecond })
	_, err := p2.try(t, emails)
	var outage *verify.OutageError
	require.ErrorAs(t, err, &outage)
	require.ErrorAs(t, p2.pool.Preflight(t.Context()), &outage)

	l.Unlist(source(2))
	p2.clock.pass(time.Hour)
	require.NoError(t, p2.pool.Preflight(t.Context()))
	p2.ask(t, emails)
}

// TestPool_proxy: an identity may be behind a SOCKS5 proxy. What a broken proxy
// keeps it from, another identity does.
func TestPool_proxy(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 10)
	proxy, connections := socks5(t)
	list := identities(2)
	list[1].SourceAddr, list[1].Proxy = "", "socks5://"+proxy
	p := newPool(t, l, list, nil)
	emails := p.mailboxes(l.World().Domains(), 3)
	require.Len(t, byIdentity(p.ask(t, emails)), 2)
	require.Positive(t, connections.Load())

	list[1].Proxy = "socks5://127.0.0.1:1" // nothing listens there
	require.Equal(t, map[string]int{"mail1": len(emails)}, byIdentity(newPool(t, l, list, nil).ask(t, emails)))
}

// TestPool_budgets: in any order of calls, no identity ever asks for more than
// its budgets of an hour and a day, and what is left over is not lost.
func TestPool_budgets(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 12)
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		list := identities(3)
		for i := range list {
			list[i].Budget = verify.Budget{Hour: 5 + random.IntN(20), Day: 20 + random.IntN(30)}
			list[i].Providers = map[string]verify.Budget{"other": {Hour: random.IntN(10), Day: random.IntN(60)}}
		}
		p := newPool(t, l, list, nil)
		hours, days := map[string]int{}, map[string]int{}
		spent := false
		for range 12 {
			var emails []string
			for range 1 + random.IntN(40) {
				d := l.World().Domains()[random.IntN(12)]
				emails = append(emails, l.World().Mailboxes(d, 50)[random.IntN(50)])
			}
			at := p.clock.now()
			results, err := p.try(t, emails)
			var outage *verify.OutageError
			if err != nil {
				require.ErrorAs(t, err, &outage)
				require.Equal(t, verify.BudgetSpent, outage.Reason)
				spent = true
			}
			for i, r := range results {
				if r.Email == "" {
					require.Error(t, err, "%s has no answer", emails[i])
					continue
				}
				hours[r.Identity+at.Truncate(time.Hour).String()]++
				days[r.Identity+at.Truncate(24*time.Hour).String()]++
			}
			for _, id := range list {
				hour, day := hours[id.Name+at.Truncate(time.Hour).String()], days[id.Name+at.Truncate(24*time.Hour).String()]
				own := id.Providers["other"]
				require.LessOrEqual(t, hour, id.Hour)
				require.LessOrEqual(t, day, id.Day)
				require.True(t, own.Hour == 0 || hour <= own.Hour)
				require.True(t, own.Day == 0 || day <= own.Day)
			}
			p.clock.pass(time.Duration(random.IntN(120)) * time.Minute)
		}
		require.True(t, spent, "budgets this small are met")
	}
}

// TestSpent_V14 books and gives back at random, and never above a limit.
func TestSpent_V14(t *testing.T) {
	c := &clock{at: noon}
	s := verify.NewSpent(c.now)
	random := rand.New(rand.NewPCG(1, 2))
	type booking struct {
		at       time.Time
		provider string
		n        int
	}
	var booked []booking
	all := verify.Budget{Hour: 50, Day: 300}
	own := map[string]verify.Budget{"google": {Hour: 10, Day: 60}, "yahoo": {Day: 15}, "other": {}}
	names := []string{"google", "yahoo", "other"}
	for range 3000 {
		provider := names[random.IntN(3)]
		n, err := s.Take(t.Context(), verify.Claim{Identity: "a", Provider: provider, N: random.IntN(30), All: all, Own: own[provider]})
		require.NoError(t, err)
		booked = append(booked, booking{c.now(), provider, n})
		if random.IntN(4) == 0 {
			b := &booked[random.IntN(len(booked))]
			back := random.IntN(b.n + 1)
			require.NoError(t, s.Return(t.Context(), "a", b.provider, b.at, back))
			b.n -= back
		}
		hour, day, ownHour, ownDay := 0, 0, map[string]int{}, map[string]int{}
		for _, b := range booked {
			if b.at.Truncate(24 * time.Hour).Equal(c.now().Truncate(24 * time.Hour)) {
				day += b.n
				ownDay[b.provider] += b.n
			}
			if b.at.Truncate(time.Hour).Equal(c.now().Truncate(time.Hour)) {
				hour += b.n
				ownHour[b.provider] += b.n
			}
		}
		require.LessOrEqual(t, hour, all.Hour)
		require.LessOrEqual(t, day, all.Day)
		for provider, b := range own {
			require.True(t, b.Hour == 0 || ownHour[provider] <= b.Hour, provider)
			require.True(t, b.Day == 0 || ownDay[provider] <= b.Day, provider)
		}
		c.pass(time.Duration(random.IntN(20)) * time.Minute)
	}
}

// TestWarmUp: the budgets of a new identity grow from day to day until they are
// full, and nothing is asked before its first day.
func TestWarmUp(t *testing.T) {
	id := verify.Identity{
		Budget: verify.Budget{Hour: 500, Day: 2000}, Providers: map[string]verify.Budget{"google": {Day: 400}},
		WarmUp: &verify.WarmUp{From: "2026-11-03", Days: 10, FirstDay: 100},
	}
	last := 0
	for day := range 14 {
		all, own := id.Limits("google", noon.AddDate(0, 0, day))
		require.GreaterOrEqual(t, all.Day, last)
		require.LessOrEqual(t, all.Day, 2000)
		require.LessOrEqual(t, own.Day, 400)
		if day == 0 {
			require.Equal(t, verify.Budget{Hour: 25, Day: 100}, all)
			require.Equal(t, verify.Budget{Day: 20}, own)
		}
		if day >= 10 {
			require.Equal(t, id.Budget, all)
			require.Equal(t, id.Providers["google"], own)
		}
		last = all.Day
	}
	all, _ := id.Limits("google", noon.AddDate(0, 0, -1))
	require.Zero(t, verify.Claim{N: 10, All: all}.Room(verify.Budget{}, verify.Budget{}))
}

// TestPool_warmUp: a new identity asks for its first day's addresses, others for
// the rest.
func TestPool_warmUp(t *testing.T) {
	t.Parallel()
	l := ordinaryLab(t, 30)
	list := identities(2)
	list[0].Day = 1000
	list[0].WarmUp = &verify.WarmUp{From: "2026-11-03", Days: 10, FirstDay: 5}
	p := newPool(t, l, list, nil)
	results := p.ask(t, p.mailboxes(l.World().Domains(), 4))
	require.Equal(t, map[string]int{"mail1": 5, "mail2": len(results) - 5}, byIdentity(results))
	p.clock.pass(24 * time.Hour)
	require.Greater(t, byIdentity(p.ask(t, p.mailboxes(l.World().Domains(), 5)))["mail1"], 20)
}

func TestReadIdentities(t *testing.T) {
	for text, problem := range map[string]string{
		`[{"name":"a","helo":"mail.example.com","source":"192.0.2.1","providers":{"google":{"hour":100,"day":1000}},"hour":500,"day":4000}]`: "",
		`[]`: "has no identity",
		`{}`: "is not a list of identities",
		`[{"name":"a","helo":"m.example.com","budget":5}]`:                          `unknown field "budget"`,
		`[{"helo":"m.example.com"}]`:                                                "needs a name",
		`[{"name":"a","helo":"m.example.com"},{"name":"b","helo":"n.example.com"}]`: "connects from the same place as identity 1 (a)",
		`[{"name":"a","helo":"m.example.com","source":"here"}]`:                     `source "here" is not an IP address`,
		`[{"name":"a"}]`: "helo is missing",
		`[{"name":"a","helo":"m.example.com","providers":{"gogle":{}}}]`:                                    `there is no provider "gogle"`,
		`[{"name":"a","helo":"m.example.com","warm_up":{"from":"2026-11-03","days":5,"first_day":10}}]`:     "warm_up.first_day",
		`[{"name":"a","helo":"m.example.com","day":50,"warm_up":{"from":"today","days":5,"first_day":10}}]`: "warm_up.from",
		`[{"name":"a","helo":"m.example.com","hour":-1}]`:                                                   "budgets are numbers from 0",
	} {
		file := filepath.Join(t.TempDir(), "identities.json")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := verify.ReadIdentities(file)
		if problem == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, problem, text)
	}
}
