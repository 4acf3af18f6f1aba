package verify

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// call is one Verify or Stream under way.
type call struct {
	e    *Engine
	over atomic.Bool // its caller has gone: its addresses need no answer

	mu     sync.Mutex
	left   int // addresses without an answer, held ones included
	ready  []delivery
	held   []delivery // answers that may be about us; see health
	outage *OutageError
	notice chan struct{} // there is something in ready, or an outage

	twins map[int][]twin // addresses that are the same mailbox as the one at this index
}

type delivery struct {
	index  int
	result Result
}

type twin struct {
	index   int
	email   string
	cleaned bool
}

func (e *Engine) newCall() *call {
	c := &call{e: e, notice: make(chan struct{}, 1)}
	e.callsMu.Lock()
	e.calls[c] = struct{}{}
	e.callsMu.Unlock()
	return c
}

func (c *call) end() {
	c.over.Store(true)
	c.e.callsMu.Lock()
	delete(c.e.calls, c)
	c.e.callsMu.Unlock()
}

// deliver takes an answer in. One in doubt is held back until others show
// whose fault it is, or nothing else is to come and no canary is being asked.
func (c *call) deliver(index int, r Result, doubt bool) {
	c.mu.Lock()
	if doubt {
		c.held = append(c.held, delivery{index, r})
	} else {
		c.ready = append(c.ready, delivery{index, r})
		c.left--
	}
	if len(c.held) > 0 && len(c.held) == c.left && !c.e.judging() {
		c.flush()
	}
	c.mu.Unlock()
	c.signal()
}

func (c *call) flush() {
	c.ready = append(c.ready, c.held...)
	c.left -= len(c.held)
	c.held = nil
}

func (c *call) release() {
	c.mu.Lock()
	c.flush()
	c.mu.Unlock()
	c.signal()
}

func (c *call) abort(o *OutageError) {
	c.mu.Lock()
	c.outage, c.held = o, nil
	c.mu.Unlock()
	c.signal()
}

func (c *call) signal() {
	select {
	case c.notice <- struct{}{}:
	default:
	}
}

// take returns what is ready; used is given back to be filled again.
func (c *call) take(used []delivery) ([]delivery, *OutageError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready := c.ready
	c.ready = used[:0]
	return ready, c.outage
}

// Verify answers for every address, in the order in which the answers come:
// each(i, result) is called once for emails[i], never two calls at a time.
//
// It returns when all have been answered; promptly with ctx's error when ctx
// ends; with an *OutageError when nothing can be verified just now; with
// ErrClosed when the engine is closed. In these cases the addresses without an
// answer are not reported.
func (e *Engine) Verify(ctx context.Context, emails []string, each func(i int, r Result)) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	c := e.newCall()
	defer c.end()
	c.submit(emails, 0)
	return c.collect(ctx, len(emails), each)
}

// usable returns why nothing can be asked now. After an outage the canaries are
// asked first, then the addresses.
func (e *Engine) usable(ctx context.Context) error {
	if e.closing.Load() {
		return ErrClosed
	}
	if err := e.Health(); err != nil {
		return err
	}
	if e.dnsHealth.standing() != nil || e.smtpHealth.standing() != nil {
		return e.Preflight(ctx)
	}
	return nil
}

// collect hands the answers to each until n have come.
func (c *call) collect(ctx context.Context, n int, each func(i int, r Result)) error {
	var ready []delivery
	var outage *OutageError
	for n > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.e.ctx.Done():
			return ErrClosed
		case <-c.notice:
		}
		ready, outage = c.take(ready)
		for _, d := range ready {
			n -= c.hand(d, each)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if outage != nil && n > 0 {
			return outage
		}
	}
	return nil
}

// hand gives an answer to each, once for every address it is about, and
// returns how many that were.
func (c *call) hand(d delivery, each func(i int, r Result)) int {
	each(d.index, d.result)
	twins := c.twins[d.index]
	address := ""
	if a, _, err := ReadAddress(d.result.Email); err == nil && len(twins) > 0 {
		address = a.String()
	}
	for _, t := range twins {
		d.result.Email, d.result.Cleaned, d.result.Address = t.email, t.cleaned, ""
		if t.cleaned {
			d.result.Address = address
		}
		each(t.index, d.result)
	}
	delete(c.twins, d.index)
	return 1 + len(twins)
}

// submit hands the addresses out, domain by domain; first is the index of
// emails[0]. Addresses that are the same mailbox are asked for once.
func (c *call) submit(emails []string, first int) {
	now := time.Now()
	seen := make(map[Address]int, len(emails))
	byDomain := make(map[string][]*task)
	var names []string
	var bad []delivery
	for i, email := range emails {
		i += first
		addr, cleaned, err := ReadAddress(email)
		if err != nil {
			bad = append(bad, delivery{i, Result{
				Email: email, Verdict: Invalid, Reason: Syntax, SMTPText: err.Error(), CheckedAt: now.UTC(), Engine: Version,
			}})
			continue
		}
		if at, ok := seen[addr]; ok {
			if c.twins == nil {
				c.twins = make(map[int][]twin)
			}
			c.twins[at] = append(c.twins[at], twin{i, email, cleaned})
			continue
		}
		seen[addr] = i
		tasks, ok := byDomain[addr.Domain]
		if !ok {
			names = append(names, addr.Domain)
		}
		byDomain[addr.Domain] = append(tasks, &task{call: c, index: i, email: email, addr: addr, cleaned: cleaned})
	}
	c.mu.Lock()
	c.left += len(seen)
	c.ready = append(c.ready, bad...)
	c.mu.Unlock()
	for _, name := range names {
		c.e.submit(name, byDomain[name])
	}
	c.signal()
}

// Stream answers for as many addresses as there are, in their order, within
// bounded memory: no more than Config.Window of them are under way or wait for
// an earlier one. It returns as Verify does. emails is drawn from by a
// goroutine of its own, which ends with the sequence or soon after Stream.
func (e *Engine) Stream(ctx context.Context, emails iter.Seq[string], each func(i int, r Result)) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := make(chan string, streamChunk)
	go func() {
		defer close(input)
		for email := range emails {
			select {
			case input <- email:
			case <-ctx.Done():
				return
			}
		}
	}()

	c := e.newCall()
	defer c.end()
	order := inOrder{results: make(map[int]Result), each: each}
	var chunk []string
	var ready []delivery
	var outage *OutageError
	read := 0
	for input != nil || order.next < read {
		source := input
		if read-order.next >= e.cfg.Window {
			source = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return ErrClosed
		case email, ok := <-source:
			if !ok {
				input = nil
				continue
			}
			chunk = append(chunk[:0], email)
			for len(chunk) < streamChunk && len(input) > 0 {
				chunk = append(chunk, <-input)
			}
			c.submit(chunk, read)
			read += len(chunk)
		case <-c.notice:
			ready, outage = c.take(ready)
			for _, d := range ready {
				c.hand(d, order.put)
			}
			if outage != nil {
				return outage
			}
		}
	}
	return nil
}

// streamChunk is how many addresses of a stream are handed out together.
const streamChunk = 4096

// inOrder passes results on in the order of their index.
type inOrder struct {
	next    int
	results map[int]Result
	each    func(i int, r Result)
}

func (o *inOrder) put(i int, r Result) {
	o.results[i] = r
	for {
		r, ok := o.results[o.next]
		if !ok {
			return
		}
		delete(o.results, o.next)
		o.each(o.next, r)
		o.next++
	}
}
