//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// unacknowledged is the operating system's business here.
func unacknowledged(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
