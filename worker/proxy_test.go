package main_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// moment is an instant in the life of a worker: just before the database learns
// of a statement, or when the transaction that it is a part of has been
// committed and no answer has been sent yet.
type moment struct {
	statement string // how it begins, with single spaces
	nth       int    // which one of these, from 1
	committed bool
}

// proxy stands between a worker and PostgreSQL and passes on what they say,
// until the moment that it waits for: then it calls strike and passes on
// nothing more. It understands as much of PostgreSQL's protocol, version 3, as
// is needed to see statements and the ends of transactions.
type proxy struct {
	listener net.Listener
	network  string
	server   string // host:port, or a socket

	mu     sync.Mutex
	moment *moment // nil: none
	seen   int     // statements that begin like it
	strike func()
	record *[]string // where statements are noted; nil: nowhere
	conns  []net.Conn
}

// cut ends all connections and takes no more.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
}

func startProxy(server string) (*proxy, error) { return startProxyTo("tcp", server) }

func startProxyTo(network, server string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, network: network, server: server}
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

// await calls strike at the moment, once.
func (p *proxy) await(m moment, strike func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moment, p.seen, p.strike = &m, 0, strike
}

// recordTo notes the statements from now on, until it is called with nil.
func (p *proxy) recordTo(list *[]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = list
}

// sees counts a statement and reports whether it is the one waited for, and
// whether the strike comes at its commit.
func (p *proxy) sees(statement string) (now, atCommit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record != nil && statement != "" {
		*p.record = append(*p.record, statement)
	}
	if p.moment == nil || !strings.HasPrefix(statement, p.moment.statement) {
		return false, false
	}
	p.seen++
	hit := p.seen == p.moment.nth
	return hit && !p.moment.committed, hit && p.moment.committed
}

func (p *proxy) now() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moment = nil
	p.strike()
}

// link is one connection of the worker's.
type link struct {
	*proxy
	client, server net.Conn
	statements     map[string]string // prepared ones, by name
	committing     atomic.Bool       // the next commit is the moment
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial(p.network, p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	p.conns = append(p.conns, client)
	p.mu.Unlock()
	l := &link{proxy: p, client: client, server: server, statements: map[string]string{}}
	// The first message of a client has no type.
	if first, err := readMessage(client, 0); err != nil || write(server, first) != nil {
		return
	}
	done := make(chan struct{}, 2)
	for _, pass := range []func() error{l.ask, l.answer} {
		go func() {
			_ = pass() // one that ends ends the other
			done <- struct{}{}
		}()
	}
	<-done
}

var errStruck = errors.New("the worker was struck")

// ask passes on what the worker says.
func (l *link) ask() error {
	for {
		m, err := readMessage(l.client, 1)
		if err != nil {
			return err
		}
		statement := ""
		switch text := m[5:]; m[0] {
		case 'P': // parse: name, statement
			name, rest, _ := strings.Cut(string(text), "\x00")
			sql, _, _ := strings.Cut(rest, "\x00")
			l.statements[name] = strings.Join(strings.Fields(sql), " ")
		case 'B': // bind: portal, name of the statement that will be executed
			_, rest, _ := strings.Cut(string(text), "\x00")
			name, _, _ := strings.Cut(rest, "\x00")
			statement = l.statements[name]
		}
		now, atCommit := l.sees(statement)
		if now {
			l.now()
			return errStruck
		}
		if atCommit {
			l.committing.Store(true)
		}
		if err := write(l.server, m); err != nil {
			return err
		}
	}
}

// answer passes on what PostgreSQL says. From the statement waited for on it
// holds answers back until "ready for query" tells whether a transaction is
// still open.
func (l *link) answer() error {
	var held []byte
	for {
		m, err := readMessage(l.server, 1)
		if err != nil {
			return err
		}
		if l.committing.Load() {
			held = append(held, m...)
			if m[0] != 'Z' {
				continue
			}
			if m[5] == 'I' {
				l.now()
				return errStruck
			}
			m, held = held, nil
		}
		if err := write(l.client, m); err != nil {
			return err
		}
	}
}

// readMessage reads a message: its type, where there is one, four bytes of
// length that count themselves, and the text.
func readMessage(from io.Reader, typed int) ([]byte, error) {
	head := make([]byte, typed+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	m := make([]byte, typed+int(binary.BigEndian.Uint32(head[typed:])))
	copy(m, head)
	_, err := io.ReadFull(from, m[len(head):])
	return m, err
}

func write(to io.Writer, m []byte) error {
	_, err := to.Write(m)
	return err
}
