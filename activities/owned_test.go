package activities_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
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
