package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresUser     = "holdfast"
	postgresDatabase = "holdfast"

	// startTimeout covers crash recovery after a kill -9 on a slow disk.
	startTimeout = 60 * time.Second
	// stopPatience is how long a server may take to flush and say goodbye.
	stopPatience = 10 * time.Second
)

// PostgresOptions say which PostgreSQL to use. The zero value is a private
// cluster in a temporary directory that Stop removes.
type PostgresOptions struct {
	// URL of a server that is there already (HOLDFAST_DATABASE_URL): nothing is
	// started and nothing stopped.
	URL string
	// Dir holds the cluster and outlives Stop: the next start finds the data.
	Dir string
	// Port on 127.0.0.1; 0 takes the port used last time in Dir, or a free one.
	Port int
	// Unsynced trades crash safety (fsync) for speed. Throwaway does, too, and opens
	// no TCP port. Only for databases that may be lost, such as those of tests.
	Unsynced, Throwaway bool
	// MaxConnections of the server; 0 means 300.
	MaxConnections int
	// Settings, such as "shared_preload_libraries=pg_stat_statements", beside ours.
	Settings []string
	// Note, when set, is called with a few words before anything that takes a while.
	Note func(string)
}

// Postgres is a running server, ours or one that was there.
type Postgres struct {
	// URL reaches the database from any program on this machine. The superuser's
	// password is part of it: keep it out of logs.
	URL string
	// SocketURL reaches the same database over the Unix socket, which costs less
	// per query. Equal to URL where there is no socket.
	SocketURL string
	// Started tells whether we started it.
	Started bool

	ours
}

// StartPostgres starts (or points to) PostgreSQL and returns once it answers.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if o.URL != "" {
		return &Postgres{URL: o.URL, SocketURL: o.URL}, nil
	}
	programs, err := findPostgres()
	if err != nil {
		return nil, err
	}
	var p *Postgres
	remove, err := inDir(o.Dir, "holdfast-postgres-", func(dir string) error {
		o.Dir = dir
		p, err = startCluster(ctx, programs, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.remove = remove
	return p, nil
}

// Stop ends the server in order (open transactions are rolled back) and removes
// what was temporary. It is safe to call twice, and on a server that was there.
func (p *Postgres) Stop() error {
	if p == nil {
		return nil
	}
	// SIGINT is PostgreSQL's "fast" shutdown, SIGQUIT its "immediate" one.
	return p.stop(syscall.SIGINT, syscall.SIGQUIT)
}

// RemovePostgres stops a server that a killed run left in dir and removes dir with
// all its data. It is no error when there is nothing to remove.
func RemovePostgres(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := &cluster{dir: resolved, options: PostgresOptions{Note: func(string) {}}}
	if err := c.stopLeftover(context.Background()); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(resolved), os.RemoveAll(dir))
}

// cluster is one data directory and how to run a server on it.
//
//	DIR/data          what initdb made
//	DIR/socket        the Unix socket, when the path is short enough for one
//	DIR/password      the superuser's, for TCP
//	DIR/port          the TCP port used last
//	DIR/postgres.log  what the server said since it was started last
type cluster struct {
	programs string // directory of initdb and postgres
	dir      string
	owner    *owner // who runs the server; nil: ourselves
	options  PostgresOptions
}

func startCluster(ctx context.Context, programs string, o PostgresOptions) (*Postgres, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	c := &cluster{programs: programs, options: o}
	if err := c.prepareDir(); err != nil {
		return nil, err
	}
	if err := c.stopLeftover(ctx); err != nil {
		return nil, err
	}
	password, err := c.init(ctx)
	if err != nil {
		return nil, err
	}
	port, err := c.pickPort()
	if err != nil {
		return nil, err
	}
	return c.start(ctx, password, port)
}

func (c *cluster) unsynced() bool  { return c.options.Unsynced || c.options.Throwaway }
func (c *cluster) data() string    { return filepath.Join(c.dir, "data") }
func (c *cluster) logFile() string { return filepath.Join(c.dir, "postgres.log") }

// socketDir is empty where the socket's path would be longer than the kernel
// takes (107 bytes, and 103 on a Mac).
func (c *cluster) socketDir() string {
	dir := filepath.Join(c.dir, "socket")
	if len(dir)+len("/.s.PGSQL.65535.lock") > 103 {
		return ""
	}
	return dir
}

// prepareDir makes the cluster's directory, owned by the user who runs the server.
func (c *cluster) prepareDir() error {
	dir, err := filepath.Abs(c.options.Dir)
	if err != nil {
		return err
	}
	if c.owner, err = serverOwner(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("the directory for PostgreSQL cannot be made: %w", err)
	}
	if c.owner != nil {
		if dir, err = c.owner.reachable(dir); err != nil {
			return err
		}
	}
	c.dir = dir
	folders := []string{c.dir}
	if socket := c.socketDir(); socket != "" {
		folders = append(folders, socket)
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("the directory for PostgreSQL cannot be made: %w", err)
		}
		if err := os.Chmod(folder, 0o700); err != nil {
			return fmt.Errorf("%s must be ours alone: %w", folder, err)
		}
		if c.owner != nil {
			if err := os.Chown(folder, c.owner.uid, c.owner.gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopLeftover stops a server that a killed run of ours left on this data.
func (c *cluster) stopLeftover(ctx context.Context) error {
	return stopLeftover(ctx, "PostgreSQL", filepath.Join(c.data(), "postmaster.pid"), c.data(), c.options.Note)
}

// init makes the cluster unless it is there, and returns its password.
func (c *cluster) init(ctx context.Context) (password string, err error) {
	passwordFile := filepath.Join(c.dir, "password")
	if _, err := os.Stat(filepath.Join(c.data(), "PG_VERSION")); err == nil {
		if err := c.checkVersion(ctx); err != nil {
			return "", err
		}
		text, err := os.ReadFile(passwordFile)
		if err != nil {
			return "", fmt.Errorf("the password of the cluster in %s cannot be read: %w", c.dir, err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	c.options.Note("making a PostgreSQL cluster in " + c.dir)
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	password = hex.EncodeToString(secret)
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	if c.owner != nil {
		if err := os.Chown(passwordFile, c.owner.uid, c.owner.gid); err != nil {
			return "", err
		}
	}
	// A kill in the middle of initdb must not leave half a cluster that looks
	// whole: it works under another name that is renamed at the end.
	fresh := c.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	args := []string{
		"-D", fresh, "--username=" + postgresUser, "--pwfile=" + passwordFile,
		"--auth-local=trust", "--auth-host=scram-sha-256", // the socket's folder is ours alone
		"--encoding=UTF8", "--locale=C", // the same order of text on every machine
	}
	if c.unsynced() {
		args = append(args, "--no-sync")
	}
	initdb := exec.CommandContext(ctx, filepath.Join(c.programs, "initdb"), args...)
	c.runAsOwner(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb could not make a cluster in %s: %w\n%s", c.dir, err, bytes.TrimSpace(out))
	}
	if err := os.Rename(fresh, c.data()); err != nil {
		return "", err
	}
	return password, nil
}

// checkVersion refuses data written by another major version, with words.
func (c *cluster) checkVersion(ctx context.Context) error {
	have, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(c.programs, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s/postgres does not run: %w", c.programs, err)
	}
	fields := strings.Fields(string(out)) // postgres (PostgreSQL) 15.18 (Debian …)
	major := strings.TrimSpace(string(have))
	if len(fields) < 3 || (fields[2] != major && !strings.HasPrefix(fields[2], major+".")) {
		return fmt.Errorf("the data in %s is of PostgreSQL %s, and %s holds %q: use --fresh, another --data-dir, or that version (pg_upgrade keeps the data)",
			c.dir, major, c.programs, strings.TrimSpace(string(out)))
	}
	return nil
}

func (c *cluster) pickPort() (int, error) {
	if c.options.Throwaway && c.socketDir() != "" {
		return 5432, nil // only names the socket
	}
	return pickPort("PostgreSQL", c.options.Port, filepath.Join(c.dir, "port"))
}

func (c *cluster) start(ctx context.Context, password string, port int) (*Postgres, error) {
	logFile, err := os.Create(c.logFile())
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // the server has its own handle

	cmd := exec.Command(filepath.Join(c.programs, "postgres"), c.settings(port)...) //nolint:noctx // lives until Stop
	cmd.Stdout, cmd.Stderr = logFile, logFile
	c.runAsOwner(cmd)
	server, err := startChild("PostgreSQL", cmd, syscall.SIGINT)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Started: true, ours: ours{server: server}}
	p.URL, p.SocketURL = c.urls(password, port)
	if err := c.awaitReady(ctx, p); err != nil {
		_ = p.Stop()
		return nil, err
	}
	// Next time the same port, so that a bookmark or a psql alias stays good.
	if err := os.WriteFile(filepath.Join(c.dir, "port"), []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		_ = p.Stop()
		return nil, err
	}
	return p, nil
}

// settings are given on the command line, so that they hold for clusters made by
// earlier versions of this program too.
func (c *cluster) settings(port int) []string {
	maxConnections := c.options.MaxConnections
	if maxConnections == 0 {
		maxConnections = 300
	}
	listen := "127.0.0.1"
	if c.options.Throwaway && c.socketDir() != "" {
		listen = ""
	}
	set := []string{
		"cluster_name=holdfast",
		"listen_addresses=" + listen,
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=" + c.socketDir(),
		"max_connections=" + strconv.Itoa(maxConnections),
		"shared_buffers=256MB",
		"max_wal_size=4GB", // no checkpoint in the middle of an import
		"checkpoint_timeout=15min",
		"jit=off", // our queries are short; compiling them costs more than it saves
		"log_line_prefix=%m [%p] %d ",
	}
	if c.unsynced() {
		set = append(set, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
	}
	args := []string{"-D", c.data()}
	for _, s := range append(set, c.options.Settings...) {
		args = append(args, "-c", s)
	}
	return args
}

func (c *cluster) urls(password string, port int) (tcp, socket string) {
	t := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + postgresDatabase,
	}
	tcp = t.String()
	if c.socketDir() == "" {
		return tcp, tcp
	}
	s := url.URL{
		Scheme: "postgres", User: url.User(postgresUser), Path: "/" + postgresDatabase,
		RawQuery: url.Values{"host": {c.socketDir()}, "port": {strconv.Itoa(port)}}.Encode(),
	}
	if c.options.Throwaway {
		tcp = s.String()
	}
	return tcp, s.String()
}

// awaitReady waits until the server takes connections and has our database.
func (c *cluster) awaitReady(ctx context.Context, p *Postgres) error {
	maintenance, err := url.Parse(p.SocketURL)
	if err != nil {
		return err
	}
	maintenance.Path = "/postgres"
	var conn *pgx.Conn
	err = waitFor(ctx, startTimeout, func() bool {
		if p.server.ended() {
			return true
		}
		conn, err = pgx.Connect(ctx, maintenance.String())
		return err == nil
	})
	if p.server.ended() {
		return fmt.Errorf("PostgreSQL ended as soon as it was started:\n%s", lastLines(c.logFile(), 5))
	}
	if err != nil {
		return fmt.Errorf("PostgreSQL did not get ready: %w; its log is %s", err, c.logFile())
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, postgresDatabase).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{postgresDatabase}.Sanitize()); err != nil {
			return fmt.Errorf("the database cannot be made: %w", err)
		}
	}
	return nil
}

// runAsOwner lets cmd run as the server's user, in a directory that one may see.
func (c *cluster) runAsOwner(cmd *exec.Cmd) {
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if c.owner != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(c.owner.uid), Gid: uint32(c.owner.gid),
		}}
	}
}
