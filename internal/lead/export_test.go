package lead_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

const exported = "id,email,first_name,phone,direct_email,profile\n" +
	"a,a@x.test,Ann,+4930123456,a@home.test,calm\n" +
	"b,b@x.test,Bob,+4930123457,b@home.test,brave\n" +
	"c,c@x.test,Cid,+4930123458,c@home.test,\n"

// delivered makes an order of acme's that has delivered leads.
func (f fixture) delivered(id string, fields []lead.FieldWanted, ids ...string) {
	f.t.Helper()
	f.enter(id, order.Reveal)
	f.selectFields(lead.FieldSelection{OrderID: id, Org: "acme", ListID: f.leadIDs(ids...), Fields: fields})
	f.deliverValid(id)
}

// C12: an export of what an order delivered has each lead once, with what the
// organization owns of it and no more; where it owns nothing, nothing.
func TestC12_AnExportOfLeadsCarriesWhatIsOwned(t *testing.T) {
	f := setup(t)
	f.importCSV(exported)
	f.delivered("ord_1", wants("email", "phone"), "a", "b", "c")
	f.ownField("", order.EmailField, "a")
	f.ownField("", order.PhoneField, "a", "b")
	_, err := f.pool.Exec(f.ctx, `UPDATE credit_fact SET reversed = true WHERE type = 'phone'
		AND (subject = $1 OR subject = ANY (SELECT unnest(phone_keys) FROM lead WHERE id = 'b'))`, lead.Subject("b", order.PhoneField))
	require.NoError(t, err)
	f.ownField("", order.ProfileField, "b")

	s := lead.FieldSelection{
		OrderID: "ord_2", Org: "acme", FromOrder: "ord_1",
		Fields: []lead.FieldWanted{{Field: order.LeadField}}, Carry: wants("email", "phone", "direct_email", "profile"),
	}
	f.enter("ord_2", order.Export)
	items, _ := f.selectFields(s)
	require.Len(t, items, 3, "each lead once")
	carried := map[string]string{}
	for _, item := range items {
		carried[item.LeadID] = item.Reason + " " + strings.Join(item.Carries, " ")
	}
	require.Equal(t, map[string]string{"a": "on_file email phone", "b": "on_file profile", "c": "not_owned "}, carried)

	f.deliverValid("ord_2")
	rows, err := csv.NewReader(strings.NewReader(f.results("ord_2", lead.CSV))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 3)
	contact := func(row []string) []string { return []string{row[0], row[1], row[14], row[15], row[16], row[17]} }
	require.Equal(t, []string{"id", "email", "phone", "direct_email", "profile", "verdict"}, contact(rows[0]))
	require.Equal(t, []string{"a", "a@x.test", "+4930123456", "", "", "valid"}, contact(rows[1]))
	require.Equal(t, []string{"b", "", "", "", "brave", "valid"}, contact(rows[2]))

	s.OrderID, s.Org = "ord_3", "beta"
	items, _ = f.selectFields(s)
	require.Empty(t, items, "another organization's order delivered nothing to this one")
}

// C12: a batch is what is about to be delivered, as the results will have it.
func TestC12_ABatchIsWhatTheResultsWillHave(t *testing.T) {
	f := setup(t)
	f.importCSV(exported)
	f.ownField("", order.EmailField, "b")
	f.ownField("", order.PhoneField, "c")
	f.enter("ord_1", order.Export)
	items, _ := f.selectFields(lead.FieldSelection{
		OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("a", "b", "c", "missing"), Fields: wants("email"), Carry: wants("email", "phone"),
	})
	require.Equal(t, []string{"", "", "", "not_found"}, []string{items[0].Reason, items[1].Reason, items[2].Reason, items[3].Reason})
	batch, err := f.ExportBatch(f.ctx, "ord_1", 1, 1000)
	require.NoError(t, err)
	require.Empty(t, batch, "none is verified yet")

	_, err = f.pool.Exec(f.ctx, `
		UPDATE order_item SET verdict = CASE n WHEN 1 THEN 'invalid' ELSE 'valid' END, reason = 'accepted', checked_at = now() WHERE n IN (1, 2, 3)`)
	require.NoError(t, err)
	require.Empty(t, f.results("ord_1", lead.NDJSON), "nothing is delivered")
	batch, err = f.ExportBatch(f.ctx, "ord_1", 1, 1000)
	require.NoError(t, err)
	require.Len(t, batch, 2)
	_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET delivered_at = now() WHERE verdict = 'valid'`)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(f.results("ord_1", lead.NDJSON)), "\n")
	require.Equal(t, []string{string(batch[0]), string(batch[1])}, lines)
	var last map[string]any
	require.NoError(t, json.Unmarshal(batch[1], &last))
	require.Equal(t, []any{"c@x.test", "+4930123458", "", ""}, []any{last["email"], last["phone"], last["direct_email"], last["profile"]})

	batch, err = f.ExportBatch(f.ctx, "ord_1", 1, 1000)
	require.NoError(t, err)
	require.Empty(t, batch, "what is delivered is not sent again")
}

// C11: the results of a reveal have a row for each id, in the order in which
// they were given, and values only where they were delivered.
func TestC11_ResultsOfAReveal(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email,first_name,last_name,title,company,domain,country,phone\n" +
		"a,a@z.test,=Ann,Lee,CTO,Acme,z.test,US,+4930123456;+4930123457\nb,b@y.test,Bob,,,,,,\n")
	f.ownField("", order.EmailField, "b")
	f.enter("ord_1", order.Reveal)
	f.selectFields(lead.FieldSelection{OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("missing", "a", "b"), Fields: wants("phone", "email")})
	header := "id,first_name,last_name,title,company,domain,country,phone,phone_verdict,phone_reason,email,email_verdict,email_reason,checked_at," +
		"phone_checked_at,email_mx_host,email_smtp_code,email_smtp_enhanced,email_checked_at,email_role,email_free,email_disposable,email_alias,email_cleaned,email_doubtful,email_did_you_mean,email_provider,email_score,email_score_parts\r\n"
	at := func(id, column string) string {
		rows, err := csv.NewReader(strings.NewReader(f.results("ord_1", lead.CSV))).ReadAll()
		require.NoError(t, err)
		for _, row := range rows {
			if row[0] == id {
				for i, name := range rows[0] {
					if name == column {
						return row[i]
					}
				}
			}
		}
		return "no row"
	}
	require.True(t, strings.HasPrefix(f.results("ord_1", lead.CSV), header+"missing,,,,,,,,unknown,not_found,,unknown,not_found,"))
	require.Equal(t, "no row", at("a", "email"), "nothing is known yet")
	require.Equal(t, "not_found", at("b", "phone_reason"))
	require.Empty(t, at("b", "email")+at("b", "email_verdict"), "owned, and not delivered yet")

	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET verdict = 'invalid', reason = 'no_such_user', checked_at = '2026-03-01T12:00:00Z',
			mx_host = 'mx.z.test', smtp_code = 550, smtp_enhanced = '5.1.1', flags = 3, provider = 'google', meant_domain = 'y.test', score = 0
		WHERE field = 'email' AND verdict IS NULL AND NOT already_owned`)
	require.NoError(t, err)
	require.Empty(t, at("a", "phone"))
	f.deliverValid("ord_1")
	_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET checked_at = '2026-03-01T12:00:00Z'`)
	require.NoError(t, err)
	require.Equal(t, header+
		"missing,,,,,,,,unknown,not_found,,unknown,not_found,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,,,,2026-03-01T12:00:00Z,,,,,,,,,,\r\n"+
		"a,'=Ann,Lee,CTO,Acme,z.test,US,+4930123456;+4930123457,valid,accepted,,invalid,no_such_user,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,mx.z.test,550,5.1.1,2026-03-01T12:00:00Z,true,true,false,false,false,false,,google,0,"+`"{""verdict"": 0}"`+"\r\n"+
		"b,Bob,,,,,,,unknown,not_found,b@y.test,valid,accepted,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,,,,2026-03-01T12:00:00Z,false,false,false,false,false,false,,,,\r\n", f.results("ord_1", lead.CSV))
	var first map[string]any
	require.NoError(t, json.NewDecoder(bytes.NewBufferString(f.results("ord_1", lead.NDJSON))).Decode(&first))
	require.Equal(t, "missing", first["id"])
	require.ErrorIs(t, f.WriteResults(f.ctx, brokenWriter{}, "ord_1", lead.CSV, lead.ResultOptions{}), errConnection)
}
