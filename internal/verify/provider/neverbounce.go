package provider

import (
	"fmt"
	"net/http"
	"net/url"

	"holdfast/internal/verify"
)

// neverBounce is GET /v4/single/check. Errors come with HTTP 200 and a status
// other than success.
var neverBounce = spec{
	name: "neverbounce",
	url:  "https://api.neverbounce.com",
	one: func(c *Config, email string) (*http.Request, error) {
		return get(c.URL+"/v4/single/check", url.Values{"key": {c.Key}, "email": {email}})
	},
	read: func(body []byte, emails []string) (map[string]verify.Result, error) {
		var a struct {
			Status     string   `json:"status"`
			Message    string   `json:"message"`
			Result     string   `json:"result"`
			Flags      []string `json:"flags"`
			Correction string   `json:"suggested_correction"`
		}
		if err := decode("neverbounce", body, &a); err != nil {
			return nil, err
		}
		switch a.Status {
		case "success":
		case "throttle_triggered", "temp_unavail":
			return nil, &waitError{retryAfter(nil), a.Status == "throttle_triggered", fmt.Errorf("neverbounce refused: %s %s", a.Status, a.Message)}
		default:
			return nil, fmt.Errorf("neverbounce refused: %s %s", a.Status, a.Message)
		}
		has := make(map[string]bool, len(a.Flags))
		for _, f := range a.Flags {
			has[f] = true
		}
		r := result(verify.Unknown, verify.ProviderFailed, a.Result)
		switch a.Result {
		case "valid":
			r = result(verify.Valid, verify.Accepted, a.Result)
		case "invalid":
			r = result(verify.Invalid, verify.NoSuchUser, a.Result)
			if has["bad_syntax"] {
				r.Reason = verify.Syntax
			} else if !has["has_dns"] {
				r.Reason = verify.NoMailHost
			}
		case "disposable":
			r = result(verify.Disposable, verify.DisposableDomain, a.Result)
		case "catchall":
			r = result(verify.CatchAll, verify.DomainAcceptsAll, a.Result)
		}
		r.Role, r.Free, r.Disposable = has["role_account"], has["free_email_host"], has["disposable_email"]
		r.Suggestion = a.Correction
		return one(emails, r), nil
	},
}
