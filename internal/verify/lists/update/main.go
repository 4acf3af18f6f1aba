// Command update writes the lists of disposable, free and role names from what
// others publish and what we keep ourselves (own/). Run it in the repository:
//
//	go run ./internal/verify/lists/update
//
// It asks the Go module proxy and the npm registry for the newest versions,
// through their own clients, and puts source, version, licence and date at the
// head of each file. Look at the difference before you commit it.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

const (
	here      = "internal/verify/lists"
	aftership = "github.com/AfterShip/email-verifier" // MIT
	blocklist = "disposable-email-domains-js"         // CC0-1.0
	providers = "email-providers"                     // ISC
)

func main() {
	if err := update(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "The lists are as they were:", err)
		os.Exit(1)
	}
}

func update(ctx context.Context) error {
	var unread error
	own := func(name string) []string {
		list, err := lines(filepath.Join(here, "own", name+".txt"))
		unread = errors.Join(unread, err)
		return list
	}
	module, moduleVersion, err := goModule(ctx, aftership)
	if err != nil {
		return err
	}
	blocked, blockedVersion, err := npmPackage(ctx, blocklist, "dist/dict/disposable_email_blocklist.json")
	if err != nil {
		return err
	}
	common, commonVersion, err := npmPackage(ctx, providers, "common.json")
	if err != nil {
		return err
	}
	largest := own("free")
	allowed := set(largest, own("allow"))
	// What two of the lists call disposable is no provider, common as it may be.
	published := set(module["metadata_disposable.go"], blocked, own("disposable"))
	disposable := published.without(allowed).only(isRegistrable)
	free := set(module["metadata_free.go"], common, largest).without(set(own("allow"))).without(disposable).
		only(func(name string) bool { return isRegistrable(strings.TrimPrefix(name, ".")) })
	role := set(module["metadata_role.go"], own("role")).without(set(own("not_role")))
	if unread != nil {
		return unread
	}

	from := fmt.Sprintf("%s %s (MIT)", aftership, moduleVersion)
	for _, file := range []struct {
		name, what, from string
		names            names
	}{
		{"disposable", "Domains of throw-away mailboxes.", from + fmt.Sprintf(", npm %s %s (CC0-1.0)", blocklist, blockedVersion), disposable},
		{"free", "Domains of mailboxes for everyone; a dot in front: all subdomains.", from + fmt.Sprintf(", npm %s %s (ISC)", providers, commonVersion), free},
		{"role", "Local parts that name a function, not a person.", from, role},
	} {
		var b bytes.Buffer
		fmt.Fprintf(&b, "# %s Written %s by lists/update from %s and lists/own; see LICENSES.md.\n", file.what, time.Now().UTC().Format(time.DateOnly), file.from)
		for _, name := range file.names.sorted() {
			b.WriteString(name)
			b.WriteByte('\n')
		}
		if err := os.WriteFile(filepath.Join(here, file.name+".txt"), b.Bytes(), 0o600); err != nil {
			return err
		}
		fmt.Printf("%s: %d names\n", file.name, len(file.names))
	}
	return nil
}

type names map[string]bool

func set(lists ...[]string) names {
	n := names{}
	for _, list := range lists {
		for _, name := range list {
			if name = normal(name); name != "" {
				n[name] = true
			}
		}
	}
	return n
}

// normal is a name as an address has it: in lower case, a domain in A-labels.
// What is no name at all is left out.
func normal(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return ""
		}
		name = ascii
	}
	if !regexp.MustCompile(`^[a-z0-9._-]+$`).MatchString(name) {
		return ""
	}
	return name
}

func (n names) without(others names) names {
	return n.only(func(name string) bool { return !others[name] })
}

func (n names) only(keep func(name string) bool) names {
	kept := names{}
	for name := range n {
		if keep(name) {
			kept[name] = true
		}
	}
	return kept
}

func (n names) sorted() []string {
	list := make([]string, 0, len(n))
	for name := range n {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// isRegistrable reports whether a name is a domain that belongs to one owner: a
// registry's own name would stand for all its customers.
func isRegistrable(name string) bool {
	suffix, _ := publicsuffix.PublicSuffix(name)
	return name != suffix && strings.Contains(name, ".")
}

func lines(file string) (list []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list, nil
}

// goModule returns the names in the generated files of a Go module.
func goModule(ctx context.Context, module string) (found map[string][]string, version string, err error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@latest").Output()
	if err != nil { // a proxy may have versions and no list of them
		out, err = exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@v1.4.1").Output()
	}
	if err != nil {
		return nil, "", fmt.Errorf("the Go module %s cannot be downloaded: %w", module, err)
	}
	var download struct{ Dir, Version string }
	if err := json.Unmarshal(out, &download); err != nil {
		return nil, "", err
	}
	found = map[string][]string{}
	entry := regexp.MustCompile(`(?m)^\s*"([^"]+)":\s*true`)
	for _, file := range []string{"metadata_disposable.go", "metadata_free.go", "metadata_role.go"} {
		text, err := os.ReadFile(filepath.Join(download.Dir, file))
		if err != nil {
			return nil, "", err
		}
		for _, match := range entry.FindAllSubmatch(text, -1) {
			found[file] = append(found[file], string(match[1]))
		}
		if len(found[file]) < 500 {
			return nil, "", fmt.Errorf("%s of %s has %d names only; its form has changed", file, module, len(found[file]))
		}
	}
	return found, download.Version, nil
}

// npmPackage returns the names in a JSON file of an npm package.
func npmPackage(ctx context.Context, name, file string) (list []string, version string, err error) {
	dir, err := os.MkdirTemp("", "holdfast-lists")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory of ours
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", name)
	pack.Dir = dir
	out, err := pack.Output()
	if err != nil {
		return nil, "", fmt.Errorf("the npm package %s cannot be downloaded: %w", name, err)
	}
	archive := strings.TrimSpace(string(out))
	version = strings.TrimSuffix(strings.TrimPrefix(archive, name+"-"), ".tgz")
	f, err := os.Open(filepath.Join(dir, archive))
	if err != nil {
		return nil, "", err
	}
	defer f.Close() //nolint:errcheck // only read
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, "", err
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, "", fmt.Errorf("the npm package %s has no %s any more", name, file)
		}
		if err != nil {
			return nil, "", err
		}
		if header.Name == path.Join("package", file) {
			err = json.NewDecoder(files).Decode(&list)
			return list, version, err
		}
	}
}
