package verify

import (
	"context"
	"sync"
	"time"
)

// Spending counts the addresses that identities have asked for. One that is
// shared by all workers makes budgets hold for them together, and across
// restarts.
type Spending interface {
	// Take books as many of a claim's addresses as its budgets have room for.
	Take(ctx context.Context, c Claim) (granted int, err error)
	// Return gives back what was taken at a time for addresses that were not asked
	// for.
	Return(ctx context.Context, identity, provider string, taken time.Time, n int) error
}

// Claim is what an identity wants to ask one provider's hosts for.
type Claim struct {
	Identity, Provider string
	N                  int
	All, Own           Budget // of the identity, and of the provider there; below 0: nothing
}

// Room is how many addresses a claim's budgets have left, given what has been
// spent of each.
func (c Claim) Room(all, own Budget) int {
	n := c.N
	for _, b := range []struct{ limit, spent int }{
		{c.All.Hour, all.Hour}, {c.All.Day, all.Day}, {c.Own.Hour, own.Hour}, {c.Own.Day, own.Day},
	} {
		if b.limit != 0 {
			n = min(n, b.limit-b.spent)
		}
	}
	return max(n, 0)
}

// Spent is a Spending in memory. It forgets with its process.
type Spent struct {
	mu   sync.Mutex
	now  func() time.Time
	hour time.Time
	of   map[[2]string]Budget // by identity and provider; by identity alone for all
}

// NewSpent returns a Spending that has nothing booked. now is the clock; nil is
// the machine's.
func NewSpent(now func() time.Time) *Spent {
	if now == nil {
		now = time.Now
	}
	return &Spent{now: now, of: make(map[[2]string]Budget)}
}

// Take implements Spending.
func (s *Spent) Take(_ context.Context, c Claim) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn()
	n := c.Room(s.of[[2]string{c.Identity}], s.of[[2]string{c.Identity, c.Provider}])
	s.book(c.Identity, c.Provider, n, n)
	return n, nil
}

// Return implements Spending.
func (s *Spent) Return(_ context.Context, identity, provider string, taken time.Time, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn()
	taken = taken.UTC()
	hour, day := 0, 0
	if taken.Truncate(time.Hour).Equal(s.hour) {
		hour = n
	}
	if taken.Truncate(24 * time.Hour).Equal(s.hour.Truncate(24 * time.Hour)) {
		day = n
	}
	s.book(identity, provider, -hour, -day)
	return nil
}

func (s *Spent) book(identity, provider string, hour, day int) {
	for _, key := range [][2]string{{identity}, {identity, provider}} {
		b := s.of[key]
		s.of[key] = Budget{max(0, b.Hour+hour), max(0, b.Day+day)}
	}
}

// turn begins a new hour or day when its time has come.
func (s *Spent) turn() {
	hour := s.now().UTC().Truncate(time.Hour)
	if hour.Equal(s.hour) {
		return
	}
	newDay := !hour.Truncate(24 * time.Hour).Equal(s.hour.Truncate(24 * time.Hour))
	s.hour = hour
	for key, b := range s.of {
		if b.Hour = 0; newDay {
			b.Day = 0
		}
		s.of[key] = b
	}
}
