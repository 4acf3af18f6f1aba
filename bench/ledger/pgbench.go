package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// yardstick is a pgbench load: its simple-update, or a script of one statement.
type yardstick struct {
	name    string
	clients int
	script  string
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

// run fills pgbench's tables the first time and returns transactions per second.
func (y yardstick) run(ctx context.Context, url string, length time.Duration) (float64, error) {
	program, err := findPgbench()
	if err != nil {
		return 0, err
	}
	if err := fill(ctx, program, url); err != nil {
		return 0, err
	}
	seconds := strconv.Itoa(max(1, int(length.Seconds()+0.5)))
	args := []string{"-n", "-M", "prepared", "-c", strconv.Itoa(y.clients), "-j", "2", "-T", seconds}
	if y.script == "" {
		args = append(args, "-N")
	} else {
		f, err := os.CreateTemp("", "pgbench-*.sql")
		if err != nil {
			return 0, err
		}
		defer func() { _ = os.Remove(f.Name()) }()
		_, err = f.WriteString(y.script)
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
		args = append(args, "-f", f.Name())
	}
	out, err := exec.CommandContext(ctx, program, append(args, url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench failed: %w: %s", err, out)
	}
	m := tps.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench printed no tps: %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

var filled sync.Once

func fill(ctx context.Context, program, url string) (err error) {
	filled.Do(func() {
		out, failure := exec.CommandContext(ctx, program, "-i", "-q", "-s", "10", url).CombinedOutput()
		if failure != nil {
			err = fmt.Errorf("pgbench could not fill its tables: %w: %s", failure, out)
		}
	})
	return err
}

func findPgbench() (string, error) {
	if p, err := exec.LookPath("pgbench"); err == nil {
		return p, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(found) == 0 {
		return "", errors.New("pgbench is the yardstick and was not found: install PostgreSQL's client programs")
	}
	return found[len(found)-1], nil
}
