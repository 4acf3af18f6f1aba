package build

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionNamesCommitAndDate(t *testing.T) {
	set := func(pairs ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{GoVersion: "go1.26.0"}
		for i := 0; i < len(pairs); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return info
	}
	require.Equal(t, "commit 0123456789ab of 2026-11-26T12:00:00Z, built with go1.26.0",
		describe(set("vcs.revision", "0123456789abcdef0123456789abcdef01234567", "vcs.time", "2026-11-26T12:00:00Z")).String())
	require.Equal(t, "commit 0123456789ab-modified of unknown, built with go1.26.0",
		describe(set("vcs.revision", "0123456789abcdef0123456789abcdef01234567", "vcs.modified", "true")).String())
	require.Equal(t, "commit unknown of unknown, built with unknown", describe(&debug.BuildInfo{}).String())

	Commit, Date = "fedcba987654-modified", "2026-11-27T12:00:00Z"
	t.Cleanup(func() { Commit, Date = "", "" })
	require.Equal(t, "commit fedcba987654-modified of 2026-11-27T12:00:00Z, built with go1.26.0",
		describe(set("vcs.revision", "0123456789abcdef0123456789abcdef01234567", "vcs.modified", "true")).String(), "the linker's word is the last")
}
