package activities_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// One address under three ids, one of them in capitals; two leads that share a
// number; three numbers in a cell, one of them twice.
var sameValues = [][5]string{
	{"ann-1", "valid.ann@a.test", london + ";" + mountain + ";+49 30 901820;+49-30-901820"},
	{"ann-2", "valid.ANN@A.TEST", ""},
	{"ann-3", "valid.ann@a.test", ""},
	{"bob", "valid.bob@b.test", "+33 1 42 68 53 00"},
	{"sue", "valid.sue@b.test", "+33 142685300"},
}

const addresses = 3 // different ones among sameValues

// kinds are the ways to get an address, as far as a plan sells them.
func (o *office) kinds(p *plan.Plan) map[string]order.Body {
	o.t.Helper()
	ids := make([]string, len(sameValues))
	for i, r := range sameValues {
		ids[i] = r[0]
	}
	list, err := o.Catalogue.KeepList(o.t.Context(), "acme", "", strings.NewReader(
		"first name,last name,company\nAnn,Ash,A Inc\nBob,Birch,B Inc\nSue,Stone,B Inc\n"))
	require.NoError(o.t, err)
	all := map[string]order.Body{
		plan.LeadList:    {Request: order.Request{Kind: order.LeadList, Count: 10}},
		plan.RevealEmail: reveal(ids, order.EmailField),
		plan.EnrichEmail: {Request: order.Request{Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{order.EmailField}}},
		plan.Export:      export(ids),
	}
	for name := range all {
		if action, sold := p.Action(name); !sold || action.Charges[0].Once == plan.EveryTime {
			delete(all, name)
		}
	}
	return all
}

// named gives the leads names, by which a list finds them.
func (o *office) named() {
	o.t.Helper()
	_, err := o.pool.Exec(o.t.Context(), `UPDATE lead SET
		first_name = initcap(split_part(id, '-', 1)),
		last_name = CASE WHEN id LIKE 'ann%' THEN 'Ash' WHEN id = 'bob' THEN 'Birch' ELSE 'Stone' END,
		company = CASE WHEN id LIKE 'ann%' THEN 'A Inc' ELSE 'B Inc' END`)
	require.NoError(o.t, err)
}

// Every preset, every kind of order in every sequence: an address is paid for
// once, by whichever order comes first, and no list of leads has it again.
func TestN2_AnAddressIsPaidForOnceUnderWhateverIDItComes(t *testing.T) {
	presets, err := plan.Presets()
	require.NoError(t, err)
	tried := 0
	for _, p := range presets {
		t.Run(p.ID, func(t *testing.T) {
			o := open(t, p.ID, "email", 1000)
			o.knows(sameValues...)
			o.named()
			kinds := o.kinds(p)
			names := slices.Sorted(func(yield func(string) bool) {
				for name := range kinds {
					if !yield(name) {
						return
					}
				}
			})
			for _, sequence := range permutations(names) {
				tried++
				_, err := o.pool.Exec(t.Context(), `TRUNCATE credit_fact`)
				require.NoError(t, err)
				for i, name := range sequence {
					got := o.order("jane", fmt.Sprint(sequence, i), kinds[name])
					require.Equal(t, order.Settled, got.Status, "%v: %s: %+v", sequence, name, got.Failure)
					want := int64(0)
					if i == 0 {
						want = addresses
					}
					require.Equal(t, want, got.Credits[0].Captured, "%v: %s", sequence, name)
					require.Equal(t, want, got.Credits[0].Held, "%v: %s holds what it can cost", sequence, name)
					if name == plan.LeadList {
						require.Equal(t, want, got.Selected, "%v: what is owned is in no list", sequence)
					} else {
						require.EqualValues(t, addresses, got.Tally.Valid, "%v: %s delivers each once", sequence, name)
						require.Equal(t, addresses-want, got.Tally.AlreadyOwned, "%v: %s", sequence, name)
					}
				}
			}
		})
	}
	require.Greater(t, tried, 50)
}

func permutations(list []string) (all [][]string) {
	if len(list) <= 1 {
		return [][]string{list}
	}
	for i, first := range list {
		rest := slices.Concat(list[:i], list[i+1:])
		for _, p := range permutations(rest) {
			all = append(all, append([]string{first}, p...))
		}
	}
	return all
}

// A1, K2: three numbers in a cell are three credits where the plan charges by the
// contact and one where it charges by the lead; a number that two leads share is
// paid for once, and none costs anything that is owned.
func TestRule_A1_K2_NumbersAreCountedByTheContactOrByTheLead(t *testing.T) {
	for planID, want := range map[string]int64{"rollover-boost": 3 + 1, "workspace-paid": 1 + 1, "licence-monthly": 1 + 1, "workspace-free": 1 + 1} {
		t.Run(planID, func(t *testing.T) {
			o := open(t, planID, "phone", 100)
			ids := o.knows(sameValues...)
			got := o.order("jane", "one", reveal(ids, order.PhoneField))
			require.Equal(t, want, spent(got)["phone"])
			require.Equal(t, want, got.Credits[0].Held, "the hold is what it can cost")
			again := o.order("jane", "two", reveal(ids, order.PhoneField))
			require.Empty(t, spent(again))
			require.Zero(t, again.Credits[0].Held)
			rows := o.results(got.ID)
			require.Contains(t, rows["ann-1"], london+";"+mountain+";+49 30 901820,valid")
			require.Contains(t, rows["bob"], "+33 1 42 68 53 00,valid")
			require.Contains(t, rows["sue"], "+33 1 42 68 53 00,valid", "the same number, delivered once, is in both rows")
			o.balanced()
		})
	}
}

// results are the rows of an order's file by their first cell.
func (o *office) results(id string) map[string]string {
	o.t.Helper()
	var file strings.Builder
	require.NoError(o.t, o.Catalogue.WriteResults(o.t.Context(), &file, id, lead.CSV, lead.ResultOptions{}))
	rows := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(file.String()), "\r\n")[1:] {
		first, rest, _ := strings.Cut(line, ",")
		rows[first] = rest
	}
	return rows
}

// A value that has changed since it was paid for is verified before it is
// delivered; whether it is charged follows the plan.
func TestAChangedValueIsVerifiedBeforeItIsDelivered(t *testing.T) {
	for planID, costs := range map[string]int64{"rollover-boost": 1, "workspace-paid": 0, "licence-monthly": 0} {
		t.Run(planID, func(t *testing.T) {
			o := open(t, planID, "email", 100)
			ids := o.knows([5]string{"x", "valid.old@a.test"}, [5]string{"y", "valid.y@a.test"})
			require.Equal(t, map[string]int64{"email": 2}, spent(o.order("jane", "one", reveal(ids, order.EmailField))))
			o.knows([5]string{"x", "invalid.new@a.test"}, [5]string{"y", "valid.other@a.test"})

			got := o.order("jane", "two", reveal(ids, order.EmailField))
			require.Equal(t, costs, spent(got)["email"])
			require.EqualValues(t, 1, got.Tally.Valid)
			require.EqualValues(t, 1, got.Tally.Invalid, "the one that does not exist is not called valid")
			rows := o.results(got.ID)
			require.Contains(t, rows["x"], ",,invalid,no_such_user")
			require.Contains(t, rows["y"], "valid.other@a.test,valid")
			require.Empty(t, spent(o.order("bob", "three", reveal(ids, order.EmailField))), "the new value is owned now")

			o.knows([5]string{"z", "valid.OTHER@a.test"}, [5]string{"w", "valid.old@A.test"})
			require.Empty(t, spent(o.order("bob", "four", reveal([]string{"z", "w"}, order.EmailField))), "as is the old one, under other ids")
			o.balanced()
		})
	}
}
