package lead_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// secret is a lead with words that stand nowhere else in an output.
const secret = "id,email,first_name,last_name,title,seniority,department,company,domain,industry,headcount,country,region,city,phone,direct_email,profile\n" +
	"a,mail.a@work.test,Ann,Smithson,Titular,Seniorest,Departed,Company A,domain.test,Industrious,4711,DE,Regional,Citywide,+4930901820,home.a@private.test,Profiled\n" +
	"b,mail.b@work.test,Bob,Smithson,Titular,Seniorest,Departed,Company B,domain.test,Industrious,4711,DE,Regional,Citywide,,,\n"

// hidden are what nothing may show of a lead that is not paid for.
var hidden = []string{
	"mail.a@", "mail.b@", "Smithson", "Titular", "Seniorest", "Departed", "domain.test", "Industrious", "4711", "Regional", "Citywide",
	"+4930901820", "home.a@", "Profiled",
}

func (f fixture) requireMasked(text string) {
	f.t.Helper()
	for _, word := range hidden {
		require.NotContains(f.t, text, word)
	}
}

// everyResult is what an order shows in all formats, with and without all=true.
func (f fixture) everyResult(orderID string) string {
	f.t.Helper()
	var out bytes.Buffer
	for _, format := range []string{lead.CSV, lead.NDJSON} {
		for _, all := range []bool{false, true} {
			require.NoError(f.t, f.WriteResults(f.ctx, &out, orderID, format, lead.ResultOptions{All: all}))
		}
	}
	return out.String()
}

// C7: nothing but a lead's id, first name, initial, company and country is shown
// before something of it is delivered, by any kind of order, in any format.
func TestC7_WhatIsNotPaidForIsMasked(t *testing.T) {
	for _, kind := range []order.Kind{order.LeadList, order.Reveal, order.Export} {
		t.Run(string(kind), func(t *testing.T) {
			f := setup(t)
			f.importCSV(secret)
			f.enter("ord_1", kind)
			switch kind {
			case order.LeadList:
				_, err := f.Select(f.ctx, selection("ord_1", 2))
				require.NoError(t, err)
			default:
				f.selectFields(lead.FieldSelection{OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("a", "b"), Fields: wants("email")})
			}
			_, err := f.pool.Exec(f.ctx, `UPDATE order_item SET verdict = 'invalid', reason = 'no_such_user', checked_at = now() WHERE order_id = 'ord_1'`)
			require.NoError(t, err)
			shown := f.everyResult("ord_1")
			f.requireMasked(shown)
			require.Contains(t, shown, "Company A")
			require.Contains(t, shown, "S.")

			// Cancelled midway: one of the two is paid for.
			_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET verdict = 'valid', reason = 'accepted' WHERE order_id = 'ord_1'`)
			require.NoError(t, err)
			f.requireMasked(f.everyResult("ord_1"))
			_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET delivered_at = now() WHERE order_id = 'ord_1' AND n = 1`)
			require.NoError(t, err)
			var out bytes.Buffer
			require.NoError(t, f.WriteResults(f.ctx, &out, "ord_1", lead.NDJSON, lead.ResultOptions{All: true}))
			require.Equal(t, 1, strings.Count(out.String(), "Smithson"))
		})
	}
}

// A reveal of a field that a lead does not have costs nothing and shows nothing.
func TestC7_AFieldThatIsMissingShowsNothingOfTheLead(t *testing.T) {
	f := setup(t)
	f.importCSV(secret)
	f.enter("ord_1", order.Reveal)
	items, _ := f.selectFields(lead.FieldSelection{OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("b"), Fields: wants("phone", "direct_email")})
	require.Equal(t, "not_found", items[0].Reason)
	f.requireMasked(f.everyResult("ord_1"))
}

// An export of leads of which nothing is owned shows nothing of them, nor does
// what is sent to a webhook.
func TestC12_AnExportOfUnownedLeadsIsMasked(t *testing.T) {
	f := setup(t)
	f.importCSV(secret)
	f.enter("ord_1", order.Export)
	f.selectFields(lead.FieldSelection{
		OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("a", "b"),
		Fields: []lead.FieldWanted{{Field: order.LeadField}}, Carry: wants("email", "phone", "direct_email", "profile"),
	})
	batch, err := f.ExportBatch(f.ctx, "ord_1", 1, 2)
	require.NoError(t, err)
	require.Empty(t, batch)
	f.requireMasked(f.everyResult("ord_1"))
}

func TestPreviewIsMasked(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email,first_name,last_name,title,phone,country,headcount\n" +
		"a,ann.smith@mail.test,Ann,Smith,Engineer,+4930123456,DE,12\n" +
		"b,bob@mail.test,Bob,,Pilot,,DE,\n" +
		"c,eve@mail.test,Eve,X,Engineer,,US,\n")
	twelve := int64(12)
	german := order.Criteria{Country: []string{"DE"}}
	ann := lead.Viewer{Org: "acme", Types: []string{"email", "phone"}, Scopes: []string{"", "ann"}}
	shown, err := f.Preview(f.ctx, ann, german, 10)
	require.NoError(t, err)
	masked := lead.PreviewLead{ID: "a", FirstName: "Ann", LastName: "S.", Email: "a***@mail.test", Title: "Engineer", Headcount: &twelve, Country: "DE", HasPhone: true}
	require.Equal(t, []lead.PreviewLead{
		masked, {ID: "b", FirstName: "Bob", Email: "b***@mail.test", Title: "Pilot", Country: "DE"},
	}, shown)
	shown, err = f.Preview(f.ctx, ann, order.Criteria{}, 1)
	require.NoError(t, err)
	require.Len(t, shown, 1)
	for _, n := range []int{0, 101} {
		_, err = f.Preview(f.ctx, ann, german, n)
		require.ErrorContains(t, err, "between 1 and 100")
	}

	// N2: what the organization owns is visible to it, value by value.
	f.ownField("ann", order.EmailField, "a")
	unmasked := masked
	unmasked.LastName, unmasked.Email, unmasked.Owned = "Smith", "ann.smith@mail.test", true
	shown, err = f.Preview(f.ctx, ann, german, 1)
	require.NoError(t, err)
	require.Equal(t, unmasked, shown[0])
	bob := ann
	bob.Scopes = []string{"", "bob"}
	shown, err = f.Preview(f.ctx, bob, german, 1)
	require.NoError(t, err)
	require.Equal(t, masked, shown[0], "paid for by ann alone")
	f.ownField("", order.PhoneField, "a")
	shown, err = f.Preview(f.ctx, bob, german, 1)
	require.NoError(t, err)
	require.Equal(t, "+4930123456", shown[0].Phone)
	require.Equal(t, "a***@mail.test", shown[0].Email)
}

// N2: what was paid for is listed with where and when, page by page, without
// what was credited back and without what came free.
func TestN2_OwnedLeadsAreListed(t *testing.T) {
	f := setup(t)
	var file strings.Builder
	file.WriteString("id,email,first_name,last_name,company\n")
	for i := range 30 {
		fmt.Fprintf(&file, "l%02d,m%02d@work.test,Ann,Smith,Co\n", i, i)
	}
	f.importCSV(file.String())
	var ids []string
	for o := range 3 {
		orderID := fmt.Sprintf("ord_%d", o)
		f.enter(orderID, order.Reveal)
		var these []string
		for i := range 10 {
			these = append(these, fmt.Sprintf("l%02d", o*10+i))
		}
		f.selectFields(lead.FieldSelection{OrderID: orderID, Org: "acme", ListID: f.leadIDs(these...), Fields: wants("email")})
		f.deliverValid(orderID)
		_, err := f.pool.Exec(f.ctx, `UPDATE orders SET selected = 10, delivered = 10 WHERE id = $1`, orderID)
		require.NoError(t, err)
		f.ownField("", order.EmailField, these...)
		ids = append(ids, these...)
	}
	_, err := f.pool.Exec(f.ctx, `UPDATE credit_fact SET reversed = true WHERE subject IN (SELECT email_key FROM lead WHERE id = 'l07')`)
	require.NoError(t, err)

	viewer := lead.Viewer{Org: "acme", Types: []string{"email"}, Scopes: []string{""}}
	for _, limit := range []int{1, 4, 7, 500} {
		var seen []string
		for cursor := ""; ; {
			page, next, err := f.Owned(f.ctx, viewer, "", cursor, limit)
			require.NoError(t, err)
			for _, p := range page {
				seen = append(seen, p.LeadID)
				require.Equal(t, "Smith", p.LastName)
				require.Equal(t, "m"+p.LeadID[1:]+"@work.test", p.Value)
				require.Equal(t, "ann", p.Member)
				require.False(t, p.DeliveredAt.IsZero())
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		require.Len(t, seen, 29, "limit %d", limit)
		require.NotContains(t, seen, "l07")
		require.Subset(t, ids, seen)
	}
	for find, want := range map[string]int{"M1": 10, "smith": 29, "l07": 0, "l08": 1, "%": 0, "co": 29} {
		var seen []string
		for cursor := ""; ; {
			page, next, err := f.Owned(f.ctx, viewer, find, cursor, 3)
			require.NoError(t, err)
			for _, p := range page {
				require.NotContains(t, seen, p.LeadID, find)
				seen = append(seen, p.LeadID)
			}
			if cursor = next; cursor == "" {
				break
			}
		}
		require.Len(t, seen, want, find)
	}
	other, _, err := f.Owned(f.ctx, lead.Viewer{Org: "beta", Types: []string{"email"}, Scopes: []string{""}}, "", "", 10)
	require.NoError(t, err)
	require.Empty(t, other)
	_, _, err = f.Owned(f.ctx, viewer, "", "soon", 10)
	require.ErrorIs(t, err, lead.ErrBadCursor)
}
