package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protojson"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

const eventually = 2 * time.Minute // of a busy machine

// authority is a certificate authority of our own, in ca.pem of its folder.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: temporary(t)}
	a.key, a.cert = a.issue(big.NewInt(1), "ca.pem", "ca.key")
	return a
}

// issue writes a certificate for 127.0.0.1 and its key; the first one is the
// authority's own.
func (a *authority) issue(serial *big.Int, certFile, keyFile string) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.cert == nil, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	write := func(name, kind string, der []byte) {
		require.NoError(a.t, os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	write(certFile, "CERTIFICATE", der)
	write(keyFile, "PRIVATE KEY", private)
	return key, cert
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// client trusts the authority alone, and makes a connection for each request.
func (a *authority) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: a.pool(), MinVersion: tls.VersionTLS12}}}
}

// secureTemporal puts TLS in front of a Temporal server, for clients that have a
// certificate, and returns its address and the settings of a client.
func (a *authority) secureTemporal(server string) (address string, env map[string]string) {
	a.t.Helper()
	a.issue(big.NewInt(8), "temporal.pem", "temporal.key")
	a.issue(big.NewInt(9), "worker.pem", "worker.key")
	cert, err := tls.LoadX509KeyPair(a.file("temporal.pem"), a.file("temporal.key"))
	require.NoError(a.t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
		NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})
	require.NoError(a.t, err)
	a.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			outside, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go pass(a.t.Context(), outside, server)
		}
	}()
	return listener.Addr().String(), map[string]string{
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH": a.file("ca.pem"),
		"TEMPORAL_TLS_CLIENT_CERT_PATH":    a.file("worker.pem"),
		"TEMPORAL_TLS_CLIENT_KEY_PATH":     a.file("worker.key"),
	}
}

// pass carries bytes between a connection and a server until one of them ends.
func pass(ctx context.Context, outside net.Conn, server string) {
	defer outside.Close()
	var dialer net.Dialer
	inside, err := dialer.DialContext(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer inside.Close()
	go func() {
		_, _ = io.Copy(inside, outside)
		_ = inside.Close()
	}()
	_, _ = io.Copy(outside, inside)
}

// refusesStrangers: who does not trust the authority, or has no certificate of it,
// does not reach Temporal.
func refusesStrangers(t *testing.T, address string, env map[string]string) {
	t.Helper()
	reach := func(without string) error {
		for name, value := range env {
			t.Setenv(name, value)
			if strings.Contains(name, without) {
				require.NoError(t, os.Unsetenv(name))
			}
		}
		options, err := config.Config{TemporalAddress: address, TemporalNamespace: "default"}.Temporal()
		require.NoError(t, err)
		temporal, err := client.DialContext(t.Context(), options)
		if err == nil {
			temporal.Close()
		}
		return err
	}
	require.NoError(t, reach("nothing"))
	require.Error(t, reach("SERVER_CA"))
	require.Error(t, reach("CLIENT"))
}

// securePostgres turns TLS on and returns the URL that demands it.
func (a *authority) securePostgres(parts *wire.App, dataDir string) string {
	a.t.Helper()
	info, err := os.Stat(dataDir)
	require.NoError(a.t, err)
	owner, ok := info.Sys().(*syscall.Stat_t)
	require.True(a.t, ok)
	a.issue(big.NewInt(7), "postgres.pem", "postgres.key")
	for _, name := range []string{"postgres.pem", "postgres.key"} {
		require.NoError(a.t, os.Chown(a.file(name), int(owner.Uid), int(owner.Gid)))
	}
	for _, statement := range []string{
		"ALTER SYSTEM SET ssl_cert_file = '" + a.file("postgres.pem") + "'", "ALTER SYSTEM SET ssl_key_file = '" + a.file("postgres.key") + "'",
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()",
	} {
		_, err := parts.Pool.Exec(a.t.Context(), statement)
		require.NoError(a.t, err)
	}
	url, more := parts.Config.DatabaseURL, "?"
	if strings.Contains(url, "?") {
		more = "&"
	}
	url = strings.ReplaceAll(url, "sslmode=disable", "")
	return url + more + "sslmode=verify-full&sslrootcert=" + a.file("ca.pem")
}

// production is a stack as in production: payloads encrypted, workers versioned.
type production struct {
	t       *testing.T
	dir     string
	servers *stacktest.Stack
	parts   *wire.App
}

func startProduction(t *testing.T) *production {
	t.Helper()
	ctx := t.Context()
	cfg := config.Config{SMTPHelo: "verifier.test"}
	cfg.Codec.Keys = "k1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	cfg.Worker.Deployment, cfg.Worker.BuildID = "holdfast", "a"
	stack, err := stacktest.Start(ctx, stacktest.Options{Config: cfg, Lab: maillab.Config{Domains: 20}, Seed: seedProduction})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Stop()) })
	return &production{t: t, dir: stack.Dir, servers: stack, parts: stack.App}
}

func seedProduction(ctx context.Context, parts *wire.App, lab *maillab.Lab) error {
	if err := registerAttributes(ctx, parts); err != nil {
		return err
	}
	if err := parts.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	if err := stacktest.ImportLeads(ctx, parts, lab, 100); err != nil {
		return err
	}
	if _, err := parts.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "acme", Plan: "verified-leads"}); err != nil {
		return err
	}
	_, err := parts.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 1000, Source: ledger.SourcePack})
	return err
}

// current makes a build the one that new orders begin with.
func (p *production) current(build string) {
	p.t.Helper()
	handle := p.parts.Temporal.WorkerDeploymentClient().GetHandle("holdfast")
	var err error
	require.Eventually(p.t, func() bool {
		_, err = handle.SetCurrentVersion(p.t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
		return err == nil
	}, eventually, 100*time.Millisecond, "%v", err)
}

// delivered places an order and waits for its list. The order stays open: its
// refund is minutes away.
func (p *production) delivered(key string) string {
	p.t.Helper()
	o, err := p.parts.Intake.Submit(p.t.Context(), intake.Submission{Org: "acme", Key: key, Request: order.Request{Kind: order.LeadList, Count: 30}})
	require.NoError(p.t, err)
	require.Eventually(p.t, func() bool {
		o, err = p.parts.Book.Get(p.t.Context(), "", o.ID)
		return err == nil && o.Status == order.Completed
	}, eventually, 50*time.Millisecond)
	return o.ID
}

// settle refunds an order at once.
func (p *production) settle(id string) {
	p.t.Helper()
	require.NoError(p.t, p.parts.Temporal.CancelWorkflow(p.t.Context(), id, ""))
	_ = p.parts.Temporal.GetWorkflow(p.t.Context(), id, "").Get(p.t.Context(), nil)
	o, err := p.parts.Book.Get(p.t.Context(), "", id)
	require.NoError(p.t, err)
	require.Equal(p.t, order.Settled, o.Status)
}

func (p *production) history(id string) (events []*history.HistoryEvent) {
	p.t.Helper()
	for all := p.parts.Temporal.GetWorkflowHistory(p.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); all.HasNext(); {
		event, err := all.Next()
		require.NoError(p.t, err)
		events = append(events, event)
	}
	return events
}

// builds are those that carried an order out.
func (p *production) builds(id string) map[string]bool {
	p.t.Helper()
	found := map[string]bool{}
	for _, event := range p.history(id) {
		if done := event.GetWorkflowTaskCompletedEventAttributes(); done != nil {
			found[done.GetDeploymentVersion().GetBuildId()] = true
		}
	}
	return found
}

// payloads are all that an order's history has, but for search attributes.
func (p *production) payloads(id string) (list []*commonpb.Payload) {
	p.t.Helper()
	for _, event := range p.history(id) {
		require.NoError(p.t, proxy.VisitPayloads(p.t.Context(), event, proxy.VisitPayloadsOptions{
			SkipSearchAttributes: true,
			Visitor: func(_ *proxy.VisitPayloadsContext, found []*commonpb.Payload) ([]*commonpb.Payload, error) {
				list = append(list, found...)
				return found, nil
			},
		}))
	}
	return list
}

// Two builds run side by side: an order stays with the build that began it, a new
// one begins with the current build. All that Temporal stores is encrypted; serve,
// the codec server, PostgreSQL and Temporal speak TLS with a CA of our own.
func TestProductionSettings(t *testing.T) {
	p := startProduction(t)
	p.current("a")
	first := p.delivered("first")

	ca := newAuthority(t)
	newer := p.servers.Config
	newer.Worker.BuildID = "b"
	newer.DatabaseURL = ca.securePostgres(p.parts, filepath.Join(p.dir, "postgres", "data"))
	var secured map[string]string
	newer.TemporalAddress, secured = ca.secureTemporal(newer.TemporalAddress)
	t.Run("Temporal speaks TLS", func(t *testing.T) { refusesStrangers(t, newer.TemporalAddress, secured) })
	var settings []string
	for name, value := range secured {
		t.Setenv(name, value)
		settings = append(settings, name+"="+value)
	}
	ctx, stop := context.WithCancel(t.Context())
	var worker errgroup.Group
	worker.Go(func() error { return wire.RunWorker(ctx, newer, slog.New(slog.DiscardHandler)) })
	t.Cleanup(func() { stop(); require.NoError(t, worker.Wait()) })
	p.current("b")
	second := p.delivered("second")
	p.settle(first)
	p.settle(second)
	require.Equal(t, map[string]bool{"a": true}, p.builds(first))
	require.Equal(t, map[string]bool{"b": true}, p.builds(second))

	for _, payload := range p.payloads(first) {
		require.Equal(t, "binary/encrypted", string(payload.GetMetadata()["encoding"]), payload.String())
	}
	_, err := p.parts.Intake.Progress(t.Context(), first)
	require.NoError(t, err, "queries are read")
	report, err := ledger.Audit(t.Context(), p.parts.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)

	ca.issue(big.NewInt(100), "serve.pem", "serve.key")
	w := newWorld(t, append(settings, "HOLDFAST_DATABASE_URL="+newer.DatabaseURL, "TEMPORAL_ADDRESS="+newer.TemporalAddress, "HOLDFAST_CODEC_KEYS="+newer.Codec.Keys,
		"HOLDFAST_CODEC_TOKEN=token", "HOLDFAST_CODEC_ADDR=127.0.0.1:0", "HOLDFAST_DRAIN_WAIT=0s",
		"HOLDFAST_HTTP_TLS_CERT="+ca.file("serve.pem"), "HOLDFAST_HTTP_TLS_KEY="+ca.file("serve.key"))...)
	t.Run("serve speaks TLS", func(t *testing.T) { servesTLS(t, w, ca) })
	t.Run("codec server", func(t *testing.T) { decodes(t, w, ca, p.payloads(first)[0]) })
}

// servesTLS renews the certificate while serve runs.
func servesTLS(t *testing.T, w *world, ca *authority) {
	t.Helper()
	_, url := startServe(w)
	require.True(t, strings.HasPrefix(url, "https://"), url)
	serial := func() string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
		require.NoError(t, err)
		response, err := ca.client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response.TLS.PeerCertificates[0].SerialNumber.String()
	}
	require.Equal(t, "100", serial())
	ca.issue(big.NewInt(200), "serve.pem", "serve.key")
	require.Eventually(t, func() bool { return serial() == "200" }, eventually, 50*time.Millisecond)
}

// decodes asks the codec server as Temporal's UI does.
func decodes(t *testing.T, w *world, ca *authority, payload *commonpb.Payload) {
	t.Helper()
	server := w.start("codec-server")
	server.says("Ctrl-C stops")
	_, url, _ := strings.Cut(server.output.String(), "Decrypting on ")
	url, _, _ = strings.Cut(url, ";")
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{payload}})
	require.NoError(t, err)
	ask := func(authorization string) (int, []byte) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/decode", bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", authorization)
		response, err := ca.client().Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode, text
	}
	code, _ := ask("Bearer guess")
	require.Equal(t, http.StatusUnauthorized, code)
	code, text := ask("Bearer token")
	require.Equal(t, http.StatusOK, code, string(text))
	var decoded commonpb.Payloads
	require.NoError(t, protojson.Unmarshal(text, &decoded))
	require.Contains(t, string(decoded.GetPayloads()[0].GetData()), "acme")
}

// TestStockTemporal: a Temporal server with its own defaults carries orders out.
func TestStockTemporal(t *testing.T) {
	stack, err := stacktest.Start(t.Context(), stacktest.Options{
		Config: config.Config{SMTPHelo: "verifier.test"}, Lab: maillab.Config{Domains: 20}, Seed: seedProduction, Stock: true,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Stop()) })
	p := &production{t: t, dir: stack.Dir, servers: stack, parts: stack.App}
	first, second := p.delivered("first"), p.delivered("second")
	p.settle(first)
	p.settle(second)
	report, err := ledger.Audit(t.Context(), p.parts.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}
