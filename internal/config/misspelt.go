package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// foreign are variables with our prefix that other programs of the project read:
// tests, benchmarks and examples.
var foreign = []string{"HOLDFAST_PGTEST_", "HOLDFAST_DEVSTACK_", "HOLDFAST_BENCH_", "HOLDFAST_CHROMIUM", "HOLDFAST_KEY", "HOLDFAST_TEST_"}

// Misspelt says of every variable of the environment that begins with HOLDFAST_
// and is none of ours which one was probably meant.
func Misspelt() []string { return misspelt(os.Environ()) }

func misspelt(environment []string) []string {
	known := variables()
	names := Names()
	for _, name := range SecretNames() {
		if strings.HasPrefix(name, "HOLDFAST_") {
			names = append(names, name+"_FILE")
		}
	}
	var problems []string
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		_, ours := known[name]
		if ours || slices.Contains(names, name) || !strings.HasPrefix(name, "HOLDFAST_") ||
			slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		nearest, least := "", len(name)
		for _, candidate := range names {
			if d := distance(name, candidate); d < least {
				nearest, least = candidate, d
			}
		}
		problem := name + " is no variable of Holdfast and is ignored"
		if least <= max(2, len(strings.TrimPrefix(name, "HOLDFAST_"))/3) {
			problem += "; did you mean " + nearest + "?"
		} else {
			problem += "."
		}
		problems = append(problems, problem)
	}
	slices.Sort(problems)
	return problems
}

// distance is the number of letters to add, remove or replace to make one word of
// another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

const (
	shortestKey   = 20 // characters of an operator key on a public address
	fewestLetters = 8  // different ones in it
)

// CheckOperatorKey refuses an operator key that can be guessed where the API is
// reachable from other machines.
func (c Config) CheckOperatorKey() error {
	host, _, err := net.SplitHostPort(c.HTTPAddr)
	if c.OperatorKey == "" || err != nil || loopback(host) {
		return nil //nolint:nilerr // what is no address is refused where the server listens
	}
	letters := map[rune]bool{}
	for _, letter := range c.OperatorKey {
		letters[letter] = true
	}
	if len(c.OperatorKey) >= shortestKey && len(letters) >= fewestLetters {
		return nil
	}
	return fmt.Errorf("HOLDFAST_OPERATOR_KEY can be guessed, and %s can be reached from other machines; use at least %d random characters, such as from \"openssl rand -hex 24\"", c.HTTPAddr, shortestKey)
}

// loopback says whether a host is this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
