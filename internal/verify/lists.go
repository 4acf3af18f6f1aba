package verify

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
)

//go:embed lists/disposable.txt
var disposableList string

//go:embed lists/free.txt
var freeList string

//go:embed lists/role.txt
var roleList string

// lists tell what can be known of an address without asking anybody.
type lists struct {
	disposable map[string]bool
	free       map[string]bool
	role       map[string]bool
}

// newLists returns the embedded lists as amended by the override file, if one
// is named. A public mailbox provider is never disposable, whatever a list
// says; the file's last word counts.
//
// The file has one entry a line, # begins a comment:
//
//	disposable throwaway.example   the domain and its subdomains are disposable
//	allow      company.example     it is not
//	free       mail.example        a public mailbox provider
//	role       frontdesk           a local part that is no person
func newLists(overrideFile string) (*lists, error) {
	l := &lists{disposable: set(disposableList), free: set(freeList), role: set(roleList)}
	for domain := range l.free {
		delete(l.disposable, domain)
	}
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
			delete(l.free, name)
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

// set reads one name a line.
func set(list string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names[line] = true
		}
	}
	return names
}

// isDisposable looks the domain and its parents up; the nearest entry counts.
func (l *lists) isDisposable(domain string) bool {
	for {
		if is, listed := l.disposable[domain]; listed {
			return is
		}
		_, parent, ok := strings.Cut(domain, ".")
		if !ok {
			return false
		}
		domain = parent
	}
}

func (l *lists) isFree(domain string) bool { return l.free[domain] }

// isRole looks the local part up without its +tag.
func (l *lists) isRole(local string) bool {
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	return l.role[local]
}

// wellKnown are the domains whose names are mistyped most often.
var wellKnown = []string{
	"gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "hotmail.com", "hotmail.co.uk", "outlook.com", "live.com", "msn.com",
	"icloud.com", "aol.com", "comcast.net", "verizon.net", "proton.me", "protonmail.com", "gmx.de", "gmx.net", "web.de", "t-online.de",
	"freenet.de", "orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "libero.it", "btinternet.com", "mail.ru", "yandex.ru",
	"qq.com", "163.com",
}

// meantDomain returns the well-known domain that was probably meant: one slip
// of the keyboard away, from a name that is not well known itself. Short names
// have too many neighbours of their own.
func (l *lists) meantDomain(domain string) string {
	if l.free[domain] {
		return ""
	}
	for _, known := range wellKnown {
		if len(known) >= 8 && oneSlip(domain, known) {
			return known
		}
	}
	return ""
}

// oneSlip reports whether a becomes b by one character left out, put in or
// exchanged, or by two neighbours changing places.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
