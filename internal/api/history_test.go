package api_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
)

// delivered are the ids of the leads that an order has delivered.
func (f *fixture) delivered(orderID string) (ids []string) {
	f.t.Helper()
	file := f.call("GET", "/orders/"+orderID+"/results.csv", f.jane, nil).is(200)
	rows, err := csv.NewReader(strings.NewReader(string(file.body))).ReadAll()
	require.NoError(f.t, err)
	column := slices.Index(rows[0], "id")
	for _, row := range rows[1:] {
		ids = append(ids, row[column])
	}
	slices.Sort(ids)
	return ids
}

func (f *fixture) captures(orderID string) []billing.Entry {
	f.t.Helper()
	var page billing.History
	f.call("GET", "/credits/history?kind=capture&order="+orderID, f.jane, nil).is(200).into(&page)
	return page.Entries
}

// Which contact a credit went for: the entry says so where it is one, and lists
// them where they are many.
func TestA20_HistoryNamesTheLeads(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	f.fund(500)
	one, ids := "", []string{}
	for i := 0; len(ids) == 0; i++ { // half of the leads are not valid
		require.Less(t, i, 50)
		one = f.settled(f.place(fmt.Sprint("one-", i), 1, "30s").ID).ID
		ids = f.delivered(one)
	}
	entries := f.captures(one)
	require.Len(t, entries, 1)
	require.Equal(t, ids[0], entries[0].LeadID)
	require.EqualValues(t, 1, entries[0].Leads)

	many := f.settled(f.place("many", 60, "30s").ID).ID
	var listed []string
	for _, e := range f.captures(many) {
		path := fmt.Sprintf("/credits/history/%d/leads", e.Entry)
		if e.Leads > 1 {
			require.Empty(t, e.LeadID)
		}
		var count int64
		for cursor := ""; ; {
			var page billing.Leads
			f.call("GET", path+"?limit=3&cursor="+cursor, f.jane, nil).is(200).into(&page)
			listed = append(listed, page.LeadIDs...)
			count += int64(len(page.LeadIDs))
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		require.Equal(t, e.Leads, count)
		f.call("GET", path, f.admin, nil).is(200)
		f.call("GET", path, f.bob, nil).problem(404, "not_found") // Jane's
		f.call("GET", path+"?cursor=x", f.jane, nil).problem(422, "invalid_request")
	}
	slices.Sort(listed)
	require.Equal(t, f.delivered(many), listed)
	f.call("GET", "/credits/history/999999/leads", f.admin, nil).problem(404, "not_found")
	f.call("GET", "/credits/history/x/leads", f.admin, nil).problem(404, "not_found")

	// An address that a customer brings is no lead, also where the catalogue has it.
	var v struct{ Order struct{ ID string } }
	f.call("POST", "/verify", f.jane, map[string]any{"email": "someone@nowhere.invalid"}, "Idempotency-Key", "v").is(200).into(&v)
	f.settled(v.Order.ID)
	for _, e := range f.captures(v.Order.ID) {
		require.Empty(t, e.LeadID)
	}
}

// A long history is streamed page by page, all of it.
func TestA14_ALongHistoryIsStreamed(t *testing.T) {
	f := setup(t)
	const movements = 3500
	var granting errgroup.Group
	granting.SetLimit(200)
	for i := range movements {
		granting.Go(func() error {
			_, err := rooms.Ledger.Grant(context.WithoutCancel(t.Context()), ledger.Grant{Owner: f.org, Key: fmt.Sprint("g", i), Type: "email", Amount: 1, Source: ledger.SourcePack})
			return err
		})
	}
	require.NoError(t, granting.Wait())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/credits/history.csv", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+f.admin)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, []string{"chunked"}, response.TransferEncoding, "its length is not known beforehand")
	// More comes in while it is read: it does not shift what is there.
	reader := csv.NewReader(response.Body)
	header, err := reader.Read()
	require.NoError(t, err)
	require.Equal(t, "balance", header[5])
	f.fund(7)
	for left := movements; left > 0; left-- {
		row, err := reader.Read()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(left), row[5], "every movement once, newest first")
	}
	_, err = reader.Read()
	require.ErrorIs(t, err, io.EOF)
}
