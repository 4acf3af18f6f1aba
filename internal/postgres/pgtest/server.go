package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/devstack"
)

// All test processes of a user share one throwaway server. `go test ./...` runs
// many of them at once, some end by kill -9, and none can know that it is the
// last; so the server has a keeper: a copy of the test program, started by
// the first one, that runs nothing but the server and ends it when no process
// has used it for a while. File locks show who is alive, which the kernel
// releases however a process ends:
//
//	users.lock   shared by every test process, for as long as it lives
//	keeper.lock  held by the keeper, for as long as it lives; has its process number
//	start.lock   held by a test process while it starts a keeper
//	url          the server's URL, written by the keeper when it is ready
//	dir          the server's directory, for the next keeper to clear up
const (
	// keeperEnv turns a test program into the keeper; its value is the folder of
	// the files above.
	keeperEnv = "HOLDFAST_PGTEST_KEEPER"
	// idleEnv says how long the server stays without a user.
	idleEnv = "HOLDFAST_PGTEST_IDLE"
	// defaultIdle bridges the compile time between two packages.
	defaultIdle = 20 * time.Second
)

func init() {
	folder := os.Getenv(keeperEnv)
	if folder == "" {
		return
	}
	if err := keep(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// findServer returns a server on which databases may be created.
func findServer(ctx context.Context) (*server, error) {
	if url := os.Getenv("HOLDFAST_DATABASE_URL"); url != "" {
		return &server{url: url}, nil
	}
	s, err := keptServer(ctx)
	if err != nil {
		return nil, err
	}
	// With fsync off, copying the files takes a third of the time that copying
	// through the log takes (the server's default since PostgreSQL 15).
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var choice bool
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int >= 150000`).Scan(&choice); err != nil {
		return nil, err
	}
	if choice {
		s.strategy = " STRATEGY file_copy"
	}
	return s, nil
}

// keptServer returns the private server, and starts it when it does not run.
func keptServer(ctx context.Context) (*server, error) {
	folder, err := devstack.CacheDir("pgtest")
	if err != nil {
		return nil, err
	}
	users, err := lock(filepath.Join(folder, "users.lock"), syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	if url, err := running(ctx, folder); err == nil {
		return &server{url: url, users: users}, nil
	}
	starting, err := lock(filepath.Join(folder, "start.lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = starting.Close() }()
	var ended chan struct{} // set when the keeper is ours
	for {
		url, err := running(ctx, folder) // another process may have been first
		if err == nil {
			return &server{url: url, users: users}, nil
		}
		if errors.Is(err, errNoKeeper) && ended == nil {
			if ended, err = startKeeper(folder); err != nil {
				return nil, err
			}
		}
		select {
		case <-ended:
			said, err := os.ReadFile(filepath.Join(folder, "keeper.log"))
			return nil, errors.Join(errors.New(strings.TrimSpace(string(said))), err)
		case <-ctx.Done():
			return nil, fmt.Errorf("the server for tests did not get ready in time (%w); see %s", err, filepath.Join(folder, "keeper.log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var errNoKeeper = errors.New("no server is running")

// running returns the URL of the kept server, if there is one that answers.
func running(ctx context.Context, folder string) (string, error) {
	keeper, err := lock(filepath.Join(folder, "keeper.lock"), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_ = keeper.Close()
		return "", errNoKeeper
	}
	text, err := os.ReadFile(filepath.Join(folder, "url"))
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, string(text))
	if err != nil {
		return "", err
	}
	return string(text), conn.Close(ctx)
}

// startKeeper starts this very program as the keeper. The channel tells when it
// has ended.
func startKeeper(folder string) (ended chan struct{}, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(folder, "keeper.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }() // the keeper has its own handle
	cmd := exec.Command(program)           //nolint:noctx // outlives us
	cmd.Env = append(os.Environ(), keeperEnv+"="+folder)
	cmd.Dir = "/"
	// Not our output: `go test` waits until everybody has closed it.
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended = make(chan struct{})
	go awaitKeeper(cmd, ended)
	return ended, nil
}

// awaitKeeper outlives all tests, as the keeper does; see VerifyNoLeaks.
func awaitKeeper(cmd *exec.Cmd, ended chan<- struct{}) {
	defer close(ended)
	_ = cmd.Wait() // what went wrong is in the log
}

// keep runs the server until it was not used for a while.
func keep(folder string) error {
	keeper, err := lock(filepath.Join(folder, "keeper.lock"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	if err := os.WriteFile(keeper.Name(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	idle := defaultIdle
	if text := os.Getenv(idleEnv); text != "" {
		if idle, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("%s is %q; write a duration such as 20s", idleEnv, text)
		}
	}
	urlFile, dirFile := filepath.Join(folder, "url"), filepath.Join(folder, "dir")
	_ = os.Remove(urlFile)
	// What a killed keeper left behind.
	if old, err := os.ReadFile(dirFile); err == nil {
		if err := devstack.RemovePostgres(string(old)); err != nil {
			return err
		}
	}
	dir, err := devstack.TempDir("holdfast-pgtest-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(dirFile, []byte(dir), 0o600); err != nil {
		return err
	}
	server, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{
		Dir: dir, Throwaway: true, MaxConnections: 500,
	})
	if err != nil {
		return err
	}
	// Written under another name first: a reader sees all of it or nothing.
	if err := os.WriteFile(urlFile+".new", []byte(server.SocketURL), 0o600); err != nil {
		return errors.Join(err, server.Stop())
	}
	if err := os.Rename(urlFile+".new", urlFile); err != nil {
		return errors.Join(err, server.Stop())
	}
	users := awaitIdle(server, filepath.Join(folder, "users.lock"), idle)
	// Held to the end: a process that comes now waits, and starts the next keeper.
	defer func() { _ = users.Close() }()
	return errors.Join(os.Remove(urlFile), server.Stop(), os.Remove(dirFile))
}

// awaitIdle returns when no test process has lived for so long, with the lock that
// keeps new ones waiting; or without it when the server itself has ended.
func awaitIdle(server *devstack.Postgres, usersFile string, idle time.Duration) *os.File {
	lastUse := time.Now()
	for {
		select {
		case <-server.Done():
			return nil
		case <-time.After(250 * time.Millisecond):
		}
		users, err := lock(usersFile, syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err != nil:
			lastUse = time.Now()
		case time.Since(lastUse) > idle:
			return users
		default:
			_ = users.Close()
		}
	}
}

// lock opens the file and locks it in this way; closing it unlocks.
func lock(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s is locked: %w", path, err)
	}
	return file, nil
}
