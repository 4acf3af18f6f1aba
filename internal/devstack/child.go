package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is a program we started and answer for. It sits in a process group of
// its own, so that Ctrl-C in the terminal reaches us alone and we can stop things
// in their order; on Linux the kernel also stops it when we are killed.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// startChild starts cmd. orphaned is the signal the kernel sends it should we die
// without stopping it (Linux only; elsewhere the next start clears up).
func startChild(name string, cmd *exec.Cmd, orphaned syscall.Signal) (*child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, orphaned)

	c := &child{name: name, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel watches the thread that forked, not the process: it must
		// live as long as the child, so nothing else may run (and end) on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s could not be started: %w", name, err)
	}
	return c, nil
}

// ended tells whether the program is gone.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop sends the polite signal, waits for at most patience, sends the rude one,
// waits the same again, and finally kills the whole group. It returns an error
// only when the polite signal did not do.
func (c *child) stop(polite, rude syscall.Signal, patience time.Duration) error {
	defer func() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }() // stragglers of the group
	if c.ended() {
		return nil
	}
	for _, s := range []syscall.Signal{polite, rude} {
		if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("%s could not be stopped: %w", c.name, err)
		}
		select {
		case <-c.done:
			if s == polite {
				return nil
			}
			return fmt.Errorf("%s did not stop within %s and was made to", c.name, patience)
		case <-time.After(patience):
		}
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	<-c.done
	return fmt.Errorf("%s did not stop within %s and was killed", c.name, 2*patience)
}

// lastLines returns the end of a log file for an error message.
func lastLines(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
