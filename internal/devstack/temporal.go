package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/internal/order"
)

// TemporalOptions say which Temporal server to use. The zero value is a private
// one in a temporary directory that Stop removes.
type TemporalOptions struct {
	// Address (host:port) of a server that is there already (TEMPORAL_ADDRESS):
	// nothing is started and nothing stopped.
	Address string
	// Dir holds the server's file and outlives Stop: the next start finds all
	// workflows, the running ones too.
	Dir string
	// Port and UIPort on 127.0.0.1; 0 takes the one used last time in Dir, or a
	// free one.
	Port, UIPort int
	// Namespaces to have besides default.
	Namespaces []string
	// PostgresURL and VisibilityURL name two PostgreSQL databases to keep everything
	// in, as a server in production does; both or none.
	PostgresURL, VisibilityURL string
	// Apart runs each of the server's four services in a process of its own, as in
	// a cluster. It needs PostgresURL.
	Apart bool
	// Stock is the server as it comes, without our dynamic configuration.
	Stock bool
	// Unfair ignores fairness keys, as servers do by default.
	Unfair bool
	// Note, when set, is called with a few words before anything that takes a while. The
	// first start on a machine builds the server, which takes minutes.
	Note func(string)
}

// Temporal is a running server, ours or one that was there.
type Temporal struct {
	Address string // host:port for clients and workers
	UIURL   string // the web UI; empty for a server that was there
	Started bool   // whether we started it

	ours            // with Apart, the frontend
	others []*child // with Apart: history, matching, worker
}

// StartTemporal starts (or points to) a Temporal server and returns once workers
// can use its namespace `default`.
func StartTemporal(ctx context.Context, o TemporalOptions) (*Temporal, error) {
	if o.Address != "" {
		return &Temporal{Address: o.Address}, nil
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	program, err := DevServer(ctx, o.Note)
	if err != nil {
		return nil, err
	}
	var t *Temporal
	remove, err := inDir(o.Dir, "holdfast-temporal-", func(dir string) error {
		o.Dir = dir
		t, err = startDevServer(ctx, program, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.remove = remove
	return t, nil
}

// Stop ends the server in order and removes what was temporary. It is safe to
// call twice, and on a server that was there.
func (t *Temporal) Stop() error {
	if t == nil {
		return nil
	}
	var err error
	for _, c := range slices.Backward(t.others) { // each needs those before it to end in order
		err = errors.Join(err, c.stop(syscall.SIGTERM, syscall.SIGKILL, stopPatience))
	}
	return errors.Join(err, t.stop(syscall.SIGTERM, syscall.SIGKILL))
}

// startDevServer runs the program on DIR/temporal.db. DIR/temporal.pid names the
// process, DIR/temporal.port and DIR/temporal-ui.port the ports used last.
func startDevServer(ctx context.Context, program string, o TemporalOptions) (*Temporal, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the directory for Temporal cannot be made: %w", err)
	}
	file := func(name string) string { return filepath.Join(o.Dir, name) }
	if err := stopLeftover(ctx, "Temporal server", file("temporal.pid"), file("temporal.db"), o.Note); err != nil {
		return nil, err
	}
	port, err := pickPort("the Temporal server", o.Port, file("temporal.port"))
	if err != nil {
		return nil, err
	}
	uiPort, err := pickPort("the Temporal UI", o.UIPort, file("temporal-ui.port"))
	if err != nil {
		return nil, err
	}
	address, uiAddress := net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), net.JoinHostPort("127.0.0.1", strconv.Itoa(uiPort))
	ready, logPath := file("temporal.ready"), file("temporal.log")
	if err := os.RemoveAll(ready); err != nil {
		return nil, err
	}
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // the server has its own handle
	all := o.flags(address, file("temporal.db"))
	start := func(name string, flags ...string) (*child, error) {
		cmd := exec.Command(program, slices.Concat(all, flags)...) //nolint:noctx // lives until Stop
		cmd.Stdout, cmd.Stderr = logFile, logFile
		return startChild(name, cmd, syscall.SIGTERM)
	}
	front := []string{"--ui-address", uiAddress, "--ready-file", ready, "--namespace", strings.Join(append([]string{"default"}, o.Namespaces...), ",")}
	var apart []string
	if o.Apart {
		if apart, err = portsApart(); err != nil {
			return nil, err
		}
		front = slices.Concat(front, apart, []string{"--services", "frontend"})
	}
	server, err := start("the Temporal server", front...)
	if err != nil {
		return nil, err
	}
	t := &Temporal{Address: address, UIURL: "http://" + uiAddress, Started: true, ours: ours{server: server}}
	if err := os.WriteFile(file("temporal.pid"), []byte(strconv.Itoa(server.cmd.Process.Pid)+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, t.Stop())
	}
	if o.Apart {
		if err := t.startOthers(ctx, apart, start); err != nil {
			return nil, errors.Join(err, t.Stop())
		}
	}
	if err := t.awaitReady(ctx, ready, logPath); err != nil {
		return nil, err
	}
	for name, p := range map[string]int{"temporal.port": port, "temporal-ui.port": uiPort} {
		if err := os.WriteFile(file(name), []byte(strconv.Itoa(p)+"\n"), 0o600); err != nil {
			return nil, errors.Join(err, t.Stop())
		}
	}
	return t, nil
}

// awaitReady returns once the server has written that it is ready, or stops it.
func (t *Temporal) awaitReady(ctx context.Context, ready, logPath string) error {
	err := waitFor(ctx, startTimeout, func() bool {
		_, err := os.Stat(ready)
		return err == nil || t.server.ended()
	})
	if t.server.ended() {
		_ = t.Stop()
		return fmt.Errorf("the Temporal server ended as soon as it was started:\n%s", lastLines(logPath, 5))
	}
	if err != nil {
		_ = t.Stop()
		return fmt.Errorf("the Temporal server did not get ready: %w; its log is %s", err, logPath)
	}
	return nil
}

// keep makes the databases of a Temporal server, unless they are there.
func (p *Postgres) keep(ctx context.Context, o *TemporalOptions) error {
	conn, err := pgx.Connect(ctx, p.URL)
	if err != nil {
		return fmt.Errorf("the databases for Temporal cannot be made: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	at, err := url.Parse(p.URL)
	if err != nil {
		return err
	}
	for name, place := range map[string]*string{"temporal": &o.PostgresURL, "temporal_visibility": &o.VisibilityURL} {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+name)
		var there *pgconn.PgError
		if err != nil && (!errors.As(err, &there) || there.Code != "42P04") { // duplicate_database
			return fmt.Errorf("the database %s cannot be made: %w", name, err)
		}
		at.Path = "/" + name
		*place = at.String()
	}
	o.Apart = true
	return nil
}

// portsApart is the flag that tells the processes of one server of each other.
func portsApart() ([]string, error) {
	var ports []string
	for range 3 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, strconv.Itoa(port))
	}
	return []string{"--service-ports", strings.Join(ports, ",")}, nil
}

// startOthers starts the services behind the frontend once that answers: then
// the schema is there.
func (t *Temporal) startOthers(ctx context.Context, apart []string, start func(name string, flags ...string) (*child, error)) error {
	err := waitFor(ctx, startTimeout, func() bool {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.Address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil || t.server.ended()
	})
	if err != nil {
		return fmt.Errorf("the frontend of the Temporal server did not answer: %w", err)
	}
	for _, service := range []string{"history", "matching", "worker"} {
		c, err := start("Temporal's "+service+" service", slices.Concat(apart, []string{"--services", service})...)
		if err != nil {
			return err
		}
		t.others = append(t.others, c)
	}
	return nil
}

// stopLeftover ends the process that pidFile names, when it is still the one we
// started: its command line names our file. Its work is safe, it gets to stop in
// order.
func stopLeftover(ctx context.Context, what, pidFile, mark string, note func(string)) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return nil //nolint:nilerr // no such file: nothing runs
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 || !runs(pid, mark) {
		return nil //nolint:nilerr // a stale file
	}
	note("stopping the " + what + " that an earlier run left behind")
	// For PostgreSQL these three are its fast shutdown, its immediate one, the end.
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, s); err != nil {
			return nil //nolint:nilerr // it has just gone
		}
		if waitFor(ctx, stopPatience, func() bool { return !runs(pid, mark) }) == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("a %s (process %d) of an earlier run does not stop: end it first", what, pid)
}

// runs tells whether process pid is alive and has mark in its command line: after
// a reboot a number from a file may belong to anybody.
func runs(pid int, mark string) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if errors.Is(err, os.ErrNotExist) { // no /proc: a Mac, where ps is always there
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		command, err = exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	}
	return err == nil && strings.Contains(string(command), mark)
}

// flags are those of all processes of a server.
func (o TemporalOptions) flags(address, db string) []string {
	flags := []string{"--address", address, "--fairness=" + strconv.FormatBool(!o.Unfair), "--search-attributes", attributeNames()}
	if o.PostgresURL != "" {
		flags = append(flags, "--postgres", o.PostgresURL, "--postgres-visibility", o.VisibilityURL)
	} else {
		flags = append(flags, "--db", db)
	}
	if o.Stock {
		flags = append(flags, "--dynamic-config", "none")
	}
	return flags
}

// attributeNames are the search attributes of orders, with commas. The server has
// them from its start: those that are added later reach its services one by one.
func attributeNames() string {
	names := make([]string, len(order.Attributes))
	for i, a := range order.Attributes {
		names[i] = a.Name
	}
	return strings.Join(names, ",")
}
