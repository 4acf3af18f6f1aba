package api_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/order"
)

func TestA3_OrdersHoldChargeAndRelease(t *testing.T) {
	f := setup(t)
	f.fund(500)
	r := f.call("POST", "/orders?wait=30s", f.jane, leadList(50), "Idempotency-Key", "first").is(201)
	var o order.Order
	r.into(&o)
	require.Equal(t, "/api/v1/orders/"+o.ID, r.header.Get("Location"))
	require.True(t, o.Status.Delivered())
	require.Equal(t, "jane", o.Member)
	require.Equal(t, f.org, o.Org)
	o = f.settled(o.ID)
	require.Equal(t, order.Settled, o.Status)
	require.Equal(t, []order.Credit{{Type: "email", Held: 50, Captured: o.Tally.Valid, Released: 50 - o.Tally.Valid}}, o.Credits)

	var credits struct {
		Credits []struct{ Available, Held, Used int64 }
	}
	f.call("GET", "/credits?at="+o.CreatedAt.Add(-time.Hour).UTC().Format(time.RFC3339), f.jane, nil).is(200).into(&credits)
	require.Zero(t, credits.Credits[0].Available, "before the organization existed")
	f.call("GET", "/credits?at="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339), f.jane, nil).problem(422, "invalid_request")
	f.call("GET", "/credits", f.jane, nil).is(200).into(&credits)
	require.Equal(t, 500-o.Tally.Valid, credits.Credits[0].Available)
	require.Zero(t, credits.Credits[0].Held)
	require.Equal(t, o.Tally.Valid, credits.Credits[0].Used)

	results := f.call("GET", "/orders/"+o.ID+"/results.csv", f.jane, nil).is(200)
	rows, err := csv.NewReader(strings.NewReader(string(results.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows[1:], int(o.Tally.Valid))
	lines := f.call("GET", "/orders/"+o.ID+"/results.ndjson?all=true", f.jane, nil).is(200)
	require.Equal(t, int(o.Tally.Verified()), strings.Count(string(lines.body), "\n"))

	reversed := f.call("POST", "/orders/"+o.ID+"/reverse", operatorKey, `{"reason":"by mistake"}`, "Idempotency-Key", "r").is(200)
	again := f.call("POST", "/orders/"+o.ID+"/reverse", operatorKey, `{"reason":"by mistake"}`, "Idempotency-Key", "r").is(200)
	require.JSONEq(t, string(reversed.body), string(again.body))
	f.call("GET", "/credits", f.jane, nil).is(200).into(&credits)
	require.EqualValues(t, 500, credits.Credits[0].Available)
	audited(t)
}

func TestA4_IdempotencyKeys(t *testing.T) {
	f := setup(t)
	f.fund(100)
	f.call("POST", "/orders", f.jane, leadList(1)).problem(422, "invalid_request")
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() { ids[i] = f.place("same", 10, "0s").ID })
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	f.call("POST", "/orders", f.jane, leadList(11), "Idempotency-Key", "same").problem(422, "idempotency_key_reused")

	grant := map[string]any{"type": "email", "amount": 7, "source": "promotion", "member": "jane"}
	path := "/orgs/" + f.org + "/grants"
	first := f.call("POST", path, operatorKey, grant, "Idempotency-Key", "gift").is(201)
	again := f.call("POST", path, operatorKey, grant, "Idempotency-Key", "gift").is(201)
	require.JSONEq(t, string(first.body), string(again.body))
	grant["amount"] = 8
	f.call("POST", path, operatorKey, grant, "Idempotency-Key", "gift").problem(422, "idempotency_key_reused")
	f.settled(ids[0])
	audited(t)
}

func TestA5_InsufficientCreditsHoldNothing(t *testing.T) {
	f := setup(t)
	f.fund(10)
	for range 2 { // asked again, the answer is the same
		p := f.call("POST", "/orders", f.jane, leadList(25), "Idempotency-Key", "much").problem(402, "insufficient_credits")
		require.Equal(t, []order.Amount{{Type: "email", Amount: 15}}, p.Missing)
		require.Equal(t, order.Rejected, f.order(p.OrderID).Status)
	}
	var credits struct {
		Credits []struct{ Available, Held int64 }
	}
	f.call("GET", "/credits", f.jane, nil).is(200).into(&credits)
	require.EqualValues(t, 10, credits.Credits[0].Available)
	require.Zero(t, credits.Credits[0].Held)

	var quote order.Quote
	f.call("POST", "/quotes", f.jane, leadList(25)).is(200).into(&quote)
	require.False(t, quote.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 15}}, quote.Missing)
}

func TestA6_PagesDoNotShift(t *testing.T) {
	f := setup(t)
	f.fund(100)
	var ids []string
	for i := range 5 {
		ids = append([]string{f.place(fmt.Sprint(i), 1, "0s").ID}, ids...)
	}
	var seen []string
	cursor := ""
	for {
		var page struct {
			Orders     []order.Order
			NextCursor string `json:"next_cursor"`
		}
		f.call("GET", "/orders?limit=2&cursor="+cursor, f.jane, nil).is(200).into(&page)
		for _, o := range page.Orders {
			seen = append(seen, o.ID)
		}
		f.place("new"+cursor, 1, "0s") // comes in between two pages
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, ids, seen)
	f.call("GET", "/orders?cursor=%21%21", f.jane, nil).problem(422, "invalid_request")
	f.call("GET", "/orders?limit=501", f.jane, nil).problem(422, "invalid_request")
	f.call("GET", "/orders?colour=red", f.jane, nil).problem(422, "invalid_request")
}

func TestA6_HistoryInPagesAndAsCSV(t *testing.T) {
	f := setup(t)
	f.fund(100)
	f.settled(f.place("h", 20, "20s").ID)
	type entry struct {
		Kind, OrderID string
		Amount        int64
	}
	var all, paged []entry
	read := func(path string) (list []entry, next string) {
		var page struct {
			Entries    []entry
			NextCursor string `json:"next_cursor"`
		}
		f.call("GET", path, f.admin, nil).is(200).into(&page)
		return page.Entries, page.NextCursor
	}
	all, _ = read("/credits/history")
	require.Greater(t, len(all), 3, "grant, hold, capture, release")
	for cursor := ""; ; {
		list, next := read("/credits/history?limit=1&cursor=" + cursor)
		paged = append(paged, list...)
		if cursor = next; next == "" {
			break
		}
	}
	require.Equal(t, all, paged)
	holds, _ := read("/credits/history?kind=hold")
	require.Len(t, holds, 1)
	future, _ := read("/credits/history?from=2999-01-01T00:00:00Z")
	require.Empty(t, future)
	file := f.call("GET", "/credits/history.csv", f.admin, nil).is(200)
	require.Equal(t, "text/csv; charset=utf-8", file.header.Get("Content-Type"))
	rows, err := csv.NewReader(strings.NewReader(string(file.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows[1:], len(all))
}

func TestA7_ETagSaysWhetherAnOrderHasChanged(t *testing.T) {
	f := setup(t)
	f.fund(10)
	o := f.settled(f.place("tag", 2, "20s").ID)
	first := f.call("GET", "/orders/"+o.ID, f.jane, nil).is(200)
	tag := first.header.Get("ETag")
	require.NotEmpty(t, tag)
	same := f.call("GET", "/orders/"+o.ID, f.jane, nil, "If-None-Match", `"other", W/`+tag).is(304)
	require.Empty(t, same.body)
	f.call("GET", "/orders/"+o.ID, f.jane, nil, "If-None-Match", `"other"`).is(200)
}

func TestA8_CancelGivesBackTheRest(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("c", 10, "20s") // delivered, its refund an hour away
	require.Equal(t, order.Completed, o.Status)
	f.call("POST", "/orders/"+o.ID+"/cancel", f.jane, nil).is(202)
	o = f.settled(o.ID)
	require.Equal(t, o.Credits[0].Held, o.Credits[0].Captured+o.Credits[0].Released)
	again := f.call("POST", "/orders/"+o.ID+"/cancel", f.jane, nil).is(202) // as if both had come at once
	require.Contains(t, string(again.body), `"note":"The order was cancelled before; nothing was changed."`)
	f.call("POST", "/orders/"+o.ID+"/pause", f.jane, nil).problem(409, "conflict")
}

// event is one server-sent event.
type event struct{ name, id, data string }

// events reads a stream until n events came or it ends.
func (f *fixture) events(id, last string, n int) (list []event) {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+"/api/v1/orders/"+id+"/events", nil)
	require.NoError(f.t, err)
	request.Header.Set("Authorization", "Bearer "+f.jane)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(f.t, err)
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	require.Equal(f.t, 200, response.StatusCode)
	require.Equal(f.t, "text/event-stream", response.Header.Get("Content-Type"))
	var e event
	for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
		name, value, _ := strings.Cut(scanner.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if list = append(list, e); len(list) == n {
				return list
			}
		}
	}
	return list
}

func TestA9_EventsGoOnWhereTheyStopped(t *testing.T) {
	f := setup(t)
	f.fund(100)
	o := f.place("watched", 40, "0s")
	first := f.events(o.ID, "", 1)
	require.Len(t, first, 1)
	require.Equal(t, "status", first[0].name)
	rest := f.events(o.ID, first[0].id, -1)
	statuses := map[order.Status]int{}
	for _, e := range append(first, rest...) {
		if e.name == "status" {
			var o order.Order
			require.NoError(t, json.Unmarshal([]byte(e.data), &o))
			statuses[o.Status]++
		}
	}
	for status, n := range statuses {
		require.Equal(t, 1, n, "%s is sent once", status)
	}
	require.Equal(t, 1, statuses[order.Settled])
	require.Empty(t, f.events(o.ID, rest[len(rest)-1].id, -1), "after the end there is nothing more")
}

func TestA9_DrainingEndsStreamsAndWaits(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("drained", 5, "20s")
	done := make(chan []event)
	go func() { done <- f.events(o.ID, "", -1) }()
	f.open(1)
	f.api.Drain()
	select {
	case list := <-done:
		require.Len(t, list, 2, "the status and the progress it had")
	case <-time.After(5 * time.Second):
		require.Fail(t, "the stream did not end")
	}
}

// While nothing happens a stream shows that it lives.
func TestA9_Heartbeats(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("beats", 10, "20s") // delivered, and settled in an hour
	require.Equal(t, 15*time.Second, api.New(api.Config{}).Heartbeat, "by default")
	f.serveWith(func(c *api.Config) { c.Heartbeat = 50 * time.Millisecond })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/orders/"+o.ID+"/events", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+f.jane)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	beats := 0
	for scanner := bufio.NewScanner(response.Body); beats < 3 && scanner.Scan(); {
		if scanner.Text() == ": heartbeat" {
			beats++
		}
	}
	require.Equal(t, 3, beats)
}

// A watcher that stops reading is left, as is one that downloads.
func TestA9_AWatcherThatStopsReadingIsLeft(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("stuck", 10, "20s")
	f.serveWith(func(c *api.Config) { c.Heartbeat, c.WritesWithin = 10*time.Microsecond, 200*time.Millisecond })
	conn := f.deaf()
	_, err := fmt.Fprintf(conn, "GET /api/v1/orders/%s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", o.ID, f.jane)
	require.NoError(t, err)
	f.open(1)
	f.open(0)
}
