// Package config reads the environment into structs, once, at the start of a
// program. The names are documented in the README; every bad value gets one
// sentence that names the variable.
package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
	"go.temporal.io/sdk/client"
	temporalenv "go.temporal.io/sdk/contrib/envconfig"

	"holdfast/internal/verify/provider"
)

// Config is what the environment says. Programs that start their own servers
// fill in where those are.
type Config struct {
	DatabaseURL string `env:"HOLDFAST_DATABASE_URL" secret:"true"`
	// DatabasePassword goes into DatabaseURL, so that it can be a file of its own.
	DatabasePassword string `env:"HOLDFAST_DATABASE_PASSWORD" secret:"true"`

	// Cells names a JSON file that lists cells: databases with a Temporal namespace
	// each. Cell is the one of them that a process works in; its settings are in
	// DatabaseURL, TemporalAddress and TemporalNamespace then.
	Cells string `env:"HOLDFAST_CELLS"`
	Cell  string `env:"HOLDFAST_CELL"`

	HTTPAddr    string `env:"HOLDFAST_HTTP_ADDR, default=127.0.0.1:8080"`
	OperatorKey string `env:"HOLDFAST_OPERATOR_KEY" secret:"true"`

	OIDC OIDC `env:", prefix=HOLDFAST_OIDC_"`

	// Files with the certificate chain and key of serve, read again when they change;
	// without them it speaks plain HTTP.
	HTTPTLSCert string `env:"HOLDFAST_HTTP_TLS_CERT"`
	HTTPTLSKey  string `env:"HOLDFAST_HTTP_TLS_KEY"`

	// Where a worker has health, metrics and profiles, and where serve has metrics
	// and profiles: on its public port only when that is named here.
	WorkerAddr  string        `env:"HOLDFAST_WORKER_ADDR, default=127.0.0.1:9464"`
	MetricsAddr string        `env:"HOLDFAST_METRICS_ADDR, default=127.0.0.1:9465"`
	DrainWait   time.Duration `env:"HOLDFAST_DRAIN_WAIT, default=3s"` // between "not ready" and the end of work

	Worker Worker `env:", prefix=HOLDFAST_WORKER_"`

	DNSServers       []string       `env:"HOLDFAST_DNS_SERVERS"` // host:port; empty: the system's
	SMTPPort         int            `env:"HOLDFAST_SMTP_PORT, default=25"`
	SMTPHelo         string         `env:"HOLDFAST_SMTP_HELO"` // empty: the machine's name
	SMTPFrom         string         `env:"HOLDFAST_SMTP_FROM"` // empty: verify@ the HELO name
	GreylistRetry    time.Duration  `env:"HOLDFAST_SMTP_GREYLIST_RETRY, default=5m"`
	SMTPSource       string         `env:"HOLDFAST_SMTP_SOURCE"`                    // local IP address to connect from
	SMTPProxy        string         `env:"HOLDFAST_SMTP_PROXY" secret:"true"`       // socks5://host:port
	SMTPIdentities   string         `env:"HOLDFAST_SMTP_IDENTITIES"`                // JSON file with several identities, in place of HELO, FROM, SOURCE, PROXY and ADDRESS
	SMTPAddress      string         `env:"HOLDFAST_SMTP_ADDRESS"`                   // the public address that mail hosts see; empty: this machine's
	DNSBLZones       []string       `env:"HOLDFAST_DNSBL_ZONES"`                    // lists that may have our address; empty: the usual ones; none
	SMTPCanaries     []string       `env:"HOLDFAST_SMTP_CANARIES"`                  // domains whose mail hosts should work; empty: big providers
	SMTPHostSessions int            `env:"HOLDFAST_SMTP_HOST_SESSIONS, default=40"` // at once at one mail host that is slow but content
	SMTPAllow        []netip.Prefix `env:"HOLDFAST_SMTP_ALLOW"`                     // networks that are not public and may have mail hosts
	SMTPTLS          string         `env:"HOLDFAST_SMTP_TLS"`                       // opportunistic (empty too), required, never
	ProbeSecret      string         `env:"HOLDFAST_PROBE_SECRET" secret:"true"`
	ListsFile        string         `env:"HOLDFAST_LISTS_FILE"`
	VerdictCache     bool           `env:"HOLDFAST_VERDICT_CACHE, default=true"` // rely on verdicts of earlier orders

	// Who verifies, one after the other: smtp (our own engine) or one of
	// provider.Services. What is unknown to one falls through to the next.
	Providers []string           `env:"HOLDFAST_VERIFY_PROVIDERS, default=smtp"`
	Services  map[string]Service // by name, read from variables such as HOLDFAST_REACHER_URL

	// Who says whether a telephone number is good: pattern (the numbering plan
	// of its country, without a request) or twilio (the carrier, by a lookup).
	PhoneLookup string  `env:"HOLDFAST_PHONE_LOOKUP, default=pattern"`
	Twilio      Service `env:", prefix=HOLDFAST_TWILIO_"`

	// Where commands find an API, and with which key; for a dev stack, its directory.
	URL     string `env:"HOLDFAST_URL"`
	APIKey  string `env:"HOLDFAST_API_KEY" secret:"true"`
	DataDir string `env:"HOLDFAST_DATA_DIR"`

	RequestsPerMinute int            `env:"HOLDFAST_REQUESTS_PER_MINUTE, default=6000"` // per API key; 0 = not limited
	WebhookAllow      []netip.Prefix `env:"HOLDFAST_WEBHOOK_ALLOW"`                     // private networks that webhooks may go to

	Sandbox bool `env:"HOLDFAST_SANDBOX"` // no real customers: organizations may have test clocks

	// Where credits are bought. Without a key there is no checkout, without a secret
	// no event is taken in.
	StripeKey    string `env:"HOLDFAST_STRIPE_KEY" secret:"true"`
	StripeSecret string `env:"HOLDFAST_STRIPE_WEBHOOK_SECRET" secret:"true"` // of the webhook endpoint that is set up at Stripe
	StripeURL    string `env:"HOLDFAST_STRIPE_URL"`                          // base address; empty: Stripe's own

	OutageLimit   time.Duration `env:"HOLDFAST_OUTAGE_LIMIT, default=24h"` // how long an order waits for verification to work again
	MaxOrderCount int64         `env:"HOLDFAST_MAX_ORDER_COUNT, default=1000000"`

	ListRows  int64 `env:"HOLDFAST_LIST_ROWS, default=10000000"`    // that the uploaded lists of one organization may have together
	ListBytes int64 `env:"HOLDFAST_LIST_BYTES, default=2147483648"` // of their content

	ResultsKept time.Duration `env:"HOLDFAST_RESULTS_KEPT, default=0"` // for how long after the end of an order; 0: for good

	LogLevel  string `env:"HOLDFAST_LOG_LEVEL, default=info"`
	LogFormat string `env:"HOLDFAST_LOG_FORMAT, default=text"`

	// Temporal has more settings of its own (TEMPORAL_API_KEY, TEMPORAL_TLS_*);
	// Temporal reads them.
	TemporalAddress   string `env:"TEMPORAL_ADDRESS"`
	TemporalNamespace string `env:"TEMPORAL_NAMESPACE"`
	TemporalUI        string `env:"HOLDFAST_TEMPORAL_UI"` // address of its UI, for links on operators' pages
	Codec             Codec  `env:", prefix=HOLDFAST_CODEC_"`
	TemporalAPIKey    string `env:"TEMPORAL_API_KEY" secret:"true"`
}

// Worker is what one worker does and how much of it at once.
type Worker struct {
	Roles []string `env:"ROLE, default=all"` // which task queues it serves: all, or some of orders, verify, webhook

	// Deployment is the name of a Worker Deployment: with it orders stay with the
	// build that began them. Empty: any worker continues any order.
	Deployment string `env:"DEPLOYMENT"`
	BuildID    string `env:"BUILD_ID"` // empty: the commit that the program was built from

	WorkflowSlots   int `env:"WORKFLOW_SLOTS, default=1000"`    // workflow tasks at once
	ActivitySlots   int `env:"ACTIVITY_SLOTS, default=1000"`    // activities at once, of the queues holdfast and holdfast-webhook, each
	VerifySlots     int `env:"VERIFY_SLOTS, default=32"`        // verification batches at once
	MaxPollers      int `env:"MAX_POLLERS, default=100"`        // polls at once, for each kind of task; fewer while there is less to do
	CachedWorkflows int `env:"CACHED_WORKFLOWS, default=10000"` // open orders kept in memory
}

// Codec says how payloads in Temporal are encrypted, and who may read them.
type Codec struct {
	// Keys are id:base64 of 32 bytes each, separated by commas. The first encrypts,
	// all decrypt. Empty: payloads are not encrypted.
	Keys string `env:"KEYS" secret:"true"`

	Addr    string   `env:"ADDR, default=127.0.0.1:8234"` // where codec-server listens
	Token   string   `env:"TOKEN" secret:"true"`          // its holder may decrypt
	Origins []string `env:"ORIGINS"`                      // of Temporal UIs whose pages may ask
}

// Roles of a worker.
const (
	RoleAll     = "all"
	RoleOrders  = "orders"
	RoleVerify  = "verify"
	RoleWebhook = "webhook"
)

// Does reports whether the worker has a role; without any it has all.
func (w Worker) Does(role string) bool {
	return len(w.Roles) == 0 || slices.Contains(w.Roles, role) || slices.Contains(w.Roles, RoleAll)
}

// Addresses that any number of processes on one machine have by default: where
// one is taken, another port is used.
const (
	DefaultWorkerAddr  = "127.0.0.1:9464"
	DefaultMetricsAddr = "127.0.0.1:9465"
)

// Service is what the environment says about another verification service.
type Service struct {
	URL      string `env:"URL"`               // base address; empty: the service's own
	Key      string `env:"KEY" secret:"true"` // API key; of Twilio, account:token
	MaxSpend int64  `env:"MAX_SPEND"`         // addresses or numbers that all workers may ask for in a day of UTC; 0: no cap
}

// Load reads and checks the environment.
func Load(ctx context.Context) (Config, error) { return load(ctx, envconfig.OsLookuper()) }

func load(ctx context.Context, env envconfig.Lookuper) (Config, error) {
	var c Config
	secrets := &secretFiles{Lookuper: env, names: SecretNames()}
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: secrets}); err != nil {
		return Config{}, fmt.Errorf("the environment cannot be read: %w", name(err, "", reflect.TypeFor[Config]()))
	}
	c.Services = map[string]Service{}
	for _, s := range provider.Services() {
		var of Service
		prefix := servicePrefix(s.Name)
		if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &of, Lookuper: envconfig.PrefixLookuper(prefix, secrets)}); err != nil {
			return Config{}, fmt.Errorf("the environment cannot be read: %w", name(err, prefix, reflect.TypeFor[Service]()))
		}
		c.Services[s.Name] = of
	}
	if err := errors.Join(secrets.problems...); err != nil {
		return Config{}, err
	}
	if err := c.putPassword(); err != nil {
		return Config{}, err
	}
	if err := c.chooseCell(); err != nil {
		return Config{}, err
	}
	return c, c.check()
}

// name says which variable an error of envconfig is about: it names the field, or
// the one inside a Service, outermost first.
func name(err error, variable string, within reflect.Type) error {
	for rest := err.Error(); ; {
		field, problem, found := strings.Cut(rest, ": ")
		f, ok := within.FieldByName(field)
		if !found || !ok {
			return err
		}
		own, options, _ := strings.Cut(f.Tag.Get("env"), ",")
		if f.Type.Kind() != reflect.Struct {
			return fmt.Errorf("%s is not of type %s; write one (%s)", variable+own, f.Type, problem)
		}
		variable, within, rest = strings.TrimPrefix(strings.TrimSpace(options), "prefix="), f.Type, problem
	}
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
	for name, address := range map[string]string{
		"HOLDFAST_HTTP_ADDR": c.HTTPAddr, "HOLDFAST_WORKER_ADDR": c.WorkerAddr, "HOLDFAST_METRICS_ADDR": c.MetricsAddr,
	} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			bad(name, "is %q; write host:port such as 127.0.0.1:8080", address)
		}
	}
	if c.DrainWait < 0 {
		bad("HOLDFAST_DRAIN_WAIT", "is %s; write a duration such as 5s, or 0 not to wait", c.DrainWait)
	}
	if (c.HTTPTLSCert == "") != (c.HTTPTLSKey == "") {
		bad("HOLDFAST_HTTP_TLS_CERT", "and HOLDFAST_HTTP_TLS_KEY go together; write both files, or none")
	}
	c.OIDC.check(bad)
	c.checkSMTP(bad)
	c.Worker.check(bad)
	c.checkProviders(bad)
	c.checkPhoneLookup(bad)
	if c.RequestsPerMinute < 0 {
		bad("HOLDFAST_REQUESTS_PER_MINUTE", "is %d; write a number from 0, which is no limit", c.RequestsPerMinute)
	}
	if c.OutageLimit < 0 {
		bad("HOLDFAST_OUTAGE_LIMIT", "is %s; write a duration such as 24h, or 0 to wait without end", c.OutageLimit)
	}
	if c.MaxOrderCount < 1 {
		bad("HOLDFAST_MAX_ORDER_COUNT", "is %d; write a number from 1", c.MaxOrderCount)
	}
	if c.ListRows < 0 || c.ListBytes < 0 {
		bad("HOLDFAST_LIST_ROWS and HOLDFAST_LIST_BYTES", "are %d and %d; write numbers from 1", c.ListRows, c.ListBytes)
	}
	if c.ResultsKept != 0 && c.ResultsKept < 24*time.Hour {
		bad("HOLDFAST_RESULTS_KEPT", "is %s; write a duration of at least 24h, or 0 to keep results for good", c.ResultsKept)
	}
	if _, err := c.level(); err != nil {
		bad("HOLDFAST_LOG_LEVEL", "is %q; write debug, info, warn or error", c.LogLevel)
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		bad("HOLDFAST_LOG_FORMAT", "is %q; write text or json", c.LogFormat)
	}
	return errors.Join(problems...)
}

func (c Config) checkSMTP(bad func(name, format string, args ...any)) {
	if c.SMTPPort < 1 || c.SMTPPort > 65535 {
		bad("HOLDFAST_SMTP_PORT", "is %d; write a number from 1 to 65535", c.SMTPPort)
	}
	if c.SMTPFrom != "" && !strings.Contains(c.SMTPFrom, "@") {
		bad("HOLDFAST_SMTP_FROM", "is %q; write an address such as verify@example.com", c.SMTPFrom)
	}
	if c.SMTPIdentities != "" && c.SMTPHelo+c.SMTPFrom+c.SMTPSource+c.SMTPProxy+c.SMTPAddress != "" {
		bad("HOLDFAST_SMTP_IDENTITIES", "names a file; write HOLDFAST_SMTP_HELO, _FROM, _SOURCE, _PROXY and _ADDRESS into it, and unset them")
	}
	if c.SMTPHostSessions < 0 {
		bad("HOLDFAST_SMTP_HOST_SESSIONS", "is %d; write a number from 1, or 0 for the default", c.SMTPHostSessions)
	}
	if c.GreylistRetry <= 0 {
		bad("HOLDFAST_SMTP_GREYLIST_RETRY", "is %s; write a positive duration such as 5m", c.GreylistRetry)
	}
	if c.SMTPSource != "" && net.ParseIP(c.SMTPSource) == nil {
		bad("HOLDFAST_SMTP_SOURCE", "is %q; write an IP address of this machine", c.SMTPSource)
	}
	if c.SMTPAddress != "" && net.ParseIP(c.SMTPAddress) == nil {
		bad("HOLDFAST_SMTP_ADDRESS", "is %q; write the public IP address of your connections", c.SMTPAddress)
	}
	if !slices.Contains([]string{"", "opportunistic", "required", "never"}, c.SMTPTLS) {
		bad("HOLDFAST_SMTP_TLS", "is %q; write opportunistic, required or never", c.SMTPTLS)
	}
}

func (w Worker) check(bad func(name, format string, args ...any)) {
	for _, role := range w.Roles {
		if !slices.Contains([]string{RoleAll, RoleOrders, RoleVerify, RoleWebhook}, role) {
			bad("HOLDFAST_WORKER_ROLE", "has %q; write all, or some of orders, verify, webhook, separated by commas", role)
		}
	}
	if strings.Contains(w.Deployment, ".") || len(w.Deployment) > 100 {
		bad("HOLDFAST_WORKER_DEPLOYMENT", "is %q; write a short name without dots", w.Deployment)
	}
	for name, n := range map[string]int{
		"WORKFLOW_SLOTS": w.WorkflowSlots, "ACTIVITY_SLOTS": w.ActivitySlots, "VERIFY_SLOTS": w.VerifySlots,
		"MAX_POLLERS": w.MaxPollers, "CACHED_WORKFLOWS": w.CachedWorkflows,
	} {
		if n < 2 {
			bad("HOLDFAST_WORKER_"+name, "is %d; write a number from 2", n)
		}
	}
}

func (c Config) checkProviders(bad func(name, format string, args ...any)) {
	known := []string{OwnEngine}
	for _, s := range provider.Services() {
		known = append(known, s.Name)
		of, asked := c.Services[s.Name], slices.Contains(c.Providers, s.Name)
		switch {
		case asked && of.URL == "" && s.URL == "":
			bad(servicePrefix(s.Name)+"URL", "is empty; write the address of your %s such as http://127.0.0.1:8080", s.Name)
		case asked && of.Key == "" && !s.Keyless:
			bad(servicePrefix(s.Name)+"KEY", "is empty; write the API key that %s gave you", s.Name)
		case of.MaxSpend < 0: // of those that are not asked yet, too
			bad(servicePrefix(s.Name)+"MAX_SPEND", "is %d; write a number of addresses, 0 for no cap", of.MaxSpend)
		}
	}
	for i, name := range c.Providers {
		switch {
		case slices.Contains(c.Providers[:i], name):
			bad("HOLDFAST_VERIFY_PROVIDERS", "has %q twice; write it once", name)
		case !slices.Contains(known, name):
			bad("HOLDFAST_VERIFY_PROVIDERS", "has %q, which is no verification provider; write some of %s", name, strings.Join(known, ", "))
		}
	}
}

func (c Config) checkPhoneLookup(bad func(name, format string, args ...any)) {
	account, token, _ := strings.Cut(c.Twilio.Key, ":")
	switch {
	case c.PhoneLookup == PhonePattern:
	case c.PhoneLookup != PhoneTwilio:
		bad("HOLDFAST_PHONE_LOOKUP", "is %q; write pattern or twilio", c.PhoneLookup)
	case account == "" || token == "": // a secret: what it is now is not shown
		bad("HOLDFAST_TWILIO_KEY", "is not of the form account:token; write the account's identifier, a colon and its token")
	}
	if c.Twilio.MaxSpend < 0 {
		bad("HOLDFAST_TWILIO_MAX_SPEND", "is %d; write a number of telephone numbers, 0 for no cap", c.Twilio.MaxSpend)
	}
}

// The phone lookups.
const (
	PhonePattern = "pattern"
	PhoneTwilio  = "twilio"
)

// OwnEngine is the name of our own engine among Providers.
const OwnEngine = "smtp"

// servicePrefix begins the variables of a verification service.
func servicePrefix(name string) string { return "HOLDFAST_" + strings.ToUpper(name) + "_" }

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
	if c.TemporalAPIKey != "" && os.Getenv("TEMPORAL_API_KEY") == "" { // it came from a file
		options.Credentials = client.NewAPIKeyStaticCredentials(c.TemporalAPIKey)
		if options.ConnectionOptions.TLS == nil && !options.ConnectionOptions.TLSDisabled {
			options.ConnectionOptions.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	return options, nil
}
