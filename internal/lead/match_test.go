package lead_test

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

const companies = "id,email,first_name,last_name,company,domain,phone,direct_email,profile\n" +
	"ann,ann@x.test,Ann,Lee,Acme,x.test,+49 30 1234567;+49301234568,ann@home.test,calm\n" +
	"bob,bob@x.test,Bob,Lee,Acme,x.test,,,\n" +
	"cid,cid@y.test,Cid,von Berg,Best Ltd,y.test,,,\n" +
	"eve1,eve@z.test,Eve,Ray,Zed,z.test,,,\n" +
	"eve2,EVE@z.test,Eve,Ray,Zed Two,z.test,,,\n"

// enrichment enters an enrich order over a list and returns its results.
func (f fixture) enrichment(id, file string, fields ...order.Field) ([][]string, []fieldItem) {
	f.t.Helper()
	list := f.keep(file, "")
	f.enter(id, order.Enrich)
	items, _ := f.selectFields(lead.FieldSelection{OrderID: id, Org: "acme", ListID: list.ID, Match: true, Fields: wants(fields...)})
	f.deliverValid(id)
	rows, err := csv.NewReader(strings.NewReader(f.results(id, lead.CSV))).ReadAll()
	require.NoError(f.t, err)
	return rows, items
}

func TestC10_ARowIsMatchedToTheOneLeadItDescribes(t *testing.T) {
	f := setup(t)
	f.importCSV(companies)
	for _, c := range []struct{ name, header, row, want string }{
		{"address", "email,note", "ANN@x.test,", "ann"},
		{"personal address", "email,note", "Ann@home.test,", "ann"},
		{"name and company", "First Name,last_name,Company Name", "bob,LEE,acme", "bob"},
		{"full name and company", "Name,Company", "Cid  von Berg,best ltd", "cid"},
		{"name and domain", "full name,website", "Bob Lee,https://www.X.test/about", "bob"},
		{"domain alone", "domain,note", "Y.test,", "cid"},
		{"an unknown address, and a name", "email,name,company", "missing@x.test,Ann Lee,Acme", "ann"},
		{"an address of two, and a company", "email,name,company", "eve@z.test,Eve Ray,Zed Two", "eve2"},
		{"a guarded cell", "name,company", "'=x,y", "no_match"},
		{"an address of two", "email,note", "eve@z.test,", "eve2"},
		{"a name of two", "name,domain", "Eve Ray,z.test", "eve2"},
		{"a domain of two", "domain,note", "x.test,", "ambiguous"},
		{"a stranger under the domain of one", "name,domain", "Eve Ray,y.test", "no_match"},
		{"a stranger's address under it", "email,domain", "eve@y.test,y.test", "no_match"},
		{"a name without a company", "email,name", "missing,Ann Lee", "no_match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, items := f.enrichment("ord_"+c.name, c.header+"\n"+c.row+"\n", "email")
			require.Len(t, rows, 2)
			got := rows[1][strings.Count(c.header, ",")+1:]
			if strings.HasPrefix(c.want, "no_") || c.want == "ambiguous" {
				require.Equal(t, []string{"", "", "", c.want, ""}, got[:5])
				require.Empty(t, strings.Join(got[5:], ""))
				require.Empty(t, items, "no item")
				return
			}
			require.Equal(t, c.want, got[0])
			require.Len(t, items, 1)
		})
	}
}

func TestC10_RowsOfOneLeadShareItsItems(t *testing.T) {
	f := setup(t)
	f.importCSV(companies)
	f.ownField("", order.ProfileField, "ann")
	rows, items := f.enrichment("ord_1", "name,company,email,lead_id,phone,checked_at\n"+
		"Ann Lee,Acme,ann@x.test,7,(49) 30-1234568; 0049301234567,=1+1\n"+ // has one number in another form
		"Stranger,Elsewhere,,8,,\n"+
		"ann lee,ACME,,9,+49301234567,\n", "email", "phone", "profile")
	require.Len(t, items, 3)
	require.Empty(t, items[0].Reason, "one of the rows has it, the other does not")
	require.Empty(t, items[1].Reason, "as with the numbers")
	for i := range rows { // when it was checked differs
		last := len(rows[i]) - 1 - 14 - 1 - 1 // then what is known of the address, the number and the profile
		if i == 1 || i == 3 {
			require.NotEmpty(t, rows[i][last])
		}
		rows[i] = rows[i][:last]
	}
	found := []string{
		"ann", "ann@x.test", "valid", "accepted", "+49 30 1234567;+49301234568", "valid", "accepted", "calm", "valid", "owned",
	}
	require.Equal(t, [][]string{
		{
			"name", "company", "email", "lead_id", "phone", "checked_at", "found_lead_id", "found_email", "found_email_verdict", "found_email_reason",
			"found_phone", "found_phone_verdict", "found_phone_reason", "found_profile", "found_profile_verdict", "found_profile_reason",
		},
		append([]string{"Ann Lee", "Acme", "ann@x.test", "7", "(49) 30-1234568; 0049301234567", "'=1+1"}, found...),
		{"Stranger", "Elsewhere", "", "8", "", "", "", "", "", "no_match", "", "", "no_match", "", "", "no_match"},
		append([]string{"ann lee", "ACME", "", "9", "+49301234567", ""}, found...),
	}, rows)
}

func TestC10_WhatARowSaysAlreadyIsNotNew(t *testing.T) {
	f := setup(t)
	f.importCSV(companies)
	f.ownField("", order.EmailField, "ann")
	_, items := f.enrichment("ord_1", "mail,tel,note\nAnn@home.test,0049 30 1234567,\n", "email", "phone", "direct_email", "profile")
	require.Equal(t, []string{"", "", "not_new", "on_file"}, []string{items[0].Reason, items[1].Reason, items[2].Reason, items[3].Reason})
	_, items = f.enrichment("ord_2", "email,tel,note\nANN@x.test,+49301234568;+49-30-1234567,CALM\n", "email", "phone", "direct_email", "profile")
	require.Equal(t, []string{"not_new", "not_new", "", "not_new"}, []string{items[0].Reason, items[1].Reason, items[2].Reason, items[3].Reason})
}

// C8: a row that stands for a lead without an address is not malformed, though
// there is nothing about it to verify.
func TestC8_RowsWithoutAnAddressMayStandForALead(t *testing.T) {
	f := setup(t)
	f.importCSV(companies)
	for _, c := range []struct {
		file                               string
		rows, unique, matchable, malformed int64
	}{
		{"name,company\nAnn Lee,Acme\nAnn Lee,\n,Acme\n", 3, 0, 1, 2},
		{"domain\nx.test\nhttps://y.test/\n\"\"\n", 2, 0, 2, 0},
		{"first name,last name,website\nAnn,Lee,x.test\nAnn,,y.test\n", 2, 0, 2, 0},
		{"email,name,company\nann@x.test,Ann,\n,Bob Lee,Acme\n,,\nann@X.test,,\n", 4, 1, 1, 1},
	} {
		list := f.keep(c.file, "")
		require.Equal(t, []int64{c.rows, c.unique, c.matchable, c.malformed}, []int64{list.Rows, list.Unique, list.Matchable, list.Malformed}, c.file)
	}
	var refused *lead.ListError
	_, err := f.KeepList(f.ctx, "acme", "", strings.NewReader("name,colour\nAnn,red\n"))
	require.ErrorAs(t, err, &refused)

	list := f.keep("email,name,company\nann@x.test,Ann,\n,Bob Lee,Acme\n", "")
	selected, err := f.SelectList(f.ctx, "ord_1", list.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, selected.Items)
	f.enter("ord_1", order.Verify)
	f.deliverValid("ord_1")
	lines := strings.Split(strings.TrimSpace(f.results("ord_1", lead.NDJSON)), "\n")
	require.Len(t, lines, 2, "every row is in the results")
	var second map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &second))
	require.Equal(t, "malformed: there is no address", second["reason"])
}

func FuzzMatchedRows(f *testing.F) {
	for _, seed := range []string{"Ann Lee,Acme,ann@x.test,x.test", "'=,\x00,@,://", ",,,", "İ,ß,ß@x.test,www."} {
		f.Add(seed)
	}
	fix := setup(f)
	fix.importCSV(companies)
	f.Fuzz(func(t *testing.T, row string) {
		list, err := fix.KeepList(t.Context(), "acme", "", strings.NewReader("name,company,email,domain\n"+row))
		var refused *lead.ListError
		if err != nil {
			require.ErrorAs(t, err, &refused)
			return
		}
		require.GreaterOrEqual(t, list.Duplicates(), int64(0))
		leads, counts, err := fix.CountFields(t.Context(), lead.FieldSelection{Org: "acme", ListID: list.ID, Match: true, Fields: wants("email", "phone")})
		require.NoError(t, err)
		require.LessOrEqual(t, leads, list.Rows)
		require.Equal(t, leads, counts[0].Items)
	})
}
