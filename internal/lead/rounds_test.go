package lead_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/suppression"
)

func (f fixture) itemEmails(orderID string) []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `SELECT value FROM order_item WHERE order_id = $1 ORDER BY n`, orderID)
	require.NoError(f.t, err)
	emails, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(f.t, err)
	return emails
}

func TestC3_LaterRoundsAddNewLeads(t *testing.T) {
	f := setup(t)
	var file strings.Builder
	file.WriteString("id,email\n")
	for i := range 90 {
		fmt.Fprintf(&file, "l%d,p%d@d%d.test\nsame%d,P%d@d%d.test\n", i, i, i%7, i, i, i%7) // every address twice
	}
	f.importCSV(file.String())

	var frozen [][]string
	want := []int64{40, 70, 90, 90}
	for round := range 4 {
		s := lead.Selection{OrderID: "ord_1", Org: "acme", Count: 40, Round: round + 1}
		if round == 1 {
			s.Count = 30
		}
		for range 2 { // a repeated call answers the same
			selected, err := f.Select(f.ctx, s)
			require.NoError(t, err)
			require.Equal(t, want[round], selected.Items)
		}
		frozen = append(frozen, f.itemEmails("ord_1"))
	}
	require.Equal(t, frozen[0], frozen[3][:40], "what was frozen stays where it is")
	require.Equal(t, frozen[1], frozen[3][:70])
	all := make([]string, len(frozen[3]))
	for i, email := range frozen[3] {
		all[i] = strings.ToLower(email)
	}
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 90, "no lead twice")

	first, err := f.Select(f.ctx, lead.Selection{OrderID: "ord_1", Org: "acme", Count: 40})
	require.NoError(t, err)
	require.EqualValues(t, 40, first.Items, "an early round asked again answers as it did")
}

// TestU3 is an invariant of internal/suppression.
func TestU3_TheSuppressedAreInNoSelection(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email,domain,direct_email\n" +
		"a,ann@x.test,x.test,\n" +
		"b,Bob@x.test,x.test,\n" +
		"c,cat@y.test,y.test,cat@home.test\n" +
		"d,dan@mail.test,z.test,\n" +
		"e,eve@w.test,w.test,\n")
	list := suppression.New(f.pool)
	_, err := list.Add(f.ctx, "acme", "", []string{"bob@x.test", "cat@home.test"})
	require.NoError(t, err)
	_, err = list.Add(f.ctx, suppression.Everybody, "", []string{"z.test"})
	require.NoError(t, err)

	for org, want := range map[string][]string{
		"acme": {"ann@x.test", "eve@w.test"},
		"beta": {"Bob@x.test", "ann@x.test", "cat@y.test", "eve@w.test"},
	} {
		_, err := f.Select(f.ctx, lead.Selection{OrderID: "ord_" + org, Org: org, Count: 10})
		require.NoError(t, err)
		emails := f.itemEmails("ord_" + org)
		slices.Sort(emails)
		require.Equal(t, want, emails, org)
	}
}
