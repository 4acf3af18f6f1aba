package verify

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A better fact about an address, all others the same, never lowers its score,
// and the parts add up to it.
func TestScoreIsMonotone(t *testing.T) {
	now := time.Now()
	score := func(r Result) int {
		SetScore(&r, now)
		require.Equal(t, r.Score, r.ScoreParts.sum(), "%+v", r)
		require.GreaterOrEqual(t, r.Score, 0)
		require.LessOrEqual(t, r.Score, 100)
		return r.Score
	}
	kinds := []struct {
		v Verdict
		r Reason
	}{ // from the worst to the best
		{Invalid, NoSuchUser},
		{Disposable, DisposableDomain},
		{Unknown, ConnectFailed},
		{Risky, MailboxFull},
		{Unknown, Policy},
		{Unknown, Greylisted},
		{CatchAll, DomainAcceptsAll},
		{Unknown, CatchAllUnknown},
		{Valid, Accepted},
	}
	flags := func(bits int) Result {
		r := Result{Role: bits&1 != 0, Free: bits&2 != 0, Alias: bits&4 != 0, CheckedAt: now}
		if bits&8 != 0 {
			r.CheckedAt = now.Add(-10 * 24 * time.Hour)
		}
		return r
	}
	for _, pattern := range []Pattern{PatternMismatch, PatternUnknown, PatternMatch} {
		for bits := range 16 {
			last := -1
			for _, kind := range kinds {
				r := flags(bits)
				r.Verdict, r.Reason, r.Pattern = kind.v, kind.r, PatternUnknown
				got := score(r)
				require.GreaterOrEqual(t, got, last, "%s %s", kind.v, kind.r)
				last = got
				r.Pattern = pattern
				for bit := 1; bit < 16; bit <<= 1 {
					if bits&bit == 0 {
						worse := flags(bits | bit)
						worse.Verdict, worse.Reason, worse.Pattern = kind.v, kind.r, pattern
						require.LessOrEqual(t, score(worse), score(r))
					}
				}
			}
		}
	}
	r := Result{Verdict: CatchAll, Reason: DomainAcceptsAll, CheckedAt: now}
	plain := score(r)
	r.Pattern = PatternMatch
	alike := score(r)
	r.Pattern = PatternMismatch
	require.Greater(t, alike, plain)
	require.Less(t, score(r), plain)
	require.Equal(t, 100, score(Result{Verdict: Valid, Reason: Accepted, CheckedAt: now}))
	require.Zero(t, score(Result{Verdict: Invalid, Reason: Syntax, CheckedAt: now}))

	r = Result{Verdict: CatchAll, Reason: DomainAcceptsAll, Pattern: PatternMatch, Role: true, CheckedAt: now}
	SetScore(&r, now)
	parts, err := json.Marshal(r.ScoreParts)
	require.NoError(t, err)
	require.JSONEq(t, `{"verdict":50,"pattern":15,"role":-10}`, string(parts))
	require.Equal(t, 55, r.Score)
}

func TestShapesOfNeighbours(t *testing.T) {
	for local, shape := range map[string]string{
		"ann.lee": "w.w", "a.lee": "i.w", "alee": "w", "ann_lee7": "w_w9", "7": "9", "ann+news": "w", "josé-maria.pérez": "w-w.w",
	} {
		require.Equal(t, shape, Shape(local), local)
	}
	shapes := Shapes{}
	for _, email := range []string{"ann.lee@x.test", "bob.ray@x.test"} {
		shapes.Add(&Result{Email: email, Verdict: Valid})
	}
	require.Equal(t, PatternUnknown, shapes.Compare("eve.fox@x.test"), "two are too few")
	shapes.Add(&Result{Email: "Cid Fox <cid.fox@x.test>", Verdict: Valid})
	shapes.Add(&Result{Email: "info@x.test", Verdict: Valid, Role: true})
	require.Equal(t, PatternMatch, shapes.Compare("eve.fox@X.test"))
	require.Equal(t, PatternMismatch, shapes.Compare("xk29dq@x.test"))
	require.Equal(t, PatternUnknown, shapes.Compare("eve.fox@y.test"))
}
