// Package deploy_test checks the files that deploy Holdfast.
package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"holdfast/internal/config"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	require.NoError(t, err)
	return dir
}

// compose reads the compose file the way docker compose does, schema and
// references checked.
func compose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(root(t), "docker-compose.yml")},
		cli.WithEnv(env), cli.WithWorkingDirectory(root(t)),
	)
	require.NoError(t, err)
	return options.LoadProject(context.WithoutCancel(t.Context()))
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := compose(t, "HOLDFAST_OPERATOR_KEY=secret", "HOLDFAST_SMTP_HELO=mail.example.com")
	require.NoError(t, err)
	return p
}

// names are the variables that Config reads.
func names() map[string]bool {
	known := map[string]bool{}
	var note func(of reflect.Type, prefix string)
	note = func(of reflect.Type, prefix string) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("env"), ",")
			if f.Type.Kind() == reflect.Struct {
				note(f.Type, strings.TrimPrefix(strings.TrimSpace(options), "prefix="))
				continue
			}
			known[prefix+name] = true
		}
	}
	note(reflect.TypeFor[config.Config](), "")
	return known
}

// What the containers are told is what the programs read, and they start with it.
func TestComposeEnvironment(t *testing.T) {
	known := names()
	for _, name := range []string{"migrate", "worker", "serve"} {
		service := project(t).Services[name]
		for variable := range known {
			t.Setenv(variable, "")
			require.NoError(t, os.Unsetenv(variable))
		}
		for variable, value := range service.Environment {
			require.True(t, known[variable], "service %s sets %s, which no program reads", name, variable)
			if value != nil {
				t.Setenv(variable, *value)
			}
		}
		c, err := config.Load(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, "postgres://holdfast:holdfast@postgres:5432/holdfast", c.DatabaseURL)
		require.Equal(t, "temporal:7233", c.TemporalAddress)
		require.Equal(t, "mail.example.com", c.SMTPHelo, "what the user sets goes through")
		require.Equal(t, 25, c.SMTPPort, "what the user does not set keeps its default")
		if name == "serve" {
			require.Equal(t, "secret", c.OperatorKey)
		}
	}
}

// Whatever the programs read can be set, but for what is about the inside of a
// container.
func TestComposePassesEveryVariable(t *testing.T) {
	inside := map[string]bool{"HOLDFAST_WORKER_ADDR": true, "HOLDFAST_METRICS_ADDR": true, "HOLDFAST_LISTS_FILE": true}
	services := project(t).Services
	for name := range names() {
		_, worker := services["worker"].Environment[name]
		_, serve := services["serve"].Environment[name]
		if !worker && !serve && !inside[name] {
			t.Errorf("%s cannot be set", name)
		}
	}
}

// No operator key stands in a public file.
func TestComposeWantsAKey(t *testing.T) {
	_, err := compose(t)
	require.ErrorContains(t, err, "HOLDFAST_OPERATOR_KEY")
}

// Everything waits for what it needs: a condition that can be met, by a service
// that tells its health or ends.
func TestComposeDependencies(t *testing.T) {
	services := project(t).Services
	require.Len(t, services, 5)
	for name, service := range services {
		for on, dependency := range service.DependsOn {
			switch dependency.Condition {
			case types.ServiceConditionHealthy:
				require.NotNil(t, services[on].HealthCheck, "%s waits for the health of %s", name, on)
			case types.ServiceConditionCompletedSuccessfully:
				require.Empty(t, services[on].Restart, "%s waits for the end of %s", name, on)
			default:
				require.Fail(t, "a dependency without a condition", "%s on %s", name, on)
			}
		}
	}
	for _, name := range []string{"worker", "serve"} {
		require.Contains(t, services[name].DependsOn, "migrate", "%s needs the schema", name)
	}
	for _, name := range []string{"postgres", "temporal", "serve"} {
		check := services[name].HealthCheck
		require.NotNil(t, check, name)
		require.Equal(t, "CMD", check.Test[0], name)
		require.NotNil(t, check.Interval, name)
		require.NotNil(t, check.Retries, name)
	}
}

// Ports are published on loopback alone, data lies in named volumes.
func TestComposeIsPrivateAndKeepsData(t *testing.T) {
	p := project(t)
	for name, service := range p.Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes %s", name, port.Published)
		}
		for _, volume := range service.Volumes {
			require.Equal(t, types.VolumeTypeVolume, volume.Type, name)
			require.Contains(t, p.Volumes, volume.Source, name)
		}
	}
	require.Equal(t, "/var/lib/postgresql/data", p.Services["postgres"].Volumes[0].Target)
	require.Equal(t, "/data", p.Services["temporal"].Volumes[0].Target)
}

// Each image that compose builds is a stage of the Dockerfile, and each folder the
// Dockerfile copies is there and not ignored.
func TestComposeBuilds(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	require.NoError(t, err)
	ignore, err := os.ReadFile(filepath.Join(root(t), ".dockerignore"))
	require.NoError(t, err)
	for name, service := range project(t).Services {
		if service.Build != nil {
			require.Regexp(t, `(?m)^FROM \S+ AS `+regexp.QuoteMeta(service.Build.Target)+`$`, string(dockerfile), name)
		}
	}
	copies := regexp.MustCompile(`(?m)^COPY ((?:[a-z][\w./]* )+)\S+$`).FindAllStringSubmatch(string(dockerfile), -1)
	require.Len(t, copies, 8)
	for _, line := range copies {
		for path := range strings.FieldsSeq(line[1]) {
			_, err := os.Stat(filepath.Join(root(t), path))
			require.NoError(t, err, "the Dockerfile copies %s", path)
			top, _, _ := strings.Cut(path, "/")
			require.Contains(t, string(ignore), "\n!"+top+"\n", "%s reaches the build", path)
		}
	}
}
