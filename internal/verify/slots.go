package verify

import (
	"errors"
	"net"
	"sync"
	"time"
)

// slots bounds the sessions of the engine. A session that waits long for its
// host moves to a second set of the same size, so that slow hosts cannot keep
// the others waiting.
type slots struct {
	mu      sync.Mutex
	max     int
	busy    int
	slow    int
	waiting []*host // hosts that want a session, in turn
	idlers  []*idler
	closed  bool
}

// start runs a session of the host as soon as a slot is free. It returns false
// when the engine is closing.
func (e *Engine) start(h *host) bool {
	s := &e.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	e.sessions.Add(1)
	if s.busy < s.max {
		s.busy++
		go h.run()
		return true
	}
	s.waiting = append(s.waiting, h)
	s.dismiss()
	return true
}

// background runs do, and Close waits for its end. It returns false when the
// engine is closing.
func (e *Engine) background(do func()) bool {
	e.slots.mu.Lock()
	defer e.slots.mu.Unlock()
	if e.slots.closed {
		return false
	}
	e.sessions.Add(1)
	go func() {
		defer e.sessions.Done()
		do()
	}()
	return true
}

// dismiss sends the session home that has been idle longest.
func (s *slots) dismiss() {
	for len(s.idlers) > 0 {
		i := s.idlers[0]
		s.idlers = s.idlers[1:]
		if i.claimed.CompareAndSwap(false, true) {
			i.call <- false
			return
		}
	}
}

func (s *slots) dismissIdlers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for len(s.idlers) > 0 {
		s.dismiss()
	}
}

// addIdler lets a session be sent home when its slot is needed. It returns
// false when that is now.
func (e *Engine) addIdler(i *idler) bool {
	s := &e.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.waiting) > 0 {
		return false
	}
	if len(s.idlers) >= 2*s.max { // most of these have been claimed long ago
		keep := s.idlers[:0]
		for _, old := range s.idlers {
			if !old.claimed.Load() {
				keep = append(keep, old)
			}
		}
		s.idlers = keep
	}
	s.idlers = append(s.idlers, i)
	return true
}

// free starts the next session that waits, or gives the slot back.
func (s *slots) free() {
	if len(s.waiting) > 0 {
		h := s.waiting[0]
		s.waiting = s.waiting[1:]
		go h.run()
		return
	}
	s.busy--
}

// slot is one session's place in slots.
type slot struct {
	e       *Engine
	timer   *time.Timer
	mu      sync.Mutex
	waiting bool // for the host
	slow    bool // counted as slow
}

// busy is called before the session waits for its host, ready after.
func (p *slot) busy() {
	p.mu.Lock()
	p.waiting = true
	p.mu.Unlock()
	if p.timer == nil {
		p.timer = time.AfterFunc(p.e.cfg.SlowReply, p.tooLong)
		return
	}
	p.timer.Reset(p.e.cfg.SlowReply)
}

func (p *slot) ready() {
	p.timer.Stop()
	p.mu.Lock()
	p.waiting = false
	p.mu.Unlock()
}

// tooLong moves the session among the slow ones, if there is room.
func (p *slot) tooLong() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting || p.slow {
		return
	}
	s := &p.e.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slow >= s.max {
		return
	}
	s.slow++
	p.slow = true
	s.free()
}

// release gives the place back.
func (p *slot) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.e.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.slow {
		s.slow--
		return
	}
	s.free()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
