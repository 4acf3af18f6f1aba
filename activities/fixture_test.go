package activities_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// The leads of the fixture, in the order in which an order takes them. Three ids
// have one address, one of them in capitals; three leads share a number, one of
// them has another beside it; a cell has three numbers, one of them twice.
const (
	fixtureColumns = "id,first_name,last_name,company,email,phone,direct_email,profile\n"
	fixtureBefore  = `ann-1,Ann,Ash,A Inc,valid.ann@a.test,,valid.ann@home.test,
ann-2,Ann,Ash,A Inc,valid.ANN@A.TEST,,valid.ANN@HOME.TEST,
ann-3,Ann,Ash,A Inc,valid.ann@a.test,` + london + ";" + mountain + ";+49 30 901820;+49-30-901820" + `,valid.ann@home.test,calm
bob,Bob,Birch,B Inc,valid.bob@b.test,+33 1 42 68 53 00,,calm
sue,Sue,Stone,B Inc,valid.sue@b.test,+33 142685300,invalid.sue@home.test,
tim,Tim,Tate,C Inc,valid.tim@c.test,+33142685300;+44 20 7031 3999,,curious
`
	// What an import changes: an address that does not exist, another one that
	// does, and one number of three.
	fixtureChange = `ann-3,Ann,Ash,A Inc,valid.ann@a.test,` + london + ";" + mountain + ";+49 30 901821" + `,valid.ann@home.test,calm
bob,Bob,Birch,B Inc,invalid.bob@b.test,+33 1 42 68 53 00,,calm
sue,Sue,Stone,B Inc,valid.other@b.test,+33 142685300,invalid.sue@home.test,
`
)

// known is a lead of the fixture as the rules see it: the values of each field,
// spelled in one way.
type known struct {
	id     string
	values map[order.Field][]string
}

const sharedNumber = "+33142685300"

func knownLeads(changed bool) []known {
	third, bob, sue := "+4930901820", "valid.bob@b.test", "valid.sue@b.test"
	if changed {
		third, bob, sue = "+4930901821", "invalid.bob@b.test", "valid.other@b.test"
	}
	ann := map[order.Field][]string{order.EmailField: {"valid.ann@a.test"}, order.DirectEmailField: {"valid.ann@home.test"}}
	last := maps.Clone(ann)
	last[order.PhoneField], last[order.ProfileField] = []string{"+442070313000", "+16502530000", third}, []string{"calm"}
	return []known{
		{"ann-1", ann},
		{"ann-2", ann},
		{"ann-3", last},
		{"bob", map[order.Field][]string{order.EmailField: {bob}, order.PhoneField: {sharedNumber}, order.ProfileField: {"calm"}}},
		{"sue", map[order.Field][]string{order.EmailField: {sue}, order.PhoneField: {sharedNumber}, order.DirectEmailField: {"invalid.sue@home.test"}}},
		{"tim", map[order.Field][]string{
			order.EmailField: {"valid.tim@c.test"}, order.PhoneField: {sharedNumber, "+442070313999"}, order.ProfileField: {"curious"},
		}},
	}
}

// rulebook says what orders hold, charge and deliver, from the rules alone: owned
// is the value and, per lead, the field of the lead.
type rulebook struct {
	plan  *plan.Plan
	owned map[string]bool // credit type, scope and value, or lead and field
	leads []known
}

// due is what the rules expect of an order.
type due struct {
	held, charged map[string]int64
	values        []string // that are delivered, without duplicates; of an export of leads, their ids
}

// owes is what a field of a lead costs by a charge, given what is owned.
func owes(c plan.Charge, member string, l known, f order.Field, owned map[string]bool) (units int64) {
	for _, v := range l.values[f] {
		if !owned[fact(c, member, v)] {
			units++
		}
	}
	if c.Per == plan.PerLead {
		units = min(units, 1)
		if owned[fact(c, member, l.id+"/"+string(f))] {
			units = 0
		}
	}
	return units * c.Amount
}

func fact(c plan.Charge, member, subject string) string {
	return c.Type + "|" + c.FactScope(member, "") + "|" + subject
}

// fields takes each lead's field: what an earlier lead has is not taken again.
func (r *rulebook) fields(action, member string, f order.Field, leads []known) due {
	d, taken := due{held: map[string]int64{}, charged: map[string]int64{}}, map[string]bool{}
	a, _ := r.plan.Action(action)
	c := a.Charges[0]
	promised := maps.Clone(r.owned) // the hold is for what is not owned before the order, each value once
	for _, l := range leads {
		key := strings.Join(slices.Sorted(slices.Values(l.values[f])), ";")
		if key == "" || taken[key] {
			continue
		}
		taken[key] = true
		d.held[c.Type] += owes(c, member, l, f, promised)
		for _, v := range l.values[f] {
			promised[fact(c, member, v)] = promised[fact(c, member, v)] || c.Per == plan.PerContact
		}
		if strings.HasPrefix(l.values[f][0], "invalid.") {
			continue
		}
		cost := owes(c, member, l, f, r.owned)
		d.charged[c.Type] += cost
		r.owned[fact(c, member, l.id+"/"+string(f))] = cost > 0 || r.owned[fact(c, member, l.id+"/"+string(f))]
		for _, v := range l.values[f] {
			r.owned[fact(c, member, v)] = true
			if !slices.Contains(d.values, v) {
				d.values = append(d.values, v)
			}
		}
	}
	return d
}

// list takes each address once that is not owned; with owned ones, these too.
func (r *rulebook) list(member string, includeOwned bool) due {
	a, _ := r.plan.Action("lead_list")
	c := a.Charges[0]
	var leads []known
	for _, l := range r.leads {
		if includeOwned || owes(c, member, l, order.EmailField, r.owned) > 0 {
			leads = append(leads, l)
		}
	}
	return r.fields("lead_list", member, order.EmailField, leads)
}

// export of leads charges each lead of which something is owned, every time.
func (r *rulebook) export(member string) due {
	a, _ := r.plan.Action("export")
	c := a.Charges[0]
	if c.Once != plan.EveryTime {
		return r.fields("export", member, order.EmailField, r.leads)
	}
	d := due{held: map[string]int64{}, charged: map[string]int64{}}
	for _, l := range r.leads {
		for _, f := range []order.Field{order.EmailField, order.PhoneField, order.DirectEmailField, order.ProfileField} {
			reveal, sold := r.plan.Action(order.Reveal.Action(f))
			if sold && slices.ContainsFunc(l.values[f], func(v string) bool {
				return r.owned[fact(reveal.Charges[0], member, v)]
			}) {
				d.held[c.Type] += c.Amount
				d.charged[c.Type] += c.Amount
				d.values = append(d.values, l.id)
				break
			}
		}
	}
	return d
}

// act is one kind of order over the fixture.
type act struct {
	name string
	body func(o *office) order.Body
	due  func(r *rulebook, member string) due
}

// acts are all the orders that a plan sells.
func acts(p *plan.Plan) (all []act) {
	var ids []string
	for _, l := range knownLeads(false) {
		ids = append(ids, l.id)
	}
	add := func(name string, body func(o *office) order.Body, due func(r *rulebook, member string) due) {
		all = append(all, act{name, body, due})
	}
	for _, action := range slices.Sorted(maps.Keys(p.Actions)) {
		kind, field, _ := strings.Cut(action, "_")
		f := order.Field(field)
		switch {
		case action == "lead_list":
			for _, owned := range []bool{false, true} {
				add(fmt.Sprint("list, owned too: ", owned), func(*office) order.Body {
					return order.Body{Request: order.Request{Kind: order.LeadList, Count: 20, IncludeOwned: owned}}
				}, func(r *rulebook, member string) due { return r.list(member, owned) })
			}
		case action == "export":
			add(action, func(*office) order.Body { return export(ids) }, (*rulebook).export)
		case action == "verify":
			for _, emails := range [][]string{{"valid.tim@c.test"}, {"valid.ann@a.test", "valid.ANN@A.TEST", "invalid.bob@b.test", "x@@y"}} {
				add(fmt.Sprint("verify ", emails), func(*office) order.Body {
					return order.Body{Request: order.Request{Kind: order.Verify}, Emails: emails}
				}, func(*rulebook, string) due {
					n := int64(min(len(emails), 2)) // for every verdict, each time; what is no address costs nothing
					return due{held: map[string]int64{"email": n}, charged: map[string]int64{"email": n}}
				})
			}
		case kind == string(order.Reveal):
			add(action, func(*office) order.Body { return reveal(ids, f) },
				func(r *rulebook, member string) due { return r.fields(action, member, f, r.leads) })
		case kind == string(order.Enrich):
			add(action, func(o *office) order.Body {
				list, err := o.Catalogue.KeepList(o.t.Context(), o.org, "", strings.NewReader(
					"first name,last name,company\nAnn,Ash,A Inc\nBob,Birch,B Inc\nSue,Stone,B Inc\nTim,Tate,C Inc\nAnn,Ash,A Inc\n"))
				require.NoError(o.t, err)
				return order.Body{Request: order.Request{Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{f}}}
			}, func(r *rulebook, member string) due { return r.fields(action, member, f, r.leads[2:]) }) // of several with one address the newest
		}
	}
	return all
}

// imports has the catalogue say what a text says.
func (o *office) imports(rows string) {
	o.t.Helper()
	report, err := o.Catalogue.Import(o.t.Context(), strings.NewReader(fixtureColumns+rows), lead.CSV, lead.ImportOptions{})
	require.NoError(o.t, err)
	require.Zero(o.t, report.Rejected, "%v", report.Problems)
}

// another has the office work for another organization on the plan, with packs of
// every type, and the catalogue as it was at first.
func (o *office) another(org string, p *plan.Plan) {
	o.t.Helper()
	o.org = org
	o.joins(p.ID)
	for _, creditType := range p.CreditTypes() {
		o.pack(creditType, 1000)
	}
	o.imports(fixtureBefore)
	_, err := o.pool.Exec(o.t.Context(), `TRUNCATE verdict`) // else what one has verified is known to be bad to the next
	require.NoError(o.t, err)
}

// What is owned is the information: on every preset, each kind of order after each
// other, before and after the catalogue has changed, holds, charges and delivers
// what the rules say, and the books balance. Of three orders in turn the third
// follows from the others, so that each pair stands at each two places once.
func TestN2_WhatIsOwnedIsTheInformation(t *testing.T) {
	presets, err := plan.Presets()
	require.NoError(t, err)
	var before []map[string]plan.Action
	for _, p := range presets {
		sameAs := func(actions map[string]plan.Action) bool { return reflect.DeepEqual(actions, p.Actions) }
		repeated := slices.ContainsFunc(before, sameAs) // what it sells was tried with each pair
		before = append(before, p.Actions)
		t.Run(p.ID, func(t *testing.T) {
			t.Parallel()
			o := open(t, p.ID)
			all := acts(p)
			for i := range all {
				for j := range all {
					if repeated && (i+j)%len(all) != 0 {
						continue
					}
					o.another(fmt.Sprintf("org-%d-%d", i, j), p)
					o.inTurn([]act{all[i], all[j], all[(i+j)%len(all)]}, []string{"jane", []string{"bob", "jane"}[(i+j)%2], "jane"}, p)
				}
			}
		})
	}
}

// inTurn takes three orders, one after the other, the last one after an import
// that changes values.
func (o *office) inTurn(sequence []act, members []string, p *plan.Plan) {
	o.t.Helper()
	book := &rulebook{plan: p, owned: map[string]bool{}, leads: knownLeads(false)}
	var names []string
	for i, a := range sequence {
		if i == len(sequence)-1 {
			o.imports(fixtureChange)
			book.leads = knownLeads(true)
			names = append(names, "import")
		}
		names = append(names, a.name+" by "+members[i])
		want := a.due(book, members[i])
		b, reserved := o.begin(members[i], fmt.Sprint(i), a.body(o))
		require.Equal(o.t, order.Reserved, reserved.Status, "%v: %+v", names, reserved.Failure)
		got := o.finish(b)
		require.Equal(o.t, order.Settled, got.Status, "%v", names)
		held := map[string]int64{}
		for _, c := range got.Credits {
			if c.Held > 0 {
				held[c.Type] = c.Held
			}
		}
		none := func(_ string, n int64) bool { return n == 0 }
		maps.DeleteFunc(want.held, none)
		maps.DeleteFunc(want.charged, none)
		require.Equal(o.t, want.held, held, "%v holds", names)
		require.Equal(o.t, want.charged, spent(got), "%v is charged", names)
		if b.in.Request.Kind != order.Verify {
			require.ElementsMatch(o.t, want.values, o.deliveredOf(got), "%v delivers", names)
			o.requireDuplicates(got)
		}
	}
	report, err := ledger.Audit(o.t.Context(), o.pool, ledger.AuditOptions{Owner: o.org})
	require.NoError(o.t, err)
	require.True(o.t, report.Clean(), "%v: %v", names, report.Findings)
}

// requireDuplicates checks that items that others stand for are counted as such,
// and not as unknown, in the tally and in the progress of an order.
func (o *office) requireDuplicates(got order.Order) {
	o.t.Helper()
	var duplicates int64
	require.NoError(o.t, o.pool.QueryRow(o.t.Context(), `SELECT count(*) FROM order_item WHERE order_id = $1 AND same_as IS NOT NULL`, got.ID).Scan(&duplicates))
	require.Equal(o.t, duplicates, got.Tally.Duplicate)
	require.Equal(o.t, got.Selected, got.Tally.Verified()+got.Tally.Duplicate)
	p, err := o.Book.Progress(o.t.Context(), got.ID, 1, got.Selected)
	require.NoError(o.t, err)
	require.Equal(o.t, got.Selected, p.Done)
	require.Equal(o.t, got.Tally, p.Tally)
}

// deliveredOf are the values that an order delivered, as the fixture spells them;
// of an export of leads, their ids.
func (o *office) deliveredOf(got order.Order) []string {
	o.t.Helper()
	rows, err := o.pool.Query(o.t.Context(), `
		SELECT DISTINCT CASE WHEN i.field = 'lead' THEN l.id ELSE coalesce(v.value, '') END
		FROM order_item i JOIN lead l ON l.no = i.lead_no LEFT JOIN LATERAL regexp_split_to_table(i.value, ';') v (value) ON true
		WHERE i.order_id = $1 AND i.delivered_at IS NOT NULL AND i.verdict = 'valid'`, got.ID)
	require.NoError(o.t, err)
	var values []string
	var value string
	for rows.Next() {
		require.NoError(o.t, rows.Scan(&value))
		if strings.HasPrefix(value, "+") {
			value = strings.NewReplacer(" ", "", "-", "").Replace(value)
		}
		if value = strings.ToLower(value); !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	require.NoError(o.t, rows.Err())
	return values
}

// joins creates the organization on the plan, with the members jane and bob and
// no allotments.
func (o *office) joins(planID string) {
	o.t.Helper()
	ctx := o.t.Context()
	_, err := o.Accounts.CreateOrg(ctx, account.Org{ID: o.org, Name: o.org, Plan: planID})
	require.NoError(o.t, err)
	for _, m := range []string{"jane", "bob"} {
		_, err := o.Accounts.CreateMember(ctx, account.Member{Org: o.org, ID: m, Name: m, Role: account.RoleMember})
		require.NoError(o.t, err)
	}
	_, err = o.pool.Exec(ctx, `UPDATE subscription SET next_period = next_period + 1200, due_at = due_at + interval '100 years' WHERE org = $1`, o.org)
	require.NoError(o.t, err)
}
