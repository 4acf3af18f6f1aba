package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// newUI returns Temporal's web UI, pointed at our own frontend.
func newUI(o options) (*server.Server, error) {
	host, port, err := split(o.uiAddress)
	if err != nil {
		return nil, err
	}
	_, frontend, err := split(o.address)
	if err != nil {
		return nil, err
	}
	cfg := &uiconfig.Config{
		TemporalGRPCAddress: net.JoinHostPort(loopback, strconv.Itoa(frontend)),
		Host:                host,
		Port:                port,
		EnableUI:            true,
		DefaultNamespace:    o.namespaces[0],
		DisableNewsFetch:    true, // nothing leaves this machine
		HideLogs:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("the UI's configuration: %w", err)
	}
	return server.NewServer(server_options.WithConfigProvider(cfg)), nil
}

// awaitUI returns when the UI answers its health check.
func awaitUI(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return until(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("the UI does not answer: %w", err)
		}
		return response.Body.Close()
	})
}
