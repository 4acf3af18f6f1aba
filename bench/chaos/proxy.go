package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// proxy stands between the product and a server. It passes bytes on, late, or not
// at all, and breaks connections off.
type proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns map[net.Conn]bool
	delay time.Duration
	deaf  bool // nothing is passed on, and nobody is told: connections are half open
}

func startProxy(server string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // lives until the program ends
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, server: server, conns: map[net.Conn]bool{}}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.DialTimeout("tcp", p.server, 5*time.Second) //nolint:noctx // as above
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.keep(client, true)
	defer p.keep(client, false)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			p.pass(way[1], way[0])
			done <- struct{}{}
		}()
	}
	<-done
}

func (p *proxy) keep(c net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.conns[c] = true
	} else {
		delete(p.conns, c)
	}
}

func (p *proxy) pass(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		for p.waits() {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// waits holds back what passes: once for the delay, for ever while deaf.
func (p *proxy) waits() bool {
	p.mu.Lock()
	delay, deaf := p.delay, p.deaf
	p.mu.Unlock()
	if deaf {
		return true
	}
	time.Sleep(delay)
	return false
}

func (p *proxy) set(delay time.Duration, deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.deaf = delay, deaf
}

// cut breaks all connections off.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
