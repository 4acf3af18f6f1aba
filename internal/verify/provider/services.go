package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"holdfast/internal/verify"
)

// get builds a GET request with a query.
func get(address string, query url.Values) (*http.Request, error) {
	return http.NewRequest(http.MethodGet, address+"?"+query.Encode(), nil) //nolint:noctx // send adds the context
}

// post builds a POST request with a JSON body.
func post(address string, body any) (*http.Request, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(b)) //nolint:noctx // send adds the context
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// one is the answer about a single address.
func one(emails []string, r verify.Result) map[string]verify.Result {
	return map[string]verify.Result{emails[0]: r}
}

func result(v verify.Verdict, reason verify.Reason, words string) verify.Result {
	return verify.Result{Verdict: v, Reason: reason, SMTPText: words}
}

// reacher is check-if-email-exists: POST /v0/check_email. Its SMTP findings tell
// more than its summary, which calls a full mailbox invalid.
var reacher = spec{
	one: func(c *Config, email string) (*http.Request, error) {
		req, err := post(c.URL+"/v0/check_email", map[string]string{"to_email": email})
		if err == nil && c.Key != "" {
			req.Header.Set("Authorization", c.Key)
		}
		return req, err
	},
	read: func(body []byte, emails []string) (map[string]verify.Result, error) {
		var a struct {
			Reachable string `json:"is_reachable"`
			Error     string `json:"error"`
			Misc      struct {
				Disposable bool `json:"is_disposable"`
				Role       bool `json:"is_role_account"`
				Free       bool `json:"is_b2c"`
			} `json:"misc"`
			MX struct {
				Accepts *bool    `json:"accepts_mail"`
				Records []string `json:"records"`
			} `json:"mx"`
			SMTP struct {
				CanConnect  bool `json:"can_connect_smtp"`
				Full        bool `json:"has_full_inbox"`
				CatchAll    bool `json:"is_catch_all"`
				Deliverable bool `json:"is_deliverable"`
				Disabled    bool `json:"is_disabled"`
				Error       *struct {
					Message string `json:"message"`
				} `json:"error"`
			} `json:"smtp"`
			Syntax struct {
				Valid *bool `json:"is_valid_syntax"`
			} `json:"syntax"`
		}
		if err := decode("reacher", body, &a); err != nil {
			return nil, err
		}
		if a.Error != "" || a.Reachable == "" {
			return nil, fmt.Errorf("reacher refused: %s", a.Error)
		}
		r := result(verify.Unknown, verify.ProviderFailed, a.Reachable)
		switch {
		case a.Syntax.Valid != nil && !*a.Syntax.Valid:
			r = result(verify.Invalid, verify.Syntax, a.Reachable)
		case a.MX.Accepts != nil && !*a.MX.Accepts:
			r = result(verify.Invalid, verify.NoMailHost, a.Reachable)
		case a.Misc.Disposable:
			r = result(verify.Disposable, verify.DisposableDomain, a.Reachable)
		case a.SMTP.Error != nil:
			r.SMTPText = a.SMTP.Error.Message
		case a.SMTP.Disabled:
			r = result(verify.Invalid, verify.MailboxDisabled, a.Reachable)
		case a.SMTP.Full:
			r = result(verify.Risky, verify.MailboxFull, a.Reachable)
		case a.SMTP.CatchAll:
			r = result(verify.CatchAll, verify.DomainAcceptsAll, a.Reachable)
		case a.SMTP.Deliverable && a.Reachable != "unknown":
			r = result(verify.Valid, verify.Accepted, a.Reachable)
		case a.Reachable == "invalid" && a.SMTP.CanConnect:
			r = result(verify.Invalid, verify.NoSuchUser, a.Reachable)
		}
		r.Role, r.Disposable, r.Free = a.Misc.Role, a.Misc.Disposable, a.Misc.Free
		if len(a.MX.Records) > 0 {
			r.MXHost = strings.TrimSuffix(a.MX.Records[0], ".")
		}
		return one(emails, r), nil
	},
}

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

// neverBounce is GET /v4/single/check. Errors come with HTTP 200 and a status
// other than success.
var neverBounce = spec{
	url: "https://api.neverbounce.com",
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

// millionVerifier is GET /api/v3/. Errors come with HTTP 200 in the error field.
var millionVerifier = spec{
	url: "https://api.millionverifier.com",
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
