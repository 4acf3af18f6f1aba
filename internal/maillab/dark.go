package maillab

// DarkenHosts has all mail hosts end new sessions without a word, until it is
// called with false.
func (l *Lab) DarkenHosts(dark bool) { l.hostsDark.Store(dark) }

// DarkenDNS has the name server be silent, until it is called with false.
func (l *Lab) DarkenDNS(dark bool) { l.dnsDark.Store(dark) }
