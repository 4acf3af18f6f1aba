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
	"golang.org/x/time/rate"
)

// guessesPerMinute is how many unknown keys one address may send.
const guessesPerMinute = 30

// limiter counts requests per key and guesses per address, in this process.
type limiter struct {
	perMinute int // requests per key; 0 = not limited

	mu      sync.Mutex
	keys    map[string]*rate.Limiter
	guesses map[string]*rate.Limiter
}

func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: perMinute, keys: map[string]*rate.Limiter{}, guesses: map[string]*rate.Limiter{}}
}

// bucket returns the bucket of a name, full where it is new.
func (l *limiter) bucket(buckets map[string]*rate.Limiter, name string, perMinute int) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := buckets[name]
	if !ok {
		if len(buckets) >= 10_000 { // full ones say nothing that a new one does not
			for name, b := range buckets {
				if b.Tokens() >= float64(b.Burst()) {
					delete(buckets, name)
				}
			}
		}
		b = rate.NewLimiter(rate.Limit(float64(perMinute)/60), perMinute)
		buckets[name] = b
	}
	return b
}

// mayGuess counts an unknown key against the address it came from. Good keys
// from the same address are not held back.
func (l *limiter) mayGuess(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return l.bucket(l.guesses, host, guessesPerMinute).Allow()
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
	quota := a.limits.perMinute
	if quota <= 0 {
		next(ctx)
		return
	}
	bucket := a.limits.bucket(a.limits.keys, callerOf(ctx.Context()).keyID, quota)
	allowed := bucket.Allow()
	tokens := max(bucket.Tokens(), 0)
	full := int(math.Ceil((float64(quota) - tokens) / float64(bucket.Limit())))
	ctx.SetHeader("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=60`, quota))
	ctx.SetHeader("RateLimit", fmt.Sprintf(`"key";r=%d;t=%d`, int(tokens), full))
	if !allowed {
		wait := int(math.Ceil((1 - tokens) / float64(bucket.Limit())))
		ctx.SetHeader("Retry-After", strconv.Itoa(max(wait, 1)))
		p := newProblem(http.StatusTooManyRequests, fmt.Sprintf("This key may send %d requests a minute; wait %s.", quota, time.Duration(max(wait, 1))*time.Second))
		p.RequestID = requestID(ctx.Context())
		a.refuse(ctx, p)
		return
	}
	next(ctx)
}
