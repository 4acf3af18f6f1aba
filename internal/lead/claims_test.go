package lead_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// C3: orders of one organization at the same moment take different leads; what
// one gives up can be taken again once it is over.
func TestC3_OpenOrdersOfOneOrganizationTakeDifferentLeads(t *testing.T) {
	f := setup(t)
	rows := "id,email\n"
	for i := range 30 {
		rows += fmt.Sprintf("L%d,p%d@x.test\n", i, i)
	}
	f.importCSV(rows)
	var group sync.WaitGroup
	errs := make([]error, 3)
	for i := range 3 {
		id := fmt.Sprint("ord_", i)
		f.enter(id, order.LeadList)
		group.Go(func() { _, errs[i] = f.Select(f.ctx, selection(id, 10)) })
	}
	group.Wait()
	taken := map[string]bool{}
	for i := range 3 {
		require.NoError(t, errs[i])
		for _, item := range f.items(fmt.Sprint("ord_", i)) {
			taken[item.LeadID] = true
		}
	}
	require.Len(t, taken, 30, "each lead once")

	f.enter("late", order.LeadList)
	n, err := f.Selectable(f.ctx, selection("late", 30))
	require.NoError(t, err)
	require.Zero(t, n, "all may still be delivered")
	other := selection("other", 30)
	other.Org = "beta"
	n, err = f.Selectable(f.ctx, other)
	require.NoError(t, err)
	require.EqualValues(t, 30, n, "to another organization the orders are nothing")

	_, err = f.pool.Exec(f.ctx, `UPDATE orders SET status = 'cancelled', settled_at = now() WHERE id = 'ord_1'`)
	require.NoError(t, err)
	selected, err := f.Select(f.ctx, selection("late", 30))
	require.NoError(t, err)
	require.Equal(t, lead.Selected{Items: 10}, selected)
	var again []string
	for _, item := range f.items("late") {
		again = append(again, item.LeadID)
	}
	var given []string
	for _, item := range f.items("ord_1") {
		given = append(given, item.LeadID)
	}
	require.ElementsMatch(t, given, again)
}

// C3: an address whose verdict is known, relied on and not billable is no
// candidate until the verdict is old, unless it is asked for; nor is, at any
// time, a text that cannot be an address.
func TestC3_AddressesKnownToBeBadAreNoCandidates(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email\na,a@x.test\nb,b@x.test\nc,c@x.test\nd,d@x.test\n")
	_, err := f.pool.Exec(f.ctx, `
		INSERT INTO verdict (address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine)
		SELECT sha256(convert_to(email, 'UTF8')), CASE id WHEN 'a' THEN 'invalid' WHEN 'b' THEN 'risky' ELSE 'valid' END,
			'x', false, false, false, '', 0, '', '', now() - interval '23 hours', '' FROM lead WHERE id IN ('a', 'b', 'c')`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE lead SET email = 'x@@y', email_key = NULL WHERE id = 'd'`) // of before imports refused it
	require.NoError(t, err)
	chosen := func(id string, knownBad bool) (ids []string) {
		f.enter(id, order.LeadList)
		s := selection(id, 10)
		s.IncludeKnownBad, s.Billable = knownBad, []string{"valid"}
		n, err := f.Selectable(f.ctx, s)
		require.NoError(t, err)
		selected, err := f.Select(f.ctx, s)
		require.NoError(t, err)
		require.Equal(t, selected.Items, n, "what is held is what is selected")
		for _, item := range f.items(id) {
			ids = append(ids, item.LeadID)
		}
		_, err = f.pool.Exec(f.ctx, `UPDATE orders SET status = 'cancelled', settled_at = now() WHERE id = $1`, id)
		require.NoError(t, err)
		return ids
	}
	require.ElementsMatch(t, []string{"c"}, chosen("ord_1", false))
	require.ElementsMatch(t, []string{"a", "b", "c"}, chosen("ord_2", true))
	_, err = f.pool.Exec(f.ctx, `UPDATE verdict SET checked_at = now() - interval '25 hours'`)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"b", "c"}, chosen("ord_3", false), "a risky verdict is old after a day")
}
