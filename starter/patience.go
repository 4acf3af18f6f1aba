package main

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// patience is how long a client is waited for, on every route: one that sends its
// body or takes its answer byte by byte would keep a connection for ever. Routes
// whose bodies or answers may take longer set deadlines of their own.
type patience struct {
	body  time.Duration // for all of a body to arrive
	write time.Duration // for what is written at once to be taken
}

var usualPatience = patience{body: 20 * time.Second, write: 30 * time.Second}

// with bounds all requests that next answers.
func (p patience) with(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := &promptly{ResponseWriter: w, control: http.NewResponseController(w), patience: p}
		if r.Body != nil && r.Body != http.NoBody {
			r = r.WithContext(r.Context()) // the server looks at the body of its own request
			to.from = &arriving{ReadCloser: r.Body, control: to.control}
			r.Body = to.from
			to.hurry()
			defer to.hurry()
		}
		next.ServeHTTP(to, r)
	})
}

// arriving is a body. When all of it is there, nothing more is waited for: the
// answer may take long.
type arriving struct {
	io.ReadCloser
	control *http.ResponseController
	ended   bool
}

func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		a.ended = true
		_ = a.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// promptly is a writer to a client that must send its request and take its answer.
type promptly struct {
	http.ResponseWriter
	control *http.ResponseController
	patience
	from    *arriving // nil where the request has no body
	written bool
}

// hurry bounds what is left of the body, which the server reads before it answers,
// also where no route has read it.
func (p *promptly) hurry() {
	if p.from != nil && !p.from.ended {
		_ = p.control.SetReadDeadline(time.Now().Add(p.body)) // not every connection has one
	}
}

// WriteHeader begins the answer.
func (p *promptly) WriteHeader(status int) {
	p.written = true
	p.hurry()
	p.ResponseWriter.WriteHeader(status)
}

// Write gives the client time for this part.
func (p *promptly) Write(b []byte) (int, error) {
	if !p.written {
		p.WriteHeader(http.StatusOK)
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.write)) // not every connection has one
	return p.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the connection below.
func (p *promptly) Unwrap() http.ResponseWriter { return p.ResponseWriter }
