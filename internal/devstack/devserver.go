package devstack

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // for the sources
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// devserverSources holds the sources of the devserver module: an embed cannot
// reach into another module, and a built holdfast may be far from the source
// tree. A test keeps it the same as devserver/.
//
//go:generate go test . -run TestSourcesAreCurrent -update
//go:embed devserver.zip
var devserverSources []byte

// DevServer returns the path of the Temporal dev server's program. It is built
// from the sources carried in this program when the user's cache does not have
// it yet, which takes minutes and needs Go; note is called then. Any number of
// processes may ask at once: one builds.
func DevServer(ctx context.Context, note func(string)) (string, error) {
	sum := sha256.Sum256(devserverSources)
	dir, err := CacheDir("devserver-" + hex.EncodeToString(sum[:6]))
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "holdfast-devserver")
	if isFile(program) {
		return program, nil
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "build.lock"), func() {
		note("waiting for another process that builds the Temporal dev server")
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if isFile(program) {
		return program, nil
	}
	return program, build(ctx, devserverSources, dir, program, note)
}

func build(ctx context.Context, sources []byte, dir, program string, note func(string)) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("the Temporal dev server must be built once, and there is no go command: install Go (https://go.dev/dl), or set TEMPORAL_ADDRESS to a server you have")
	}
	source := filepath.Join(dir, "source")
	if err := unzip(sources, source); err != nil {
		return fmt.Errorf("the sources of the Temporal dev server cannot be unpacked: %w", err)
	}
	defer func() { _ = os.RemoveAll(source) }()
	note("building the Temporal dev server: once per machine, 2 to 10 minutes, most of it downloading and compiling some 450 modules")
	started := time.Now()
	// No symbols: 40% less to write and to load.
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-o", program+".new", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	// The compiler's children too shall end with a Ctrl-C.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the build of the Temporal dev server was interrupted: %w", context.Cause(ctx))
		}
		tail := bytes.TrimSpace(out)
		if len(tail) > 2000 {
			tail = tail[len(tail)-2000:]
		}
		return fmt.Errorf("the Temporal dev server could not be built (%w); the go command said:\n%s", err, tail)
	}
	if err := os.Rename(program+".new", program); err != nil {
		return err
	}
	note(fmt.Sprintf("built the Temporal dev server in %s", time.Since(started).Round(time.Second)))
	return nil
}

// CacheDir returns a folder of this user for things that can be made again; it is
// made when missing.
func CacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil { // no HOME
		cache = filepath.Join(os.TempDir(), "holdfast-"+strconv.Itoa(os.Getuid()))
	}
	dir := filepath.Join(cache, "holdfast", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("the cache folder cannot be made (set XDG_CACHE_HOME to one that can be written): %w", err)
	}
	return dir, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lockFile takes an exclusive lock that the kernel releases when we die. waiting
// is called once when another process has it.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for noted := false; ; noted = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("%s cannot be locked: %w", path, err)
		}
		if !noted {
			waiting()
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// unzip writes a flat archive into dir, which is emptied first.
func unzip(archive []byte, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	for _, entry := range reader.File {
		in, err := entry.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(in)
		if err := errors.Join(err, in.Close()); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(entry.Name)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
