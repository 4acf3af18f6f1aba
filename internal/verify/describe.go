package verify

import "slices"

// otherProvider is who runs a mail host that is no known provider's.
const otherProvider = "other"

// ProviderOf names who runs a mail host: a provider that is known, other, or
// nothing for no host.
func ProviderOf(mxHost string) string {
	if mxHost == "" {
		return ""
	}
	for _, list := range [][]provider{providers, hosters} {
		if p := ownerOf(list, mxHost); p != nil {
			return p.name
		}
	}
	return otherProvider
}

// provider is who runs the first mail host of a path, empty where there is none.
func (p *path) provider() string {
	if len(p.top) == 0 {
		return ""
	}
	return ProviderOf(p.top[0].name)
}

// isRelay reports whether all first mail hosts belong to a relay: customers may
// use one under domains of their own.
func (p *path) isRelay() bool {
	return len(p.top) > 0 && !slices.ContainsFunc(p.levels[p.first], func(mx string) bool { return !isRelay(mx) })
}

// Describe fills in what follows from a result's address and mail host and is
// not kept with a verdict: alias, cleaned, provider, suggestion. What is set
// stays.
func Describe(r *Result) {
	addr, cleaned, err := ReadAddress(r.Email)
	if err != nil {
		return
	}
	r.Alias = r.Alias || isRelay(addr.Domain)
	if cleaned {
		r.Cleaned, r.Address = true, addr.String()
	}
	if r.Provider == "" {
		r.Provider = ProviderOf(r.MXHost)
	}
	var l lists
	if meant := l.meantDomain(addr.Domain); meant != "" && r.Suggestion == "" && r.takesNoMail() {
		r.Suggestion = addr.Local + "@" + meant
	}
}

// DescribeByLists does what Describe does, and adds what the lists say to a
// result that another service gave.
func DescribeByLists(r *Result) {
	Describe(r)
	addr, _, err := ReadAddress(r.Email)
	if err != nil {
		return
	}
	var l lists
	r.Role = r.Role || l.isRole(addr.Local)
	r.Free = r.Free || l.isFree(addr.Domain)
	r.Disposable = r.Disposable || l.isDisposable(addr.Domain)
}
