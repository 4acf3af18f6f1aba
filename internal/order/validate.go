package order

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"holdfast/internal/errcode"
)

// InvalidError is a request that cannot be carried out as written.
type InvalidError struct {
	Field   string // JSON name of the offending field
	Message string // one sentence for the person who sent it
}

func (e *InvalidError) Error() string { return e.Message }

// ErrorInfo says of which field the request is not valid.
func (e *InvalidError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true, Field: e.Field, Text: e.Message}
}

// Validate checks the request by itself, without looking at any balance or
// catalogue. maxCount is the largest permitted Count; 0 means MaxCount.
func (r Request) Validate(maxCount int64) error {
	if maxCount <= 0 {
		maxCount = MaxCount
	}
	if err := r.misplaced(); err != nil {
		return err
	}
	spec := r.Kind.Spec()
	if !spec.Known() {
		return &InvalidError{"kind", fmt.Sprintf("There is no order kind %q; use %s.", r.Kind, or(KindNames()))}
	}
	if err := spec.Lacks(r); err != nil {
		return err
	}
	if r.ListID != "" && spec.Source == FromFields {
		maxCount = min(maxCount, MaxLookups)
	}
	if r.Count <= 0 {
		return &InvalidError{"count", fmt.Sprintf("The count is %d; ask for at least 1 lead.", r.Count)}
	}
	if r.Count > maxCount {
		return r.tooMany(maxCount)
	}
	return r.Criteria.validate()
}

// misplaced names a member that orders of this kind do not have.
func (r Request) misplaced() error {
	spec := r.Kind.Spec()
	if !spec.Known() {
		return nil
	}
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"criteria", !reflect.ValueOf(r.Criteria).IsZero()},
		{"fill", r.Fill},
		{"include_owned", r.IncludeOwned},
		{"include_known_bad", r.IncludeKnownBad},
		{"list_id", r.ListID != ""},
		{"fields", len(r.Fields) > 0},
		{"order_id", r.OrderID != ""},
		{"destination", r.Destination != ""},
		{"webhook_id", r.WebhookID != ""},
	} {
		if m.given && !spec.Has(m.name) {
			return spec.isNotFor(m.name)
		}
	}
	return nil
}

// Misplaced names what a customer gave besides the request that orders of its
// kind do not have.
func (b Body) Misplaced() error {
	spec := b.Kind.Spec()
	switch {
	case len(b.Emails) > 0 && !spec.Has("emails"):
		return spec.isNotFor("emails")
	case len(b.LeadIDs) > 0 && !spec.Has("lead_ids"):
		return spec.isNotFor("lead_ids")
	case b.Count != 0 && spec.Known() && !spec.Has("count"):
		return &InvalidError{"count", fmt.Sprintf("Only a %s takes a count; an order of another kind is for all it is given, so leave the count out.", kindsWith("count"))}
	}
	return nil
}

// isNotFor says of which kinds a member of the body is.
func (s KindSpec) isNotFor(member string) error {
	return &InvalidError{member, fmt.Sprintf("An order of kind %s has no %s, only one of kind %s; leave it out, or change the kind.", s.Kind, member, kindsWith(member))}
}

// tooMany is about the member of the body that says for how much the order is.
func (r Request) tooMany(most int64) error {
	spec := r.Kind.Spec()
	name := "count"
	switch {
	case r.OrderID != "":
		name = "order_id"
	case spec.Has("lead_ids"):
		name = "lead_ids"
	case spec.Has("list_id"):
		name = "list_id"
	}
	return &InvalidError{name, fmt.Sprintf("The order is for %d %s; one order may be for at most %d, so make several.", r.Count, spec.Owes, most)}
}

func (r Request) lacksFields(sold []Field) error {
	if len(r.Fields) == 0 {
		return &InvalidError{"fields", fmt.Sprintf("It is not said what to %s; give fields, some of %s.", r.Kind, fieldNames(sold))}
	}
	for i, f := range r.Fields {
		if !slices.Contains(sold, f) {
			return &InvalidError{"fields", fmt.Sprintf("There is no field %q to %s; use some of %s.", f, r.Kind, fieldNames(sold))}
		}
		if slices.Contains(r.Fields[:i], f) {
			return &InvalidError{"fields", fmt.Sprintf("The field %s is listed twice; list it once.", f)}
		}
	}
	return nil
}

func (c Criteria) validate() error {
	if c.HeadcountMin < 0 || c.HeadcountMax < 0 {
		return &InvalidError{"criteria.headcount_min", "A headcount cannot be negative; leave it out or give a number from 0."}
	}
	if c.HeadcountMax > 0 && c.HeadcountMin > c.HeadcountMax {
		return &InvalidError{"criteria.headcount_max", fmt.Sprintf("The headcount range %d–%d is empty; swap the two.", c.HeadcountMin, c.HeadcountMax)}
	}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		list, ok := v.Field(i).Interface().([]string)
		if !ok {
			continue
		}
		if len(list) > 1000 {
			return &InvalidError{"criteria." + name, fmt.Sprintf("criteria.%s lists %d values; give at most 1000.", name, len(list))}
		}
		for _, s := range list {
			if strings.TrimSpace(s) == "" {
				return &InvalidError{"criteria." + name, fmt.Sprintf("criteria.%s has an empty value; remove it.", name)}
			}
		}
	}
	data, err := json.Marshal(c)
	if err != nil {
		return &InvalidError{"criteria", "The criteria cannot be stored; remove what is not text."}
	}
	if len(data) > MaxCriteria {
		return &InvalidError{"criteria", fmt.Sprintf("The criteria are %d KB of text; shorten them to at most %d KB, or make several orders.", (len(data)+1023)>>10, MaxCriteria>>10)}
	}
	for _, s := range c.Country {
		if len(s) != 2 {
			return &InvalidError{"criteria.country", fmt.Sprintf("%q is not a country code; use two letters such as US.", s)}
		}
	}
	return nil
}
