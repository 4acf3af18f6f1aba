package verify

// Quicken lets n seconds of the paces of hosts pass in one.
func (c *Config) Quicken(n float64) { c.clock = n }
