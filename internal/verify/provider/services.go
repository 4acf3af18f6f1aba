package provider

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

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
