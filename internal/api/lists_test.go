package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

// What a customer sends is verified: one address, a batch, or an uploaded list.
func TestA18_VerifyingWhatCustomersSend(t *testing.T) {
	f := setupWith(t, "prepaid-verification", 0)
	f.fund(100)
	var v struct {
		Order   order.Order
		Results []map[string]any
	}
	f.call("POST", "/verify", f.jane, `{"email":"missing@no-such-domain.invalid"}`, "Idempotency-Key", "v1").is(200).into(&v)
	require.Equal(t, order.Verify, v.Order.Kind)
	f.call("POST", "/verify/batch", f.jane, `{"emails":["not an address","x@nowhere.invalid"]}`, "Idempotency-Key", "v2").is(200).into(&v)
	require.NotEmpty(t, v.Results)

	var list struct {
		ID                      string
		Rows, Unique, Malformed int64
	}
	f.call("POST", "/lists", f.jane, "Name,Email\nAnn,ann@nowhere.invalid\nBob,\nAnn,ANN@nowhere.invalid\n", "Content-Type", "text/csv").is(201).into(&list)
	require.EqualValues(t, 3, list.Rows)
	require.EqualValues(t, 1, list.Unique)
	require.EqualValues(t, 1, list.Malformed)
	var o order.Order
	f.call("POST", "/orders?wait=30s", f.jane, map[string]any{"kind": "verify", "list_id": list.ID}, "Idempotency-Key", "v3").is(201).into(&o)
	results := f.call("GET", "/orders/"+o.ID+"/results.csv", f.jane, nil).is(200)
	require.Equal(t, 4, strings.Count(string(results.body), "\n"), "the list, in its order, with a header: %s", results.body)
	stranger := setup(t)
	stranger.call("POST", "/orders", stranger.jane, map[string]any{"kind": "verify", "list_id": list.ID}, "Idempotency-Key", "v4").problem(422, "invalid_request") // as for one that is not there
}

func TestA15_APlanThatDoesNotVerifyIsARefusal(t *testing.T) {
	f := setup(t) // leads are all that its plan sells
	f.fund(10)
	p := f.call("POST", "/verify", f.jane, map[string]any{"email": "only-here@example.test"}, "Idempotency-Key", "v").problem(422, "invalid_request")
	require.Contains(t, p.Detail, "does not offer")
}

// Results that are kept no longer are gone, and the answer says so; the order stays.
func TestA18_ResultsThatWereRemoved(t *testing.T) {
	f := setupWith(t, "prepaid-verification", 0)
	f.fund(10)
	var v struct{ Order order.Order }
	f.call("POST", "/verify", f.jane, `{"email":"missing@nowhere.invalid"}`, "Idempotency-Key", "v").is(200).into(&v)
	path := "/orders/" + v.Order.ID
	f.settled(v.Order.ID)
	f.call("GET", path+"/results.csv", f.jane, nil).is(200)

	_, err := app.Book.RemoveResults(t.Context(), v.Order.ID)
	require.NoError(t, err)
	for _, results := range []string{"/results.csv", "/results.ndjson", "/results.csv?all=true"} {
		f.call("GET", path+results, f.jane, nil).problem(410, "gone")
	}
	f.call("POST", "/verify", f.jane, `{"email":"missing@nowhere.invalid"}`, "Idempotency-Key", "v").problem(410, "gone")
	f.call("GET", path, f.jane, nil).is(200).into(&v.Order)
	require.NotNil(t, v.Order.ResultsRemovedAt)
	require.EqualValues(t, 1, v.Order.Tally.Invalid)

	batch := map[string]any{"emails": []string{"missing@nowhere.test"}}
	f.call("POST", "/verify/batch", f.jane, batch, "Idempotency-Key", "b").is(200).into(&v)
	f.settled(v.Order.ID)
	_, err = app.Book.RemoveResults(t.Context(), v.Order.ID)
	require.NoError(t, err)
	f.call("POST", "/verify/batch", f.jane, batch, "Idempotency-Key", "b").problem(410, "gone")

	leads := setup(t)
	leads.fund(100)
	o := leads.settled(leads.place("leads", 10, "20s").ID)
	before := string(leads.call("GET", "/orders/"+o.ID+"/results.csv", leads.jane, nil).is(200).body)
	_, err = app.Book.RemoveResults(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, before, string(leads.call("GET", "/orders/"+o.ID+"/results.csv", leads.jane, nil).is(200).body), "leads are owned for ever")
	leads.call("GET", "/orders/"+o.ID+"/results.csv?all=true", leads.jane, nil).problem(410, "gone")
}
