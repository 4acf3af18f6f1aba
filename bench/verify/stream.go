package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/bench/report"
	"holdfast/internal/maillab"
)

// memoryTarget is what `starter verify` may have resident, in bytes.
const memoryTarget = 256 << 20

// streamed are the figures of a long list that goes through `starter verify`.
type streamed struct {
	took    time.Duration
	peak    int64 // most memory resident, in bytes
	unknown int
}

// measureStream runs the program as its users do, with n addresses on its
// standard input, and watches its memory.
func measureStream(ctx context.Context, n int, r *report.Report) error {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	program := filepath.Join(dir, "holdfast")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./starter")
	build.Dir = ".." // of the benchmarks' module
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("the program cannot be built; run this in the folder bench: %w", err)
	}
	table := r.Table("memory", "list", "addresses", "seconds", "addresses/s", "peak resident MB", "target", "unknown/1,000")
	for _, w := range []struct {
		name string
		lab  maillab.Config
	}{
		{"100,000 domains at shared hosts, in no order", maillab.Config{Domains: 100_000, Only: []maillab.Kind{maillab.Shared}}},
		{"the usual mix of 10,000 domains, odd ones too", maillab.Config{Domains: 10_000}},
	} {
		s, err := stream(ctx, program, w.lab, n)
		if err != nil {
			return err
		}
		table.Add(w.name, n, s.took.Seconds(), float64(n)/s.took.Seconds(), float64(s.peak)/(1<<20), fmt.Sprintf("≤ %d", memoryTarget>>20), 1000*s.unknown/n)
	}
	return nil
}

func stream(ctx context.Context, program string, config maillab.Config, n int) (s streamed, err error) {
	lab, err := maillab.Start(config)
	if err != nil {
		return s, err
	}
	defer lab.Close()
	emails := lab.World().Emails(n, 0.5)
	cmd := exec.CommandContext(ctx, program, "verify", "-")
	cmd.Env = append(os.Environ(), "HOLDFAST_DNS_SERVERS="+lab.DNSAddr(),
		"HOLDFAST_SMTP_PORT="+strconv.Itoa(lab.SMTPPort()), "HOLDFAST_SMTP_ALLOW=127.64.0.0/10", "HOLDFAST_SMTP_HELO=bench.test")
	cmd.Stdin = strings.NewReader(strings.Join(emails, "\n"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	lines, wrong := 0, 0
	for scan := bufio.NewScanner(out); scan.Scan(); lines++ {
		email, verdict := fieldOf(scan.Text(), "email"), fieldOf(scan.Text(), "verdict")
		switch truth := lab.Truth(email); {
		case lines >= n || email != emails[lines]:
			wrong++
		case verdict == "unknown":
			s.unknown++
		case truth.Wrong(verdict):
			wrong++
		}
		if lines%10_000 == 0 || lines >= n-100 {
			if peak, err := peakMemory(cmd.Process.Pid); err == nil { // it may have ended
				s.peak = max(s.peak, peak)
			}
		}
	}
	s.took = time.Since(start)
	if err := cmd.Wait(); err != nil {
		return s, fmt.Errorf("starter verify failed: %w", err)
	}
	if lines != n || wrong > 0 {
		return s, fmt.Errorf("of %d addresses %d were answered, %d of them wrongly", n, lines, wrong)
	}
	return s, nil
}

// fieldOf takes a text field out of a line of JSON that we wrote ourselves.
func fieldOf(line, name string) string {
	_, rest, _ := strings.Cut(line, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// peakMemory is the most a process has had resident so far, in bytes: VmHWM in
// proc(5).
func peakMemory(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	status, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, errors.New("the kernel does not tell how much memory a process has had")
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes << 10, err
}
