package workflows_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// prepaid makes acme's list an order to verify: beta is on prepaid verification.
func prepaid(t *testing.T, credits int64, emails ...string) (*world, order.Input) {
	t.Helper()
	w := newWorld(t, 0, 0)
	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: "beta", Name: "Beta", Plan: "prepaid-verification"})
	require.NoError(t, err)
	_, err = w.ledger.Grant(t.Context(), ledger.Grant{Owner: "beta", Key: "pack", Type: "email", Amount: credits, Source: ledger.SourcePack})
	require.NoError(t, err)
	return w, w.normalized("verify", emails...)
}

func (w *world) normalized(key string, emails ...string) order.Input {
	w.t.Helper()
	request, err := offer.New(w.accounts, w.ledger, w.catalogue, w.book).Normalize(w.t.Context(), "beta",
		order.Body{Request: order.Request{Kind: order.Verify}, Emails: emails}, true)
	require.NoError(w.t, err)
	require.NoError(w.t, request.Validate(0))
	return order.Input{ID: order.ID("beta", key), Org: "beta", Request: request}
}

func (w *world) betas(id string) order.Order {
	w.t.Helper()
	o, err := w.book.Get(w.t.Context(), "beta", id)
	require.NoError(w.t, err)
	return o
}

func addresses(words ...string) []string {
	for i, word := range words {
		words[i] = fmt.Sprintf("%s.%d@domain%d.test", word, i, i%3)
	}
	return words
}

func TestRule_E1_E3_EveryVerdictCostsACreditButOurOwnFailures(t *testing.T) {
	w, in := prepaid(t, 100, append(addresses("valid", "invalid", "catch_all", "risky", "disposable", "unknown", "ours"), "VALID.0@domain0.test", "nothing")...)
	w.acts.Verifier = wordOrOurs{}
	env := w.env()
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	o := w.betas(in.ID)
	require.Equal(t, order.Settled, o.Status)
	require.EqualValues(t, 7, o.Requested, "what is there twice, or is no address, is not verified")
	require.Equal(t, order.Tally{Valid: 1, Invalid: 1, CatchAll: 1, Risky: 1, Disposable: 1, Unknown: 2, Duplicate: 1}, o.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 7, Captured: 6, Released: 1}}, o.Credits)
	lines := w.delivered(in.ID)
	require.Len(t, lines, 9, "every row of the list")
	require.Contains(t, lines[6], ",unknown,connect_failed,", "what failed is reported, free")
	require.Contains(t, lines[8], "malformed")

	again := w.normalized("again", addresses("valid", "invalid")...)
	env = w.env()
	run(env, again)
	require.NoError(t, env.GetWorkflowError())
	require.EqualValues(t, 2, w.betas(again.ID).Credits[0].Captured, "every verification costs, the second one too")
}

// wordOrOurs reads the verdict in the address; ours is a failure of our own.
type wordOrOurs struct{ byWord }

func (v wordOrOurs) Verify(ctx context.Context, emails []string, each func(int, verify.Result)) error {
	return v.byWord.Verify(ctx, emails, func(i int, r verify.Result) {
		if strings.HasPrefix(emails[i], "ours.") {
			r.Verdict, r.Reason = verify.Unknown, verify.ConnectFailed
		}
		each(i, r)
	})
}

func TestGreylistedForGoodIsAnAnswerThatIsPaidFor(t *testing.T) {
	w, in := prepaid(t, 100, addresses("valid", "valid", "missing")...)
	w.verifier.greylisted = 1000
	env := w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	o := w.betas(in.ID)
	require.EqualValues(t, 1, o.Tally.Unknown)
	require.EqualValues(t, 3, o.Credits[0].Captured)
	require.Len(t, w.delivered(in.ID), 3)
}

func TestTheSameAddressesAreTheSameRequest(t *testing.T) {
	w, in := prepaid(t, 100, addresses("valid", "invalid")...)
	require.Equal(t, in.Request.Hash(), w.normalized("x", addresses("valid", "invalid")...).Request.Hash())
	require.NotEqual(t, in.Request.Hash(), w.normalized("x", addresses("valid", "risky")...).Request.Hash())
}

func TestAQuoteOfAVerificationKeepsNoAddress(t *testing.T) {
	w, _ := prepaid(t, 2, "other@domain.test")
	pricer := offer.New(w.accounts, w.ledger, w.catalogue, w.book)
	request, err := pricer.Normalize(t.Context(), "beta", order.Body{Request: order.Request{Kind: order.Verify}, Emails: addresses("valid", "invalid", "risky")}, false)
	require.NoError(t, err)
	q := w.quote(order.Input{ID: "ord_x", Org: "beta", Request: request})
	require.EqualValues(t, 3, q.Candidates)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, q.Missing)
	var lists int
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM list`).Scan(&lists))
	require.Equal(t, 1, lists)
}

func TestARequestToVerifyThatCannotBe(t *testing.T) {
	w, in := prepaid(t, 10, "ann@domain.test")
	pricer := offer.New(w.accounts, w.ledger, w.catalogue, w.book)
	for field, body := range map[string]order.Body{
		"list_id":  {Request: order.Request{Kind: order.Verify, ListID: "lst_no"}},
		"count":    {Request: order.Request{Kind: order.Verify, Count: 5}, Emails: []string{"a@b.test"}},
		"criteria": {Request: order.Request{Kind: order.Verify, ListID: in.Request.ListID, Criteria: order.Criteria{Title: "x"}}},
		"fill":     {Request: order.Request{Kind: order.Verify, ListID: in.Request.ListID, Fill: true}},
		"emails":   {Request: order.Request{Kind: order.Verify}},
	} {
		request, err := pricer.Normalize(t.Context(), "beta", body, true)
		if err == nil {
			err = request.Validate(0)
		}
		var invalid *order.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
	_, err := pricer.Normalize(t.Context(), "acme", order.Body{Request: order.Request{Kind: order.Verify, ListID: in.Request.ListID}}, true)
	require.Error(t, err, "another customer's list is none")
}
