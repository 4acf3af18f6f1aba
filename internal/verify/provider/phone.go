package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/verify"
)

// Phones asks a carrier lookup with the API of Twilio Lookup v2 about numbers
// that fit their country's plan. It is safe for concurrent use.
type Phones struct {
	p       *Provider
	account string
}

// twilio is GET /v2/PhoneNumbers/{E.164}?Fields=line_type_intelligence; what it
// sends and reads is built by Phones.
var twilio = spec{url: "https://lookups.twilio.com"}

// NewPhones returns a lookup. Key is the account's identifier and its token,
// "AC…:token"; Name is not looked at.
func NewPhones(c Config) (*Phones, error) {
	account, token, ok := strings.Cut(c.Key, ":")
	if !ok || account == "" || token == "" {
		return nil, errors.New("the phone lookup needs a key of the form account:token")
	}
	c.Name, c.Key = "twilio", token
	p, err := newProvider(c, twilio)
	if err != nil {
		return nil, err
	}
	return &Phones{p: p, account: account}, nil
}

// Check answers for every number: each(i, result) is called once for
// numbers[i], never two calls at a time. Where the carrier cannot be asked the
// verdict by pattern stands, and Note says why. The only error is ctx's.
func (l *Phones) Check(ctx context.Context, numbers []verify.Number, each func(i int, r verify.PhoneResult)) error {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(l.p.cfg.Concurrency)
	for i, number := range numbers {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			r := l.check(ctx, number)
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil {
				each(i, r)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (l *Phones) check(ctx context.Context, number verify.Number) verify.PhoneResult {
	r := verify.CheckPhone(number.Text, number.Country)
	if r.Verdict != verify.Valid {
		return r // a number that fits no plan costs nothing
	}
	err := l.p.request(ctx, 1, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet,
			l.p.cfg.URL+"/v2/PhoneNumbers/"+url.PathEscape(r.E164)+"?Fields=line_type_intelligence", nil)
		if err != nil {
			return err
		}
		req.SetBasicAuth(l.account, l.p.cfg.Key)
		body, err := l.p.exchange(req)
		if err != nil {
			return err
		}
		return readLookup(body, &r)
	})
	if err != nil {
		r.Note = err.Error()
	}
	return r
}

// lineTypes puts the lookup's words into those of verify.CheckPhone.
var lineTypes = map[string]string{
	"landline": "fixed_line", "fixedVoip": "voip", "nonFixedVoip": "voip", "tollFree": "toll_free",
	"premium": "premium_rate", "sharedCost": "shared_cost",
}

// readLookup puts the carrier's word into r. Errors of the carrier's own data
// come inside HTTP 200.
func readLookup(body []byte, r *verify.PhoneResult) error {
	var a struct {
		Valid   *bool    `json:"valid"`
		Errors  []string `json:"validation_errors"`
		Country string   `json:"country_code"`
		Line    *struct {
			Type    string `json:"type"`
			Carrier string `json:"carrier_name"`
			Error   *int   `json:"error_code"`
		} `json:"line_type_intelligence"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("twilio answered something that is not its JSON: %w", err)
	}
	if a.Valid == nil {
		return errors.New("twilio does not say whether the number is valid")
	}
	if !*a.Valid { // by the lookup's numbering plan, which is newer than ours
		r.Verdict, r.Note, r.CheckedAt = verify.Invalid, strings.Join(a.Errors, ", "), time.Now().UTC()
		return nil
	}
	if a.Line == nil || a.Line.Error != nil || a.Line.Type == "" || a.Line.Type == "unknown" {
		code := ""
		if a.Line != nil && a.Line.Error != nil {
			code = fmt.Sprintf(" (error %d)", *a.Line.Error)
		}
		return fmt.Errorf("the carrier said nothing about the number%s", code)
	}
	r.Reason, r.Source, r.CheckedAt = verify.NumberAssigned, verify.FromCarrier, time.Now().UTC()
	r.Carrier, r.Type = a.Line.Carrier, a.Line.Type
	if ours, ok := lineTypes[a.Line.Type]; ok {
		r.Type = ours
	}
	if a.Country != "" {
		r.Region = a.Country
	}
	return nil
}
