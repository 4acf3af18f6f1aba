package postgres

import (
	"context"
	"net"
	"time"
)

const (
	// vanishedAfter is how long a server may leave what we send without an
	// acknowledgement, or keepalives without an answer, before a connection counts as
	// broken: a machine without power and a firewall that forgot the connection say
	// nothing. The operating system would wait for a quarter of an hour. It does not
	// limit statements: a server that computes acknowledges.
	vanishedAfter = 30 * time.Second

	// pongWithin is how long a connection that was idle may take to answer before
	// another one is used in its place.
	pongWithin = 5 * time.Second
)

// dialer returns a dialer of connections that end when the other side has been gone
// for that long.
func dialer(gone time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	const probes = 3
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: gone / 2, Interval: gone / 2 / probes, Count: probes},
		Control:         unacknowledged(gone),
	}
	return d.DialContext
}
