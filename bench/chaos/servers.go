package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/devstack"
)

// diskSize is what PostgreSQL gets; its log is kept small beside it.
const diskSize = 1 << 30

var postgresSettings = []string{"max_wal_size=128MB", "min_wal_size=64MB"}

// disk is a small one of PostgreSQL's own, so that it can be full.
type disk struct{ dir string }

// mountDisk needs the rights to mount; without them there is no such disk.
func mountDisk(dir string) *disk {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		note("no disk of its own for PostgreSQL, so it is never full: " + err.Error())
		return nil
	}
	return &disk{dir}
}

func (d *disk) unmount() error {
	if d == nil {
		return nil
	}
	return unix.Unmount(d.dir, unix.MNT_DETACH)
}

// fill takes all that is left of the disk until the returned function is called.
func (d *disk) fill() (empty func()) {
	path := filepath.Join(d.dir, "chaos")
	file, err := os.Create(path)
	if err != nil {
		return func() {}
	}
	block := make([]byte, 1<<20)
	for len(block) >= 512 {
		if _, err := file.Write(block); err != nil {
			block = block[:len(block)/2] // what is left is smaller
		}
	}
	return func() { _ = errors.Join(file.Close(), os.Remove(path)) }
}

// postmaster and temporalPID are the processes of the servers; 0: not running.
func (s *stack) postmaster() int {
	return readPID(filepath.Join(s.dir, "data", "postgres", "data", "postmaster.pid"))
}

func (s *stack) temporalPID() int {
	return readPID(filepath.Join(s.dir, "data", "temporal", "temporal.pid"))
}

func readPID(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

func send(pid int, sig syscall.Signal) {
	if pid > 1 {
		_ = syscall.Kill(pid, sig) // it may have ended by itself
	}
}

func freeze(pid int, rng *rand.Rand) {
	send(pid, syscall.SIGSTOP)
	time.Sleep(time.Duration(200+rng.IntN(2500)) * time.Millisecond)
	send(pid, syscall.SIGCONT)
}

// superviseServers starts PostgreSQL and Temporal again when they have ended, on
// the same data and ports.
func (s *stack) superviseServers() {
	for {
		s.mu.Lock()
		stopping, data := s.stopping, s.data
		s.mu.Unlock()
		if stopping {
			return
		}
		select {
		case <-data.Postgres.Done():
			p, err := devstack.StartPostgres(context.Background(), devstack.PostgresOptions{
				Dir: filepath.Join(s.dir, "data", "postgres"), Settings: postgresSettings,
			})
			s.replace(func(d *devstack.Servers) { d.Postgres = p }, err)
		case <-data.Temporal.Done():
			t, err := devstack.StartTemporal(context.Background(), devstack.TemporalOptions{Dir: filepath.Join(s.dir, "data", "temporal")})
			s.replace(func(d *devstack.Servers) { d.Temporal = t }, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// replace takes a server that was started again in place of the one that ended.
// Where it did not start (the disk is full still, say), it is tried again.
func (s *stack) replace(set func(*devstack.Servers), err error) {
	if err != nil {
		time.Sleep(300 * time.Millisecond)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data := *s.data
	set(&data)
	s.data = &data
}

// backend is a random session of PostgreSQL's; 0: none can be found now.
func (s *stack) backend(ctx context.Context) (pid int) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if s.app.Pool.QueryRow(ctx, `
		SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1`).Scan(&pid) != nil {
		return 0
	}
	return pid
}
