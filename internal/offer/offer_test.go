package offer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/suppression"
)

// fixture has an organization for each preset, named like it, and a catalogue
// in which the first lead has everything, the second an address alone and the
// third all but a profile.
type fixture struct {
	*offer.Pricer
	t         *testing.T
	ctx       context.Context
	pool      *pgxpool.Pool
	ledger    *ledger.Ledger
	catalogue *lead.Catalogue
}

func setup(t *testing.T) fixture {
	pool := pgtest.New(t)
	accounts := account.New(pool)
	require.NoError(t, accounts.EnsurePresets(t.Context()))
	presets, err := plan.Presets()
	require.NoError(t, err)
	for _, p := range presets {
		_, err := accounts.CreateOrg(t.Context(), account.Org{ID: p.ID, Name: p.Name, Plan: p.ID})
		require.NoError(t, err)
		for _, m := range []string{"jane", "bob"} {
			_, err := accounts.CreateMember(t.Context(), account.Member{Org: p.ID, ID: m, Name: m, Role: account.RoleMember})
			require.NoError(t, err)
		}
	}
	// Here there are the credits that a test grants, and no allotments.
	_, err = pool.Exec(t.Context(), `UPDATE subscription SET next_period = next_period + 1200, due_at = due_at + interval '100 years'`)
	require.NoError(t, err)
	l, catalogue := ledger.New(pool), lead.New(pool)
	t.Cleanup(l.Close)
	_, err = catalogue.Import(t.Context(), strings.NewReader(`id,email,first_name,last_name,company,domain,phone,direct_email,profile
full,full@a.test,Ada,Full,A Inc,a.test,+1 650 253 0000;+1 650 253 0001,full@home.test,curious
bare,bare@b.test,Bo,Bare,B Inc,b.test,,,
most,most@c.test,Cy,Most,C Inc,c.test,+44 20 7031 3000,most@home.test,
`), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	return fixture{offer.New(accounts, l, catalogue, orderbook.New(pool)), t, t.Context(), pool, l, catalogue}
}

// owns makes facts, as orders that were charged leave them.
func (f fixture) owns(org, scope string, field order.Field, ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		_, err := f.pool.Exec(f.ctx, `INSERT INTO credit_fact (owner, type, scope, subject, seq, cost) VALUES ($1, $2, $3, $4, 1, 1)`,
			org, string(field), scope, lead.Subject(id, field))
		require.NoError(f.t, err)
		_, err = f.pool.Exec(f.ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
			SELECT DISTINCT $1, $2, $3, k::uuid, 1, 0 FROM lead, unnest(CASE $2 WHEN 'email' THEN ARRAY[email_key]
				WHEN 'phone' THEN phone_keys WHEN 'direct_email' THEN ARRAY[direct_key] ELSE ARRAY[profile_key] END) AS k
			WHERE id = $4 AND k IS NOT NULL ON CONFLICT DO NOTHING`, org, string(field), scope, id)
		require.NoError(f.t, err)
	}
}

func (f fixture) input(org, member string, body order.Body) order.Input {
	f.t.Helper()
	r, err := f.Normalize(f.ctx, org, body, true)
	require.NoError(f.t, err)
	require.NoError(f.t, r.Validate(0))
	return order.Input{ID: order.ID(org, fmt.Sprint(body)), Org: org, Member: member, Request: r}
}

var all = []string{"full", "bare", "most"}

func reveal(fields ...order.Field) order.Body {
	return order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}, LeadIDs: all}
}

func export() order.Body {
	return order.Body{Request: order.Request{Kind: order.Export}, LeadIDs: all}
}

// Every preset, kind and field: what the terms charge is what the plan's action
// says, and what a plan does not sell is refused by the name of the field.
func TestTermsFollowThePlan(t *testing.T) {
	f := setup(t)
	list, err := f.catalogue.KeepList(f.ctx, "x", "", strings.NewReader("email\nfull@a.test\n"))
	require.NoError(t, err)
	sold := 0
	presets, err := plan.Presets()
	require.NoError(t, err)
	for _, p := range presets {
		for _, kind := range []order.Kind{order.LeadList, order.Verify, order.Reveal, order.Enrich, order.Export} {
			for _, field := range []order.Field{order.EmailField, order.PhoneField, order.DirectEmailField, order.ProfileField} {
				in := order.Input{ID: "ord_1", Org: p.ID, Member: "jane", Request: order.Request{Kind: kind, Count: 1, ListID: list.ID}}
				if kind == order.Reveal || kind == order.Enrich {
					in.Request.Fields = []order.Field{field}
				}
				action, ok := p.Action(kind.Action(field))
				terms, err := f.Terms(f.ctx, p.ID, 0, in)
				if !ok {
					var invalid *order.InvalidError
					require.ErrorAs(t, err, &invalid, "%s does not sell %s", p.ID, kind.Action(field))
					want := "kind"
					if len(in.Request.Fields) > 0 {
						want = "fields"
					}
					require.Equal(t, want, invalid.Field)
					require.Contains(t, invalid.Message, p.ID)
					continue
				}
				sold++
				require.NoError(t, err)
				require.Len(t, terms.Charges, len(action.Charges))
				for i, c := range action.Charges {
					got := terms.Charges[i]
					require.Equal(t, c.Type, got.Type)
					require.Equal(t, c.Amount, got.Amount)
					require.Equal(t, c.FactScope("jane", "ord_1"), got.Scope)
					price := c.Price(action.Billable)
					if len(price.Billable) == 0 {
						price.Billable = []string{"valid"} // what is no good is not delivered
					}
					require.Equal(t, price, offer.PriceOf(got, terms, "ord_1"), "%s %s", p.ID, kind)
					switch {
					case kind == order.Reveal || kind == order.Enrich:
						require.Equal(t, field, got.Field)
					case kind == order.Export && len(action.Billable) == 0:
						require.Equal(t, order.LeadField, got.Field, "charged by the lead")
					case kind == order.Export:
						require.Equal(t, order.EmailField, got.Field, "charged by the address that is good")
					default:
						require.Empty(t, got.Field)
					}
				}
				if kind == order.Reveal || kind == order.Enrich || kind == order.Export {
					require.Equal(t, []string{"valid"}, terms.Delivered)
				}
			}
		}
	}
	require.Greater(t, sold, 60)
}

// A plan may charge a list by the lead and name no verdict: every lead is
// charged, and delivered, then.
func TestAListWithoutBillableVerdictsChargesEveryLead(t *testing.T) {
	f := setup(t)
	p, err := plan.Parse("plan", []byte(`id: flat
name: Flat
period: none
credits: {email: {}}
actions:
  lead_list:
    charges: [{type: email, amount: 1, per: lead, scope: once_per_organization}]
`))
	require.NoError(t, err)
	_, err = account.New(f.pool).SavePlan(f.ctx, p)
	require.NoError(t, err)
	terms, err := f.Terms(f.ctx, "flat", 0, order.Input{ID: "ord_1", Org: "flat", Request: order.Request{Kind: order.LeadList, Count: 1}})
	require.NoError(t, err)
	require.Equal(t, plan.Verdicts, terms.Billable)
	price := offer.PriceOf(terms.Charges[0], terms, "ord_1")
	require.Len(t, price.Due(plan.Item{Verdict: "invalid"}, nil), 1)
}

// amounts are credits by type: name, number, name, number, …
func amounts(list ...any) []order.Amount {
	sum := []order.Amount{}
	for i := 0; i < len(list); i += 2 {
		sum = append(sum, order.Amount{Type: list[i].(string), Amount: int64(list[i+1].(int))})
	}
	return sum
}

func TestRule_K1_N1_EachFieldIsHeldInCreditsOfItsOwn(t *testing.T) {
	f := setup(t)
	for _, c := range []struct {
		org  string
		body order.Body
		want []order.Amount
	}{
		{"workspace-paid", reveal(order.EmailField, order.PhoneField, order.DirectEmailField), amounts("direct_email", 2, "email", 3, "phone", 2)},
		{"workspace-free", reveal(order.PhoneField), amounts("phone", 2)},
		{"licence-monthly", reveal(order.EmailField, order.PhoneField, order.ProfileField), amounts("email", 3, "phone", 2, "profile", 1)},
		{"licence-monthly", export(), amounts("email", 3)},
		{"rollover-boost", reveal(order.EmailField, order.PhoneField), amounts("email", 3, "phone", 3)},
		{"rollover-ignite", export(), amounts("email", 3)},
	} {
		q, err := f.Quote(f.ctx, f.input(c.org, "jane", c.body))
		require.NoError(t, err)
		require.Equal(t, c.want, q.Hold, c.org)
		require.Equal(t, c.want, q.Missing, "of which they have none")
		require.False(t, q.Covered)
	}
}

// What is owned, what there is not and what must not be given away needs no
// credits: the hold is exact.
func TestRule_N2_N12_AQuoteKnowsWhatIsOwnedMissingOrWithheld(t *testing.T) {
	f := setup(t)
	f.owns("licence-monthly", "", order.EmailField, "full")
	f.owns("licence-monthly", "", order.PhoneField, "full", "most")
	_, err := suppression.New(f.pool).Add(f.ctx, "licence-monthly", "", []string{"bare@b.test"})
	require.NoError(t, err)

	body := reveal(order.EmailField, order.PhoneField, order.ProfileField)
	body.LeadIDs = append([]string{"unheard-of", " full "}, body.LeadIDs...)
	in := f.input("licence-monthly", "bob", body)
	require.EqualValues(t, 4, in.Request.Count, "each once, whether known or not")
	q, err := f.Quote(f.ctx, in)
	require.NoError(t, err)
	require.EqualValues(t, 5, q.Candidates, "two addresses, two numbers and a profile")
	require.EqualValues(t, 3, q.AlreadyOwned)
	require.Equal(t, amounts("email", 1, "phone", 0, "profile", 1), q.Hold)
	require.Equal(t, []order.Range{{Type: "email", High: 1}, {Type: "phone"}, {Type: "profile", Low: 1, High: 1}}, q.ExpectedCharge,
		"an address may be good or not, a profile needs no verification")

	o, err := f.Offer(f.ctx, in)
	require.NoError(t, err)
	for i, line := range o.Hold {
		require.Equal(t, q.Hold[i].Type, line.Type)
		require.Equal(t, q.Hold[i].Amount, line.Amount, "what the quote names is what is held")
		require.Equal(t, []string{"bob", ""}, line.Pools, "N5")
	}
}

func TestRule_K3_AnExportHoldsACreditForEachLead(t *testing.T) {
	f := setup(t)
	_, err := f.ledger.Grant(f.ctx, ledger.Grant{Owner: "workspace-paid", Key: "pack", Type: "export", Amount: 2, Source: ledger.SourcePack})
	require.NoError(t, err)
	q, err := f.Quote(f.ctx, f.input("workspace-paid", "jane", export()))
	require.NoError(t, err)
	require.Equal(t, amounts("export", 0), q.Hold, "nothing is owned that could go out")
	require.Zero(t, q.Candidates)

	f.owns("workspace-paid", "", order.EmailField, "full", "bare")
	f.owns("workspace-paid", "", order.PhoneField, "full", "most")
	q, err = f.Quote(f.ctx, f.input("workspace-paid", "jane", export()))
	require.NoError(t, err)
	require.Equal(t, amounts("export", 3), q.Hold, "a lead is one credit, with one field or with two")
	require.Equal(t, []order.Range{{Type: "export", Low: 3, High: 3}}, q.ExpectedCharge)
	require.Equal(t, amounts("export", 1), q.Missing)
	require.False(t, q.Covered, "K4")
	require.Zero(t, q.AlreadyOwned, "an export is never owned")
}

func TestRule_K5_OnTheFreePlanEachMemberOwnsWhatTheyPaidFor(t *testing.T) {
	f := setup(t)
	for org, wantBob := range map[string]int{"workspace-free": 1, "workspace-paid": 0} {
		scope := ""
		if org == "workspace-free" {
			scope = "jane"
		}
		f.owns(org, scope, order.PhoneField, "full")
		body := reveal(order.PhoneField)
		body.LeadIDs = []string{"full"}
		q, err := f.Quote(f.ctx, f.input(org, "jane", body))
		require.NoError(t, err)
		require.Equal(t, amounts("phone", 0), q.Hold)
		q, err = f.Quote(f.ctx, f.input(org, "bob", body))
		require.NoError(t, err)
		require.Equal(t, amounts("phone", wantBob), q.Hold, org)
	}
}

func TestRule_A6_EnrichmentHoldsOnlyForWhatARowDoesNotSay(t *testing.T) {
	f := setup(t)
	list, err := f.catalogue.KeepList(f.ctx, "rollover-boost", "", strings.NewReader(
		"email,phone\nFULL@a.test,+16502530001\nmost@c.test,\nstranger@d.test,\n"))
	require.NoError(t, err)
	in := f.input("rollover-boost", "jane", order.Body{Request: order.Request{
		Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{order.EmailField, order.PhoneField},
	}})
	require.EqualValues(t, 3, in.Request.Count)
	q, err := f.Quote(f.ctx, in)
	require.NoError(t, err)
	require.Equal(t, amounts("email", 0, "phone", 2), q.Hold,
		"the addresses are there already; of two numbers the row has one; the stranger is no lead")
}

// A quote by lead ids is what a quote of the stored list is, and stores nothing.
func TestAQuoteByLeadIDsStoresNothing(t *testing.T) {
	f := setup(t)
	f.owns("rollover-boost", "", order.EmailField, "most")
	body := reveal(order.EmailField, order.PhoneField)
	body.LeadIDs = append(body.LeadIDs, "unheard-of", "bare")
	r, err := f.Normalize(f.ctx, "rollover-boost", body, false)
	require.NoError(t, err)
	require.NoError(t, r.Validate(0))
	var lists int
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT count(*) FROM list`).Scan(&lists))
	require.Zero(t, lists)
	unstored, err := f.Quote(f.ctx, order.Input{ID: "ord_1", Org: "rollover-boost", Request: r}, body.LeadIDs...)
	require.NoError(t, err)

	in := f.input("rollover-boost", "", body)
	require.Equal(t, in.Request.Count, r.Count)
	stored, err := f.Quote(f.ctx, in)
	require.NoError(t, err)
	require.Equal(t, stored, unstored)
	require.Equal(t, amounts("email", 2, "phone", 3), stored.Hold)
}

func TestARequestThatCannotBeSealed(t *testing.T) {
	f := setup(t)
	strange, err := f.catalogue.KeepList(f.ctx, "workspace-paid", "", strings.NewReader("email\nfull@a.test\n"))
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, completed_at)
		VALUES ('ord_empty', 'workspace-paid', '', 'reveal', '{}', '', 'p', 1, 'completed', 1, now()),
			('ord_checked', 'workspace-paid', '', 'verify', '{}', '', 'p', 1, 'completed', 1, now()),
			('ord_running', 'workspace-paid', '', 'lead_list', '{}', '', 'p', 1, 'verifying', 1, NULL),
			('ord_theirs', 'rollover-boost', '', 'lead_list', '{}', '', 'p', 1, 'completed', 1, now())`)
	require.NoError(t, err)
	fields := []order.Field{order.EmailField}
	for name, c := range map[string]struct {
		body  order.Body
		field string
	}{
		"reveal of no lead":               {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}}, "lead_ids"},
		"reveal of unknown leads":         {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}, LeadIDs: []string{"x", "y"}}, "lead_ids"},
		"reveal of too many":              {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}, LeadIDs: make([]string, order.MaxLookups+1)}, "lead_ids"},
		"reveal with a count":             {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields, Count: 1}, LeadIDs: all}, "count"},
		"reveal with addresses":           {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields}, Emails: []string{"a@b.test"}}, "emails"},
		"reveal of ids and of a list":     {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields, ListID: strange.ID}, LeadIDs: all}, "lead_ids"},
		"lead_list of ids":                {order.Body{Request: order.Request{Kind: order.LeadList, Count: 1}, LeadIDs: all}, "lead_ids"},
		"enrich of ids":                   {order.Body{Request: order.Request{Kind: order.Enrich, Fields: fields}, LeadIDs: all}, "lead_ids"},
		"enrich of a list there is not":   {order.Body{Request: order.Request{Kind: order.Enrich, Fields: fields, ListID: "lst_no"}}, "list_id"},
		"export of an order there is not": {order.Body{Request: order.Request{Kind: order.Export, OrderID: "ord_no"}}, "order_id"},
		"export of another's order":       {order.Body{Request: order.Request{Kind: order.Export, OrderID: "ord_theirs"}}, "order_id"},
		"export of a verification":        {order.Body{Request: order.Request{Kind: order.Export, OrderID: "ord_checked"}}, "order_id"},
		"export of a running order":       {order.Body{Request: order.Request{Kind: order.Export, OrderID: "ord_running"}}, "order_id"},
		"export of an order that was bad": {order.Body{Request: order.Request{Kind: order.Export, OrderID: "ord_empty"}}, "order_id"},
		"export of a list without ids":    {order.Body{Request: order.Request{Kind: order.Export, ListID: strange.ID}}, "list_id"},
		"reveal of a list without ids":    {order.Body{Request: order.Request{Kind: order.Reveal, Fields: fields, ListID: strange.ID}}, "list_id"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := f.Normalize(f.ctx, "workspace-paid", c.body, true)
			if err == nil {
				err = r.Validate(0)
			}
			if err == nil {
				_, err = f.Offer(f.ctx, order.Input{ID: "ord_1", Org: "workspace-paid", Request: r})
			}
			var invalid *order.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, c.field, invalid.Field, invalid.Message)
		})
	}
}
