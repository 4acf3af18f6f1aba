package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// seen are files with what the product shows of itself, besides its log: spans, as a
// collector of OpenTelemetry gets them; metrics; answers that are errors.
type seen struct {
	spans, metrics, errors *appended
	collector              *httptest.Server
}

func newSeen(dir string) *seen {
	s := &seen{
		spans:   &appended{path: filepath.Join(dir, "spans")},
		metrics: &appended{path: filepath.Join(dir, "metrics")},
		errors:  &appended{path: filepath.Join(dir, "errors")},
	}
	s.collector = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		s.spans.from(request.Body)
	}))
	return s
}

// environment lets a process send all its spans here.
func (s *seen) environment() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.collector.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_TRACES_SAMPLER=always_on"}
}

// appended is a file that many write to.
type appended struct {
	path string

	mu     sync.Mutex
	failed error // to write, so that nothing is proved
}

func (a *appended) from(r io.Reader) {
	text, err := io.ReadAll(r)
	if err != nil {
		return // of who was killed while it wrote
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(append(text, '\n'))
		err = errors.Join(err, f.Close())
	}
	a.failed = errors.Join(a.failed, err)
}

// complete says whether everything was kept.
func (a *appended) complete() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// watchMetrics keeps what the processes show, every few seconds until ctx is done,
// and once more: those that are killed forget it.
func (s *stack) watchMetrics(ctx context.Context) {
	for last := false; !last; {
		select {
		case <-ctx.Done():
			last = true
		case <-time.After(3 * time.Second):
		}
		for _, p := range append(append([]*process{}, s.workers...), s.servers...) {
			s.keepMetrics(context.WithoutCancel(ctx), p.metrics)
		}
	}
}

func (s *stack) keepMetrics(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return // it is dead just now
	}
	s.seen.metrics.from(response.Body)
	_ = response.Body.Close()
}

// secrets are what nothing that the product shows of itself may have.
func (s *stack) secrets() []string {
	list := []string{operatorKey, stripeSecret, stripeKey}
	if database, err := url.Parse(s.data.Config.DatabaseURL); err == nil {
		if password, ok := database.User.Password(); ok {
			list = append(list, password)
		}
	}
	for _, w := range s.customers {
		list = append(list, w.key, w.secret)
	}
	return append(list, s.clockwork.key, s.clockwork.secret)
}

// lookForSecrets looks for anybody's address and for secrets in the log, in spans and
// metrics, in errors and in Temporal's store, and for those who were erased and for
// keys in a dump of the database, which has every row of it.
func (s *stack) lookForSecrets(ctx context.Context, c *client) (proofs []proof, err error) {
	if err := errors.Join(s.seen.spans.complete(), s.seen.metrics.complete(), s.seen.errors.complete()); err != nil {
		return nil, fmt.Errorf("not everything that was shown could be kept: %w", err)
	}
	temporal, err := filepath.Glob(filepath.Join(s.dir, "data", "temporal", "temporal.db*"))
	if err != nil || len(temporal) == 0 {
		return nil, errors.Join(err, errors.New("Temporal's store is not where it is looked for"))
	}
	dump := filepath.Join(s.dir, "dump.sql")
	program, err := findDump()
	if err != nil {
		return nil, err
	}
	// With the password of the cluster, beside the proxy.
	if out, err := exec.CommandContext(ctx, program, "--file", dump, s.data.Config.DatabaseURL).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the database cannot be dumped: %w: %s", err, out)
	}
	var keys []string // what signs webhooks is in the database, as it has to be
	for _, w := range append(s.customers, s.clockwork.customer) {
		keys = append(keys, w.key)
	}
	for _, look := range []struct {
		what      string
		files     []string
		addresses bool
		texts     []string
	}{
		{"no address and no secret is in the log or in Temporal's store (bytes)", append(temporal, filepath.Join(s.dir, "product.log")), true, s.secrets()},
		{"nor in a span or a metric (bytes)", []string{s.seen.spans.path, s.seen.metrics.path}, true, s.secrets()},
		{"no secret is in an answer that is an error (bytes)", []string{s.seen.errors.path}, false, s.secrets()},
		{fmt.Sprintf("%d values of who was erased, and all keys, are in no row of a dump of the database (bytes)", len(c.erased)), []string{dump}, false, append(keys, c.erased...)},
	} {
		p := proof{what: look.what}
		unwanted, err := newUnwanted(look.addresses, look.texts)
		if err != nil {
			return nil, err
		}
		for _, file := range look.files {
			n, wrong, err := unwanted.search(file)
			if err != nil {
				return nil, err
			}
			p.of += n
			p.wrong = append(p.wrong, wrong...)
		}
		proofs = append(proofs, p)
	}
	return proofs, nil
}

func findDump() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump") // of the server's version, first
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath("pg_dump")
}
