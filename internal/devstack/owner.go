package devstack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// owner is the unprivileged user who runs PostgreSQL when we are root, as which
// it refuses to run.
type owner struct {
	name     string
	uid, gid int
}

// serverOwner returns nil when we are an ordinary user ourselves.
func serverOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil: no change of user
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid > 0 {
			return &owner{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and neither a user postgres nor nobody exists: add one, or run this as an ordinary user")
}

// reachable returns dir when the user may walk there. Below a temporary directory
// (mktemp -d and tests make closed ones) steps that are root's own are opened to
// the user's group, for passing through only. Where another step is closed (/root
// is), the cluster is kept under /var/lib/holdfast, and dir becomes a link to it.
func (o *owner) reachable(dir string) (string, error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	parent := filepath.Dir(dir)
	for step := parent; isTemporary(step); step = filepath.Dir(step) {
		if o.passes(step) {
			continue
		}
		info, err := os.Stat(step)
		if err != nil {
			return "", err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 {
			break // another user's
		}
		if err := errors.Join(os.Chown(step, -1, o.gid), os.Chmod(step, info.Mode().Perm()&^0o070|0o010)); err != nil {
			return "", err
		}
	}
	if o.reaches(parent) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	elsewhere := filepath.Join("/var/lib/holdfast", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return "", fmt.Errorf("user %s, who runs PostgreSQL, may not enter %s: choose a data directory outside it (%w)", o.name, parent, err)
	}
	if err := os.Remove(dir); err != nil {
		return "", fmt.Errorf("user %s, who runs PostgreSQL, may not enter %s: choose a data directory outside it (%w)", o.name, parent, err)
	}
	if err := os.Symlink(elsewhere, dir); err != nil {
		return "", err
	}
	return elsewhere, nil
}

// isTemporary tells whether dir lies below (and is not) a directory for temporary
// files.
func isTemporary(dir string) bool {
	for _, base := range temporary() {
		if resolved, err := filepath.EvalSymlinks(base); err == nil {
			base = resolved
		}
		if strings.HasPrefix(dir, base+"/") {
			return true
		}
	}
	return false
}

func temporary() []string { return []string{os.TempDir(), "/tmp", "/var/tmp"} }

// reaches tells whether the user may walk to dir from the root.
func (o *owner) reaches(dir string) bool {
	for {
		if !o.passes(dir) {
			return false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return true
		}
		dir = up
	}
}

// passes tells whether the user may walk through this one directory.
func (o *owner) passes(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	switch mode := info.Mode().Perm(); {
	case int(stat.Uid) == o.uid:
		return mode&0o100 != 0
	case int(stat.Gid) == o.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// TempDir makes a new temporary directory that the user who runs PostgreSQL can
// reach, also where TMPDIR says otherwise. The caller removes it.
func TempDir(prefix string) (string, error) {
	o, err := serverOwner()
	if err != nil {
		return "", err
	}
	for _, base := range temporary() {
		if o != nil && !o.reaches(base) {
			continue
		}
		dir, err := os.MkdirTemp(base, prefix)
		if err != nil {
			continue
		}
		if o == nil {
			return dir, nil
		}
		if err := errors.Join(os.Chown(dir, -1, o.gid), os.Chmod(dir, 0o710)); err != nil {
			return "", err
		}
		return dir, nil
	}
	return "", fmt.Errorf("no temporary directory can be made in %s, /tmp or /var/tmp: set TMPDIR to one that can be written", os.TempDir())
}
