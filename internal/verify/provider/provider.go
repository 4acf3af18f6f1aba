// Package provider asks other verification services over HTTP and puts their
// words into ours. A provider that fails makes unknowns, never failures: its
// circuit opens, what comes while it is open is left unanswered as in an outage
// of our own, and in a waterfall the next one is asked.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/verify"
)

// Config describes one provider.
type Config struct {
	Name        string          // of one of Services
	URL         string          // base address; default: the service's own (reacher has none)
	Key         string          // API key
	Timeout     time.Duration   // for one request; default 60 s
	Concurrency int             // requests at once; default 10
	MaxSpend    int64           // addresses that may be asked for in a day of UTC; 0 = no cap
	Spending    verify.Spending // counts them; shared by all workers the cap holds for them together. Default: in memory
	Failures    int             // failed requests in a row that open the circuit; default 5
	Pause       time.Duration   // how long it stays open; default 30 s
	Retries     int             // of a request that was answered "wait" or met a broken server; default 2, negative for none
}

// Provider is one service. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	spec   spec
	client *http.Client
	spent  atomic.Int64

	mu       sync.Mutex
	failures int
	open     time.Time // no request before
	capped   time.Time // the cap is not asked before whether there is room again
}

// spec is what differs between services.
type spec struct {
	name    string // in HOLDFAST_VERIFY_PROVIDERS
	url     string // default base address; empty: it has to be configured
	keyless bool   // it can be asked without an API key
	// batch is how many addresses one request can take; then all builds it.
	batch int
	one   func(c *Config, email string) (*http.Request, error)
	all   func(c *Config, emails []string) (*http.Request, error)
	// read turns the answer into results by address. An error inside HTTP 200
	// is an error.
	read func(body []byte, emails []string) (map[string]verify.Result, error)
}

// New returns a provider, or says in one sentence what its configuration lacks.
func New(c Config) (*Provider, error) {
	i := slices.IndexFunc(services, func(s spec) bool { return s.name == c.Name })
	if i < 0 {
		return nil, fmt.Errorf("there is no verification provider %q", c.Name)
	}
	s := services[i]
	if c.Key == "" && !s.keyless {
		return nil, fmt.Errorf("the provider %s needs an API key", c.Name)
	}
	return newProvider(c, s)
}

func newProvider(c Config, s spec) (*Provider, error) {
	if c.URL == "" {
		c.URL = s.url
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("the address %q of the provider %s is not an http address", c.URL, c.Name)
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 10
	}
	if c.Failures <= 0 {
		c.Failures = 5
	}
	if c.Pause <= 0 {
		c.Pause = 30 * time.Second
	}
	if c.Retries < 0 {
		c.Retries = 0
	} else if c.Retries == 0 {
		c.Retries = 2
	}
	if c.Spending == nil {
		c.Spending = verify.NewSpent(nil)
	}
	return &Provider{cfg: c, spec: s, client: &http.Client{Timeout: c.Timeout}}, nil
}

// Preflight returns an *verify.OutageError while there is no use in asking: the
// circuit is open, or the spend cap is reached. It sends nothing.
func (p *Provider) Preflight(context.Context) error {
	p.mu.Lock()
	now := time.Now()
	open, capped, since := now.Before(p.open), now.Before(p.capped), p.open.Add(-p.cfg.Pause)
	p.mu.Unlock()
	switch {
	case open:
		return &verify.OutageError{Reason: verify.ProviderFailed, Hosts: 1, Since: since, Example: p.cfg.Name + ": " + errOpen.Error()}
	case capped:
		return &verify.OutageError{Reason: verify.ProviderFailed, Hosts: 1, Since: time.Now(), Example: p.cfg.Name + ": " + errSpent.Error()}
	}
	return nil
}

// Spent is how many addresses the provider has been asked for.
func (p *Provider) Spent() int64 { return p.spent.Load() }

// Verify has the contract of verify.Engine.Verify. What the provider cannot
// tell is unknown, with reason provider_failed and its words as evidence. Errors
// are ctx's, and Preflight's when nothing has been asked yet.
func (p *Provider) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	if err := p.Preflight(ctx); err != nil {
		return err
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(p.cfg.Concurrency)
	size := max(1, p.spec.batch)
	for first := 0; first < len(emails) && ctx.Err() == nil; first += size {
		chunk := emails[first:min(first+size, len(emails))]
		group.Go(func() error {
			results := p.ask(ctx, chunk)
			mu.Lock()
			defer mu.Unlock()
			for i, r := range results {
				if ctx.Err() == nil {
					each(first+i, r)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// ask gets results for a few addresses with one request.
func (p *Provider) ask(ctx context.Context, emails []string) []verify.Result {
	var answers map[string]verify.Result
	err := p.request(ctx, int64(len(emails)), func() (err error) {
		answers, err = p.send(ctx, emails)
		return err
	})
	results := make([]verify.Result, len(emails))
	for i, email := range emails {
		r, ok := answers[email]
		if !ok {
			why := "the answer does not name the address"
			if err != nil {
				why = err.Error()
			}
			r = verify.Result{Verdict: verify.Unknown, Reason: verify.ProviderFailed, SMTPText: why}
		}
		r.Email = email
		r.Engine = p.cfg.Name
		r.CheckedAt = time.Now().UTC()
		verify.DescribeByLists(&r)
		verify.SetScore(&r, r.CheckedAt)
		results[i] = r
	}
	return results
}

var (
	errOpen  = errors.New("the provider has failed too often and is left alone for a while")
	errSpent = errors.New("the spend cap is reached")
)

// waitError is an answer that says when to come again.
type waitError struct {
	after     time.Duration
	throttled bool // too many requests: it works, and is no reason to open the circuit
	err       error
}

func (e *waitError) Error() string { return e.err.Error() }
func (e *waitError) Unwrap() error { return e.err }

// request pays for n addresses or numbers and sends, again where the provider
// says that it may, as long as the circuit is closed. What fails is not paid.
func (p *Provider) request(ctx context.Context, n int64, send func() error) error {
	taken := time.Now()
	if err := p.pay(ctx, n); err != nil {
		return err
	}
	err := p.try(ctx, send)
	if err != nil {
		p.giveBack(ctx, taken, n)
	}
	return err
}

func (p *Provider) try(ctx context.Context, send func() error) error {
	for try := 0; ; try++ {
		if !p.closed() {
			return errOpen
		}
		err := send()
		if ctx.Err() != nil {
			return ctx.Err() // says nothing about the provider
		}
		var wait *waitError
		again := errors.As(err, &wait)
		if !again || !wait.throttled {
			p.note(err == nil)
		}
		if !again || try >= p.cfg.Retries {
			return err
		}
		timer := time.NewTimer(wait.after)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// askCapAgain is how long a cap that was reached counts as reached: another worker
// may give back what was not asked for, and a day ends.
const askCapAgain = 5 * time.Minute

// countedAs stands in place of a sending identity's name where services are counted.
const countedAs = "a verification service"

// pay takes n addresses from the cap: all of them, or none and an error.
func (p *Provider) pay(ctx context.Context, n int64) error {
	if p.cfg.MaxSpend > 0 {
		granted, err := p.cfg.Spending.Take(ctx, verify.Claim{Identity: countedAs, Provider: p.cfg.Name, N: int(n), Own: verify.Budget{Day: int(p.cfg.MaxSpend)}})
		if err != nil {
			return fmt.Errorf("what was spent cannot be counted: %w", err)
		}
		if int64(granted) < n {
			p.giveBackSome(ctx, time.Now(), granted)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.capped = time.Now().Add(askCapAgain)
			return errSpent
		}
	}
	p.spent.Add(n)
	return nil
}

// giveBack returns what was not asked for to the cap. Where that fails less is asked
// for on that day.
func (p *Provider) giveBack(ctx context.Context, taken time.Time, n int64) {
	p.spent.Add(-n)
	if p.cfg.MaxSpend > 0 {
		p.giveBackSome(ctx, taken, int(n))
	}
}

func (p *Provider) giveBackSome(ctx context.Context, taken time.Time, n int) {
	if n == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Timeout)
	defer cancel()
	_ = p.cfg.Spending.Return(ctx, countedAs, p.cfg.Name, taken, n)
}

// closed reports whether requests may be sent.
func (p *Provider) closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().Before(p.open)
}

func (p *Provider) note(ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok {
		p.failures = 0
		return
	}
	if p.failures++; p.failures >= p.cfg.Failures {
		p.open = time.Now().Add(p.cfg.Pause)
		p.failures = p.cfg.Failures - 1 // one request tries afterwards
	}
}

// maxAnswer bounds an answer, in octets.
const maxAnswer = 8 << 20

func (p *Provider) send(ctx context.Context, emails []string) (map[string]verify.Result, error) {
	var req *http.Request
	var err error
	if p.spec.all != nil && len(emails) > 1 {
		req, err = p.spec.all(&p.cfg, emails)
	} else {
		req, err = p.spec.one(&p.cfg, emails[0])
	}
	if err != nil {
		return nil, err
	}
	body, err := p.exchange(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return p.spec.read(body, emails)
}

// exchange sends a request and returns the body of its answer.
func (p *Provider) exchange(req *http.Request) ([]byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, withoutURL(err)
	}
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answered %s", p.cfg.Name, resp.Status)
		if throttled := resp.StatusCode == http.StatusTooManyRequests; throttled || resp.StatusCode >= 500 {
			return nil, &waitError{retryAfter(resp.Header), throttled, err}
		}
		return nil, err
	}
	return body, nil
}

// withoutURL takes the address out of an HTTP client's error: it holds the key.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3), between a tenth of a second
// and a minute.
func retryAfter(h http.Header) time.Duration {
	wait := 500 * time.Millisecond
	if text := h.Get("Retry-After"); text != "" {
		if n, err := strconv.Atoi(text); err == nil {
			wait = time.Duration(n) * time.Second
		} else if at, err := http.ParseTime(text); err == nil {
			wait = time.Until(at)
		}
	}
	return min(max(wait, 100*time.Millisecond), time.Minute)
}

func decode(name string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answered something that is not its JSON: %w", name, err)
	}
	return nil
}
