package verify

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// call is one Verify under way.
type call struct {
	over atomic.Bool // nobody waits any more: its addresses need no answer

	mu     sync.Mutex
	ready  []delivery
	notice chan struct{} // there is something in ready
}

type delivery struct {
	index  int
	result Result
}

func (c *call) deliver(index int, r Result) {
	c.mu.Lock()
	c.ready = append(c.ready, delivery{index, r})
	c.mu.Unlock()
	select {
	case c.notice <- struct{}{}:
	default:
	}
}

// take returns what is ready; used is given back to be filled again.
func (c *call) take(used []delivery) []delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready := c.ready
	c.ready = used[:0]
	return ready
}

// Verify answers for every address, in the order in which the answers come:
// each(i, result) is called once for emails[i], never two calls at a time. It
// returns when all have been answered, or promptly with ctx's error when ctx
// ends; addresses without an answer are then not reported.
func (e *Engine) Verify(ctx context.Context, emails []string, each func(i int, r Result)) error {
	if e.closing.Load() {
		return ErrClosed
	}
	c := &call{notice: make(chan struct{}, 1)}
	defer c.over.Store(true)
	twins := e.begin(c, emails)
	var ready []delivery
	for left := len(emails); left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.notice:
		}
		ready = c.take(ready)
		for _, d := range ready {
			each(d.index, d.result)
			left--
			for _, i := range twins[d.index] {
				d.result.Email = emails[i]
				each(i, d.result)
				left--
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// begin hands the addresses out, domain by domain. Addresses that are the same
// mailbox are asked for once; twins maps the one that is asked to the others.
func (e *Engine) begin(c *call, emails []string) (twins map[int][]int) {
	now := time.Now()
	seen := make(map[Address]int, len(emails))
	byDomain := make(map[string][]*task)
	var names []string
	for i, email := range emails {
		addr, err := ParseAddress(email)
		if err != nil {
			c.deliver(i, Result{
				Email: email, Verdict: Invalid, Reason: Syntax, SMTPText: err.Error(),
				CheckedAt: now.UTC(), Engine: Version,
			})
			continue
		}
		if first, ok := seen[addr]; ok {
			if twins == nil {
				twins = make(map[int][]int)
			}
			twins[first] = append(twins[first], i)
			continue
		}
		seen[addr] = i
		tasks, ok := byDomain[addr.Domain]
		if !ok {
			names = append(names, addr.Domain)
		}
		byDomain[addr.Domain] = append(tasks, &task{call: c, index: i, email: email, addr: addr})
	}
	for _, name := range names {
		e.submit(name, byDomain[name])
	}
	return twins
}
