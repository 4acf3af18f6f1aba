package activities_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// A number is read in the plan of its lead's country, however that was written,
// and where the lead has none in that of its row.
func TestNationalNumbersAreReadInTheirCountrysPlan(t *testing.T) {
	o := open(t, "workspace-paid", "phone", 100)
	report, err := o.Catalogue.Import(t.Context(), strings.NewReader("id,email,phone,country\n"+
		"a,valid.1@a.test,06 12 34 56 78,fr\nb,valid.2@b.test,030 901820,Germany\nc,valid.3@c.test,(415) 555-2671,USA\n"+
		"d,valid.4@d.test,020 7031 3000,UK\ne,valid.5@e.test,0171-2345678 (mobil),DE\nf,valid.6@f.test,030 901820,\n"+
		"g,valid.7@g.test,+1 555,US\nh,valid.8@h.test,0033 6 12 34 56 79,FR\n"), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	require.Zero(t, report.Rejected, "%v", report.Problems)

	got := o.order("jane", "reveal", reveal([]string{"a", "b", "c", "d", "e", "f", "g", "h"}, order.PhoneField))
	require.Equal(t, order.Tally{Valid: 6, Invalid: 1, Unknown: 1}, got.Tally)
	require.Equal(t, map[string]int64{"phone": 6}, spent(got), "what nothing is known about is free")

	list, err := o.Catalogue.KeepList(t.Context(), "acme", "", strings.NewReader("email,Country\nvalid.6@f.test,germany\n"))
	require.NoError(t, err)
	got = o.order("jane", "enrich", order.Body{Request: order.Request{Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{order.PhoneField}}})
	require.Equal(t, order.Tally{Valid: 1}, got.Tally, "the row says where the lead is")
	o.balanced()
}

// What cannot be an address costs nothing beside others, as it does alone, and
// an address with something around it is the same as without.
func TestWhatIsNoAddressIsNeverCharged(t *testing.T) {
	o := open(t, "prepaid-verification", "email", 100)
	got := o.order("", "batch", order.Body{
		Request: order.Request{Kind: order.Verify},
		Emails:  []string{"valid.1@a.test", "x@@y", "Ann <valid.1@a.test>", "mailto:invalid.2@a.test", "two@@ats.test", "no one", "a@b@c.test"},
	})
	require.Equal(t, map[string]int64{"email": 2}, spent(got))
	for _, text := range []string{"x@@y", "two@@ats.test", "no one"} {
		_, err := o.pricer.Normalize(t.Context(), "acme", order.Body{Request: order.Request{Kind: order.Verify}, Emails: []string{text}}, true)
		var bad *order.InvalidError
		require.ErrorAs(t, err, &bad, text)
		require.Contains(t, bad.Message, lead.NoAddress(text), "in the words of a list")
	}
	o.balanced()
}
