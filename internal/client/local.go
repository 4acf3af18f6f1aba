package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Local serves a handler to clients of this process, without a port that others
// could connect to: requests pass the same HTTP as over the network. stop ends it.
func Local(handler http.Handler) (transport http.RoundTripper, stop func()) {
	pipes := &pipes{calls: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(pipes) // ends with Close
	}()
	inside := &http.Transport{DialContext: pipes.dial}
	return inside, func() {
		inside.CloseIdleConnections()
		_ = server.Close()
		<-served
	}
}

// pipes is a listener within the process.
type pipes struct {
	calls  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.calls <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, errors.New("the server within this process has stopped")
	}
}

// Accept waits for the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.calls:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is where the listener is: nowhere.
func (p *pipes) Addr() net.Addr { return local{} }

// local is the address of this process.
type local struct{}

// Network names what connects the two ends.
func (local) Network() string { return "pipe" }

// String is what logs and limits take for this machine.
func (local) String() string { return "127.0.0.1:0" }
