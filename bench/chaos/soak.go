package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"holdfast/bench/report"
)

// sample is what the product takes at a moment: of all its processes together, but
// for the database.
type sample struct {
	Seconds     float64 `json:"seconds"`
	Orders      int64   `json:"orders"`
	Memory      float64 `json:"resident_mb"`
	Goroutines  float64 `json:"goroutines"`
	Files       float64 `json:"open_files"`
	Connections int64   `json:"database_connections"`
	Database    float64 `json:"database_mb"`
}

// soak takes samples until ctx is done. A moment at which a process does not answer
// is left out.
func (s *stack) soak(ctx context.Context, every time.Duration) (list []sample) {
	began := time.Now()
	for {
		if one, err := s.look(ctx); err == nil {
			one.Seconds = time.Since(began).Seconds()
			list = append(list, one)
		}
		select {
		case <-ctx.Done():
			return list
		case <-time.After(every):
		}
	}
}

func (s *stack) look(ctx context.Context) (one sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, p := range append(append([]*process{}, s.workers...), s.servers...) {
		values, err := scrape(ctx, p.metrics)
		if err != nil {
			return one, err
		}
		one.Memory += values["process_resident_memory_bytes"] / (1 << 20)
		one.Goroutines += values["go_goroutines"]
		one.Files += values["process_open_fds"]
	}
	var size int64
	err = s.app.Pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()), pg_database_size(current_database())`).
		Scan(&one.Orders, &one.Connections, &size)
	one.Database = float64(size) / (1 << 20)
	return one, err
}

// scrape reads the gauges of a process.
func scrape(ctx context.Context, address string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			values[name] += m.GetGauge().GetValue()
		}
	}
	return values, nil
}

// third is the mean of a part of the samples.
func third(list []sample, n int, of func(sample) float64) (mean float64) {
	part := list[n*len(list)/3 : (n+1)*len(list)/3]
	for _, one := range part {
		mean += of(one) / float64(len(part))
	}
	return mean
}

// describeSoak draws the samples beside file and says what grew from the first
// third of the run to the last.
func describeSoak(file string, list []sample) (string, error) {
	if len(list) < 6 {
		return "", fmt.Errorf("%d samples are too few to say anything; let it run longer", len(list))
	}
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	var b strings.Builder
	first, last := list[0], list[len(list)-1]
	fmt.Fprintf(&b, "%.0f s, %d orders; the database grew by %.1f KB an order.\n\n| two workers and two servers together | first third | last third |\n|---|--:|--:|\n",
		last.Seconds, last.Orders-first.Orders, (last.Database-first.Database)*1024/float64(max(1, last.Orders-first.Orders)))
	var lines []report.Series
	for _, of := range []struct {
		name  string
		value func(sample) float64
	}{
		{"memory, MB", func(s sample) float64 { return s.Memory }},
		{"goroutines", func(s sample) float64 { return s.Goroutines }},
		{"open files", func(s sample) float64 { return s.Files }},
		{"database connections", func(s sample) float64 { return float64(s.Connections) }},
		{"database, MB", func(s sample) float64 { return s.Database }},
	} {
		fmt.Fprintf(&b, "| %s | %.0f | %.0f |\n", of.name, third(list, 0, of.value), third(list, 2, of.value))
		line := report.Series{Name: of.name}
		for _, one := range list {
			line.X, line.Y = append(line.X, one.Seconds), append(line.Y, of.value(one))
		}
		lines = append(lines, line)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".json")
	if _, err := report.Lines(filepath.Dir(file), name, report.Axes{Title: "Mixed load", X: "seconds", Y: "see the legend"}, lines...); err != nil {
		return "", err
	}
	return b.String(), nil
}
