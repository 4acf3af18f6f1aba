package main

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seed = flag.Uint64("chaos.seed", 0, "of the load and the faults; 0 = a new one, which is printed")
	span = flag.Duration("chaos.for", time.Minute, "how long the faults go on")
)

// A minute of all kinds of faults, under load, and all proofs: nothing is lost and
// nothing is charged twice. README.md says what is done and checked.
func TestNothingIsLostUnderFaults(t *testing.T) {
	t.Chdir("..") // where the command runs
	o := options{
		seed: *seed, span: *span, callers: 6, think: 200 * time.Millisecond, pause: 1500 * time.Millisecond, atOnce: 2, settle: 4 * time.Minute,
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000)
	}
	require.NoError(t, run(t.Context(), o), "again: make chaos ARGS=\"-seed %d -for %s -callers %d -think %s\"", o.seed, o.span, o.callers, o.think)
}
