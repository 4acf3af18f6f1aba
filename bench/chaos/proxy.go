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

	mu      sync.Mutex
	conns   map[net.Conn]bool
	trouble trouble
}

// trouble is what a proxy does to what passes.
type trouble struct {
	delay time.Duration
	deaf  bool // nothing is passed on, without an error: connections are half open
	loses bool // questions pass, answers do not: the connection breaks off
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
			p.pass(way[1], way[0], way[0] == server)
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

func (p *proxy) pass(to io.Writer, from io.Reader, answers bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		t := p.now()
		for ; t.deaf; t = p.now() {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(t.delay)
		if t.loses && answers {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) now() trouble {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

func (p *proxy) set(t trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = t
}

// cut breaks all connections off.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
