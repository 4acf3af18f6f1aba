package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// No connection over HTTP/2 takes more than its share: streams that are reset at once
// (CVE-2023-44487), more streams than are allowed, and large headers.
func TestHTTP2IsBounded(t *testing.T) {
	var mu sync.Mutex
	var now, most, all int
	hold := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		mu.Lock()
		all, now = all+1, now+1
		most = max(most, now)
		mu.Unlock()
		<-hold
		mu.Lock()
		now--
		mu.Unlock()
	})
	ca := newAuthority(t)
	ca.issue(big.NewInt(2), "serve.pem", "serve.key")
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener, err := secured(plain, ca.file("serve.pem"), ca.file("serve.key"))
	require.NoError(t, err)
	server := newServer(handler, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(hold); _ = server.Close() })
	address := listener.Addr().String()

	connect := func() (*http2.Framer, net.Conn) {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: ca.pool(), NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}}
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, http2.ClientPreface)
		require.NoError(t, err)
		framer := http2.NewFramer(conn, conn)
		require.NoError(t, framer.WriteSettings())
		return framer, conn
	}
	head := func(path string) []byte {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", address}, {":path", path}} {
			require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
		}
		return block.Bytes()
	}
	answers := func(path, header string) int {
		client := ca.client()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+path, nil)
		require.NoError(t, err)
		request.Header.Set("X-Large", header)
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
		response, err := client.Do(request)
		if err != nil {
			return 0 // the connection was closed
		}
		require.NoError(t, response.Body.Close())
		require.Equal(t, 2, response.ProtoMajor)
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, answers("/quick", ""))

	// Streams that are reset as soon as they are open.
	framer, conn := connect()
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	sent := 0
	for id := uint32(1); id < 60_000; id += 2 {
		if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head("/held"), EndStream: true, EndHeaders: true}) != nil ||
			framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		sent++
	}
	mu.Lock()
	require.LessOrEqual(t, most, 250, "of %d streams", sent)
	mu.Unlock()
	require.Equal(t, http.StatusOK, answers("/quick", ""))
	_ = conn.Close() // the server may have done so

	// More streams than are allowed.
	framer, conn = connect()
	for i := range uint32(400) {
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1 + 2*i, BlockFragment: head("/held"), EndStream: true, EndHeaders: true}))
	}
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	refused := 0
	for refused < 150 {
		frame, err := framer.ReadFrame()
		if err != nil {
			break
		}
		switch frame.(type) {
		case *http2.RSTStreamFrame:
			refused++
		case *http2.GoAwayFrame: // the connection as a whole
			refused = 150
		}
	}
	require.GreaterOrEqual(t, refused, 150)

	status := answers("/quick", strings.Repeat("x", 40<<10))
	require.Contains(t, []int{0, http.StatusRequestHeaderFieldsTooLarge}, status)
	mu.Lock()
	before := all
	mu.Unlock()
	require.Equal(t, http.StatusOK, answers("/quick", ""), "%d requests before", before)
}
