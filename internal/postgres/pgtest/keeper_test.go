package pgtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Many test processes at once share one server. It survives all that is killed:
// a test, the keeper; and it is gone, files and all, when no process needs it.
func TestTheSharedServer(t *testing.T) {
	cache := t.TempDir()
	folder := filepath.Join(cache, "holdfast", "pgtest")
	if _, darwin := os.Stat("/Library"); darwin == nil {
		folder = filepath.Join(cache, "Library", "Caches", "holdfast", "pgtest")
	}
	run := func() *exec.Cmd {
		program, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.Command(program, "-test.run=^TestDatabasesAreApart$/^[0-3]$", "-test.v")
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "HOLDFAST_DATABASE_URL=") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Env = append(cmd.Env, "HOME="+cache, "XDG_CACHE_HOME="+cache, "HOLDFAST_PGTEST_IDLE=2s")
		return cmd
	}
	requirePass := func(cmd *exec.Cmd, out *bytes.Buffer, err error) {
		t.Helper()
		require.NoError(t, err, out.String())
		require.Contains(t, out.String(), "--- PASS: TestDatabasesAreApart/3")
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}

	var all sync.WaitGroup
	var cmds [4]*exec.Cmd
	var outs [4]bytes.Buffer
	var errs [4]error
	for i := range cmds {
		cmds[i] = run()
		cmds[i].Stdout, cmds[i].Stderr = &outs[i], &outs[i]
		all.Go(func() { errs[i] = cmds[i].Run() })
	}
	all.Wait()
	for i := range cmds {
		requirePass(cmds[i], &outs[i], errs[i])
	}

	// A user that stays, so that the server does.
	victim := run()
	victim.Args[1] = "-test.run=^TestDatabasesAreApart$"
	require.NoError(t, victim.Start())
	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()

	keeper, err := strconv.Atoi(read("keeper.lock"))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(keeper, syscall.SIGKILL))
	var out bytes.Buffer
	after := run()
	after.Stdout, after.Stderr = &out, &out
	requirePass(after, &out, after.Run())
	require.NotEqual(t, strconv.Itoa(keeper), read("keeper.lock"))

	dir := read("dir")
	require.NotEmpty(t, dir)
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && read("url") == "" && read("dir") == ""
	}, 30*time.Second, 50*time.Millisecond, "the server goes when no process uses it")
}
