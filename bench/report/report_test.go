package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantilesAndMedians(t *testing.T) {
	var l Latencies
	for i := range 100 {
		l = append(l, time.Duration(100-i)*time.Millisecond)
	}
	require.Equal(t, 50*time.Millisecond, l.Quantile(0.5))
	require.Equal(t, 99*time.Millisecond, l.Quantile(0.99))
	require.Equal(t, 100*time.Millisecond, l.Quantile(1))
	require.Zero(t, Latencies(nil).Quantile(0.5))
	require.InDelta(t, 2.5, Median([]float64{4, 1, 3, 2}), 0)
	require.InDelta(t, 3, Median([]float64{9, 1, 3}), 0)
}

func TestReportIsPrintedAndSaved(t *testing.T) {
	r := New("sample", "A sample")
	table := r.Table("Speed", "what", "ops/s", "p99 ms")
	table.Add("hold", 12345.6, 1500*time.Microsecond)
	r.Note("measured %d times", 3)

	var out bytes.Buffer
	require.NoError(t, r.Print(&out))
	require.Contains(t, out.String(), "12,346")
	require.Contains(t, out.String(), "1.50")
	require.Contains(t, out.String(), "measured 3 times")
	require.Contains(t, out.String(), r.Machine.Go)

	dir := t.TempDir()
	path, err := r.Save(dir)
	require.NoError(t, err)
	saved, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(saved), `"rows"`)
}

func TestPlotsAreDrawn(t *testing.T) {
	dir := t.TempDir()
	path, err := Lines(dir, "lines", Axes{Title: "Lines", X: "callers", Y: "ops/s", LogX: true},
		Series{Name: "ours", X: []float64{1, 8, 64}, Y: []float64{500, 3000, 12000}})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "lines.svg"), path)
	svg, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(svg), "callers")

	path, err = Bars(dir, "bars", Axes{Title: "Bars", Y: "ops/s"}, []string{"a", "b"}, Series{Y: []float64{1, 2}})
	require.NoError(t, err)
	require.FileExists(t, path)
}
