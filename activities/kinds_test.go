package activities_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"holdfast/activities"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/suppression"
	"holdfast/internal/webhook"
)

const (
	london   = "+44 20 7031 3000"
	mountain = "+1 650 253 0000"
	nowhere  = "+1 555"
)

func TestRule_K1_K2_AFieldIsOneCreditOfItsTypeHoweverManyNumbers(t *testing.T) {
	o := open(t, "workspace-paid", "email", 10, "phone", 10, "direct_email", 10)
	ids := o.knows(
		[5]string{"three", "valid.1@a.test", london + ";" + nowhere + "; " + mountain, "valid.1@home.test"},
		[5]string{"late", "valid.2@a.test", nowhere + ";call me;+33 1 42 68 53 00"},
		[5]string{"bad", "invalid.3@a.test", nowhere + ";call me", "invalid.3@home.test"},
		[5]string{"none", "catch_all.4@a.test"},
	)
	got := o.order("jane", "one", reveal(ids, order.PhoneField))
	require.Equal(t, map[string]int64{"phone": 2}, spent(got), "three numbers are one credit, none that works is none")
	require.Equal(t, []order.Credit{{Type: "phone", Held: 3, Captured: 2, Released: 1}}, got.Credits)
	require.Equal(t, order.Tally{Valid: 2, Invalid: 1, Unknown: 1}, got.Tally)
	require.ElementsMatch(t, []order.Reason{
		{Verdict: "valid", Reason: "number_pattern", Count: 2},
		{Verdict: "invalid", Reason: "number_pattern", Count: 1},
		{Verdict: "unknown", Reason: order.ReasonNotFound, Count: 1},
	}, got.Reasons)

	got = o.order("bob", "two", reveal(ids, order.EmailField, order.DirectEmailField, order.PhoneField))
	require.Equal(t, map[string]int64{"email": 2, "direct_email": 1}, spent(got), "each in credits of its own; numbers are owned")
	require.EqualValues(t, 2, got.Tally.AlreadyOwned)
	o.balanced()
}

func TestRule_K3_K4_EveryExportCostsAnExportCreditForEachLeadAndNothingElse(t *testing.T) {
	o := open(t, "workspace-paid", "email", 10, "export", 9)
	ids := o.people(6, 4)
	require.Equal(t, map[string]int64{"email": 4}, spent(o.order("jane", "reveal", reveal(ids, order.EmailField))))

	for _, key := range []string{"first", "second"} {
		got := o.order("bob", key, export(ids))
		require.Equal(t, []order.Credit{{Type: "export", Held: 4, Captured: 4}}, got.Credits)
		require.Equal(t, order.Tally{Valid: 4, Unknown: 2}, got.Tally, "of two leads nothing is owned that could go out")
	}
	refused := o.order("bob", "third", export(ids))
	require.Equal(t, order.Rejected, refused.Status)
	require.Equal(t, []order.Amount{{Type: "export", Amount: 3}}, refused.Failure.Missing)
	require.Empty(t, refused.Credits, "nothing is spent, nothing is held")
	var items int
	require.NoError(t, o.pool.QueryRow(t.Context(), `SELECT count(*) FROM order_item WHERE order_id = $1`, refused.ID).Scan(&items))
	require.Zero(t, items)
	o.balanced()
}

func TestRule_K5_N2_WhatOneMemberRevealedIsFreeForAllUnlessCreditsArePersonal(t *testing.T) {
	for planID, bobs := range map[string]map[string]int64{
		"workspace-paid": {}, "licence-monthly": {}, "rollover-boost": {}, "workspace-free": {"email": 3},
	} {
		t.Run(planID, func(t *testing.T) {
			o := open(t, planID, "email", 100)
			ids := o.people(4, 3)
			require.Equal(t, map[string]int64{"email": 3}, spent(o.order("jane", "jane", reveal(ids, order.EmailField))))
			require.Equal(t, map[string]int64{}, spent(o.order("jane", "jane again", reveal(ids, order.EmailField))))
			got := o.order("bob", "bob", reveal(ids, order.EmailField))
			require.Equal(t, bobs, spent(got))
			require.EqualValues(t, 3, got.Tally.Valid, "he gets them either way")
			o.balanced()
		})
	}
}

func TestRule_A2_A7_OnlyGoodUnlocksCost(t *testing.T) {
	o := open(t, "rollover-boost", "email", 500, "phone", 100)
	require.Equal(t, map[string]int64{"email": 8}, spent(o.order("", "ten", reveal(o.people(10, 8), order.EmailField))))
	rows := make([][5]string, 200)
	for i := range rows {
		rows[i] = [5]string{fmt.Sprint("person-", i), fmt.Sprintf("valid.p%d@a.test", i)}
		if i < 50 {
			rows[i][2] = fmt.Sprintf("+44 20 7031 30%02d", i)
		}
	}
	got := o.order("", "two hundred", reveal(o.knows(rows...), order.EmailField, order.PhoneField))
	require.Equal(t, map[string]int64{"email": 200, "phone": 50}, spent(got))
	require.Equal(t, []order.Credit{{Type: "email", Held: 200, Captured: 200}, {Type: "phone", Held: 50, Captured: 50}}, got.Credits)
}

func TestRule_N3_N4_AnExportCostsTheAddressesThatAreFoundAndNew(t *testing.T) {
	for _, planID := range []string{"licence-monthly", "rollover-power"} {
		t.Run(planID, func(t *testing.T) {
			o := open(t, planID, "email", 1000)
			ids := o.people(320, 310)
			bobs := o.order("bob", "bob", export(ids[120:]))
			require.Equal(t, map[string]int64{"email": 190}, spent(bobs), "200 exported, 190 found")
			janes := o.order("jane", "jane", export(ids[:200]))
			require.Equal(t, map[string]int64{"email": 120}, spent(janes), "her 200 overlap his by 80")
			require.EqualValues(t, 80, janes.Tally.AlreadyOwned)
			require.EqualValues(t, 200, janes.Tally.Valid)

			all := o.order("jane", "all", order.Body{Request: order.Request{Kind: order.Export, OrderID: bobs.ID}})
			require.EqualValues(t, 190, all.Requested, "what the order delivered")
			require.Empty(t, spent(all), "is owned")
			o.balanced()
		})
	}
}

// A customer that has paid for a lead's number gets it out of an export, without the
// address where that is not valid.
func TestAnExportHasOwnedFieldsOfALeadWithAnInvalidAddress(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10, "phone", 10)
	o.knows([5]string{"a", "invalid.1@a.test", london}, [5]string{"b", "invalid.2@b.test", mountain}, [5]string{"c", "valid.3@c.test", nowhere})
	o.order("jane", "number", reveal([]string{"a"}, order.PhoneField))
	exported := o.order("jane", "export", export([]string{"a", "b", "c"}))
	require.Equal(t, map[string]int64{"email": 1}, spent(exported), "one address was found")

	var file strings.Builder
	require.NoError(t, o.Catalogue.WriteResults(t.Context(), &file, exported.ID, lead.NDJSON, lead.ResultOptions{}))
	require.Equal(t, 2, strings.Count(file.String(), "\n"), file.String())
	require.Contains(t, file.String(), `"id":"a","email":""`)
	require.Contains(t, file.String(), london)
	require.NotContains(t, file.String(), "invalid.")
	o.balanced()
}

func TestRule_A6_EnrichmentCostsWhatIsNew(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10, "phone", 10)
	o.knows(
		[5]string{"a", "valid.1@a.test", london},
		[5]string{"b", "valid.2@b.test", mountain, "ben@home.test"},
		[5]string{"c", "valid.3@c.test", nowhere},
	)
	list, err := o.Catalogue.KeepList(t.Context(), "acme", "", strings.NewReader(
		"email,phone\nvalid.1@a.test,+442070313000\nben@home.test,\nvalid.3@c.test,\nstranger@d.test,\nBEN@home.test,\n"))
	require.NoError(t, err)
	enrich := order.Body{Request: order.Request{Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{order.EmailField, order.PhoneField}}}
	got := o.order("jane", "one", enrich)
	require.Equal(t, map[string]int64{"email": 1, "phone": 1}, spent(got), "Ben's address at work and his number, once")
	require.EqualValues(t, 5, got.Requested)
	require.EqualValues(t, 6, got.Selected, "three leads, two fields")
	require.Zero(t, got.Tally.Duplicate)
	require.Empty(t, spent(o.order("bob", "again", enrich)))
	o.balanced()
}

// Two orders that chose the same leads before they were owned: the second one
// to be charged finds them paid for.
func TestRule_X6_TwoOrdersForTheSameLeadsPayOnce(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100, "phone", 100)
	ids := o.knows([5]string{"a", "valid.1@a.test", london}, [5]string{"b", "valid.2@a.test", mountain})
	first, _ := o.begin("jane", "first", reveal(ids, order.EmailField, order.PhoneField))
	second, _ := o.begin("bob", "second", reveal(ids, order.PhoneField, order.EmailField))
	require.Equal(t, map[string]int64{"email": 2, "phone": 2}, spent(o.finish(first)))
	got := o.finish(second)
	require.Empty(t, spent(got))
	require.Equal(t, order.Tally{Valid: 4, AlreadyOwned: 4}, got.Tally)
	o.balanced()
}

func TestRule_N11_AnExportIsChargedForWhatTheWebhookTook(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100)
	ids := o.people(30, 25)
	answer, got := http.StatusOK, map[string][]map[string]any{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Type string
			Data struct {
				OrderID     string `json:"order_id"`
				Part, Parts int
				Rows        []map[string]any
			}
		}
		if json.NewDecoder(r.Body).Decode(&m) != nil || m.Type != "export.batch" {
			answer = http.StatusBadRequest
		}
		if w.WriteHeader(answer); answer == http.StatusOK {
			got[r.Header.Get("webhook-id")] = m.Data.Rows
		}
	}))
	t.Cleanup(receiver.Close)
	endpoint, _, err := o.hooks.Webhooks.Create(t.Context(), "acme", receiver.URL, nil)
	require.NoError(t, err)

	body := export(ids)
	body.Destination, body.WebhookID = order.ToWebhook, endpoint.ID
	b, _ := o.begin("jane", "one", body)
	do(o, o.VerifyBatch, activities.BatchInput{OrderID: b.in.ID, From: 1, To: 30, Due: time.Now()})
	push := func(from, to int64, part int) error {
		_, err := o.env.ExecuteActivity(o.hooks.PushExport, activities.PushInput{
			OrderID: b.in.ID, Org: "acme", WebhookID: endpoint.ID, From: from, To: to, Part: part, Parts: 2,
		})
		return err
	}
	captured := func() int64 {
		state, err := o.Ledger.HoldState(t.Context(), "acme", b.in.ID)
		require.NoError(t, err)
		return state[0].Captured
	}
	var late string // suppressed when everything is verified
	require.NoError(t, o.pool.QueryRow(t.Context(), `
		SELECT value FROM order_item WHERE order_id = $1 AND n <= 15 AND verdict = 'valid' ORDER BY n LIMIT 1`, b.in.ID).Scan(&late))
	_, err = suppression.New(o.pool).Add(t.Context(), "acme", "asked to", []string{late})
	require.NoError(t, err)
	require.NoError(t, push(1, 15, 1))
	require.Zero(t, captured(), "sending charges nothing by itself")
	require.NoError(t, push(1, 15, 1))
	require.Len(t, got, 1, "the same part under the same id")
	first := got[b.in.ID+"/1"]
	require.NotEmpty(t, first)
	do(o, o.CaptureCredits, o.capture(b, activities.Range{From: 1, To: 15}))
	require.EqualValues(t, len(first), captured())

	delete(got, b.in.ID+"/1")
	require.NoError(t, push(1, 15, 1))
	require.Empty(t, got, "what is delivered is not sent again")

	answer = http.StatusServiceUnavailable
	var waits *temporal.ApplicationError
	require.ErrorAs(t, push(16, 30, 2), &waits)
	require.Contains(t, waits.Message(), "503")
	require.Equal(t, webhook.DefaultBackoff[0], waits.NextRetryDelay())
	o.env.SetHeartbeatDetails(3) // attempts before
	require.ErrorAs(t, push(16, 30, 2), &waits)
	require.Equal(t, webhook.DefaultBackoff[3], waits.NextRetryDelay())
	o.env.SetHeartbeatDetails(nil) // as earlier builds wrote it
	require.ErrorAs(t, push(16, 30, 2), &waits)
	require.Equal(t, webhook.DefaultBackoff[0], waits.NextRetryDelay())
	o.env.SetHeartbeatDetails(len(webhook.DefaultBackoff))
	require.ErrorContains(t, push(16, 30, 2), "type: webhook_failed, retryable: false")
	cancelled := do(o, o.ReleaseHold, activities.ReleaseInput{
		OrderID: b.in.ID, Org: "acme", Plan: b.terms.Plan, PlanVersion: b.terms.PlanVersion, At: time.Now(), Status: order.Cancelled,
	})
	require.Equal(t, []order.Credit{{Type: "email", Held: 30, Captured: int64(len(first)), Released: 30 - int64(len(first))}}, cancelled.Credits)
	for _, row := range first {
		require.Contains(t, row["email"], "valid.")
		require.NotEqual(t, late, row["email"])
	}
	o.balanced()
}

func TestAnEndpointThatIsGoneIsNotTriedAgain(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100)
	b, _ := o.begin("jane", "one", export(o.people(2, 2)))
	do(o, o.VerifyBatch, activities.BatchInput{OrderID: b.in.ID, From: 1, To: 2, Due: time.Now()})
	_, err := o.env.ExecuteActivity(o.hooks.PushExport, activities.PushInput{OrderID: b.in.ID, Org: "acme", WebhookID: "wh_gone", From: 1, To: 2, Part: 1, Parts: 1})
	require.ErrorContains(t, err, "type: webhook_not_found, retryable: false")
}

func TestRule_N12_AnOperatorUndoesAnOrderByItsLeadsWithEveryField(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100, "phone", 100, "profile", 100)
	ids := o.knows([5]string{"a", "valid.1@a.test", london, "", "curious"}, [5]string{"b", "valid.2@b.test", mountain, "", "calm"})
	fields := []order.Field{order.EmailField, order.PhoneField, order.ProfileField}
	got := o.order("jane", "one", reveal(ids, fields...))
	require.Equal(t, map[string]int64{"email": 2, "phone": 2, "profile": 2}, spent(got))

	bills := billing.New(o.Accounts, o.Ledger, o.Book)
	undo := billing.Reversal{OrderID: got.ID, Key: "oops", Reason: "made by mistake", Leads: ids[:1]}
	for range 2 {
		undone, err := bills.Reverse(t.Context(), undo, time.Now())
		require.NoError(t, err)
		require.EqualValues(t, 3, undone.Facts)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 1}, {Type: "phone", Amount: 1}, {Type: "profile", Amount: 1}}, undone.Credits)
	}
	for name, other := range map[string]func(*billing.Reversal){ // each type has an operation of its own, the key is one
		"type": func(r *billing.Reversal) { r.Type = "phone" }, "leads": func(r *billing.Reversal) { r.Leads = ids },
		"all": func(r *billing.Reversal) { r.Leads = nil }, "reason": func(r *billing.Reversal) { r.Reason = "another" },
	} {
		changed := undo
		other(&changed)
		_, err := bills.Reverse(t.Context(), changed, time.Now())
		require.ErrorIs(t, err, ledger.ErrKeyReused, name)
	}
	phones := billing.Reversal{OrderID: got.ID, Key: "phones", Reason: "wrong numbers", Type: "phone"}
	undone, err := bills.Reverse(t.Context(), phones, time.Now())
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "phone", Amount: 1}}, undone.Credits)
	phones.Type = "email"
	_, err = bills.Reverse(t.Context(), phones, time.Now())
	require.ErrorIs(t, err, ledger.ErrKeyReused)
	again := o.order("bob", "two", reveal(ids, fields...))
	require.Equal(t, map[string]int64{"email": 1, "phone": 2, "profile": 1}, spent(again), "what was credited back costs again")
	o.balanced()
}

func TestRule_A9_ARevealedAddressThatBouncesIsCreditedBackOnce(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10, "phone", 10)
	ids := o.knows([5]string{"a", "valid.1@a.test", london}, [5]string{"b", "valid.2@b.test", mountain})
	require.Equal(t, map[string]int64{"email": 2, "phone": 2}, spent(o.order("jane", "one", reveal(ids, order.EmailField, order.PhoneField))))
	bills := billing.New(o.Accounts, o.Ledger, o.Book)
	for i, want := range []int64{1, 0} {
		bounced, err := bills.Bounce(t.Context(), billing.Bounces{Org: "acme", Key: fmt.Sprint(i), Emails: []string{"VALID.1@a.test"}}, time.Now())
		require.NoError(t, err)
		require.Equal(t, want, bounced.Facts, "the address, not the number, and once")
	}
	o.balanced()
}

// What an operator gave back by amount is not given back again: bounces take the
// rest, each address has its own answer.
func TestRule_A9_BouncesTakeWhatAReversalHasLeft(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10)
	ids := o.knows([5]string{"a", "valid.1@a.test", london}, [5]string{"b", "valid.2@b.test", mountain}, [5]string{"c", "valid.3@c.test"})
	one := o.order("jane", "one", reveal(ids[:2], order.EmailField))
	o.order("jane", "two", reveal(ids[2:], order.EmailField))
	bills := billing.New(o.Accounts, o.Ledger, o.Book)
	_, err := bills.Reverse(t.Context(), billing.Reversal{OrderID: one.ID, Key: "goodwill", Reason: "sorry", Type: "email", Amount: 1}, time.Now())
	require.NoError(t, err)
	report := billing.Bounces{Org: "acme", Key: "b", Emails: []string{"valid.1@a.test", "valid.2@b.test", "valid.3@c.test", "x@nowhere.test"}}
	for range 2 { // the same request, the same answer
		bounced, err := bills.Bounce(t.Context(), report, time.Now())
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 2}}, bounced.Credits, "3 were charged, 1 came back")
		require.Equal(t, []billing.BouncedResult{
			{Email: "valid.1@a.test", Result: billing.BounceCredited},
			{Email: "valid.2@b.test", Result: billing.BounceNoRest},
			{Email: "valid.3@c.test", Result: billing.BounceCredited},
			{Email: "x@nowhere.test", Result: billing.BounceUnknown},
		}, bounced.Results)
	}
	report.Emails = report.Emails[:1]
	_, err = bills.Bounce(t.Context(), report, time.Now())
	require.ErrorIs(t, err, ledger.ErrKeyReused)
	o.balanced()
}

// An order that cannot be reversed now does not stop the others, and the same
// request completes it later.
func TestRule_A9_ADamagedOrderStopsNoOtherBounce(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10)
	ids := o.knows([5]string{"a", "valid.1@a.test"}, [5]string{"b", "valid.2@b.test"}, [5]string{"c", "valid.3@c.test"})
	var orders []string
	for _, id := range ids {
		orders = append(orders, o.order("jane", id, reveal([]string{id}, order.EmailField)).ID)
	}
	var body string
	require.NoError(t, o.pool.QueryRow(t.Context(), `SELECT body FROM credit_hold WHERE id = $1`, orders[1]).Scan(&body))
	spoil := func(body string) {
		_, err := o.pool.Exec(t.Context(), `UPDATE credit_hold SET body = $2::json WHERE id = $1`, orders[1], body)
		require.NoError(t, err)
	}
	spoil(`{"lines": "none"}`)
	fresh := ledger.New(o.pool) // it has nothing in memory
	t.Cleanup(fresh.Close)
	bills := billing.New(o.Accounts, fresh, o.Book)
	report := billing.Bounces{Org: "acme", Key: "b", Emails: []string{"valid.1@a.test", "valid.2@b.test", "valid.3@c.test"}}
	bounced, err := bills.Bounce(t.Context(), report, time.Now())
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 2}}, bounced.Credits)
	require.Equal(t, []billing.BouncedResult{
		{Email: "valid.1@a.test", Result: billing.BounceCredited},
		{Email: "valid.2@b.test", Result: billing.BounceFailed},
		{Email: "valid.3@c.test", Result: billing.BounceCredited},
	}, bounced.Results)

	spoil(body)
	bounced, err = bills.Bounce(t.Context(), report, time.Now())
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 3}}, bounced.Credits)
	require.Equal(t, billing.BounceCredited, bounced.Results[1].Result)
	o.balanced()
}

// A report that an earlier version carried out has its answer, not a conflict.
func TestRule_A9_BouncesOfEarlierVersionsAreRecognized(t *testing.T) {
	o := open(t, "rollover-boost", "email", 10)
	one := o.order("jane", "one", reveal(o.knows([5]string{"a", "valid.1@a.test"}), order.EmailField))
	var fingerprint uuid.UUID
	var keys []uuid.UUID
	require.NoError(t, o.pool.QueryRow(t.Context(), `SELECT fingerprint, keys FROM order_item WHERE order_id = $1`, one.ID).Scan(&fingerprint, &keys))
	sum, facts := sha256.New(), []ledger.Fact(nil)
	sum.Write([]byte("b"))
	for _, subject := range append([]uuid.UUID{fingerprint}, keys...) {
		sum.Write(subject[:])
		facts = append(facts, ledger.Fact{Subject: subject})
	}
	_, err := o.Ledger.Reverse(t.Context(), ledger.Reverse{
		Owner: "acme", Key: fmt.Sprintf("bounce/%s/email/%x", one.ID, sum.Sum(nil)[:16]), HoldID: one.ID, Type: "email", Facts: facts,
	})
	require.NoError(t, err)
	bills := billing.New(o.Accounts, o.Ledger, o.Book)
	for key, want := range map[string]billing.BounceResult{"b": billing.BounceCredited, "another": billing.BounceBefore} {
		bounced, err := bills.Bounce(t.Context(), billing.Bounces{Org: "acme", Key: key, Emails: []string{"valid.1@a.test"}}, time.Now())
		require.NoError(t, err)
		require.Equal(t, []billing.BouncedResult{{Email: "valid.1@a.test", Result: want}}, bounced.Results)
	}
	o.balanced()
}

// The history names the action that was charged, as the plan does.
func TestRule_N6_TheHistoryTellsWhichFieldWasCharged(t *testing.T) {
	o := open(t, "licence-monthly", "email", 10, "phone", 10)
	ids := o.knows([5]string{"a", "valid.1@a.test", london})
	o.order("jane", "one", reveal(ids, order.EmailField, order.PhoneField))
	page, err := o.Ledger.History(t.Context(), ledger.HistoryFilter{Owner: "acme", Kind: "capture"})
	require.NoError(t, err)
	actions := map[string]string{}
	for _, line := range page.Lines {
		actions[line.Type] = line.Action
	}
	require.Equal(t, map[string]string{"email": "reveal_email", "phone": "reveal_phone"}, actions)
}
