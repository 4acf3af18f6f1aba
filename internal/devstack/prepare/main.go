// Command prepare builds the Temporal dev server into the user's cache, so that
// a program that starts it later (a test with a time limit) does not have to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"holdfast/internal/devstack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	note := func(text string) { fmt.Fprintln(os.Stderr, text) }
	if _, err := devstack.DevServer(ctx, note); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
