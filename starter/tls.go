package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"holdfast/internal/config"
)

// scheme is how addresses of serve begin.
func scheme(cfg config.Config) string {
	if cfg.HTTPTLSCert != "" {
		return "https"
	}
	return "http"
}

// secured speaks TLS with the certificate in the two files, where they are named.
func secured(plain net.Listener, cert, key string) (net.Listener, error) {
	if cert == "" {
		return plain, nil
	}
	pair := &certificate{cert: cert, key: key}
	if _, err := pair.get(nil); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return tls.NewListener(plain, &tls.Config{
		GetCertificate: pair.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

// certificate is read from its files again when one of them has changed. While
// they do not fit together, as in the middle of a renewal, the last good one stays.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	changed [2]time.Time
	loaded  *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := [2]time.Time{modified(c.cert), modified(c.key)}
	if c.loaded != nil && changed == c.changed {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err == nil:
		c.loaded, c.changed = &pair, changed
	case c.loaded == nil:
		return nil, fmt.Errorf("the certificate cannot be used; check HOLDFAST_HTTP_TLS_CERT and HOLDFAST_HTTP_TLS_KEY: %w", err)
	}
	return c.loaded, nil
}

// modified is when a file was written; zero where it is not there.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
