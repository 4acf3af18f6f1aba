// Package client talks to the API over HTTP: what every command of the command
// line goes through. It knows how requests are authorized, repeated and refused,
// and nothing of what they are about. See README.md for what it promises.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Prefix is where the API begins at a server's address.
const Prefix = "/api/v1"

// Config says which API a client talks to.
type Config struct {
	URL       string            // address of the server, with or without Prefix
	Key       string            // API key or operator key
	Agent     string            // User-Agent
	Cell      string            // where there are several, the one for what is about no organization
	Transport http.RoundTripper // nil: the network
	Pause     time.Duration     // before the first repetition; 0: 200 ms
}

// Client is safe for concurrent use.
type Client struct {
	base  string
	key   string
	agent string
	cell  string
	http  *http.Client
	pause time.Duration
}

// New returns a client. It connects to nothing yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the address of a server; write it as https://holdfast.example", c.URL)
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	if c.Pause == 0 {
		c.Pause = 200 * time.Millisecond
	}
	return &Client{
		base: strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), Prefix) + Prefix, key: c.Key, agent: c.Agent, cell: c.Cell, pause: c.Pause,
		http: &http.Client{
			Transport: transport,
			// A key is for the address that was given, and for no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Server is the address of the server.
func (c *Client) Server() string { return strings.TrimSuffix(c.base, Prefix) }

// Request is one call of the API.
type Request struct {
	Method string
	Path   string // below Prefix
	Query  url.Values
	Body   any    // JSON; nil: none
	Key    string // idempotency key; of a POST without one, a new one

	// File is sent as it comes, in place of Body, and only once.
	File        io.Reader
	ContentType string // of the file
}

// Get reads what there is at a path.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

// Post sends a body to a path.
func (c *Client) Post(ctx context.Context, path string, query url.Values, body, out any) error {
	return c.Do(ctx, Request{Method: http.MethodPost, Path: path, Query: query, Body: body}, out)
}

// Do carries out a request and decodes the answer into out, which may be nil.
// What the API refuses is a *Problem.
func (c *Client) Do(ctx context.Context, r Request, out any) error {
	response, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if out == nil || response.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s cannot be read; is it the address of Holdfast? (%w)", c.Server(), err)
	}
	return nil
}

// Download writes the answer to a request into w.
func (c *Client) Download(ctx context.Context, path string, query url.Values, w io.Writer) error {
	response, err := c.send(ctx, Request{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("the download broke off; what was written is not complete: %w", err)
	}
	return nil
}

// send carries out a request until it is answered, with what is worth repeating
// repeated.
func (c *Client) send(ctx context.Context, r Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("the request cannot be written: %w", err)
		}
	}
	if r.Key == "" && r.Method == http.MethodPost {
		r.Key = "cli-" + strings.ToLower(rand.Text()) // the same in every repetition
	}
	for attempt := 1; ; attempt++ {
		response, err := c.attempt(ctx, r, body)
		if err == nil && response.StatusCode < 300 {
			return response, nil
		}
		again := waitFor(c.pause, attempt, response, err)
		if response != nil {
			err = problemOf(response)
		} else {
			err = c.unreachable(ctx, err)
		}
		if again < 0 || r.File != nil || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(again):
		}
	}
}

func (c *Client) attempt(ctx context.Context, r Request, body []byte) (*http.Response, error) {
	at := c.base + r.Path
	if len(r.Query) > 0 {
		at += "?" + r.Query.Encode()
	}
	source, kind := r.File, r.ContentType
	if source == nil && r.Body != nil {
		source, kind = bytes.NewReader(body), "application/json"
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, at, source)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("User-Agent", c.agent)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if r.Key != "" {
		request.Header.Set("Idempotency-Key", r.Key)
	}
	if c.cell != "" {
		request.Header.Set("Holdfast-Cell", c.cell)
	}
	return c.http.Do(request)
}

// ErrUnreachable says that the server does not answer.
var ErrUnreachable = errors.New("does not answer")

// unreachable is the error of a request without an answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var cause *url.Error
	if errors.As(err, &cause) {
		err = cause.Err // which does not repeat the address with its query
	}
	return fmt.Errorf("%s %w: %w", c.Server(), ErrUnreachable, err)
}
