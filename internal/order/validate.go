package order

import (
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
	var err error
	switch r.Kind {
	case LeadList:
	case Verify:
		err = r.validateVerify()
	case Reveal:
		err = r.validateReveal()
	case Enrich:
		err = r.validateEnrich()
	case Export:
		err = r.validateExport()
	default:
		return &InvalidError{"kind", fmt.Sprintf("There is no order kind %q; use lead_list, verify, reveal, enrich or export.", r.Kind)}
	}
	if err != nil {
		return err
	}
	if r.ListID != "" && r.Kind != Verify {
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
	for _, m := range []struct {
		name  string
		given bool
		kinds []Kind
		about string
	}{
		{"criteria", !reflect.ValueOf(r.Criteria).IsZero(), []Kind{LeadList}, "Criteria choose leads from the catalogue for a lead_list"},
		{"fill", r.Fill, []Kind{LeadList}, "fill is for a lead_list, which can go on until enough are valid"},
		{"include_owned", r.IncludeOwned, []Kind{LeadList}, "include_owned is for a lead_list, which leaves out what is owned"},
		{"include_known_bad", r.IncludeKnownBad, []Kind{LeadList}, "include_known_bad is for a lead_list, which leaves out what is known to be bad"},
		{"list_id", r.ListID != "", []Kind{Verify, Reveal, Enrich, Export}, "A list is verified or enriched"},
		{"fields", len(r.Fields) > 0, []Kind{Reveal, Enrich}, "fields are revealed, or looked for by an enrich"},
		{"order_id", r.OrderID != "", []Kind{Export}, "order_id names an order whose leads are exported"},
		{"destination", r.Destination != "", []Kind{Export}, "A destination is where an export goes"},
		{"webhook_id", r.WebhookID != "", []Kind{Export}, "webhook_id is where an export goes"},
	} {
		if m.given && !slices.Contains(m.kinds, r.Kind) && slices.Contains(kinds, r.Kind) {
			return &InvalidError{m.name, fmt.Sprintf("%s; leave %s out of an order of kind %s.", m.about, m.name, r.Kind)}
		}
	}
	return nil
}

var kinds = []Kind{LeadList, Verify, Reveal, Enrich, Export}

func (r Request) tooMany(most int64) error {
	name, what := "count", "leads"
	switch r.Kind {
	case LeadList:
	case Verify:
		name, what = "list_id", "addresses"
	case Reveal:
		name = "lead_ids"
	case Enrich:
		name, what = "list_id", "rows"
	case Export:
		name = "lead_ids"
		if r.OrderID != "" {
			name = "order_id"
		}
	}
	return &InvalidError{name, fmt.Sprintf("The order is for %d %s; one order may be for at most %d, so make several.", r.Count, what, most)}
}

func (r Request) validateVerify() error {
	switch {
	case r.ListID == "":
		return &InvalidError{"emails", "There is nothing to verify; give emails, or the list_id of an uploaded list."}
	case r.Count == 0:
		return &InvalidError{"emails", "None of the rows has an address; there is nothing to verify."}
	}
	return nil
}

func (r Request) validateReveal() error {
	if r.ListID == "" {
		return &InvalidError{"lead_ids", "There is nothing to reveal; give lead_ids."}
	}
	return r.validateFields()
}

func (r Request) validateEnrich() error {
	if r.ListID == "" {
		return &InvalidError{"list_id", "There is nothing to enrich; give the list_id of an uploaded list."}
	}
	return r.validateFields()
}

func (r Request) validateFields() error {
	sold := []Field{EmailField, PhoneField, DirectEmailField, ProfileField}
	if len(r.Fields) == 0 {
		return &InvalidError{"fields", fmt.Sprintf("It is not said what to %s; give fields, some of email, phone, direct_email and profile.", r.Kind)}
	}
	for i, f := range r.Fields {
		if !slices.Contains(sold, f) {
			return &InvalidError{"fields", fmt.Sprintf("There is no field %q; use some of email, phone, direct_email and profile.", f)}
		}
		if slices.Contains(r.Fields[:i], f) {
			return &InvalidError{"fields", fmt.Sprintf("The field %s is listed twice; list it once.", f)}
		}
	}
	return nil
}

func (r Request) validateExport() error {
	switch {
	case r.ListID == "" && r.OrderID == "":
		return &InvalidError{"lead_ids", "There is nothing to export; give lead_ids, or the order_id of an order that delivered leads."}
	case r.ListID != "" && r.OrderID != "":
		return &InvalidError{"order_id", "Give either lead_ids or an order_id, not both."}
	case r.Destination != "" && r.Destination != ToFile && r.Destination != ToWebhook:
		return &InvalidError{"destination", fmt.Sprintf("There is no destination %q; use csv or webhook.", r.Destination)}
	case r.WebhookID != "" && r.Destination != ToWebhook:
		return &InvalidError{"webhook_id", "An export goes to a webhook only with the destination webhook; set it, or leave webhook_id out."}
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
	for _, s := range c.Country {
		if len(s) != 2 {
			return &InvalidError{"criteria.country", fmt.Sprintf("%q is not a country code; use two letters such as US.", s)}
		}
	}
	return nil
}
