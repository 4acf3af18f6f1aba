// Command holdfast starts things: the whole stack for a demonstration or for
// development, and every single step against a stack that is already running.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"holdfast/internal/client"
	"holdfast/internal/order"
)

// Exit codes. A command stopped by a signal exits with 128 + its number.
const (
	exitFailed = 1 // it could not be done
	exitUsage  = 2 // the command line or the request itself is wrong
	exitSignal = 128
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and answers with the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, caught := untilSignal(context.Background())
	c := newCLI(stdin, stdout, stderr)
	err := c.execute(ctx, args)
	if err == nil {
		return 0
	}
	if sig := caught(); sig != 0 && errors.Is(err, context.Canceled) {
		return exitSignal + int(sig)
	}
	code := exitFailed
	var usage *usageError
	var invalid *order.InvalidError
	if errors.As(err, &usage) || errors.As(err, &invalid) {
		code = exitUsage
	}
	if c.json || slices.Contains(args, "--json") { // a command line that was not understood has set nothing
		_ = json.NewEncoder(stderr).Encode(failureOf(err, code))
	} else {
		_, _ = fmt.Fprintln(stderr, sentence(err))
	}
	return code
}

// failure is an error as --json prints it: a problem of the API as that was
// answered.
type failure struct {
	client.Problem
	ExitCode int `json:"exit_code"`
}

func failureOf(err error, code int) failure {
	f := failure{client.Problem{Code: "failed"}, code}
	var refused *client.Problem
	if errors.As(err, &refused) {
		f.Problem = *refused
	} else if code == exitUsage {
		f.Code = "usage"
	}
	f.Detail = sentence(err)
	return f
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM, and
// a function that tells which signal that was, 0 while there was none. The
// second signal ends the process at once.
func untilSignal(parent context.Context) (context.Context, func() syscall.Signal) {
	ctx, cancel := context.WithCancel(parent)
	var caught atomic.Int32
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		sig, _ := (<-signals).(syscall.Signal)
		caught.Store(int32(sig))
		signal.Stop(signals)
		cancel()
	}()
	return ctx, func() syscall.Signal { return syscall.Signal(caught.Load()) }
}

// usageError is a command line that cannot be carried out as written.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// sentence makes an error readable as one sentence: a capital letter first, a
// full stop last, no line breaks between.
func sentence(err error) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")), " ")
	if text == "" {
		return "Something failed without saying what."
	}
	if first := text[0]; 'a' <= first && first <= 'z' && !strings.Contains(strings.SplitN(text, " ", 2)[0], "_") {
		text = string(first-'a'+'A') + text[1:]
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// program is how this program was called, for hints and examples that can be
// copied: "go run ./starter" from a checkout, else the path as it was typed.
func program() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./starter"
	}
	return os.Args[0]
}
