package provider

import (
	"fmt"
	"net/http"
	"strings"

	"holdfast/internal/verify"
)

// reacher is check-if-email-exists: POST /v0/check_email. Its SMTP findings tell
// more than its summary, which calls a full mailbox invalid.
var reacher = spec{
	name:    "reacher",
	keyless: true, // where it is our own
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
