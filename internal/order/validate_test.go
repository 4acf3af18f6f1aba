package order_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

func TestEveryKindSaysWhatItLacksOrDoesNotTake(t *testing.T) {
	email := []order.Field{order.EmailField}
	reveal := order.Request{Kind: order.Reveal, ListID: "lst_1", Count: 3, Fields: email}
	enrich := order.Request{Kind: order.Enrich, ListID: "lst_1", Count: 3, Fields: email}
	export := order.Request{Kind: order.Export, ListID: "lst_1", Count: 3}
	leads := order.Request{Kind: order.LeadList, Count: 3}
	verify := order.Request{Kind: order.Verify, ListID: "lst_1", Count: 3}
	with := func(r order.Request, change func(r *order.Request)) order.Request {
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		request order.Request
		field   string // "" = it is fine
	}{
		"lead_list": {request: leads},
		"verify":    {request: verify},
		"reveal":    {request: reveal},
		"enrich":    {request: enrich},
		"export":    {request: export},
		"reveal of everything": {request: with(reveal, func(r *order.Request) {
			r.Fields = []order.Field{order.ProfileField, order.DirectEmailField, order.PhoneField, order.EmailField}
		})},
		"export of an order":  {request: with(export, func(r *order.Request) { r.ListID, r.OrderID = "", "ord_1" })},
		"export to a file":    {request: with(export, func(r *order.Request) { r.Destination = order.ToFile })},
		"export to a webhook": {request: with(export, func(r *order.Request) { r.Destination, r.WebhookID = order.ToWebhook, "wh_1" })},

		"no kind":                           {order.Request{Count: 1}, "kind"},
		"a kind that is none":               {order.Request{Kind: "sell", Count: 1}, "kind"},
		"lead_list of nothing":              {order.Request{Kind: order.LeadList}, "count"},
		"lead_list of a list":               {with(leads, func(r *order.Request) { r.ListID = "lst_1" }), "list_id"},
		"lead_list with fields":             {with(leads, func(r *order.Request) { r.Fields = email }), "fields"},
		"lead_list of an order":             {with(leads, func(r *order.Request) { r.OrderID = "ord_1" }), "order_id"},
		"lead_list with a destination":      {with(leads, func(r *order.Request) { r.Destination = order.ToFile }), "destination"},
		"verify to a webhook":               {with(verify, func(r *order.Request) { r.WebhookID = "wh_1" }), "webhook_id"},
		"verify with fields":                {with(verify, func(r *order.Request) { r.Fields = email }), "fields"},
		"verify filled":                     {with(verify, func(r *order.Request) { r.Fill = true }), "fill"},
		"verify of nothing":                 {order.Request{Kind: order.Verify}, "emails"},
		"reveal of no lead":                 {with(reveal, func(r *order.Request) { r.ListID = "" }), "lead_ids"},
		"reveal of nothing":                 {with(reveal, func(r *order.Request) { r.Fields = nil }), "fields"},
		"reveal of what there is not":       {with(reveal, func(r *order.Request) { r.Fields = []order.Field{"shoe_size"} }), "fields"},
		"reveal of the lead as such":        {with(reveal, func(r *order.Request) { r.Fields = []order.Field{order.LeadField} }), "fields"},
		"reveal of something twice":         {with(reveal, func(r *order.Request) { r.Fields = []order.Field{order.EmailField, order.EmailField} }), "fields"},
		"reveal by criteria":                {with(reveal, func(r *order.Request) { r.Criteria.Title = "engineer" }), "criteria"},
		"reveal including owned":            {with(reveal, func(r *order.Request) { r.IncludeOwned = true }), "include_owned"},
		"reveal to a file":                  {with(reveal, func(r *order.Request) { r.Destination = order.ToFile }), "destination"},
		"reveal of too many":                {with(reveal, func(r *order.Request) { r.Count = order.MaxLookups + 1 }), "lead_ids"},
		"enrich of nothing":                 {with(enrich, func(r *order.Request) { r.ListID = "" }), "list_id"},
		"enrich without fields":             {with(enrich, func(r *order.Request) { r.Fields = nil }), "fields"},
		"enrich of an order":                {with(enrich, func(r *order.Request) { r.OrderID = "ord_1" }), "order_id"},
		"enrich of too many":                {with(enrich, func(r *order.Request) { r.Count = order.MaxLookups + 1 }), "list_id"},
		"export of nothing":                 {with(export, func(r *order.Request) { r.ListID = "" }), "lead_ids"},
		"export of two things":              {with(export, func(r *order.Request) { r.OrderID = "ord_1" }), "order_id"},
		"export with fields":                {with(export, func(r *order.Request) { r.Fields = email }), "fields"},
		"export to nowhere":                 {with(export, func(r *order.Request) { r.Destination = "fax" }), "destination"},
		"export to a file at a webhook":     {with(export, func(r *order.Request) { r.Destination, r.WebhookID = order.ToFile, "wh_1" }), "webhook_id"},
		"export of too many by id":          {with(export, func(r *order.Request) { r.Count = order.MaxLookups + 1 }), "lead_ids"},
		"export of an order that was large": {with(export, func(r *order.Request) { r.ListID, r.OrderID, r.Count = "", "ord_1", order.MaxCount }), ""},
		"export of an order too large":      {with(export, func(r *order.Request) { r.ListID, r.OrderID, r.Count = "", "ord_1", order.MaxCount+1 }), "order_id"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.request.Validate(0)
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			var invalid *order.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, c.field, invalid.Field, invalid.Message)
			require.Regexp(t, `^[A-Za-z].*[,;].*\.$`, invalid.Message, "what is wrong, and what to do")
		})
	}
}

// The hashes are those that orders of earlier versions are kept with: a request
// that is repeated must be the same request.
func TestTheHashOfARequestNeverChanges(t *testing.T) {
	for want, r := range map[string]order.Request{
		"9f6e63d648e281bf1c24a12f1d9a60c2": {Kind: order.LeadList, Count: 10000, Criteria: order.Criteria{Country: []string{"US"}, Title: "engineer"}},
		"8607e38dda1a5c27792b716602a773bf": {Kind: order.LeadList, Count: 300, Fill: true, IncludeOwned: true},
		"7548edbfc0fe635c5d0ef902d02ff84c": {Kind: order.Verify, Count: 2, ListID: "lst_abc"},
	} {
		require.Equal(t, want, r.Hash())
	}
}

func TestTheActionOfAKind(t *testing.T) {
	require.Equal(t, "reveal_phone", order.Reveal.Action(order.PhoneField))
	require.Equal(t, "enrich_direct_email", order.Enrich.Action(order.DirectEmailField))
	require.Equal(t, "export", order.Export.Action(order.EmailField))
	require.Equal(t, "lead_list", order.LeadList.Action(""))
}

// Criteria travel through Temporal, which carries 128 KB well.
func TestLargeCriteriaAreRefused(t *testing.T) {
	of := func(companies, length int) order.Request {
		r := order.Request{Kind: order.LeadList, Count: 1}
		for i := range companies {
			r.Criteria.Company = append(r.Criteria.Company, fmt.Sprintf("%0*d", length, i))
		}
		return r
	}
	require.NoError(t, of(1000, 120).Validate(0))
	var invalid *order.InvalidError
	require.ErrorAs(t, of(1000, 130).Validate(0), &invalid)
	require.Equal(t, "criteria", invalid.Field)
	require.Equal(t, "The criteria are 130 KB of text; shorten them to at most 128 KB, or make several orders.", invalid.Message)
	require.ErrorAs(t, order.Request{Kind: order.LeadList, Count: 1, Criteria: order.Criteria{Title: strings.Repeat("a", 1<<20)}}.Validate(0), &invalid)
	require.Equal(t, "criteria", invalid.Field)
}
