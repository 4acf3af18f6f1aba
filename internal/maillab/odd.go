package maillab

// OddHost is one entry of the fault table: a domain with one odd behaviour.
type OddHost struct {
	Name      string // the domain is Name + ".odd.test"
	Behaviour string
	RFC       string
	fixed     Truth
}

func (o *OddHost) truth(m mailbox) Truth {
	if o.fixed.Verdict != "" {
		return o.fixed
	}
	return m.truth()
}

func (w *World) addOdd() {}
