package wire

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/internal/config"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
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

// Each role has its task queue, and uses nothing else; those who verify have one
// for what is asked again under their name and address.
func TestAWorkerServesTheTaskQueuesOfItsRoles(t *testing.T) {
	temporal, err := client.NewLazyClient(client.Options{})
	require.NoError(t, err)
	defer temporal.Close()
	again, err := seenAs(config.Config{SMTPHelo: "verifier.test"}, nil)
	require.NoError(t, err)
	again = workflows.RetryTaskQueue(again)
	for roles, want := range map[string][]string{
		"":               {workflows.TaskQueue, workflows.VerifyTaskQueue, again, workflows.WebhookTaskQueue},
		"all":            {workflows.TaskQueue, workflows.VerifyTaskQueue, again, workflows.WebhookTaskQueue},
		"orders":         {workflows.TaskQueue},
		"webhook,orders": {workflows.TaskQueue, workflows.WebhookTaskQueue},
		"verify":         {workflows.VerifyTaskQueue, again},
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

// Who mail hosts see as one has one task queue for what they put off, and no
// one else has it. Passwords make no difference, nor do they show.
func TestARetryTaskQueueIsOfThoseWhomMailHostsSeeAsOne(t *testing.T) {
	of := func(cfg config.Config) string {
		t.Helper()
		var list []verify.Identity
		if cfg.SMTPIdentities != "" {
			var err error
			list, err = identities(cfg)
			require.NoError(t, err)
		}
		queue, err := seenAs(cfg, list)
		require.NoError(t, err)
		return queue
	}
	base := config.Config{SMTPHelo: "mail1.example.com", SMTPFrom: "verify@example.com", SMTPProxy: "socks5://u:one@192.0.2.7:1080"}
	require.Regexp(t, `^mail1\.example\.com:[0-9a-f]{8}$`, of(base))
	same := base
	same.SMTPProxy = "socks5://u:two@192.0.2.7:1080"
	require.Equal(t, of(base), of(same))
	for name, change := range map[string]func(*config.Config){
		"helo":    func(c *config.Config) { c.SMTPHelo = "mail2.example.com" },
		"from":    func(c *config.Config) { c.SMTPFrom = "check@example.com" },
		"source":  func(c *config.Config) { c.SMTPSource = "192.0.2.5" },
		"proxy":   func(c *config.Config) { c.SMTPProxy = "socks5://u:one@192.0.2.8:1080" },
		"address": func(c *config.Config) { c.SMTPAddress = "192.0.2.9" },
	} {
		other := base
		change(&other)
		require.NotEqual(t, of(base), of(other), name)
	}
	require.NotEmpty(t, of(config.Config{}), "the machine's name")

	file := filepath.Join(t.TempDir(), "identities.json")
	write := func(list string) string {
		require.NoError(t, os.WriteFile(file, []byte(list), 0o600))
		return of(config.Config{SMTPIdentities: file})
	}
	one := write(`[{"name": "a", "helo": "a.example.com", "day": 100}, {"name": "b", "helo": "b.example.com", "source": "192.0.2.5"}]`)
	require.Equal(t, one, write(`[{"name": "a", "helo": "a.example.com", "day": 200}, {"name": "b", "helo": "b.example.com", "source": "192.0.2.5"}]`), "budgets are no part")
	require.NotEqual(t, one, write(`[{"name": "a", "helo": "a.example.com"}, {"name": "b", "helo": "b.example.com", "source": "192.0.2.6"}]`))
}
