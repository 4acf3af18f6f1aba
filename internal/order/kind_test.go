package order_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

func TestEveryKindIsDescribed(t *testing.T) {
	count := func(n int64, noun string) string { return strings.TrimSpace(fmt.Sprint(n, " ", noun)) }
	fields := []order.Field{order.EmailField, order.DirectEmailField}
	cases := map[order.Kind]struct {
		request            order.Request
		choosing, askedFor string
		about              string
	}{
		order.LeadList: {order.Request{Count: 7, Criteria: order.Criteria{Title: "engineer"}}, "choose 7 leads", "7 lead, 5 selected", "Ordered by jane of acme.\n\n```json\n{\n  \"title\": \"engineer\"\n}\n```"},
		order.Verify:   {order.Request{Count: 7, ListID: "lst_1"}, "take 7 addresses from the list", "7 verdict, 2 row of the list left out as duplicates", "Ordered by jane of acme: the 7 addresses of the list lst_1."},
		order.Reveal:   {order.Request{Count: 7, ListID: "lst_1", Fields: fields}, "reveal email, direct email of 7 leads", "5 field of 7 lead", "Ordered by jane of acme: email, direct_email of the 7 leads of the list lst_1."},
		order.Enrich:   {order.Request{Count: 7, ListID: "lst_1", Fields: fields}, "look for email, direct email in 7 rows", "5 field for the leads of 7 row", "Ordered by jane of acme: email, direct_email for the 7 rows of the list lst_1."},
		order.Export:   {order.Request{Count: 7, OrderID: "ord_1", Destination: order.ToWebhook, WebhookID: "wh_1"}, "export 7 leads that ord_1 delivered", "7 lead, 5 selected", "Ordered by jane of acme: the 7 leads that the order ord_1 delivered, to the webhook wh_1."},
	}
	require.Len(t, order.Kinds(), len(cases))
	for _, kind := range order.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			require.Contains(t, cases, kind)
			c := cases[kind]
			spec := kind.Spec()
			require.Equal(t, kind, spec.Kind)
			require.NotZero(t, spec.Source)
			require.NotEmpty(t, spec.Item)
			c.request.Kind = kind
			require.NoError(t, spec.Lacks(c.request))
			require.Equal(t, c.choosing, spec.Choosing(c.request))
			require.Equal(t, c.about, order.Input{Org: "acme", Member: "jane", Request: c.request}.Details())
			require.Equal(t, c.askedFor, spec.AskedFor(order.Order{Requested: 7, Selected: 5, Tally: order.Tally{Duplicate: 2}}, count))
		})
	}
	plain := order.Request{Kind: order.LeadList, Count: 7}
	require.Equal(t, "Ordered by acme, without criteria.", order.Input{Org: "acme", Request: plain}.Details())
	large := order.Request{Kind: order.LeadList, Count: 7, Criteria: order.Criteria{Title: strings.Repeat("ü", 60_000)}}
	details := order.Input{Org: "acme", Request: large}.Details()
	require.Contains(t, details, "The beginning of 118 KB of criteria")
	require.Less(t, len(details), 20_000, "what a Temporal server takes")
	require.True(t, utf8.ValidString(details))
	require.Equal(t, "acme: lead_list of 7", order.Input{Org: "acme", Request: plain}.Summary())
	require.Equal(t, "export 7 leads", order.Export.Spec().Choosing(order.Request{Count: 7, ListID: "lst_1"}))
	push := order.Request{Kind: order.Export, Count: 7, Destination: order.ToWebhook}
	require.Equal(t, "acme: export of 7 to a webhook", order.Input{Org: "acme", Request: push}.Summary())
	require.False(t, order.Kind("sell").Spec().Known())
}

func TestABodyHasOnlyWhatItsKindTakes(t *testing.T) {
	for field, body := range map[string]order.Body{
		"emails":   {Request: order.Request{Kind: order.Reveal}, Emails: []string{"a@b.test"}},
		"lead_ids": {Request: order.Request{Kind: order.Verify}, LeadIDs: []string{"l1"}},
		"count":    {Request: order.Request{Kind: order.Export, Count: 3}},
	} {
		var invalid *order.InvalidError
		require.ErrorAs(t, body.Misplaced(), &invalid)
		require.Equal(t, field, invalid.Field)
	}
	for _, body := range []order.Body{
		{Request: order.Request{Kind: order.Verify}, Emails: []string{"a@b.test"}},
		{Request: order.Request{Kind: order.Export}, LeadIDs: []string{"l1"}},
		{Request: order.Request{Kind: order.LeadList, Count: 3}},
		{Request: order.Request{Kind: "sell", Count: 3}}, // which Validate refuses by its name
	} {
		require.NoError(t, body.Misplaced())
	}
}

// Code that depends on the kind asks its KindSpec: a comparison elsewhere is one
// more place that a new kind has to be added to.
func TestKindsAreNotComparedElsewhere(t *testing.T) {
	compared := regexp.MustCompile(`[!=]= ?order\.(LeadList|Verify|Reveal|Enrich|Export)\b|case order\.(LeadList|Verify|Reveal|Enrich|Export)\b`)
	read := 0
	for _, pattern := range []string{"../*/*.go", "../../activities/*.go", "../../workflows/*.go", "../../starter/*.go", "../../worker/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NotRegexp(t, compared, string(source), file)
			read++
		}
	}
	require.Greater(t, read, 200)
}
