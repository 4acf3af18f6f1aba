package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/config"
)

// demoDatabase makes a database of its own for the demo on a server that was
// there before, and returns a function that drops it. Where the demo starts
// its own server there is nothing to do.
func demoDatabase(ctx context.Context, cfg config.Config) (config.Config, func() error, error) {
	if cfg.DatabaseURL == "" {
		return cfg, func() error { return nil }, nil
	}
	server, name := cfg.DatabaseURL, "holdfast_demo_"+strings.ToLower(rand.Text()[:8])
	if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
		return cfg, nil, fmt.Errorf("the demo needs a database of its own on the server of HOLDFAST_DATABASE_URL: %w", err)
	}
	cfg.DatabaseURL = withDatabase(server, name)
	return cfg, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return execute(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)")
	}, nil
}

func execute(ctx context.Context, server, sql string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// withDatabase is the same server with another database.
func withDatabase(server, name string) string {
	if at, err := url.Parse(server); err == nil && at.Scheme != "" {
		at.Path = "/" + name
		return at.String()
	}
	return server + " dbname=" + name
}
