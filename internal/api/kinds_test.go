package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// preview returns the ids of leads that GET /leads shows.
func (f *fixture) preview(criteria string) (ids []string) {
	f.t.Helper()
	var found struct{ Preview []struct{ ID string } }
	f.call("GET", "/leads?"+criteria, f.jane, nil).is(200).into(&found)
	for _, l := range found.Preview {
		ids = append(ids, l.ID)
	}
	require.NotEmpty(f.t, ids)
	return ids
}

// ordered places an order as Jane and waits for it to be delivered.
func (f *fixture) ordered(key string, body map[string]any) (o order.Order) {
	f.t.Helper()
	f.call("POST", "/orders?wait=40s", f.jane, body, "Idempotency-Key", key).is(201).into(&o)
	require.True(f.t, o.Status.Delivered(), "%+v", o)
	return o
}

// file downloads an order's results: rows by the names of their columns.
func (f *fixture) file(o order.Order) (rows []map[string]string) {
	f.t.Helper()
	text := f.call("GET", "/orders/"+o.ID+"/results.csv", f.jane, nil).is(200).body
	lines, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	require.NoError(f.t, err)
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func (f *fixture) quote(body map[string]any) (q order.Quote) {
	f.t.Helper()
	f.call("POST", "/quotes", f.jane, body).is(200).into(&q)
	return q
}

// available is what the shared pool has of a type.
func (f *fixture) available(credits string) int64 {
	f.t.Helper()
	var view struct {
		Credits []struct {
			Type      string
			Available int64
		}
	}
	f.call("GET", "/credits", f.jane, nil).is(200).into(&view)
	for _, c := range view.Credits {
		if c.Type == credits {
			return c.Available
		}
	}
	require.Fail(f.t, "there are no such credits", credits)
	return 0
}

func captured(o order.Order, credits string) int64 {
	for _, c := range o.Credits {
		if c.Type == credits {
			return c.Captured
		}
	}
	return 0
}

// Fields of leads from the preview: what is valid is delivered and paid for,
// once; a second time they are free.
func TestA33_Reveal(t *testing.T) {
	f := setupWith(t, "workspace-paid", 0)
	ids := f.preview("has_phone=true&preview=25")
	reveal := map[string]any{"kind": "reveal", "lead_ids": append(ids, "unheard-of"), "fields": []string{"email", "phone"}}
	q := f.quote(reveal)
	require.True(t, q.Covered)
	require.EqualValues(t, 2*len(ids), q.Candidates)
	require.Equal(t, []order.Amount{{Type: "email", Amount: int64(len(ids))}, {Type: "phone", Amount: int64(len(ids))}}, q.Hold)

	o := f.ordered("reveal", reveal)
	require.Equal(t, order.Reveal, o.Kind)
	require.EqualValues(t, 2*len(ids)+2, o.Selected)
	rows := f.file(o)
	require.Len(t, rows, len(ids)+1)
	seen, paid := map[string]bool{}, map[string]int64{} // a lead is free where other leads' values are all it has
	for _, row := range rows {
		if row["id"] == "" { // the unknown one
			require.Equal(t, "not_found", row["email_reason"])
			continue
		}
		require.Equal(t, row["email_verdict"] == "valid", row["email"] != "", row)
		require.Equal(t, row["phone_verdict"] == "valid", row["phone"] != "", row)
		for _, field := range []string{"email", "phone"} {
			isNew := false
			for value := range strings.SplitSeq(row[field], ";") {
				isNew = isNew || (value != "" && !seen[value])
				seen[value] = true
			}
			if isNew {
				paid[field]++
			}
		}
	}
	emails, phones := paid["email"], paid["phone"]
	require.Positive(t, emails)
	require.Positive(t, phones)
	require.Equal(t, emails, captured(o, "email"))
	require.Equal(t, phones, captured(o, "phone"))

	again := f.ordered("again", reveal)
	require.Zero(t, captured(again, "email")+captured(again, "phone"), "nothing is paid for twice")
	require.Equal(t, o.Tally.Valid, again.Tally.AlreadyOwned)
	require.Equal(t, o.Tally.Valid, f.quote(reveal).AlreadyOwned)
	var ndjson int
	for range strings.Lines(string(f.call("GET", "/orders/"+again.ID+"/results.ndjson", f.jane, nil).is(200).body)) {
		ndjson++
	}
	require.Len(t, f.file(again), ndjson)

	for field, body := range map[string]map[string]any{
		"body.fields[0]": {"kind": "reveal", "lead_ids": ids, "fields": []string{"shoe_size"}},
		"body.lead_ids":  {"kind": "reveal", "fields": []string{"email"}},
		"body.kind":      {"kind": "conceal"},
		"body.emails":    {"kind": "reveal", "lead_ids": ids, "fields": []string{"email"}, "emails": []string{"a@b.test"}},
	} {
		p := f.call("POST", "/orders", f.jane, body, "Idempotency-Key", "bad "+field).problem(422, "invalid_request")
		require.Equal(t, field, p.Errors[0].Field, p.Detail)
	}
	audited(t)
}

// The answer has the missing credits, and nothing is held: K4 for exports, and for reveals.
func TestA33_WhatTheCreditsDoNotCover(t *testing.T) {
	f := setupWith(t, "workspace-free", 0)
	ids := f.preview("preview=25")
	for _, id := range f.preview("country=US&preview=25") {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	had := f.call("GET", "/credits", f.jane, nil).is(200).body
	reveal := map[string]any{"kind": "reveal", "lead_ids": ids, "fields": []string{"direct_email"}}
	q := f.quote(reveal)
	require.False(t, q.Covered)
	p := f.call("POST", "/orders", f.jane, reveal, "Idempotency-Key", "r").problem(402, "insufficient_credits")
	require.Equal(t, q.Missing, p.Missing)
	require.JSONEq(t, string(had), string(f.call("GET", "/credits", f.jane, nil).is(200).body))
}

// A list without addresses is matched by names; only what is new costs.
func TestA33_Enrich(t *testing.T) {
	f := setupWith(t, "workspace-paid", 0)
	owned := f.ordered("known", map[string]any{"kind": "reveal", "lead_ids": f.preview("has_phone=true&preview=10"), "fields": []string{"email", "phone"}})
	var file strings.Builder
	w := csv.NewWriter(&file)
	require.NoError(t, w.Write([]string{"Full name", "Company", "=Note"}))
	known := f.file(owned)
	for _, row := range known {
		require.NoError(t, w.Write([]string{row["first_name"] + " " + row["last_name"], row["company"], "+x"}))
	}
	require.NoError(t, w.Write([]string{"Missing Person", "Nowhere Ltd", ""}))
	w.Flush()
	var list struct {
		ID              string
		Rows, Matchable int64
	}
	f.call("POST", "/lists", f.jane, file.String(), "Content-Type", "text/csv").is(201).into(&list)
	require.EqualValues(t, len(known)+1, list.Matchable)

	enrich := map[string]any{"kind": "enrich", "list_id": list.ID, "fields": []string{"phone"}}
	require.True(t, f.quote(enrich).Covered)
	o := f.ordered("enrich", enrich)
	require.Equal(t, list.Rows, o.Requested)
	rows := f.file(o)
	require.Len(t, rows, int(list.Rows), "the list, row by row")
	found := 0
	for i, row := range rows[:len(known)] {
		require.Equal(t, known[i]["first_name"]+" "+known[i]["last_name"], row["Full name"])
		require.Equal(t, "'+x", row["'=Note"], "safe to open in a spreadsheet")
		if row["lead_id"] == known[i]["id"] && row["found_phone"] != "" {
			require.Equal(t, known[i]["phone"], row["found_phone"])
			require.Equal(t, "number_pattern", row["found_phone_reason"], "an owned number is checked, free")
			found++
		}
	}
	require.Positive(t, found)
	require.Empty(t, rows[len(known)]["lead_id"])
	require.Zero(t, captured(o, "phone"), "all that was found was owned")
	audited(t)
}

// An export costs each time, to a file and to a webhook; each batch is signed.
func TestA33_Export(t *testing.T) {
	f := setupWith(t, "workspace-paid", 0)
	list := f.ordered("list", map[string]any{"kind": "lead_list", "count": 30})
	had := f.available("export")
	export := map[string]any{"kind": "export", "order_id": list.ID}
	require.Equal(t, []order.Amount{{Type: "export", Amount: list.Tally.Valid}}, f.quote(export).Hold)
	o := f.ordered("file", export)
	require.Equal(t, list.Tally.Valid, captured(o, "export"))
	require.Equal(t, had-list.Tally.Valid, f.available("export"))
	rows := f.file(o)
	require.Len(t, rows, int(list.Tally.Valid))
	for _, row := range rows {
		require.NotEmpty(t, row["email"])
	}

	var mu sync.Mutex
	var secret string
	var pushed []map[string]any
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		check, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = check.Verify(body, r.Header)
		}
		var m struct {
			Type string
			Data struct {
				OrderID string `json:"order_id"`
				Rows    []map[string]any
			}
		}
		if err != nil || json.Unmarshal(body, &m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if m.Type == "export.batch" {
			pushed = append(pushed, m.Data.Rows...)
		}
	}))
	t.Cleanup(receiver.Close)
	push := map[string]any{"kind": "export", "order_id": list.ID, "destination": "webhook"}
	f.call("POST", "/orders", f.jane, push, "Idempotency-Key", "early").problem(422, "invalid_request")
	mu.Lock()
	made := f.call("POST", "/webhooks", f.admin, map[string]any{"url": receiver.URL, "events": []string{"order.settled"}}).is(201)
	secret = made.text("secret")
	mu.Unlock()
	o = f.ordered("push", push)
	require.Equal(t, list.Tally.Valid, captured(o, "export"), "every time")
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, pushed, len(rows))
	for i, row := range pushed {
		require.Equal(t, rows[i]["email"], row["email"])
		require.Equal(t, rows[i]["id"], row["id"])
	}
	audited(t)
}

// Where the plan sells an export by addresses, it unlocks them: what is owned is
// free, what is new and valid costs (N3, N4).
func TestA33_AnExportThatUnlocks(t *testing.T) {
	f := setupWith(t, "licence-monthly", 0)
	ids := f.preview("preview=20")
	first := f.ordered("first", map[string]any{"kind": "reveal", "lead_ids": ids[:10], "fields": []string{"email"}})
	o := f.ordered("export", map[string]any{"kind": "export", "lead_ids": ids})
	rows := f.file(o)
	require.Len(t, rows, int(o.Tally.Valid))
	require.Equal(t, o.Tally.Valid-first.Tally.Valid, captured(o, "email"))
	require.Equal(t, first.Tally.Valid, o.Tally.AlreadyOwned)
	profile := f.ordered("profile", map[string]any{"kind": "reveal", "lead_ids": ids, "fields": []string{"profile"}})
	require.Equal(t, profile.Tally.Valid, captured(profile, "profile"))
	audited(t)
}

// Every example of an order in the description is one, and each kind has some.
func TestA13_ExamplesOfOrders(t *testing.T) {
	f := setup(t)
	for _, path := range []string{"/api/v1/orders", "/api/v1/quotes"} {
		examples := f.api.OpenAPI().Paths[path].Post.RequestBody.Content["application/json"].Examples
		kinds := map[order.Kind]bool{}
		for name, example := range examples {
			text, err := json.Marshal(example.Value)
			require.NoError(t, err)
			body, err := order.ParseRequest(text)
			require.NoError(t, err, name)
			if body.Emails != nil || body.LeadIDs != nil || body.ListID != "" || body.OrderID != "" {
				body.Count = 1 // what intake finds out
				if body.ListID == "" && body.OrderID == "" {
					body.ListID = "lst_x"
				}
			}
			require.NoError(t, body.Validate(0), fmt.Sprint(name))
			kinds[body.Kind] = true
		}
		require.Len(t, kinds, len(order.Kinds()))
	}
}

// A report of bounces says what became of each address. Its key stands for its
// addresses; what an operator gave back by amount is not given back again.
func TestA33_Bounces(t *testing.T) {
	f := setupWith(t, "rollover-boost", 0)
	ids := f.preview("preview=25")
	o := f.ordered("reveal", map[string]any{"kind": "reveal", "lead_ids": ids, "fields": []string{"email"}})
	var emails []string
	for _, row := range f.file(o) {
		if row["email"] != "" {
			emails = append(emails, strings.ToLower(row["email"]))
		}
	}
	paid := captured(o, "email")
	require.Greater(t, paid, int64(2))
	require.Len(t, emails, int(paid))
	path := "/orders/" + o.ID + "/reverse?org=" + f.org
	f.call("POST", path, operatorKey, map[string]any{"reason": "goodwill", "type": "email", "amount": paid - 2}, "Idempotency-Key", "g").is(200)
	before := f.available("email")

	type result struct{ Email, Result string }
	var bounced struct {
		Reported, Found int
		Credits         []order.Amount
		Results         []result
	}
	report := map[string]any{"emails": append([]string{"stranger@nowhere.test"}, emails...)}
	for range 2 {
		f.call("POST", "/bounces", f.jane, report, "Idempotency-Key", "b").is(200).into(&bounced)
		require.Equal(t, []order.Amount{{Type: "email", Amount: 2}}, bounced.Credits)
		require.Len(t, bounced.Results, int(paid)+1)
		counts := map[string]int64{}
		for _, r := range bounced.Results {
			counts[r.Result]++
		}
		require.Equal(t, map[string]int64{"credited": 2, "nothing_left": paid - 2, "not_delivered": 1}, counts)
		require.Equal(t, before+2, f.available("email"))
	}
	f.call("POST", "/bounces", f.jane, map[string]any{"emails": emails[:1]}, "Idempotency-Key", "b").problem(422, "idempotency_key_reused")
	require.Equal(t, before+2, f.available("email"))
}

// C7: nothing that tells of an order shows more of a lead that is not paid for than
// its preview: orders, their events, results, quotes, history, and what webhooks
// are sent.
func TestC7_NoWayToARowShowsWhatIsNotPaidFor(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	file := "id,email,first_name,last_name,title,seniority,department,company,domain,industry,headcount,country,region,city,phone\n"
	var ids []string
	for i := range 2 {
		id := fmt.Sprintf("%s-hidden-%d", f.org, i)
		ids = append(ids, id)
		file += id + fmt.Sprintf(",ghost.%d@nowhere-%s.invalid,Ann,Smithson,Titular,Seniorest,Departed,Company,domain.invalid,Industrious,4711,DE,Regional,Citywide,\n", i, f.org)
	}
	_, err := app.Catalogue.Import(t.Context(), strings.NewReader(file), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	var mu sync.Mutex
	var sent strings.Builder
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		sent.Write(body)
	}))
	t.Cleanup(endpoint.Close)
	webhook := f.call("POST", "/webhooks", f.admin, map[string]any{"url": endpoint.URL}).is(201).text("id")
	f.fund(100)

	var shown strings.Builder
	show := func(a *reply) { shown.Write(a.body) }
	for kind, body := range map[string]map[string]any{
		"reveal": {"kind": "reveal", "lead_ids": ids, "fields": []string{"email"}},
		"export": {"kind": "export", "lead_ids": ids},
	} {
		show(f.call("POST", "/quotes", f.jane, body).is(200))
		placed := f.call("POST", "/orders?wait=40s", f.jane, body, "Idempotency-Key", kind).is(201)
		show(placed)
		var o order.Order
		placed.into(&o)
		for _, e := range f.events(o.ID, "", -1) {
			shown.WriteString(e.data)
		}
		show(f.call("GET", "/orders/"+o.ID, f.jane, nil).is(200))
		for _, result := range []string{"results.csv", "results.ndjson", "results.csv?all=true", "results.ndjson?all=true"} {
			show(f.call("GET", "/orders/"+o.ID+"/"+result, f.jane, nil).is(200))
		}
	}
	for _, path := range []string{"/orders", "/credits", "/credits/history", "/credits/history.csv", "/leads/owned", "/lists"} {
		if a := f.call("GET", path, f.jane, nil); a.status == 200 {
			show(a)
		}
	}
	show(f.call("GET", "/webhooks/"+webhook+"/deliveries", f.admin, nil).is(200))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(sent.String(), "order.settled") >= 2
	}, 40*time.Second, 20*time.Millisecond)
	mu.Lock()
	shown.WriteString(sent.String())
	mu.Unlock()
	require.Contains(t, shown.String(), ids[0], "the id is shown")
	for _, hidden := range []string{"ghost.", "nowhere-", "Smithson", "Titular", "Seniorest", "Departed", "domain.invalid", "Industrious", "4711", "Regional", "Citywide"} {
		require.NotContains(t, shown.String(), hidden)
	}
}
