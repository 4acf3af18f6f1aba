package wire

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/internal/config"
	"holdfast/internal/postgres/pgtest"
	"holdfast/workflows"
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

// Each role has its task queue, and uses nothing else.
func TestAWorkerServesTheTaskQueuesOfItsRoles(t *testing.T) {
	temporal, err := client.NewLazyClient(client.Options{})
	require.NoError(t, err)
	defer temporal.Close()
	for roles, want := range map[string][]string{
		"":               {workflows.TaskQueue, workflows.VerifyTaskQueue, workflows.WebhookTaskQueue},
		"all":            {workflows.TaskQueue, workflows.VerifyTaskQueue, workflows.WebhookTaskQueue},
		"orders":         {workflows.TaskQueue},
		"webhook,orders": {workflows.TaskQueue, workflows.WebhookTaskQueue},
		"verify":         {workflows.VerifyTaskQueue},
		"webhook":        {workflows.WebhookTaskQueue},
	} {
		t.Run(roles, func(t *testing.T) {
			r := &App{Temporal: temporal, Pool: pgtest.New(t), Log: slog.New(slog.DiscardHandler)}
			r.Config.PhoneLookup = config.PhonePattern
			r.Config.SMTPHelo = "verifier.test"
			if roles != "" {
				r.Config.Worker.Roles = strings.Split(roles, ",")
			}
			_, queues, closeActivities, err := r.workers(nil)
			require.NoError(t, err)
			defer closeActivities()
			require.Equal(t, want, queues)
			require.Equal(t, roles != "webhook", r.verification.Load() != nil, "an engine where something is verified")
		})
	}
}
