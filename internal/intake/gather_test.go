package intake

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// After a ride that several shared the next one waits until as many are there, or
// for a while; a caller who is alone waits for nothing.
func TestTheNextRideWaitsForCallersThatComeBack(t *testing.T) {
	const most = 50 * time.Millisecond
	for name, c := range map[string]struct {
		riders, waiting, come int
		after, want           time.Duration
	}{
		"one caller":                  {riders: 1},
		"all are there":               {riders: 3, waiting: 3},
		"the last of them comes":      {riders: 3, waiting: 1, come: 2, after: 10 * time.Millisecond, want: 20 * time.Millisecond},
		"more come than there were":   {riders: 2, come: 3, after: 10 * time.Millisecond, want: 20 * time.Millisecond},
		"one of them does not return": {riders: 3, waiting: 1, come: 1, after: 10 * time.Millisecond, want: most},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, d := newRides(), &departures{waiting: make([]*rider, c.waiting)}
				go func() {
					for range c.come {
						time.Sleep(c.after)
						r.mu.Lock()
						d.join(&rider{})
						r.mu.Unlock()
					}
				}()
				began := time.Now()
				r.gather(d, c.riders, most)
				require.Equal(t, c.want, time.Since(began))
				time.Sleep(time.Second) // those who come later end no wait that is over
			})
		})
	}
}
