// Package config reads the environment into structs, once, at the start of a
// program. The names are documented in the README; every bad value gets one
// sentence that names the variable.
package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
	"go.temporal.io/sdk/client"
	temporalenv "go.temporal.io/sdk/contrib/envconfig"
)

// Config is what the environment says. Programs that start their own servers
// fill in where those are.
type Config struct {
	DatabaseURL string `env:"HOLDFAST_DATABASE_URL"`
	HTTPAddr    string `env:"HOLDFAST_HTTP_ADDR, default=127.0.0.1:8080"`
	OperatorKey string `env:"HOLDFAST_OPERATOR_KEY"`

	DNSServers    []string      `env:"HOLDFAST_DNS_SERVERS"` // host:port; empty: the system's
	SMTPPort      int           `env:"HOLDFAST_SMTP_PORT, default=25"`
	SMTPHelo      string        `env:"HOLDFAST_SMTP_HELO"` // empty: the machine's name
	SMTPFrom      string        `env:"HOLDFAST_SMTP_FROM"` // empty: verify@ the HELO name
	GreylistRetry time.Duration `env:"HOLDFAST_SMTP_GREYLIST_RETRY, default=5m"`
	Providers     []string      `env:"HOLDFAST_VERIFY_PROVIDERS, default=smtp"`
	VerdictCache  bool          `env:"HOLDFAST_VERDICT_CACHE, default=true"` // rely on verdicts of earlier orders

	MaxOrderCount int64 `env:"HOLDFAST_MAX_ORDER_COUNT, default=1000000"`

	LogLevel  string `env:"HOLDFAST_LOG_LEVEL, default=info"`
	LogFormat string `env:"HOLDFAST_LOG_FORMAT, default=text"`

	// Temporal has more settings of its own (TEMPORAL_API_KEY, TEMPORAL_TLS_*);
	// Temporal reads them.
	TemporalAddress   string `env:"TEMPORAL_ADDRESS"`
	TemporalNamespace string `env:"TEMPORAL_NAMESPACE"`
}

// Load reads and checks the environment.
func Load(ctx context.Context) (Config, error) { return load(ctx, envconfig.OsLookuper()) }

func load(ctx context.Context, env envconfig.Lookuper) (Config, error) {
	var c Config
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: env}); err != nil {
		return Config{}, fmt.Errorf("the environment cannot be read: %w", name(err))
	}
	return c, c.check()
}

// name says which variable an error of envconfig is about: it names our field.
func name(err error) error {
	field, problem, found := strings.Cut(err.Error(), ": ")
	if f, ok := reflect.TypeFor[Config]().FieldByName(field); found && ok {
		variable, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		return fmt.Errorf("%s is not of type %s; write one (%s)", variable, f.Type, problem)
	}
	return err
}

func (c Config) check() error {
	var problems []error
	bad := func(name, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...)))
	}
	for _, server := range c.DNSServers {
		if _, _, err := net.SplitHostPort(server); err != nil {
			bad("HOLDFAST_DNS_SERVERS", "has %q; write host:port, several separated by commas", server)
		}
	}
	if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
		bad("HOLDFAST_HTTP_ADDR", "is %q; write host:port such as 127.0.0.1:8080", c.HTTPAddr)
	}
	if c.SMTPPort < 1 || c.SMTPPort > 65535 {
		bad("HOLDFAST_SMTP_PORT", "is %d; write a number from 1 to 65535", c.SMTPPort)
	}
	if c.SMTPFrom != "" && !strings.Contains(c.SMTPFrom, "@") {
		bad("HOLDFAST_SMTP_FROM", "is %q; write an address such as verify@example.com", c.SMTPFrom)
	}
	if c.GreylistRetry <= 0 {
		bad("HOLDFAST_SMTP_GREYLIST_RETRY", "is %s; write a positive duration such as 5m", c.GreylistRetry)
	}
	if c.MaxOrderCount < 1 {
		bad("HOLDFAST_MAX_ORDER_COUNT", "is %d; write a number from 1", c.MaxOrderCount)
	}
	if _, err := c.level(); err != nil {
		bad("HOLDFAST_LOG_LEVEL", "is %q; write debug, info, warn or error", c.LogLevel)
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		bad("HOLDFAST_LOG_FORMAT", "is %q; write text or json", c.LogFormat)
	}
	return errors.Join(problems...)
}

func (c Config) level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(c.LogLevel))
	return l, err
}

// Logger writes to w at the configured level and in the configured format.
func (c Config) Logger(w io.Writer) *slog.Logger {
	level, err := c.level()
	if err != nil { // a Config that was not loaded
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Temporal returns the options of a client, from Temporal's own environment
// variables and configuration file.
func (c Config) Temporal() (client.Options, error) {
	options, err := temporalenv.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, fmt.Errorf("the TEMPORAL_* settings cannot be used: %w", err)
	}
	if c.TemporalAddress != "" {
		options.HostPort = c.TemporalAddress
	}
	if c.TemporalNamespace != "" {
		options.Namespace = c.TemporalNamespace
	}
	return options, nil
}
