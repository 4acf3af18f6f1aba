package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"holdfast/internal/verify"
)

// zeroBounceAnswer is one address of ZeroBounce's v2 API.
type zeroBounceAnswer struct {
	Address    string `json:"address"`
	Status     string `json:"status"`
	SubStatus  string `json:"sub_status"`
	Free       bool   `json:"free_email"`
	MX         string `json:"mx_record"`
	DidYouMean string `json:"did_you_mean"`
	Error      string `json:"error"`
}

func (a zeroBounceAnswer) result() verify.Result {
	words := strings.TrimSpace(a.Status + " " + a.SubStatus)
	r := result(verify.Unknown, verify.ProviderFailed, words)
	switch strings.ToLower(a.Status) {
	case "valid":
		r = result(verify.Valid, verify.Accepted, words)
	case "catch-all":
		r = result(verify.CatchAll, verify.DomainAcceptsAll, words)
	case "spamtrap", "abuse":
		r = result(verify.Risky, verify.Policy, words)
	case "do_not_mail":
		switch a.SubStatus {
		case "disposable":
			r = result(verify.Disposable, verify.DisposableDomain, words)
		case "role_based":
			r = result(verify.Valid, verify.Accepted, words)
		case "role_based_catch_all":
			r = result(verify.CatchAll, verify.DomainAcceptsAll, words)
		default:
			r = result(verify.Risky, verify.Policy, words)
		}
	case "invalid":
		switch a.SubStatus {
		case "failed_syntax_check", "possible_typo":
			r = result(verify.Invalid, verify.Syntax, words)
		case "no_dns_entries", "does_not_accept_mail", "unroutable_ip_address":
			r = result(verify.Invalid, verify.NoMailHost, words)
		case "mailbox_quota_exceeded":
			r = result(verify.Risky, verify.MailboxFull, words)
		case "mailbox_not_found", "":
			r = result(verify.Invalid, verify.NoSuchUser, words)
		}
	case "unknown":
		if a.SubStatus == "greylisted" {
			r.Reason = verify.Greylisted
		}
	}
	r.Role = strings.HasPrefix(a.SubStatus, "role_based")
	r.Disposable = a.SubStatus == "disposable"
	r.Free, r.MXHost, r.Suggestion = a.Free, a.MX, a.DidYouMean
	return r
}

// zeroBounce is GET /v2/validate, and POST /v2/validatebatch for up to 100.
var zeroBounce = spec{
	name:  "zerobounce",
	url:   "https://api.zerobounce.net",
	batch: 100,
	one: func(c *Config, email string) (*http.Request, error) {
		return get(c.URL+"/v2/validate", url.Values{"api_key": {c.Key}, "email": {email}, "ip_address": {""}})
	},
	all: func(c *Config, emails []string) (*http.Request, error) {
		type address struct {
			Email string `json:"email_address"`
		}
		list := make([]address, len(emails))
		for i, e := range emails {
			list[i].Email = e
		}
		base := strings.Replace(c.URL, "://api.zerobounce.net", "://bulkapi.zerobounce.net", 1)
		return post(base+"/v2/validatebatch", map[string]any{"api_key": c.Key, "email_batch": list})
	},
	read: func(body []byte, emails []string) (map[string]verify.Result, error) {
		var a struct {
			zeroBounceAnswer
			Batch  []zeroBounceAnswer `json:"email_batch"`
			Errors []struct {
				Error string `json:"error"`
			} `json:"errors"`
		}
		if err := decode("zerobounce", body, &a); err != nil {
			return nil, err
		}
		if a.Error != "" {
			return nil, fmt.Errorf("zerobounce refused: %s", a.Error)
		}
		if a.Status != "" {
			return one(emails, a.result()), nil
		}
		if len(a.Batch) == 0 {
			if len(a.Errors) > 0 {
				return nil, fmt.Errorf("zerobounce refused: %s", a.Errors[0].Error)
			}
			return nil, errors.New("zerobounce gave no status")
		}
		results := make(map[string]verify.Result, len(a.Batch))
		given := make(map[string]string, len(emails)) // it answers in lower case
		for _, e := range emails {
			given[strings.ToLower(e)] = e
		}
		for _, b := range a.Batch {
			if e, ok := given[strings.ToLower(b.Address)]; ok {
				results[e] = b.result()
			}
		}
		return results, nil
	},
}
