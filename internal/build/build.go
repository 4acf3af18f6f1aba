// Package build says which build of Holdfast runs: what --version prints and
// what metrics and traces carry.
package build

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// Commit and Date are set by the linker where the build has no git directory to
// read, as in a container: -X holdfast/internal/build.Commit=….
var (
	Commit string
	Date   string
)

// fullHash is how long a whole commit hash is.
const fullHash = 40

// unknown stands for what a build does not say.
const unknown = "unknown"

// Info describes a build.
type Info struct {
	Commit   string // of the sources; unknown where the build does not say
	Date     string // of the commit, RFC 3339
	Modified bool   // the sources had changes that were not committed
	Go       string // the version of the toolchain
}

// Read returns what is known about the running build.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describe(info)
}

func describe(from *debug.BuildInfo) Info {
	set := map[string]string{}
	for _, s := range from.Settings {
		set[s.Key] = s.Value
	}
	return Info{
		Commit:   cmp.Or(Commit, set["vcs.revision"], unknown),
		Date:     cmp.Or(Date, set["vcs.time"], unknown),
		Modified: Commit == "" && set["vcs.modified"] == "true",
		Go:       cmp.Or(from.GoVersion, unknown),
	}
}

// ID names the build in few characters: the commit, marked where the sources
// had changes.
func (i Info) ID() string {
	id := i.Commit
	if len(id) == fullHash {
		id = id[:12]
	}
	if i.Modified {
		id += "-modified"
	}
	return id
}

// String is the line that --version prints after the program's name.
func (i Info) String() string {
	return fmt.Sprintf("commit %s of %s, built with %s", i.ID(), i.Date, i.Go)
}
