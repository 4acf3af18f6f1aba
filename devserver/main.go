// Command holdfast-devserver runs a Temporal server and its web UI in one small
// process, on an SQLite file, tuned for the millisecond answers Holdfast gives.
// It is for development, tests and demonstrations: a single process on a single
// file is no production cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
)

// options are the program's flags.
type options struct {
	db                 string
	postgres           string // in place of db: the URL of a database, and of one for visibility
	postgresVisibility string
	dynamicConfig      string
	address            string // host:port of the gRPC frontend
	uiAddress          string // host:port of the web UI; empty: no UI
	namespaces         []string
	searchAttributes   []string // keyword attributes every namespace gets
	retention          time.Duration
	services           []string // those that this process has; empty: all
	ports              []int    // of history, matching and worker on loopback; empty: any
	fairness           bool     // whether fairness keys are heeded
	logLevel           string
	readyFile          string
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-devserver:", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-devserver:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var namespaces, attributes, services, ports string
	flags := flag.NewFlagSet("holdfast-devserver", flag.ContinueOnError)
	flags.StringVar(&o.db, "db", "", "the SQLite `file` to keep everything in (made when missing)")
	flags.StringVar(&o.postgres, "postgres", "", "the `URL` of a PostgreSQL database to keep everything in, in place of --db")
	flags.StringVar(&o.postgresVisibility, "postgres-visibility", "", "the `URL` of another for the lists of workflows")
	flags.StringVar(&o.dynamicConfig, "dynamic-config", "", "a `file` in place of the dynamic configuration inside; none: the server's own defaults")
	flags.StringVar(&o.address, "address", "127.0.0.1:7233", "`host:port` for workers and clients (gRPC)")
	flags.StringVar(&o.uiAddress, "ui-address", "127.0.0.1:8233", "`host:port` of the web UI; empty for none")
	flags.StringVar(&namespaces, "namespace", "default", "comma-separated `names` of namespaces to have")
	flags.StringVar(&attributes, "search-attributes", "", "comma-separated `names` of keyword search attributes every namespace has")
	flags.DurationVar(&o.retention, "retention", 7*24*time.Hour, "how long a new namespace keeps closed workflows")
	flags.StringVar(&services, "services", "", "comma-separated `names` of the services in this process, of frontend, history, matching and worker; empty for all; start frontend first, it makes the schema")
	flags.StringVar(&ports, "service-ports", "", "the comma-separated `ports` of history, matching and worker, the same for each process of a server")
	flags.BoolVar(&o.fairness, "fairness", true, "respect fairness keys; false is what servers do that are not configured for it")
	flags.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error; the log goes to stderr")
	flags.StringVar(&o.readyFile, "ready-file", "", "a `file` to write the gRPC address to when all is up")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.namespaces = names(namespaces)
	o.searchAttributes = names(attributes)
	o.services = names(services)
	for _, text := range names(ports) {
		port, err := strconv.Atoi(text)
		if err != nil {
			return o, fmt.Errorf("--service-ports: %q is no port", text)
		}
		o.ports = append(o.ports, port)
	}
	switch {
	case len(o.services) > 0 && (o.postgres == "" || len(o.ports) != 3):
		return o, errors.New("--services needs --postgres, and --service-ports with three ports")
	case slices.ContainsFunc(o.services, func(name string) bool { return !slices.Contains(temporal.DefaultServices, name) }):
		return o, fmt.Errorf("--services are of %s", strings.Join(temporal.DefaultServices, ", "))
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag; see --help", flags.Arg(0))
	case (o.db == "") == (o.postgres == ""):
		return o, errors.New("one of --db FILE and --postgres URL is needed: where everything is kept")
	case (o.postgres == "") != (o.postgresVisibility == ""):
		return o, errors.New("--postgres and --postgres-visibility go together")
	case len(o.namespaces) == 0:
		return o, errors.New("--namespace needs at least one name")
	case o.retention < time.Hour:
		return o, errors.New("--retention must be at least 1h")
	}
	return o, nil
}

// frontend says whether this process answers clients; only such a one makes the
// schema and the namespaces, and has the UI.
func (o options) frontend() bool {
	return len(o.services) == 0 || slices.Contains(o.services, string(primitives.FrontendService))
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// run serves until SIGINT or SIGTERM.
func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	logger, level, err := newLogger(o.logLevel)
	if err != nil {
		return err
	}
	if o.frontend() {
		for _, address := range []string{o.address, o.uiAddress} {
			if err := checkFree(address); err != nil {
				return err
			}
		}
	}
	server, err := newServer(o, logger)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("the Temporal server did not start: %w", err)
	}
	defer func() { _ = server.Stop() }()
	if o.frontend() {
		stopUI, err := open(ctx, o)
		if err != nil {
			return err
		}
		defer stopUI()
	}
	if o.readyFile != "" {
		if err := writeReady(o.readyFile, o.address); err != nil {
			return err
		}
	}
	fmt.Printf("ready: temporal %s, ui %s\n", o.address, o.uiAddress)
	<-ctx.Done()
	level.SetLevel(zap.FatalLevel)
	return nil
}

// open makes the namespaces and starts the UI.
func open(ctx context.Context, o options) (stopUI func(), err error) {
	if err := awaitNamespaces(ctx, o); err != nil {
		return nil, err
	}
	if o.uiAddress == "" {
		return func() {}, nil
	}
	ui, err := newUI(o)
	if err != nil {
		return nil, err
	}
	go func() { _ = ui.Start() }() // exits the process on an error
	if err := awaitUI(ctx, o.uiAddress); err != nil {
		ui.Stop()
		return nil, err
	}
	return ui.Stop, nil
}

// checkFree says in one sentence what a bind error would say in ten lines.
func checkFree(address string) error {
	if address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s (%w): stop what uses it or choose another port", address, errors.Unwrap(err))
	}
	return listener.Close()
}

// writeReady writes under another name first, so that a reader sees all of it.
func writeReady(path, address string) error {
	if err := os.WriteFile(path+".new", []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("the ready file cannot be written: %w", err)
	}
	return os.Rename(path+".new", path)
}

// split takes a host:port apart.
func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port: %w", address, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port between 1 and 65535", address)
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q names no host: write 127.0.0.1:%d", address, port)
	}
	if net.ParseIP(host) == nil {
		return "", 0, fmt.Errorf("%q must start with an IP address, such as 127.0.0.1", address)
	}
	return host, port, nil
}
