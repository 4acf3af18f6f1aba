package devstack

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ours is what a running server has to it when we started it; of one that was
// there already it is the zero value.
type ours struct {
	server *child
	remove string // directory to remove when it is stopped
}

// inDir starts a server in dir. Where dir is empty it makes a temporary one,
// which is gone again when start fails and is otherwise the caller's to remove.
func inDir(dir, prefix string, start func(dir string) error) (remove string, err error) {
	if dir != "" {
		return "", start(dir)
	}
	if dir, err = TempDir(prefix); err != nil {
		return "", err
	}
	if err := start(dir); err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	return dir, nil
}

// Done is closed when a server that we started has ended, for any reason;
// for one that was there it never is.
func (o *ours) Done() <-chan struct{} {
	if o.server == nil {
		return nil
	}
	return o.server.done
}

// stopped says that the server has ended, and how; read after Done.
func (o *ours) stopped() error {
	how := "it ended by itself"
	if o.server.err != nil {
		how = o.server.err.Error()
	}
	return fmt.Errorf("%s has stopped (%s)", o.server.name, how)
}

// stop asks the server to end, firmly when it does not, and removes what was
// temporary. It is safe to call twice.
func (o *ours) stop(politely, firmly syscall.Signal) error {
	if o.server == nil {
		return nil
	}
	err := o.server.stop(politely, firmly, stopPatience)
	if o.remove != "" {
		err = errors.Join(err, os.RemoveAll(o.remove))
	}
	return err
}
