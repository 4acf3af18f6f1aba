package main

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program that is started again whenever it ends.
type process struct {
	name    string
	program string
	args    []string
	env     []string
	log     *os.File
	metrics string // where its metrics are

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{}
	closed bool
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	cmd := exec.Command(p.program, p.args...) //nolint:noctx // lives until it is stopped
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, p.log, p.log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // it is killed all the time
		close(ended)
		time.Sleep(200 * time.Millisecond)
		_ = p.start() // as a supervisor does
	}()
	return nil
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended by itself
	}
}

// stop ends the process for good.
func (p *process) stop() {
	p.mu.Lock()
	p.closed = true
	ended := p.ended
	p.mu.Unlock()
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		p.signal(syscall.SIGKILL)
		<-ended
	}
}
