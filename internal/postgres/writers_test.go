package postgres_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// besides are packages that may write to another's table, and why.
var besides = map[string]map[string]string{
	"order_item": {"internal/cell": "moves organizations with all their rows"},
	"plan":       {"internal/cell": "moves organizations with all their rows"},
	"lead":       {"internal/postgres": "a migration in Go makes keys that SQL cannot"},
	"orders":     {"starter": "the sample data of dev has a past"},
	"outbox":     {"starter": "the sample data of dev has a past", "internal/webhook": "takes events out and removes them"},
}

// Each table is written by one package, so that what is true of its rows is kept
// in one place.
func TestEachTableHasOneWriter(t *testing.T) {
	writes := regexp.MustCompile(`\b(?:INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE|Identifier\{")\s*([a-z_]+)`)
	writers := map[string][]string{}
	for _, top := range []string{"activities", "internal", "starter", "worker", "workflows"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", top), func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (entry.Name() == "record" || entry.Name() == "stacktest" || entry.Name() == "pgtest"):
				return filepath.SkipDir // what tests are made with
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			writer, err := filepath.Rel("../..", filepath.Dir(path))
			for _, m := range writes.FindAllSubmatch(source, -1) {
				if table := string(m[1]); besides[table][writer] == "" && !slices.Contains(writers[table], writer) {
					writers[table] = append(writers[table], writer)
				}
			}
			return err
		}))
	}
	require.Equal(t, []string{"internal/orderbook"}, writers["order_item"])
	require.Greater(t, len(writers), 50)
	for table, list := range writers {
		require.Len(t, list, 1, "%s is written by several packages", table)
		requireOwned(t, list[0], table)
	}
}

// requireOwned demands that the package that writes a table names it in its README.
func requireOwned(t *testing.T, writer, table string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("../..", writer, "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	require.NoError(t, err)
	exists, err := regexp.MatchString(`CREATE (UNLOGGED )?TABLE `+table+`\b`, migrations(t))
	require.NoError(t, err)
	if exists && !strings.Contains(string(readme), "`"+table+"`") {
		t.Errorf("the README of %s does not name the table %s", writer, table)
	}
}

// migrations are the texts of all migrations.
func migrations(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var all strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}
