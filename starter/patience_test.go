package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// No client keeps a connection by sending or taking nothing, or byte by byte, over
// HTTP/1.1 and HTTP/2; what takes long by itself is not cut off.
func TestNoClientIsWaitedForForEver(t *testing.T) {
	const within = 300 * time.Millisecond
	left := make(chan error, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a route's own deadline is over
		if err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
		left <- err
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if err == nil {
			time.Sleep(3 * within)
			err = r.Context().Err()
		}
		fmt.Fprintln(w, err)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for block := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(block)
		}
		left <- err
	})
	server := httptest.NewUnstartedServer(patience{within, within}.with(mux))
	server.Start()
	t.Cleanup(server.Close)
	secure := httptest.NewUnstartedServer(patience{within, within}.with(mux))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)

	send := func(text string) net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		return conn
	}
	ends := func(conn net.Conn, status string) {
		t.Helper()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
		answer, err := io.ReadAll(conn)
		require.NoError(t, err, "the server closes the connection")
		require.Contains(t, string(answer), status)
	}
	for _, path := range []string{"/refused", "/read"} {
		for _, rest := range []string{"Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n{"} {
			conn := send("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + rest)
			ends(conn, map[string]string{"/refused": "401", "/read": "408"}[path])
		}
	}
	require.Error(t, <-left)
	require.Error(t, <-left)

	trickling := send("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	go func() {
		for {
			if _, err := trickling.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(within / 10)
		}
	}()
	require.Error(t, <-left)

	deaf := send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	defer deaf.Close()
	require.Error(t, <-left, "who takes nothing is left")

	for _, to := range []*httptest.Server{server, secure} {
		post := func(path string, body io.Reader) (*http.Response, error) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.URL+path, body)
			require.NoError(t, err)
			return to.Client().Do(request)
		}
		answer, err := post("/long", strings.NewReader("all of it"))
		require.NoError(t, err)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, "<nil>\n", string(text), "it went on for longer than a body may take")

		held, hold := io.Pipe() // nothing comes
		if answer, err = post("/read", held); err == nil {
			require.NoError(t, answer.Body.Close())
		}
		require.NoError(t, hold.Close())
		require.Error(t, <-left)
	}

	answer, err := secure.Client().Get(secure.URL + "/large")
	require.NoError(t, err)
	require.Equal(t, 2, answer.ProtoMajor)
	require.Error(t, <-left, "who takes nothing is left, over HTTP/2 too")
	require.NoError(t, answer.Body.Close())
}
