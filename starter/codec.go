package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/codec"
	"holdfast/internal/config"
)

func (a *app) codecServerCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "codec-server",
		Short: "Decrypt what Temporal's UI and command line show",
		Long: `Decrypts payloads for Temporal's UI and command line on HOLDFAST_CODEC_ADDR
(127.0.0.1:8234), with the keys of HOLDFAST_CODEC_KEYS. Only requests with
"Authorization: Bearer TOKEN" of HOLDFAST_CODEC_TOKEN are answered, and pages only
of the origins in HOLDFAST_CODEC_ORIGINS.

With HOLDFAST_HTTP_TLS_CERT and HOLDFAST_HTTP_TLS_KEY it speaks HTTPS, which pages
that are HTTPS themselves need.`,
		Example: examples("holdfast codec-server", "temporal workflow show --workflow-id ord_… --codec-endpoint http://127.0.0.1:8234 --codec-auth \"Bearer TOKEN\""),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.serveCodec(cmd.Context()) },
	}
}

func (a *app) serveCodec(ctx context.Context) error {
	cfg, err := config.Load(ctx)
	if err != nil {
		return err
	}
	if cfg.Codec.Keys == "" || cfg.Codec.Token == "" {
		return errors.New("a codec server needs HOLDFAST_CODEC_KEYS, which decrypt, and HOLDFAST_CODEC_TOKEN, which callers must have")
	}
	keys, err := codec.New(cfg.Codec.Keys)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cfg.Codec.Addr, "HOLDFAST_CODEC_ADDR")
	if err != nil {
		return err
	}
	address := listener.Addr()
	if listener, err = secured(listener, cfg.HTTPTLSCert, cfg.HTTPTLSKey); err != nil {
		return err
	}
	a.note("Decrypting on %s://%s; Ctrl-C stops.", scheme(cfg), address)
	server := &http.Server{
		Handler: keys.Handler(cfg.Codec.Token, cfg.Codec.Origins), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the codec server stopped: %w", err)
	}
	return nil
}
