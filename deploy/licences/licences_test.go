// Package licences checks what the product is built from: each module has a
// licence that may be used. `make sbom` writes the list from a software bill of
// materials.
package licences_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var sbom = flag.String("sbom", "", "bill of materials in CycloneDX's JSON, to write licences.txt from")

// allowed are licences that ask for no more than to be named.
var allowed = []string{"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "ISC"}

// read are licences that a person has read: where the program does not know them,
// leaves the module out, or takes one for another.
var read = map[string]string{
	"github.com/pressly/goose/v3":                  "MIT", // two copyright lines
	"github.com/nexus-rpc/nexus-proto-annotations": "MIT", // as the repositories beside it; there is no file
	"go.opentelemetry.io/proto/otlp":               "Apache-2.0",
	"github.com/stretchr/objx":                     "MIT",
	"BSD-Source-Code":                              "BSD-3-Clause", // Go's own text, taken for that one
}

const list = "licences.txt"

func TestEachDependencyMayBeUsed(t *testing.T) {
	if *sbom != "" {
		write(t)
	}
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		module, licence, _ := strings.Cut(strings.TrimSpace(line), " ")
		known[module] = licence
	}
	build := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./starter", "./worker")
	build.Dir = "../.."
	out, err := build.Output()
	require.NoError(t, err)
	used := map[string]bool{}
	for module := range strings.FieldsSeq(string(out)) {
		if module != "holdfast" {
			used[module] = true
		}
	}
	require.Greater(t, len(used), 20)
	for module := range used {
		require.Contains(t, known, module, "run make sbom, and look at what %s brings", module)
		require.Contains(t, allowed, known[module], module)
	}
}

func write(t *testing.T) {
	text, err := os.ReadFile(*sbom)
	require.NoError(t, err)
	var bill struct {
		Components []struct {
			Name     string
			Evidence struct {
				Licenses []struct{ License struct{ ID string } }
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &bill))
	licences := map[string]string{}
	for _, c := range bill.Components {
		var ids []string
		for _, l := range c.Evidence.Licenses {
			id := l.License.ID
			if better := read[id]; better != "" {
				id = better
			}
			ids = append(ids, id)
		}
		licences[c.Name] = strings.Join(ids, ",")
	}
	for name, licence := range read {
		if strings.Contains(name, "/") {
			licences[name] = licence
		}
	}
	var out strings.Builder
	for _, module := range slices.Sorted(maps.Keys(licences)) {
		fmt.Fprintln(&out, module, licences[module])
	}
	require.NoError(t, os.WriteFile(list, []byte(out.String()), 0o600))
}
