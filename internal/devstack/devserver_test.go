package devstack

import (
	"archive/zip"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write devserver.zip again from devserver/")

// A built program must make the same dev server as the source tree.
func TestSourcesAreCurrent(t *testing.T) {
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	for _, pattern := range []string{"go.mod", "go.sum", "*.go", "*.yaml"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "devserver", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			if matched, _ := filepath.Match("*_test.go", filepath.Base(file)); matched {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			entry, err := writer.Create(filepath.Base(file)) // no time: the same bytes every time
			require.NoError(t, err)
			_, err = entry.Write(text)
			require.NoError(t, err)
		}
	}
	require.NoError(t, writer.Close())
	if *update {
		require.NoError(t, os.WriteFile("devserver.zip", archive.Bytes(), 0o600))
		return
	}
	require.True(t, bytes.Equal(archive.Bytes(), devserverSources),
		"devserver/ has changed: run `go generate ./internal/devstack`")
}
