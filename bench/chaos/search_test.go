package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What no file may have is found in any place, also across blocks, as bytes of a
// dump and in other case; the table is named.
func TestTheUnwantedIsFound(t *testing.T) {
	texts := []string{"Ann@Nowhere.test", "+33 6 12 34 56 78", "hk_secret_key"}
	u, err := newUnwanted(false, texts)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "dump.sql")
	const block = 1 << 20
	for _, at := range []int{0, 1, 500, block - 3, block, block + overlap - 3, block + overlap, 2*block + 5, 3 * block} {
		for _, text := range append(texts, strings.ToUpper(texts[0]), hex.EncodeToString([]byte(texts[0]))) {
			filler := strings.Repeat("x\ty\n", 3*block/4+1)[:at]
			require.NoError(t, os.WriteFile(file, []byte("\nCOPY public.lead (no) FROM stdin;\n"+filler+text+"\nCOPY public.other (no)\n"), 0o600))
			n, wrong, err := u.search(file)
			require.NoError(t, err)
			require.Greater(t, n, int64(at))
			require.Len(t, wrong, 1, "%s at %d", text, at)
			require.Contains(t, wrong[0], "dump.sql, table public.lead has ")
		}
	}
	require.NoError(t, os.WriteFile(file, []byte("ann@nowhere.tes and hk_secret_ke"), 0o600))
	_, wrong, err := u.search(file)
	require.NoError(t, err)
	require.Empty(t, wrong)

	all, err := newUnwanted(true, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("email=Pierre.Roux@alder.test&next, @Get, a@b.example"), 0o600))
	_, wrong, err = all.search(file)
	require.NoError(t, err)
	require.Equal(t, []string{"dump.sql has ierre.roux@alder.test"}, wrong)

	_, err = newUnwanted(false, []string{"short"})
	require.Error(t, err)
}
