package api

import (
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
)

// orderExamples are bodies of orders, of each kind, for the description.
var orderExamples = []struct{ name, summary, body string }{
	{"lead_list", "10,000 software engineers in the US", `{"kind":"lead_list","count":10000,"criteria":{"country":["US"],"industry":["software"],"title":"engineer"}}`},
	{"lead_list_fill", "Candidates until 500 valid ones are delivered", `{"kind":"lead_list","count":500,"fill":true,"criteria":{"seniority":["director"],"has_phone":true}}`},
	{"verify", "Some addresses", `{"kind":"verify","emails":["ann@example.com","bob@example.com"]}`},
	{"verify_list", "An uploaded list", `{"kind":"verify","list_id":"lst_7d2k4m"}`},
	{"reveal", "Addresses and numbers of leads whose ids are known", `{"kind":"reveal","lead_ids":["L00000042","L00000043"],"fields":["email","phone"]}`},
	{"enrich", "Numbers for the people of an uploaded list", `{"kind":"enrich","list_id":"lst_7d2k4m","fields":["phone"]}`},
	{"export", "What an order has delivered, as a file", `{"kind":"export","order_id":"ord_4k2n6v"}`},
	{"export_webhook", "Leads to a webhook, in signed batches", `{"kind":"export","lead_ids":["L00000042","L00000043"],"destination":"webhook","webhook_id":"wh_7f3a2c"}`},
}

// showExamples puts them into the description of the routes that take orders.
func (a *API) showExamples() {
	examples := map[string]*huma.Example{}
	for _, e := range orderExamples {
		examples[e.name] = &huma.Example{Summary: e.summary, Value: json.RawMessage(e.body)}
	}
	for _, path := range []string{"/orders", "/quotes"} {
		a.OpenAPI().Paths[prefix+path].Post.RequestBody.Content["application/json"].Examples = examples
	}
}
