package config

import (
	"net/url"
	"strings"
)

// OIDC is the OpenID Connect provider where people log in to the dashboard; none
// where Issuer is empty.
type OIDC struct {
	Issuer       string   `env:"ISSUER"`
	ClientID     string   `env:"CLIENT_ID"`
	ClientSecret string   `env:"CLIENT_SECRET" secret:"true"` // empty: a public client
	Operators    []string `env:"OPERATORS"`                   // e-mail addresses of those who may do all
}

func (o OIDC) check(bad func(name, format string, args ...any)) {
	if o.Issuer == "" {
		if o.ClientID != "" || len(o.Operators) > 0 {
			bad("HOLDFAST_OIDC_ISSUER", "is empty; write the address of the OpenID Connect provider, or unset the other HOLDFAST_OIDC_ variables")
		}
		return
	}
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
		bad("HOLDFAST_OIDC_ISSUER", "is %q; write an address such as https://login.example.com", o.Issuer)
	}
	if o.ClientID == "" {
		bad("HOLDFAST_OIDC_CLIENT_ID", "is empty; write the identifier that the provider gave to Holdfast")
	}
	for _, email := range o.Operators {
		if !strings.Contains(email, "@") {
			bad("HOLDFAST_OIDC_OPERATORS", "has %q; write e-mail addresses, several separated by commas", email)
		}
	}
}
