package wire

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/config"
)

// Temporal takes two minutes until it calls an error fatal; here it is called at
// once.
func TestAFatalErrorEndsTheWorkerWithASentence(t *testing.T) {
	ctx, fatal := untilFatal(t.Context())
	options := workerOptions(config.Worker{}, fatal)
	require.NotNil(t, options.OnFatalError)
	require.NoError(t, fatalCause(ctx))
	options.OnFatalError(errors.New("namespace orders is not found"))
	<-ctx.Done()
	require.EqualError(t, fatalCause(ctx),
		"the worker cannot go on, Temporal refuses it; check TEMPORAL_NAMESPACE and the server's version: namespace orders is not found")

	stopped, stop := context.WithCancel(t.Context())
	ctx, _ = untilFatal(stopped)
	stop()
	require.NoError(t, fatalCause(ctx), "a signal is no error")
}
