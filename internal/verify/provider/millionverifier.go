package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"holdfast/internal/verify"
)

// millionVerifier is GET /api/v3/. Errors come with HTTP 200 in the error field.
var millionVerifier = spec{
	name: "millionverifier",
	url:  "https://api.millionverifier.com",
	one: func(c *Config, email string) (*http.Request, error) {
		return get(c.URL+"/api/v3/", url.Values{"api": {c.Key}, "email": {email}, "timeout": {fmt.Sprint(min(60, max(2, int(c.Timeout.Seconds()))))}})
	},
	read: func(body []byte, emails []string) (map[string]verify.Result, error) {
		var a struct {
			Result     string `json:"result"`
			Sub        string `json:"subresult"`
			Free       bool   `json:"free"`
			Role       bool   `json:"role"`
			DidYouMean string `json:"didyoumean"`
			Error      string `json:"error"`
		}
		if err := decode("millionverifier", body, &a); err != nil {
			return nil, err
		}
		if a.Error != "" {
			return nil, fmt.Errorf("millionverifier refused: %s", a.Error)
		}
		words := strings.TrimSpace(a.Result + " " + a.Sub)
		r := result(verify.Unknown, verify.ProviderFailed, words)
		switch a.Result {
		case "ok":
			r = result(verify.Valid, verify.Accepted, words)
		case "catch_all":
			r = result(verify.CatchAll, verify.DomainAcceptsAll, words)
		case "disposable":
			r = result(verify.Disposable, verify.DisposableDomain, words)
			r.Disposable = true
		case "invalid":
			r = result(verify.Invalid, verify.NoSuchUser, words)
			switch a.Sub {
			case "invalid_syntax", "syntax":
				r.Reason = verify.Syntax
			case "no_dns", "no_mx", "domain_not_found":
				r.Reason = verify.NoMailHost
			case "mailbox_full":
				r.Verdict, r.Reason = verify.Risky, verify.MailboxFull
			}
		case "error":
			return nil, fmt.Errorf("millionverifier failed: %s", words)
		}
		r.Role, r.Free, r.Suggestion = a.Role, a.Free, a.DidYouMean
		return one(emails, r), nil
	},
}
