package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

func TestHoldCaptureReleaseReverse(t *testing.T) {
	ctx := t.Context()
	l := ledger.New(pgtest.New(t))
	t.Cleanup(l.Close)
	_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "g1", Type: "email", Amount: 10_000, Source: ledger.SourcePack})
	require.NoError(t, err)
	hold := ledger.Hold{Owner: "acme", Key: "o1/hold", HoldID: "o1", Lines: []ledger.Line{{Type: "email", Amount: 10_000, Pools: []string{""}}}}
	held, err := l.Hold(ctx, hold)
	require.NoError(t, err)
	require.True(t, held.Held)

	facts := make([]ledger.Fact, 5000)
	for i := range facts {
		facts[i].Subject = [16]byte{1, byte(i), byte(i >> 8)}
	}
	start := time.Now()
	captured, err := l.Capture(ctx, ledger.Capture{Owner: "acme", Key: "o1/capture/1", HoldID: "o1", Type: "email", Facts: facts, UnitCost: 1})
	t.Log(time.Since(start))
	require.NoError(t, err)
	require.Equal(t, ledger.CaptureResult{Charged: 5000, NewFacts: 5000}, captured)

	released, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "o1/release", HoldID: "o1"})
	require.NoError(t, err)
	require.Equal(t, []ledger.Amount{{Type: "email", Amount: 5000}}, released.Released)

	again, err := l.Hold(ctx, hold)
	require.NoError(t, err)
	require.Equal(t, held, again)
	hold.Lines[0].Amount++
	_, err = l.Hold(ctx, hold)
	require.ErrorIs(t, err, ledger.ErrKeyReused)

	reversed, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "o1/reverse", HoldID: "o1"})
	require.NoError(t, err)
	require.EqualValues(t, 5000, reversed.Reversed)
	require.EqualValues(t, 5000, reversed.Facts)
}
