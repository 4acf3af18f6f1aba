package verify

import "time"

// Quicken lets n seconds of the paces of hosts pass in one.
func (c *Config) Quicken(n float64) { c.clock = n }

// NeverSlow keeps the engine from taking a busy machine for a host where each
// command takes time, which would get more sessions.
func (c *Config) NeverSlow() { c.separate = time.Hour }

// SetClock lets a pool's identities rest by another clock.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }

// Limits are the budgets of an identity at a time.
func (id *Identity) Limits(provider string, now time.Time) (all, own Budget) {
	return id.limits(provider, now)
}
