package main

import (
	"context"
	_ "embed" // for the dynamic configuration
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	// readyTimeout covers the start on a machine that is busy compiling.
	readyTimeout = 60 * time.Second
)

// tuned is the dynamic configuration inside; compose mounts the same file.
//
//go:embed dynamicconfig.yaml
var tuned []byte

// dynamic is the dynamic configuration: the one inside, the one of a file, or the
// server's own defaults.
func dynamic(o options) (dynamicconfig.StaticClient, error) {
	text := tuned
	switch o.dynamicConfig {
	case "":
	case "none":
		text = nil
	default:
		var err error
		if text, err = os.ReadFile(o.dynamicConfig); err != nil {
			return nil, fmt.Errorf("--dynamic-config: %w", err)
		}
	}
	loaded := dynamicconfig.LoadYamlFile(text)
	if err := errors.Join(append(loaded.Errors, loaded.Warnings...)...); err != nil { // a name that does not exist is a warning
		return nil, fmt.Errorf("the dynamic configuration cannot be used: %w", err)
	}
	values := dynamicconfig.StaticClient{}
	for key, constrained := range loaded.Map {
		values[key] = constrained
	}
	if !o.fairness {
		values[dynamicconfig.MatchingEnableFairness.Key()] = false
	}
	return values, nil
}

// newServer prepares the database and returns a server that has not been started.
func newServer(o options, logger log.Logger) (temporal.Server, error) {
	stores, err := prepare(o, logger)
	if err != nil {
		return nil, err
	}
	cfg, err := serverConfig(stores, o)
	if err != nil {
		return nil, err
	}
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return nil, err
	}
	values, err := dynamic(o)
	if err != nil {
		return nil, err
	}
	services := o.services
	if len(services) == 0 {
		services = temporal.DefaultServices
	}
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(services),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithDynamicConfigClient(values),
		temporal.WithStaticHosts(members(cfg)),
	)
}

// prepare makes the schema, and in a file the namespaces, and returns the
// databases by what they keep.
func prepare(o options, logger log.Logger) (map[string]*config.SQL, error) {
	if o.postgres != "" {
		return preparePostgres(o, logger)
	}
	store := &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: o.db,
		ConnectAttributes: map[string]string{
			"mode": "rwc",
			// A commit appends to the log and does not wait for the disk; after a
			// crash of the process nothing is lost, after one of the machine the
			// last moments may be. (SQLite says nothing about a pragma that it does
			// not know.)
			"journal_mode": "wal",
			"synchronous":  "normal",
		},
	}
	return map[string]*config.SQL{"temporal": store, "visibility": store}, prepareFile(store, o)
}

// newLogger writes JSON lines to stderr. While the server stops its services miss
// each other loudly; the level is raised before that.
func newLogger(name string) (log.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(name)
	if err != nil {
		return nil, level, fmt.Errorf("--log-level: %w", err)
	}
	cfg := zap.NewProductionConfig()
	cfg.Level = level
	cfg.DisableStacktrace = true // a hundred lines of interceptors each
	cfg.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	logger, err := cfg.Build(zap.WithCaller(false))
	if err != nil {
		return nil, level, err
	}
	return log.NewZapLogger(logger), level, nil
}

// prepareFile makes the schema in a new file and the namespaces in any file. The
// schema is made under another name: a kill in between leaves no half of it.
func prepareFile(store *config.SQL, o options) error {
	if err := os.MkdirAll(filepath.Dir(o.db), 0o700); err != nil {
		return fmt.Errorf("the folder of --db cannot be made: %w", err)
	}
	if _, err := os.Stat(o.db); errors.Is(err, fs.ErrNotExist) {
		// Not in WAL mode: the log would be a second file, and keep its name.
		fresh := config.SQL{PluginName: store.PluginName, DatabaseName: o.db + ".new", ConnectAttributes: map[string]string{"mode": "rwc"}}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.RemoveAll(fresh.DatabaseName + suffix); err != nil {
				return err
			}
		}
		if err := sqlite.SetupSchema(&fresh); err != nil {
			return fmt.Errorf("the schema cannot be written to %s: %w", o.db, err)
		}
		if err := os.Rename(fresh.DatabaseName, o.db); err != nil {
			return err
		}
	}
	attributes := make(map[string]enumspb.IndexedValueType, len(o.searchAttributes))
	for _, name := range o.searchAttributes {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	var namespaces []*sqlite.NamespaceConfig
	for _, name := range o.namespaces {
		namespace, err := sqlite.NewNamespaceConfig(clusterName, name, false, attributes)
		if err != nil {
			return fmt.Errorf("namespace %q: %w", name, err)
		}
		namespace.Detail.Config.Retention = durationpb.New(o.retention)
		namespaces = append(namespaces, namespace)
	}
	// Those that are there already stay as they are.
	if err := sqlite.CreateNamespaces(store, namespaces...); err != nil {
		return fmt.Errorf("%s cannot be used as a Temporal database: %w", o.db, err)
	}
	return nil
}

func serverConfig(stores map[string]*config.SQL, o options) (*config.Config, error) {
	host, port, err := split(o.address)
	if err != nil {
		return nil, err
	}
	// The services talk to each other over loopback, on ports that only they need to know
	// where they are one process.
	internal := o.ports
	if len(internal) == 0 {
		if internal, err = freePorts(3); err != nil {
			return nil, err
		}
	}
	service := func(ip string, port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: ip}}
	}
	self := net.JoinHostPort(loopback, strconv.Itoa(port))
	shards := int32(1) // SQLite has one writer; fixed for the life of a file
	if o.postgres != "" {
		shards = postgresShards
	}
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     "temporal",
			VisibilityStore:  "visibility",
			NumHistoryShards: shards,
			DataStores: map[string]config.DataStore{
				"temporal": {SQL: stores["temporal"]}, "visibility": {SQL: stores["visibility"]},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: self},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(host, port),
			string(primitives.HistoryService):  service(loopback, internal[0]),
			string(primitives.MatchingService): service(loopback, internal[1]),
			string(primitives.WorkerService):   service(loopback, internal[2]),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
		PublicClient: config.PublicClient{HostPort: self},
	}, nil
}

// members tells every service where the others are. The usual gossip between them
// would, after a restart, first look for those of the run before.
func members(cfg *config.Config) map[primitives.ServiceName]static.Hosts {
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, service := range cfg.Services {
		hosts[primitives.ServiceName(name)] = static.SingleLocalHost(net.JoinHostPort(loopback, strconv.Itoa(service.RPC.GRPCPort)))
	}
	return hosts
}

// freePorts asks the kernel for n ports at once: all are held until the last is
// known, so that no number comes twice.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			return nil, fmt.Errorf("there is no free port on %s: %w", loopback, err)
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// awaitNamespaces returns when workers can use every namespace. A file made by an
// earlier version may lack a search attribute; it is added.
func awaitNamespaces(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	_, port, err := split(o.address)
	if err != nil {
		return err
	}
	c, err := client.NewLazyClient(client.Options{HostPort: net.JoinHostPort(loopback, strconv.Itoa(port)), Logger: log.NewSdkLogger(log.NewNoopLogger())})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, namespace := range o.namespaces {
		if o.postgres != "" {
			if err := until(ctx, func() error { return ensureNamespace(ctx, c, namespace, o.retention) }); err != nil {
				return fmt.Errorf("namespace %q cannot be made: %w", namespace, err)
			}
		}
		if err := until(ctx, func() error { return ensureAttributes(ctx, c, namespace, o.searchAttributes) }); err != nil {
			return fmt.Errorf("namespace %q did not get ready: %w", namespace, err)
		}
	}
	return nil
}

func ensureNamespace(ctx context.Context, c client.Client, name string, retention time.Duration) error {
	_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	var there *serviceerror.NamespaceAlreadyExists
	if errors.As(err, &there) {
		return nil
	}
	return err
}

func ensureAttributes(ctx context.Context, c client.Client, namespace string, names []string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, name := range names {
		if _, ok := have.CustomAttributes[name]; !ok {
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	return err
}

// until repeats do until it succeeds or the context ends.
func until(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
