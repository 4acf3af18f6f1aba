package lead_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/suppression"
)

// enter makes the row that the order book has of an order.
func (f fixture) enter(id string, kind order.Kind) {
	f.t.Helper()
	_, err := f.pool.Exec(f.ctx, `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested)
		VALUES ($1, 'acme', 'ann', $2, '{}', '', 'p', 1, 'verifying', 1)`, id, kind)
	require.NoError(f.t, err)
}

// ownField makes facts: acme has paid for this field of these leads.
func (f fixture) ownField(scope string, field order.Field, ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		_, err := f.pool.Exec(f.ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost) VALUES ('acme', $1, $2, $3, 1, 1)`,
			field, scope, lead.Subject(id, field))
		require.NoError(f.t, err)
		_, err = f.pool.Exec(f.ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
			SELECT DISTINCT 'acme', $1, $2, k::uuid, 1, 0 FROM lead, unnest(CASE $1 WHEN 'email' THEN ARRAY[email_key]
				WHEN 'phone' THEN phone_keys WHEN 'direct_email' THEN ARRAY[direct_key] ELSE ARRAY[profile_key] END) AS k
			WHERE id = $3 AND k IS NOT NULL ON CONFLICT DO NOTHING`, field, scope, id)
		require.NoError(f.t, err)
	}
}

func wants(fields ...order.Field) []lead.FieldWanted {
	list := make([]lead.FieldWanted, len(fields))
	for i, field := range fields {
		list[i] = lead.FieldWanted{Field: field, FactType: string(field), PerLead: true}
	}
	return list
}

func (f fixture) leadIDs(ids ...string) string {
	f.t.Helper()
	list, err := f.KeepLeadIDs(f.ctx, "acme", ids)
	require.NoError(f.t, err)
	return list.ID
}

// selectFields counts and selects, twice: the counts must be what is selected,
// and the second selection the first.
func (f fixture) selectFields(s lead.FieldSelection) ([]fieldItem, []lead.FieldCount) {
	f.t.Helper()
	_, counts, err := f.CountFields(f.ctx, s)
	require.NoError(f.t, err)
	selected, err := f.SelectFields(f.ctx, s)
	require.NoError(f.t, err)
	again, err := f.SelectFields(f.ctx, s)
	require.NoError(f.t, err)
	require.Equal(f.t, selected, again)

	rows, err := f.pool.Query(f.ctx, `
		SELECT i.n, coalesce(l.id, '') AS lead_id, i.field, i.fingerprint, i.value, i.already_owned, coalesce(i.verdict, '') AS verdict,
			coalesce(i.reason, '') AS reason, coalesce(i.carries, '{}') AS carries, i.checked_at IS NOT NULL AS checked
		FROM order_item i LEFT JOIN lead l ON l.no = i.lead_no WHERE i.order_id = $1 ORDER BY i.n`, s.OrderID)
	require.NoError(f.t, err)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[fieldItem])
	require.NoError(f.t, err)
	require.EqualValues(f.t, len(items), selected.Items)
	var want lead.Selected
	byField := make([]lead.FieldCount, len(s.Fields))
	for i, item := range items {
		require.EqualValues(f.t, i+1, item.N, "numbered without gaps")
		count := &byField[i%len(s.Fields)]
		count.Field = s.Fields[i%len(s.Fields)].Field
		require.Equal(f.t, count.Field, item.Field, "the items of a lead stand together")
		count.Items++
		want.Items++
		require.Equal(f.t, item.Verdict != "", item.Checked)
		if item.Verdict != "" {
			want.Decided++
		}
		if item.Verdict == "unknown" {
			count.Lacking++
			require.Empty(f.t, item.Value, "what is not given is not kept")
		}
		if item.Reason == order.ReasonOwned {
			require.True(f.t, item.AlreadyOwned)
		}
		if item.AlreadyOwned {
			count.Owned++
			want.AlreadyOwned++
		}
	}
	require.Equal(f.t, want, selected)
	if len(items) > 0 {
		require.Equal(f.t, byField, counts, "the count before is the selection after")
	}
	return items, counts
}

// fieldItem is a row of order_item as these tests look at it.
type fieldItem struct {
	N            int64
	LeadID       string
	Field        order.Field
	Fingerprint  uuid.UUID
	Value        string
	AlreadyOwned bool
	Verdict      string
	Reason       string
	Carries      []string
	Checked      bool
}

// deliverValid verifies what has no verdict as valid and delivers all that is.
func (f fixture) deliverValid(orderID string) {
	f.t.Helper()
	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET verdict = coalesce(verdict, 'valid'), reason = coalesce(reason, 'accepted'),
			checked_at = coalesce(checked_at, now()), delivered_at = CASE WHEN coalesce(verdict, 'valid') = 'valid' THEN now() END
		WHERE order_id = $1`, orderID)
	require.NoError(f.t, err)
}

func (f fixture) results(orderID, format string) string {
	f.t.Helper()
	var out bytes.Buffer
	require.NoError(f.t, f.WriteResults(f.ctx, &out, orderID, format, lead.ResultOptions{}))
	return out.String()
}

func TestC11_AnItemForEachFieldOfEachLead(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email,phone,direct_email,profile,first_name,last_name,title,company,domain,country\n" +
		"a,a@x.test,+1;+2,a@home.test,calm,Ann,Lee,CTO,Acme,x.test,US\n" +
		"b,b@x.test,,,,Bob,,,,,\n" +
		"c,c@y.test,+3,c@home.test,,Cid,,,,,\n" +
		"d,d@z.test,+4,d@home.test,brave,Dan,,,,,\n")
	f.ownField("", order.EmailField, "a")
	f.ownField("", order.PhoneField, "c")
	f.ownField("bob", order.ProfileField, "a") // another member's licence
	_, err := suppression.New(f.pool).Add(f.ctx, "acme", "", []string{"d@home.test"})
	require.NoError(t, err)

	list, err := f.KeepLeadIDs(f.ctx, "acme", []string{"c", " a ", "b", "missing", "d", "a", ""})
	require.NoError(t, err)
	require.EqualValues(t, 5, list.Rows, "each once")
	require.Zero(t, list.Malformed)
	require.Zero(t, list.Duplicates())
	f.enter("ord_1", order.Reveal)
	s := lead.FieldSelection{OrderID: "ord_1", Org: "acme", ListID: list.ID, Fields: wants("email", "phone", "profile")}
	leads, _, err := f.CountFields(f.ctx, s)
	require.NoError(t, err)
	require.EqualValues(t, 4, leads, "known ones")
	items, _ := f.selectFields(s)

	got := map[string]string{}
	for _, item := range items {
		id := item.LeadID
		if id == "" {
			id = "missing"
		}
		require.Equal(t, lead.Subject(id, item.Field), item.Fingerprint)
		got[id+" "+string(item.Field)] = strings.TrimSpace(item.Verdict + " " + item.Reason + " " + item.Value)
	}
	require.Equal(t, map[string]string{
		"a email": "a@x.test", "a phone": "+1;+2", "a profile": "valid on_file calm",
		"b email": "b@x.test", "b phone": "unknown not_found", "b profile": "unknown not_found",
		"c email": "c@y.test", "c phone": "+3", "c profile": "unknown not_found",
		"d email": "unknown suppressed", "d phone": "unknown suppressed", "d profile": "unknown suppressed",
		"missing email": "unknown not_found", "missing phone": "unknown not_found", "missing profile": "unknown not_found",
	}, got)

	// Frozen: what becomes of the catalogue, the books and the lists is nothing to it.
	_, err = f.pool.Exec(f.ctx, `UPDATE lead SET phone = 'changed'; DELETE FROM credit_fact; DELETE FROM suppression`)
	require.NoError(t, err)
	again, err := f.SelectFields(f.ctx, s)
	require.NoError(t, err)
	require.Equal(t, lead.Selected{Items: 15, AlreadyOwned: 2, Decided: 10}, again)
}

// TestC11_FieldsMeanWhatTheySay compares selections with a plain reading of the rules.
func TestC11_FieldsMeanWhatTheySay(t *testing.T) {
	f := setup(t)
	people := people(600, 11)
	_, err := f.Import(f.ctx, file(t, people), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(11, 12))
	owned := map[string]bool{}
	for _, p := range people {
		for _, field := range []order.Field{"email", "phone", "direct_email", "profile"} {
			if random.IntN(4) == 0 {
				owned[p.value("id")+string(field)] = true
				owned[string(field)+p.value(string(field))] = true
				f.ownField("", field, p.value("id"))
			}
		}
	}
	suppressed := people[7].value("domain")
	_, err = suppression.New(f.pool).Add(f.ctx, suppression.Everybody, "", []string{suppressed})
	require.NoError(t, err)

	for round := range 12 {
		all := []order.Field{"email", "phone", "direct_email", "profile"}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		fields := all[:1+random.IntN(4)]
		var ids []string
		for range 1 + random.IntN(200) {
			ids = append(ids, people[random.IntN(len(people))].value("id"))
		}
		items, _ := f.selectFields(lead.FieldSelection{
			OrderID: fmt.Sprint("ord_", round), Org: "acme", ListID: f.leadIDs(ids...), Fields: wants(fields...),
		})
		slices.Sort(ids)
		ids = slices.Compact(ids)
		require.Len(t, items, len(ids)*len(fields), "each once")
		values := map[string]int{}
		for _, item := range items {
			p := people[slices.IndexFunc(people, func(p person) bool { return p.value("id") == item.LeadID })]
			value := p.value(string(item.Field))
			want := ""
			switch {
			case p.value("domain") == suppressed || strings.HasSuffix(strings.ToLower(p.value("email")), "@"+suppressed):
				want = order.ReasonSuppressed
			case value == "":
				want = order.ReasonNotFound
			case item.Field != order.ProfileField: // owned or not, it is verified
			case owned[p.value("id")+string(item.Field)], owned[string(item.Field)+value]:
				want = order.ReasonOwned
			default:
				want = order.ReasonOnFile
			}
			if item.Reason == order.ReasonDuplicate && want != order.ReasonSuppressed && want != order.ReasonNotFound {
				require.Positive(t, values[string(item.Field)+strings.ToLower(value)], "%s of %s", item.Field, item.LeadID)
				continue
			}
			values[string(item.Field)+strings.ToLower(value)]++
			require.Equal(t, want, item.Reason, "%s of %s", item.Field, item.LeadID)
			if want == "" && (owned[p.value("id")+string(item.Field)] || owned[string(item.Field)+value]) {
				require.True(t, item.AlreadyOwned)
			}
			if item.Verdict != "unknown" {
				require.Equal(t, value, item.Value)
			}
		}
	}
}

func TestC11_WhatNamesNoLeadIsRefused(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email\na,a@x.test\n")
	var refused *lead.ListError
	for _, ids := range [][]string{nil, {""}, {"missing", "\x00\xff"}} {
		_, err := f.KeepLeadIDs(f.ctx, "acme", ids)
		require.ErrorAs(t, err, &refused)
	}
	s := lead.FieldSelection{OrderID: "ord_1", Org: "beta", ListID: f.leadIDs("a"), Fields: wants("email")}
	_, _, err := f.CountFields(f.ctx, s)
	require.ErrorIs(t, err, lead.ErrNoList, "another organization's list is none")
	_, err = f.SelectFields(f.ctx, s)
	require.ErrorIs(t, err, lead.ErrNoList)
	s.Org, s.ListID = "acme", f.keep("email,colour\na@x.test,red\n", "").ID
	_, _, err = f.CountFields(f.ctx, s)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, f.leadIDs("a"), f.leadIDs("a", "a"), "the same ids are the same list")
	require.NotEqual(t, f.leadIDs("a", "b"), f.leadIDs("b", "a"))
}
