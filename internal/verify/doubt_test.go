package verify

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func failNow(h *health, key string, at time.Time) (doubt, judge bool) {
	return h.failed(key, failing{at, ConnectFailed, key})
}

// TestHealth_failuresAgeOut_V9: what failed long ago says nothing about now.
func TestHealth_failuresAgeOut_V9(t *testing.T) {
	var h health
	start := time.Now()
	for i := range outageAfter - 1 {
		_, judge := failNow(&h, fmt.Sprint(i), start)
		require.False(t, judge)
	}
	doubt, judge := failNow(&h, "a quarter of an hour later", start.Add(15*time.Minute))
	require.False(t, doubt)
	require.False(t, judge)
}

// TestHealth_judgedOnce_V9: the tenth host in a row has the canaries asked, once;
// those that worked make the failures the hosts' own for a while.
func TestHealth_judgedOnce_V9(t *testing.T) {
	var h health
	now := time.Now()
	judged := 0
	for i := range 3 * outageAfter {
		doubt, judge := failNow(&h, fmt.Sprint(i), now)
		require.Equal(t, i+1 >= doubtAfter, doubt)
		if judge {
			require.Equal(t, outageAfter, i+1)
			judged++
		}
	}
	require.Equal(t, 1, judged)
	require.True(t, h.doubtful(now))

	h.vouch(now)
	require.False(t, h.doubtful(now))
	for i := range 3 * outageAfter {
		doubt, judge := failNow(&h, fmt.Sprint(i), now.Add(vouchedFor/2))
		require.False(t, doubt)
		require.False(t, judge)
	}
	later := now.Add(2 * vouchedFor)
	for i := range outageAfter {
		_, judge := failNow(&h, fmt.Sprint(i), later)
		require.Equal(t, i+1 == outageAfter, judge, "asked again when it goes on")
	}
}

// TestHealth_outage_V9: an outage names the reason that most hosts gave, lasts
// until something works, and keeps its beginning.
func TestHealth_outage_V9(t *testing.T) {
	var h health
	now := time.Now()
	for i := range outageAfter {
		failNow(&h, fmt.Sprint(i), now.Add(time.Duration(i)*time.Second))
	}
	at := now.Add(outageAfter * time.Second)
	o := h.condemn(failing{at, Blocked, "canary"})
	require.Equal(t, ConnectFailed, o.Reason)
	require.Equal(t, outageAfter, o.Hosts)
	require.Equal(t, now, o.Since)
	require.NotNil(t, h.state(at))
	require.Nil(t, h.state(at.Add(2*outagePause)))
	require.NotNil(t, h.standing())
	require.Equal(t, now, h.condemn(failing{at.Add(time.Hour), Blocked, "canary"}).Since)

	require.True(t, h.worked(at.Add(2*time.Hour)))
	require.Nil(t, h.standing())
}
