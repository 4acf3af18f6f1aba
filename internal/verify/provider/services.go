package provider

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

	"holdfast/internal/verify"
)

// services are those that can be chosen, each in a file of its own.
var services = []spec{reacher, zeroBounce, neverBounce, millionVerifier}

// Service is what a service needs to be asked.
type Service struct {
	Name    string // in HOLDFAST_VERIFY_PROVIDERS; its settings are variables with this name
	URL     string // base address where none is set; empty: one has to be set
	Keyless bool   // it can be asked without an API key
}

// Services are those that can be chosen.
func Services() []Service {
	list := make([]Service, len(services))
	for i, s := range services {
		list[i] = Service{s.name, s.url, s.keyless}
	}
	return list
}

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
