package api

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// guessesPerMinute is how many unknown keys one address may send.
const guessesPerMinute = 30

// mayGuess counts an unknown key against the address it came from. Good keys
// from the same address are not held back.
func (q *quotas) mayGuess(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	allowed, _ := q.take("guess", host, guessesPerMinute)
	return allowed
}

// slots bound what goes on at the same time in this process, for each name and
// altogether.
type slots struct {
	each, all int
	what, of  string // "event streams", "a key"

	mu    sync.Mutex
	taken map[string]int
	total int
}

func newSlots(each, all int, what, of string) *slots {
	return &slots{each: each, all: all, what: what, of: of, taken: map[string]int{}}
}

// enter takes a slot; leave gives it back. The error is a 429 that says which
// bound was met.
func (s *slots) enter(name string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.taken[name] >= s.each:
		return nil, newProblem(http.StatusTooManyRequests, fmt.Sprintf("There may be %d %s of %s at the same time; end one first.", s.each, s.what, s.of))
	case s.total >= s.all:
		return nil, newProblem(http.StatusTooManyRequests, fmt.Sprintf("This server has as many %s as it takes; try again in a minute.", s.what))
	}
	s.taken[name]++
	s.total++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.taken[name]--; s.taken[name] == 0 {
			delete(s.taken, name)
		}
	}), nil
}

// limit counts a request against its key's quota and tells the caller how much
// is left, in the headers of draft-ietf-httpapi-ratelimit-headers.
func (a *API) limit(ctx huma.Context, next func(huma.Context)) {
	quota := a.RequestsPerMinute
	if quota <= 0 {
		next(ctx)
		return
	}
	allowed, left := a.limits.take("key", callerOf(ctx.Context()).keyID, quota)
	tokens, perSecond := max(left, 0), float64(quota)/60
	full := int(math.Ceil((float64(quota) - tokens) / perSecond))
	ctx.SetHeader("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=60`, quota))
	ctx.SetHeader("RateLimit", fmt.Sprintf(`"key";r=%d;t=%d`, int(tokens), full))
	if !allowed {
		wait := int(math.Ceil((1 - left) / perSecond))
		ctx.SetHeader("Retry-After", strconv.Itoa(max(wait, 1)))
		p := newProblem(http.StatusTooManyRequests, fmt.Sprintf("This key may send %d requests a minute; wait %s.", quota, time.Duration(max(wait, 1))*time.Second))
		p.RequestID = requestID(ctx.Context())
		a.refuse(ctx, p)
		return
	}
	next(ctx)
}
