package maillab

import "net/netip"

// List makes mail hosts refuse the sessions of a client, as those do that ask a
// list of bad senders: the hosts of the domains, or all where none is named.
func (l *Lab) List(client netip.Addr, domains ...string) {
	l.listedMu.Lock()
	defer l.listedMu.Unlock()
	if l.listed == nil {
		l.listed = make(map[netip.Addr]map[*host]bool)
	}
	at := map[*host]bool{}
	for _, name := range domains {
		if d := l.world.domains[asciiDomain(name)]; d != nil {
			for _, h := range d.hosts {
				at[h] = true
			}
		}
	}
	l.listed[client] = at
}

// Unlist ends what List did.
func (l *Lab) Unlist(client netip.Addr) {
	l.listedMu.Lock()
	defer l.listedMu.Unlock()
	delete(l.listed, client)
}

func (l *Lab) isListed(h *host, client netip.Addr) bool {
	l.listedMu.Lock()
	defer l.listedMu.Unlock()
	at, ok := l.listed[client]
	return ok && (len(at) == 0 || at[h])
}

// RecipientsOf returns how many recipients a client has asked for, at the hosts of
// a domain, or at all where it is empty.
func (l *Lab) RecipientsOf(client netip.Addr, domain string) (n int) {
	d := l.world.domains[asciiDomain(domain)]
	for _, h := range l.hosts {
		if domain != "" && (d == nil || !h.serves(d)) {
			continue
		}
		h.mu.Lock()
		if s := h.clients[client]; s != nil {
			n += s.recipients
		}
		h.mu.Unlock()
	}
	return n
}

// SessionsOf returns how many sessions a client has begun, refused ones too.
func (l *Lab) SessionsOf(client netip.Addr) (n int) {
	for _, h := range l.hosts {
		h.mu.Lock()
		if s := h.clients[client]; s != nil {
			n += s.sessions
		}
		h.mu.Unlock()
	}
	return n
}
