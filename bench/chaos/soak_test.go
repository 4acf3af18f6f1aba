package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// What a process says of itself is read as it is written.
func TestScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	values, err := scrape(t.Context(), strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes"} {
		require.Positive(t, values[name], name)
	}
}

// Events of an order that came in another order than they happened are seen.
func TestInOrder(t *testing.T) {
	require.True(t, inOrder([]string{"order.reserved", "order.started", "order.paused", "order.resumed", "order.completed", "order.settled"}))
	require.True(t, inOrder([]string{"order.reserved", "order.cancelled"}))
	require.False(t, inOrder([]string{"order.started", "order.reserved"}))
	require.False(t, inOrder([]string{"order.reserved", "order.settled", "order.completed"}))
}
