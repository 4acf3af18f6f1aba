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
			_, err := app.Ledger.Grant(context.WithoutCancel(t.Context()), ledger.Grant{Owner: f.org, Key: fmt.Sprint("g", i), Type: "email", Amount: 1, Source: ledger.SourcePack})
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

// The history, the oldest first and contact by contact: who it was, what it cost and
// where the credits came from. What was credited back is masked.
func TestA30_HistorySortsAndNamesContacts(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	f.fund(500)
	placed := f.settled(f.place("many", 40, "30s").ID)
	newest := f.walk("/credits/history", f.admin, "entries", "balance")
	oldest := f.walk("/credits/history?sort=at", f.admin, "entries", "balance")
	slices.Reverse(oldest)
	require.Equal(t, newest, oldest)
	require.Equal(t, []string{"500"}, oldest[len(oldest)-1:], "first the grant")

	addresses := map[string]string{} // by lead
	for _, row := range f.file(placed) {
		addresses[row["id"]] = row["email"]
	}
	expanded := func() (contacts []billing.Contact) {
		var page billing.History
		f.call("GET", "/credits/history?kind=capture&expand=leads&order="+placed.ID, f.jane, nil).is(200).into(&page)
		for _, e := range page.Entries {
			sum := int64(0)
			for _, c := range e.Contacts {
				sum += c.Cost
			}
			require.Equal(t, e.Amount, sum)
			contacts = append(contacts, e.Contacts...)
		}
		return contacts
	}
	contacts := expanded()
	require.Len(t, contacts, len(addresses))
	for _, c := range contacts {
		require.Equal(t, addresses[c.LeadID], c.Contact)
		require.Equal(t, "email", c.Field)
		require.NotEmpty(t, c.Name)
	}

	lines, err := csv.NewReader(strings.NewReader(string(f.call("GET", "/credits/history.csv?expand=leads&sort=at", f.jane, nil).is(200).body))).ReadAll()
	require.NoError(t, err)
	column := func(line []string, name string) string { return line[slices.Index(lines[0], name)] }
	found := 0
	for _, line := range lines[1:] {
		if column(line, "kind") != "capture" {
			continue
		}
		found++
		require.Equal(t, addresses[column(line, "lead_id")], column(line, "contact"))
		require.Equal(t, []string{"lead_list", "1", "pack", "organization"}, []string{column(line, "action"), column(line, "cost"), column(line, "source"), column(line, "pool")})
	}
	require.Equal(t, len(addresses), found, "a line for each contact")

	back := contacts[0]
	f.call("POST", "/orders/"+placed.ID+"/reverse", operatorKey, map[string]any{"reason": "mistake", "lead_ids": []string{back.LeadID}}, "Idempotency-Key", "back").is(200)
	for _, c := range expanded() {
		if c.LeadID == back.LeadID {
			require.Empty(t, c.Contact)
			require.NotEqual(t, back.Name, c.Name, "the initial of the last name")
		}
	}
}

// All leads that match are read in pages, masked.
func TestA30_LeadsArePaged(t *testing.T) {
	f := setup(t)
	const path = "/leads?seniority=director&limit=9"
	var first struct {
		Leads      int
		Preview    []struct{ ID, Email string }
		NextCursor string `json:"next_cursor"`
	}
	f.call("GET", path, f.jane, nil).is(200).into(&first)
	require.Greater(t, first.Leads, 9)
	seen := map[string]bool{}
	for page := first; ; {
		for _, l := range page.Preview {
			require.False(t, seen[l.ID], l.ID)
			require.Contains(t, l.Email, "***@")
			seen[l.ID] = true
		}
		if page.NextCursor == "" {
			break
		}
		require.Len(t, page.Preview, 9)
		next := page.NextCursor
		page.NextCursor, page.Preview = "", nil
		f.call("GET", path+"&cursor="+next, f.jane, nil).is(200).into(&page)
	}
	require.Len(t, seen, first.Leads)
	f.call("GET", path+"&cursor=x", f.jane, nil).problem(422, "invalid_request")
	f.call("GET", "/leads?limit=101", f.jane, nil).problem(422, "invalid_request")
}

// What is known of an address is in the results of every kind, with the evidence.
func TestA31_EveryVerdictHasItsEvidence(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	f.fund(500)
	list := f.settled(f.place("leads", 20, "30s").ID)
	rows := f.file(list)
	require.NotEmpty(t, rows)
	address := rows[0]["email"]
	has := func(row map[string]string, prefix string) {
		for _, name := range []string{"mx_host", "smtp_code", "checked_at", "role", "free", "disposable", "provider"} {
			require.NotEmpty(t, row[prefix+name], "%s%s of %v", prefix, name, row)
		}
		require.Contains(t, row, prefix+"did_you_mean")
		require.Contains(t, row, prefix+"smtp_enhanced")
	}
	has(rows[0], "")
	for prefix, body := range map[string]map[string]any{
		"":       {"kind": "verify", "emails": []string{address}},
		"email_": {"kind": "reveal", "lead_ids": []string{rows[0]["id"]}, "fields": []string{"email"}}, // owned: its evidence is that of before
	} {
		found := f.file(f.ordered("evidence-"+prefix, body))
		require.Len(t, found, 1)
		has(found[0], prefix)
	}
	var v struct{ Results []map[string]any }
	f.call("POST", "/verify", f.jane, map[string]any{"email": address}, "Idempotency-Key", "v").is(200).into(&v)
	require.Len(t, v.Results, 1)
	require.Equal(t, "valid", v.Results[0]["verdict"])
	require.Equal(t, false, v.Results[0]["disposable"])
	require.NotEmpty(t, v.Results[0]["mx_host"])
	require.EqualValues(t, 250, v.Results[0]["smtp_code"])
}
