package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/order"
)

const (
	maxUpload    = 256 << 20        // bytes of a list
	uploadWithin = 15 * time.Minute // for a list to arrive and be stored
	verifyWithin = 25 * time.Second // what a synchronous verification waits
)

func (a *API) lists() {
	add(a, route{
		method: http.MethodPost, path: "/lists", name: "uploadList", tag: "Verification", status: http.StatusCreated, needs: member, stream: true,
		upload: true, maxBody: maxUpload,
		summary: "Upload a list, to verify or enrich it with an order",
		about: "CSV with any columns, or plain text with an address a line. To be enriched, a row needs an address, a name with a company or a domain, " +
			"or a domain. The same list uploaded again is the same list.",
	}, func(ctx context.Context, in *struct {
		Column string `query:"column" maxLength:"200" doc:"The column that has the addresses; found by itself when left out."`
	},
	) (*answer[lead.List], error) {
		ctx, cancel := context.WithTimeout(ctx, uploadWithin)
		defer cancel()
		source, ok := ctx.Value(uploadKey{}).(io.Reader)
		if !ok {
			return nil, invalid("body", "The list is empty; send it as the body.")
		}
		return body(a.Catalogue.KeepList(ctx, callerOf(ctx).org.ID, in.Column, source))
	})
	add(a, route{
		method: http.MethodPost, path: "/verify", name: "verifyEmail", tag: "Verification", errors: []int{http.StatusPaymentRequired, http.StatusServiceUnavailable}, needs: member,
		summary: "Verify one address", about: "An order like any other is behind it. An address whose server asks to come back later is still verifying in the answer; look at the order then. " +
			"Calls of one organization that come at the same time share work; each keeps its own key, answer, charge and history. Each result says its `order_id` and its `line` there.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Email string `json:"email" minLength:"1" maxLength:"320"`
		}
	},
	) (*answer[verified], error) {
		v, err := a.verify(ctx, in.Key, []string{in.Body.Email})
		var bad *order.InvalidError
		if errors.As(err, &bad) && bad.Field == "emails" { // the request has one only
			err = &order.InvalidError{Field: "email", Message: bad.Message}
		}
		return body(v, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/verify/batch", name: "verifyBatch", tag: "Verification", errors: []int{http.StatusPaymentRequired, http.StatusServiceUnavailable}, needs: member,
		summary: "Verify up to 100 addresses", about: "As for one address.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Emails []string `json:"emails" minItems:"1" maxItems:"100"`
		}
	},
	) (*answer[verified], error) {
		return body(a.verify(ctx, in.Key, in.Body.Emails))
	})
}

// uploadKey is under what readBody leaves the body of an upload.
type uploadKey struct{}

// describeUpload says in the description what a route's raw body is.
func describeUpload(op *huma.Operation, r route) {
	if r.upload {
		text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": text, "text/plain": text}}
	}
}

type verified struct {
	Order   order.Order       `json:"order"`
	Results []json.RawMessage `json:"results" doc:"One for each address that has a verdict."`
}

func (a *API) verify(ctx context.Context, key string, emails []string) (verified, error) {
	c := callerOf(ctx)
	o, err := a.Intake.Submit(ctx, intake.Submission{
		Org: c.org.ID, Member: c.member, Key: key, Request: order.Request{Kind: order.Verify}, Emails: emails, Together: true,
	})
	switch {
	case err != nil:
		return verified{}, err
	case o.Member != c.member:
		return verified{}, intake.ErrKeyReused
	case o.Status == order.Rejected:
		return verified{}, rejected(o)
	}
	if o, err = a.await(ctx, o, verifyWithin); err != nil {
		return verified{}, err
	}
	var lines bytes.Buffer
	if err := a.Catalogue.WriteResults(ctx, &lines, o.ID, lead.NDJSON, lead.ResultOptions{}); err != nil {
		return verified{}, err
	}
	v := verified{Order: o, Results: []json.RawMessage{}}
	for decoder := json.NewDecoder(&lines); decoder.More(); {
		var result json.RawMessage
		if err := decoder.Decode(&result); err != nil {
			return verified{}, fmt.Errorf("the results of order %s cannot be read: %w", o.ID, err)
		}
		place := fmt.Sprintf(`{"order_id":%q,"line":%d,`, o.ID, len(v.Results)+1)
		v.Results = append(v.Results, append(json.RawMessage(place), result[1:]...))
	}
	return v, nil
}
