package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hardWords are words that a reader with English as a second language has to
// read twice. docs/glossary.md has the words to use.
var hardWords = regexp.MustCompile(`(?i)\b(whom|whoever|whatever|nobody|somebody|anew|meanwhile|thereby|hence|hitherto|lest|wherever|hear(s|d)? of|told|(is|are|was|were) to be|to be had|no such thing|in vain|to and fro|each once|what (is missing|lacks))\b`)

// foreignWords are files whose words are data: what mail hosts say, what the
// practice internet does, the name of a user of Unix; and the sources of the dev
// server, which every machine builds again when one changes.
var foreignWords = regexp.MustCompile(`^(internal/maillab/|internal/verify/(lists/|words\.go)|internal/devstack/(owner\.go|README\.md)|devserver/.*\.go|CHANGELOG\.md)`)

// Texts for users are easy to read: every text in the product's code (help,
// descriptions of the API, problems, log lines), every template of the dashboard
// and every page of the documentation. So are comments, those of tests too: each
// contributor reads them.
func TestTextsForUsersUseEasyWords(t *testing.T) {
	var found []string
	looked := map[string]int{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel("..", path)
		if d.IsDir() {
			switch {
			case name == "bench/results" || name == "bin" || d.Name() == "node_modules" || d.Name() == "testdata",
				strings.HasPrefix(d.Name(), ".") && name != ".":
				return filepath.SkipDir
			}
			return nil
		}
		if foreignWords.MatchString(name) || name == "starter/words_test.go" {
			return nil
		}
		var texts map[int]string
		switch filepath.Ext(name) {
		case ".go":
			texts, err = textsOf(path)
		case ".md", ".html":
			texts, err = linesOf(path)
		}
		looked[filepath.Ext(name)] += len(texts)
		for line, text := range texts {
			for _, word := range hardWords.FindAllString(text, -1) {
				found = append(found, fmt.Sprintf("%s:%d: %q in %s", name, line, word, strings.TrimSpace(text)))
			}
		}
		return err
	}))
	require.Empty(t, strings.Join(found, "\n"), "say it in easier words")
	for _, kind := range []string{".go", ".md", ".html"} {
		require.Greater(t, looked[kind], 100, kind)
	}
}

// textsOf are the comments of a Go file and, where it is no test, its string
// literals, by line.
func textsOf(path string) (map[int]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		return nil, err
	}
	texts := map[int]string{}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			texts[files.Position(comment.Pos()).Line] += comment.Text + "\n"
		}
	}
	if strings.HasSuffix(path, "_test.go") {
		return texts, nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			texts[files.Position(literal.Pos()).Line] += literal.Value + "\n"
		}
		return true
	})
	return texts, nil
}

// linesOf are the lines of a text, by number.
func linesOf(path string) (map[int]string, error) {
	text, err := os.ReadFile(path)
	texts := map[int]string{}
	for i, line := range strings.Split(string(text), "\n") {
		texts[i+1] = line
	}
	return texts, err
}
