package verify

// Load is what an engine has to do at the moment.
type Load struct {
	Sessions int // mail sessions that are open, or being opened
	Waiting  int // mail hosts that wait for a session

	Resting map[string]bool // of a pool: whether an identity rests, by name
}

// Load returns what the engine has to do at the moment.
func (e *Engine) Load() Load {
	e.slots.mu.Lock()
	defer e.slots.mu.Unlock()
	return Load{Sessions: e.slots.busy + e.slots.slow, Waiting: len(e.slots.waiting)}
}

// Load returns what all identities together have to do, and which of them rest.
func (p *Pool) Load() Load {
	sum := Load{Resting: make(map[string]bool, len(p.senders))}
	for _, s := range p.senders {
		one := s.e.Load()
		sum.Sessions += one.Sessions
		sum.Waiting += one.Waiting
		sum.Resting[s.id.Name], _ = s.resting(p.now())
	}
	return sum
}

// Health returns an error while no identity can be used, else nil. It asks no
// one.
func (p *Pool) Health() error {
	var first error
	for _, s := range p.senders {
		resting, why := s.resting(p.now())
		err := s.e.Health()
		if resting {
			err = why
		}
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
