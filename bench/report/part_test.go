package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Only what stands between the marks is replaced; a page without them is left alone.
func TestReplacePart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(file, []byte("a\n<!-- x begins -->\nold\n<!-- x ends -->\nz\n"), 0o600))
	for range 2 {
		require.NoError(t, ReplacePart(file, "x", "new\n"))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- x begins -->\nnew\n<!-- x ends -->\nz\n", string(text))
	require.NoError(t, CheckPart(file, "x"))
	require.ErrorContains(t, CheckPart(file, "y"), "has no part")
	require.ErrorContains(t, ReplacePart(file, "y", "new\n"), "has no part")
}

// A page that is missing is made, and written to again.
func TestReplacePartMakesThePage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, text := range []string{"first\n", "second\n"} {
		require.NoError(t, CheckPart(file, "x"))
		require.NoError(t, ReplacePart(file, "x", text))
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "<!-- x begins -->\n"+text+"<!-- x ends -->\n", string(page))
	}
}

// The page that the harnesses write to has their parts.
func TestTheReliabilityPageHasItsParts(t *testing.T) {
	page, err := os.ReadFile("../../docs/reliability.md")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "reliability.md")
	require.NoError(t, os.WriteFile(file, page, 0o600))
	for _, part := range []string{"chaos", "mutants", "soak"} {
		require.NoError(t, ReplacePart(file, part, "new\n"))
	}
}
