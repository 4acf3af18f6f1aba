package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// Identity is one of several ways in which mail hosts see us, with limits of
// its own. What is left out is as in Config.
type Identity struct {
	Name       string            `json:"name"`
	Helo       string            `json:"helo"`
	From       string            `json:"from"`
	SourceAddr string            `json:"source"`  // local IP address to connect from
	Proxy      string            `json:"proxy"`   // socks5://[user:password@]host:port
	PublicAddr string            `json:"address"` // that mail hosts see, for CheckIdentity alone
	Budget                       // of all mail hosts together
	Providers  map[string]Budget `json:"providers"` // of one provider's hosts, or of all "other" ones
	WarmUp     *WarmUp           `json:"warm_up"`
}

// Budget is how many addresses may be asked for in an hour and a day of UTC;
// 0 is no limit.
type Budget struct {
	Hour int `json:"hour"`
	Day  int `json:"day"`
}

// WarmUp makes the budgets of a new identity grow from day to day, in equal
// steps, until they are full.
type WarmUp struct {
	From     string `json:"from"` // the first day, YYYY-MM-DD
	Days     int    `json:"days"`
	FirstDay int    `json:"first_day"` // addresses on the first day
}

// ReadIdentities reads a JSON file with a list of identities.
func ReadIdentities(file string) ([]Identity, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []Identity
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s is not a list of identities: %w", file, err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("%s has more than one list", file)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no identity", file)
	}
	return list, checkIdentities(list)
}

// checkIdentities returns everything that is wrong with a list.
func checkIdentities(list []Identity) error {
	var problems []error
	names, places := map[string]bool{}, map[string]string{}
	for i := range list {
		id := &list[i]
		what := fmt.Sprintf("identity %d (%s)", i+1, id.Name)
		if id.Name == "" || names[id.Name] {
			problems = append(problems, fmt.Errorf("%s needs a name of its own", what))
		}
		names[id.Name] = true
		place := id.SourceAddr + " " + id.Proxy
		if other, ok := places[place]; ok {
			problems = append(problems, fmt.Errorf("%s connects from the same place as %s; give it a source address or a proxy of its own", what, other))
		}
		places[place] = what
		for _, err := range id.check() {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
		}
	}
	return errors.Join(problems...)
}

func (id *Identity) check() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if id.Helo == "" {
		bad("helo is missing; write the full host name of its address")
	}
	if id.SourceAddr != "" && net.ParseIP(id.SourceAddr) == nil {
		bad("source %q is not an IP address of this machine", id.SourceAddr)
	}
	if _, err := netip.ParseAddr(id.PublicAddr); id.PublicAddr != "" && err != nil {
		bad("address %q is not an IP address", id.PublicAddr)
	}
	if id.From != "" && !strings.Contains(id.From, "@") {
		bad("from %q is not an address", id.From)
	}
	if id.Hour < 0 || id.Day < 0 {
		bad("budgets are numbers from 0, which is no limit")
	}
	known := ProviderNames()
	for name, b := range id.Providers {
		if !slices.Contains(known, name) {
			bad("there is no provider %q; write one of %s", name, strings.Join(known, ", "))
		}
		if b.Hour < 0 || b.Day < 0 {
			bad("budgets for %s are numbers from 0, which is no limit", name)
		}
	}
	if w := id.WarmUp; w != nil {
		if _, err := time.Parse(time.DateOnly, w.From); err != nil {
			bad("warm_up.from %q is not a day such as 2026-11-30", w.From)
		}
		if w.Days < 1 {
			bad("warm_up.days is %d; write a number from 1", w.Days)
		}
		if id.Day == 0 || w.FirstDay < 1 || w.FirstDay > id.Day {
			bad("warm_up.first_day has to be from 1 to the identity's day, which it needs")
		}
	}
	return problems
}

// ProviderNames are the names that budgets may be given for.
func ProviderNames() []string {
	names := make([]string, 0, len(providers)+1)
	for i := range providers {
		names = append(names, providers[i].name)
	}
	return append(names, otherProvider)
}

// limits are the budgets of the identity, of all hosts and of one provider, as
// far as it is warm.
func (id *Identity) limits(provider string, now time.Time) (all, own Budget) {
	all, own = id.Budget, id.Providers[provider]
	w := id.WarmUp
	if w == nil {
		return all, own
	}
	first, _ := time.Parse(time.DateOnly, w.From) // checked when it was read
	day := int(now.UTC().Sub(first) / (24 * time.Hour))
	switch {
	case now.Before(first):
		return Budget{-1, -1}, Budget{-1, -1}
	case day >= w.Days:
		return all, own
	}
	part := w.FirstDay + (id.Day-w.FirstDay)*day/w.Days
	warm := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(1, n*part/id.Day)
	}
	return Budget{warm(all.Hour), part}, Budget{warm(own.Hour), warm(own.Day)}
}

// Allowed is the budget of all mail hosts together at a time, as far as the
// identity is warm; below 0 before its first day.
func (id *Identity) Allowed(now time.Time) Budget {
	all, _ := id.limits("", now)
	return all
}

// configs are those of the engines of a pool.
func (c *Config) configs(list []Identity) []Config {
	out := make([]Config, len(list))
	for i, id := range list {
		out[i] = *c
		out[i].Helo, out[i].From = id.Helo, id.From
		out[i].SourceAddr, out[i].Proxy, out[i].PublicAddr = id.SourceAddr, id.Proxy, id.PublicAddr
	}
	return out
}
