// Package deploy_test checks the files that deploy Holdfast.
package deploy_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// secretsDir has what a user makes.
func secretsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgres_password", "operator_key"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o600))
	}
	return dir
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := compose(t, "HOLDFAST_SMTP_HELO=mail.example.com", "SECRETS_DIR="+secretsDir(t))
	require.NoError(t, err)
	return p
}

// names are the variables that Config reads.
func names() map[string]bool {
	known := map[string]bool{}
	for _, name := range config.Names() {
		known[name] = true
	}
	return known
}

// What the containers are given is what the programs read, and they start with it.
func TestComposeEnvironment(t *testing.T) {
	known := names()
	for _, name := range []string{"migrate", "worker", "serve"} {
		p := project(t)
		service := p.Services[name]
		for variable := range known {
			t.Setenv(variable, "")
			require.NoError(t, os.Unsetenv(variable))
		}
		for variable, value := range service.Environment {
			secret := strings.TrimSuffix(variable, "_FILE")
			require.True(t, known[variable] || secret != variable && slices.Contains(config.SecretNames(), secret), "service %s sets %s, which no program reads", name, variable)
			if value == nil {
				continue
			}
			if inside, found := strings.CutPrefix(*value, "/run/secrets/"); found { // compose puts it there
				t.Setenv(variable, p.Secrets[inside].File)
				require.True(t, slices.ContainsFunc(service.Secrets, func(s types.ServiceSecretConfig) bool { return s.Source == inside }), "service %s gets %s", name, inside)
				continue
			}
			t.Setenv(variable, *value)
		}
		c, err := config.Load(t.Context())
		require.NoError(t, err, name)
		require.Equal(t, "postgres://holdfast:postgres_password@postgres:5432/holdfast", c.DatabaseURL)
		require.Equal(t, "temporal:7233", c.TemporalAddress)
		require.Equal(t, "mail.example.com", c.SMTPHelo, "what the user sets goes through")
		require.Equal(t, 25, c.SMTPPort, "what the user does not set keeps its default")
		if name == "serve" {
			require.Equal(t, "operator_key", c.OperatorKey)
		}
	}
}

// All that the programs read can be set, but for what is about the inside of a
// container.
func TestComposePassesEveryVariable(t *testing.T) {
	inside := map[string]bool{
		"HOLDFAST_WORKER_ADDR": true, "HOLDFAST_METRICS_ADDR": true, "HOLDFAST_LISTS_FILE": true,
		"HOLDFAST_HTTP_TLS_CERT": true, "HOLDFAST_HTTP_TLS_KEY": true,
		"HOLDFAST_CODEC_ADDR": true, "HOLDFAST_CODEC_TOKEN": true, "HOLDFAST_CODEC_ORIGINS": true, // of codec-server
		"HOLDFAST_URL": true, "HOLDFAST_API_KEY": true, "HOLDFAST_DATA_DIR": true, // of commands
		"TEMPORAL_API_KEY": true,                        // Temporal runs beside it
		"HOLDFAST_CELLS":   true, "HOLDFAST_CELL": true, // it is one installation
	}
	services := project(t).Services
	for name := range names() {
		_, worker := services["worker"].Environment[name]
		_, serve := services["serve"].Environment[name]
		_, file := services["serve"].Environment[name+"_FILE"]
		if !worker && !serve && !file && !inside[name] {
			t.Errorf("%s cannot be set", name)
		}
	}
}

// No secret stands in a public file, nor has one a default: each is a file that
// the user makes.
func TestComposeHasNoSecrets(t *testing.T) {
	p, err := compose(t)
	require.NoError(t, err)
	require.Len(t, p.Secrets, 2)
	for name, secret := range p.Secrets {
		require.Equal(t, filepath.Join(root(t), "secrets", name), secret.File)
	}
	ignored, err := os.ReadFile(filepath.Join(root(t), ".gitignore"))
	require.NoError(t, err)
	require.Contains(t, string(ignored), "\n/secrets/\n")
	for name, service := range p.Services {
		for variable, value := range service.Environment {
			if value != nil && regexp.MustCompile("PASSWORD|PWD|KEY|SECRET|TOKEN").MatchString(variable) {
				require.True(t, strings.HasSuffix(variable, "_FILE") && strings.HasPrefix(*value, "/run/secrets/"), "%s has %s=%s", name, variable, *value)
			}
		}
	}
}

// A container that runs away takes no more than its share, and what should run
// starts again.
func TestComposeLimitsAndRestarts(t *testing.T) {
	for name, service := range project(t).Services {
		require.Positive(t, service.MemLimit, name)
		require.Positive(t, service.CPUS, name)
		require.Positive(t, service.PidsLimit, name)
		ends := name == "migrate" || name == "temporal-schema" || name == "temporal-namespace"
		require.Equal(t, !ends, service.Restart == types.RestartPolicyUnlessStopped, name)
	}
}

// Temporal is the official image in the version that the tests run, with the
// dynamic configuration that they run it with.
func TestComposeRunsTheTemporalThatIsTested(t *testing.T) {
	services := project(t).Services
	module, err := os.ReadFile(filepath.Join(root(t), "devserver", "go.mod"))
	require.NoError(t, err)
	version := func(path string) string {
		found := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(path) + ` v(\S+)`).FindStringSubmatch(string(module))
		require.NotNil(t, found, path)
		return found[1]
	}
	require.Equal(t, "temporalio/server:"+version("go.temporal.io/server"), services["temporal"].Image)
	require.Equal(t, "temporalio/admin-tools:"+version("go.temporal.io/server"), services["temporal-schema"].Image)
	require.Equal(t, "temporalio/ui:"+version("github.com/temporalio/ui-server/v2"), services["temporal-ui"].Image)
	mounted := services["temporal"].Volumes[0]
	require.Equal(t, filepath.Join(root(t), "devserver", "dynamicconfig.yaml"), mounted.Source)
	require.Equal(t, mounted.Target, *services["temporal"].Environment["DYNAMIC_CONFIG_FILE_PATH"])
}

// Everything waits for what it needs: a condition that can be met, by a service
// that tells its health or ends.
func TestComposeDependencies(t *testing.T) {
	services := project(t).Services
	require.Len(t, services, 8)
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
			if volume.ReadOnly { // a file of ours, or the folder of the user's
				_, err := os.Stat(volume.Source)
				require.NoError(t, err)
				continue
			}
			require.Equal(t, types.VolumeTypeVolume, volume.Type, name)
			require.Contains(t, p.Volumes, volume.Source, name)
		}
	}
	require.Equal(t, "/var/lib/postgresql/data", p.Services["postgres"].Volumes[0].Target)
}

// A file that a variable names can be there: all programs of ours see the folder of
// secrets.
func TestComposeMountsTheFilesOfTheUser(t *testing.T) {
	dir := secretsDir(t)
	p, err := compose(t, "SECRETS_DIR="+dir)
	require.NoError(t, err)
	for name, service := range p.Services {
		if service.Build == nil {
			continue
		}
		require.True(t, slices.ContainsFunc(service.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Source == dir && v.Target == "/run/holdfast" && v.ReadOnly
		}), name)
	}
}

// What compose says to Temporal's image is what that image reads: its entry point,
// the template of its configuration and its Dockerfile are in the Go module of the
// same version, and so are the schemas.
func TestComposeFitsTheImagesOfTemporal(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "go.temporal.io/server")
	list.Dir = filepath.Join(root(t), "devserver")
	out, err := list.Output()
	require.NoError(t, err)
	module := strings.TrimSpace(string(out))
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(module, filepath.FromSlash(path)))
		require.NoError(t, err)
		return string(text)
	}
	entrypoint, dockerfile := read("docker/scripts/sh/entrypoint.sh"), read("docker/targets/server.Dockerfile")
	known := entrypoint + read("common/config/config_template_embedded.yaml")
	services := project(t).Services
	server := services["temporal"]
	names := slices.Collect(maps.Keys(server.Environment))
	for _, exported := range regexp.MustCompile(`export (\w+)=`).FindAllStringSubmatch(strings.Join(server.Command, " "), -1) {
		names = append(names, exported[1])
	}
	require.Contains(t, names, "POSTGRES_PWD")
	for _, name := range names {
		require.Regexp(t, `\b`+name+`\b`, known, "the image reads %s", name)
	}
	require.Contains(t, known, `eq $db "`+*server.Environment["DB"]+`"`)
	run := regexp.MustCompile(`exec (\S+)`).FindStringSubmatch(server.Command[0])[1]
	require.Contains(t, dockerfile, run+"\n", "the image has the program that compose runs")
	require.Contains(t, dockerfile, "FROM alpine", "and a shell, and nc")

	tools := read("docker/targets/admin-tools.Dockerfile")
	schema := services["temporal-schema"].Command[0]
	for _, name := range []string{"temporal", "temporal-sql-tool"} {
		require.Contains(t, tools, "/"+name+" ")
	}
	for _, part := range []string{"temporal", "visibility"} {
		require.Contains(t, schema, ":"+part)
		require.DirExists(t, filepath.Join(module, "schema", "postgresql", "v12", part, "versioned"))
	}
	require.Contains(t, schema, `--schema-name "postgresql/v12/`)
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
