package ledger

// hold is a reservation with its slices.
type hold struct {
	id       string
	closed   bool
	lines    []holdLine
	captures []int64 // entries that charged facts to it
	isNew    bool
	changed  bool
}

type holdLine struct {
	Type   string  `json:"type"`
	Budget string  `json:"budget,omitempty"`
	Slices []slice `json:"slices,omitempty"` // in burn order
}

// slice is the part of a hold line that comes from one grant.
type slice struct {
	Grant    int64  `json:"grant"`
	Pool     string `json:"pool,omitempty"`
	Amount   int64  `json:"amount"`
	Captured int64  `json:"captured,omitempty"`
	Released int64  `json:"released,omitempty"`
	Reversed int64  `json:"reversed,omitempty"`
}

func (s *slice) left() int64 { return s.Amount - s.Captured - s.Released }

// reversible is what was captured and not credited back.
func (s *slice) reversible() int64 { return s.Captured - s.Reversed }

func (l *holdLine) left() (n int64) {
	for i := range l.Slices {
		n += l.Slices[i].left()
	}
	return n
}

func (l *holdLine) reversible() (n int64) {
	for i := range l.Slices {
		n += l.Slices[i].reversible()
	}
	return n
}

// budgetOf names the budget a slice counts against, if any.
func (l *holdLine) budgetOf(s *slice) string {
	if s.Pool == "" {
		return l.Budget
	}
	return ""
}

func (h *hold) line(kind string) *holdLine {
	for i := range h.lines {
		if h.lines[i].Type == kind {
			return &h.lines[i]
		}
	}
	return nil
}

// sums adds up all lines.
func (h *hold) sums() (sum slice) {
	for i := range h.lines {
		for _, s := range h.lines[i].Slices {
			sum.Amount += s.Amount
			sum.Captured += s.Captured
			sum.Released += s.Released
			sum.Reversed += s.Reversed
		}
	}
	return sum
}
