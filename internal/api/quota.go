package api

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"holdfast/internal/account"
)

const (
	// bookEvery is how often a server books what it has let pass, and reads what all
	// have. Until then it goes by what it knows: no request waits for the database.
	bookEvery  = time.Second
	bookWithin = 5 * time.Second

	// sharePart of a quota is booked at once: so much more than the quota may pass for
	// each further server.
	sharePart = 20

	forgetEvery = time.Minute
	mostBuckets = 10_000 // remembered before full ones are looked for
)

// quotas are buckets of requests that fill up in a minute. All servers share them.
type quotas struct {
	book   func(context.Context, []account.Use) (map[[sha256.Size]byte]float64, error)
	forget func(context.Context) error

	mu      sync.Mutex
	buckets map[[sha256.Size]byte]*bucket
	booking bool
	timed   bool // it is booked soon
	forgot  time.Time
}

// bucket is what one has left, as far as this server knows.
type bucket struct {
	most   int
	tokens float64
	at     time.Time
	used   int // and not booked yet
}

func newQuotas(a *account.Accounts) *quotas {
	return &quotas{book: a.BookUse, forget: a.ForgetUse, buckets: map[[sha256.Size]byte]*bucket{}, forgot: time.Now()}
}

// fill adds what has come back since it was last looked at.
func (b *bucket) fill(now time.Time) {
	b.tokens = min(float64(b.most), b.tokens+max(0, now.Sub(b.at).Seconds())*float64(b.most)/60)
	b.at = now
}

// take takes a request from the bucket of a name, which is full where it is new, and
// returns what is left.
func (q *quotas) take(kind, name string, most int) (allowed bool, left float64) {
	id, now := sha256.Sum256([]byte(kind+" "+name)), time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[id]
	if b == nil {
		q.makeRoom(now)
		b = &bucket{most: most, tokens: float64(most), at: now}
		q.buckets[id] = b
	}
	b.fill(now)
	if allowed = b.tokens >= 1; allowed {
		b.tokens--
		b.used++
	}
	switch {
	case b.used == 0 || q.booking:
	case b.used*sharePart >= most:
		q.booking = true
		go q.share()
	default:
		q.bookSoon()
	}
	return allowed, b.tokens
}

// bookSoon books what was used within bookEvery.
func (q *quotas) bookSoon() {
	if q.timed {
		return
	}
	q.timed = true
	time.AfterFunc(bookEvery, func() {
		q.mu.Lock()
		begin := !q.booking
		q.timed, q.booking = false, true
		q.mu.Unlock()
		if begin {
			q.share()
		}
	})
}

// makeRoom forgets full buckets where there are many: they say nothing that a new
// one does not.
func (q *quotas) makeRoom(now time.Time) {
	if len(q.buckets) < mostBuckets {
		return
	}
	for id, b := range q.buckets {
		if b.fill(now); b.used == 0 && b.tokens >= float64(b.most) {
			delete(q.buckets, id)
		}
	}
}

// share books what was used and takes over what is left of it for all. Where the
// database does not answer, it is booked after the next request.
func (q *quotas) share() {
	now := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), bookWithin)
	defer cancel()
	var uses []account.Use
	q.mu.Lock()
	for id, b := range q.buckets {
		if b.used > 0 {
			uses = append(uses, account.Use{Bucket: id, Most: b.most, Used: b.used})
		}
	}
	forget := now.Sub(q.forgot) >= forgetEvery
	if forget {
		q.forgot = now
	}
	q.mu.Unlock()
	var left map[[sha256.Size]byte]float64
	var err error
	if len(uses) > 0 {
		left, err = q.book(ctx, uses)
	}
	if forget {
		_ = q.forget(ctx) // or the next time
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.booking = false
	if err != nil {
		return
	}
	for _, u := range uses {
		b := q.buckets[u.Bucket]
		b.used -= u.Used
		b.tokens, b.at = left[u.Bucket]-float64(b.used), time.Now()
		if b.used > 0 {
			q.bookSoon()
		}
	}
}
