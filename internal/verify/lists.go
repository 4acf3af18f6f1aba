package verify

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/net/publicsuffix"
)

//go:embed lists/disposable.txt
var disposableList sortedNames

//go:embed lists/free.txt
var freeList sortedNames

//go:embed lists/role.txt
var roleList sortedNames

//go:embed lists/own/free.txt
var largestList sortedNames // the largest providers of freeList

//go:embed lists/own/relay.txt
var relayList sortedNames

//go:embed lists/own/throwaway_hosts.txt
var throwawayServices string

// sortedNames is a text with one name a line, sorted by bytes, comments first.
// It is searched where it lies in the program: nothing is read at the start, and
// the largest list costs no memory of its own.
type sortedNames string

func (s sortedNames) has(name string) bool {
	low, high := 0, len(s) // a line that begins in [low, high) may be the name
	for low < high {
		at := low + strings.LastIndexByte(string(s[low:(low+high)/2]), '\n') + 1
		line, _, _ := strings.Cut(string(s[at:]), "\n")
		switch {
		case line == name:
			return name != ""
		case line < name:
			low = at + len(line) + 1
		default:
			high = at
		}
	}
	return false
}

// lists tell what can be known of an address without asking: the embedded ones,
// as amended by an override file.
type lists struct {
	disposable map[string]bool // what the file says, as in the next two
	free       map[string]bool
	role       map[string]bool
	hosts      []netip.Prefix // mail hosts of throw-away services
}

// newLists returns the embedded lists as amended by the override file, if one
// is named. A large mailbox provider is never disposable, even if a published
// list says so; the file's last word counts.
//
// The file has one entry a line, # begins a comment:
//
//	disposable throwaway.example   the domain, its subdomains and domains on their mail hosts are disposable
//	disposable 192.0.2.0/24        domains whose mail host has such an address are disposable
//	allow      company.example     it is not
//	free       mail.example        a public mailbox provider
//	role       frontdesk           a local part that is no person
func newLists(overrideFile string) (*lists, error) {
	l := &lists{disposable: map[string]bool{}, free: map[string]bool{}, role: map[string]bool{}}
	if overrideFile == "" {
		return l, nil
	}
	f, err := os.Open(overrideFile)
	if err != nil {
		return nil, fmt.Errorf("the list file cannot be read: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	if err := l.amend(f); err != nil {
		return nil, fmt.Errorf("the list file %s: %w", overrideFile, err)
	}
	return l, nil
}

func (l *lists) amend(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(strings.ToLower(text))
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return fmt.Errorf("line %d is not a kind and a name", n)
		}
		kind, name := words[0], words[1]
		if kind == "disposable" {
			if hosts, ok := parseHosts(name); ok {
				l.hosts = append(l.hosts, hosts)
				continue
			}
		}
		if kind != "role" {
			domain, err := parseDomain(name)
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			name = domain
		}
		switch kind {
		case "disposable":
			l.disposable[name] = true
			l.free[name] = false
		case "allow":
			l.disposable[name] = false
		case "free":
			l.free[name] = true
			l.disposable[name] = false
		case "role":
			l.role[name] = true
		default:
			return fmt.Errorf("line %d begins with %q; it has to be disposable, allow, free or role", n, kind)
		}
	}
	return lines.Err()
}

// parseHosts reads an IP address, or a network of them.
func parseHosts(text string) (netip.Prefix, bool) {
	if network, err := netip.ParsePrefix(text); err == nil {
		return network.Masked(), true
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	return netip.Prefix{}, false
}

// nearest looks a domain and its parents up until one is listed. It stops above
// the domain that is registered: what belongs to a registry (co.uk, web.id)
// says nothing about its customers.
func nearest(domain string, listed func(name string) (is, known bool)) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	for domain != suffix {
		if is, known := listed(domain); known {
			return is
		}
		_, parent, ok := strings.Cut(domain, ".")
		if !ok {
			return false
		}
		domain = parent
	}
	return false
}

// isDisposable looks the domain and its parents up; the nearest entry counts.
func (l *lists) isDisposable(domain string) bool {
	return nearest(domain, func(name string) (is, known bool) {
		if is, known = l.disposable[name]; known {
			return is, true
		}
		if free, known := l.free[name]; known && free || freeList.has(name) {
			return false, true
		}
		return true, disposableList.has(name)
	})
}

// isAllowed reports whether the override file says that a domain is not
// disposable.
func (l *lists) isAllowed(domain string) bool {
	return nearest(domain, func(name string) (is, known bool) {
		disposable, known := l.disposable[name]
		return !disposable, known
	})
}

func (l *lists) isFree(domain string) bool {
	if is, known := l.free[domain]; known {
		return is
	}
	if freeList.has(domain) {
		return true
	}
	_, parent, _ := strings.Cut(domain, ".")
	return freeList.has("." + parent)
}

// isRole looks the local part up without its +tag, and without a number or a
// country behind it: info2, sales-uk, support.de.
func (l *lists) isRole(local string) bool {
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	if l.names(local) {
		return true
	}
	base := strings.TrimRight(local, "0123456789")
	if at := strings.LastIndexAny(local, "-._"); at > 0 && len(local)-at == 3 && Country(local[at+1:]) != "" {
		base = local[:at]
	}
	base = strings.TrimRight(base, "-._")
	return len(base) > 3 && l.names(base)
}

// names reports whether a local part names a function.
func (l *lists) names(local string) bool { return l.role[local] || roleList.has(local) }

// isRelay reports whether a domain gives out addresses that pass mail on.
func isRelay(domain string) bool {
	return nearest(domain, func(name string) (is, known bool) { return true, relayList.has(name) })
}
