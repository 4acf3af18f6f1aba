package erasure_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"holdfast/internal/erasure"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/suppression"
	"holdfast/internal/verdicts"
	"holdfast/internal/verify"
)

// E1: by each way to name a person, nothing is left of them in the database:
// in the catalogue, its index, orders done and running, lists, remembered
// verdicts, and what the planner quotes.
func TestE1_NothingIsLeft(t *testing.T) {
	for name, request := range map[string]erasure.Request{
		"by address":        {Emails: []string{" GRETA.quill@corp.test"}},
		"by direct address": {Emails: []string{"quill@home.test"}},
		"by lead":           {LeadIDs: []string{"G1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			// She had another address when the first order selected her.
			w.importFile(strings.Replace(file(30), "Greta.Quill@corp.test", "Greta.Miller@corp.test", 1))
			w.order("ord_before")
			w.verified("ord_before")
			w.importFile(file(30))
			w.order("ord_done")
			w.verified("ord_done")
			w.order("ord_running")
			w.list("ord_list", "p1@corp.test", "Greta.Quill@corp.test", "GRETA.QUILL@corp.test", "greta.miller@corp.test", "g@other.test", "quill@home.test")
			w.verified("ord_list")
			memory := verdicts.New(w.pool, says{})
			require.NoError(t, memory.Verify(t.Context(), []string{"p1@corp.test", "Greta.Quill@corp.test", "greta.quill@CORP.test"}, func(int, verify.Result) {}))
			_, err := w.pool.Exec(t.Context(), `ANALYZE`)
			require.NoError(t, err)
			dump := pgtest.Dump(t, w.pool)
			for _, trace := range traces {
				require.Contains(t, dump, trace)
			}

			report := w.erase(request)
			require.EqualValues(t, 3, report.Leads)
			require.EqualValues(t, 5, report.ListRows)
			require.EqualValues(t, 2, report.Verdicts, "two spellings of one mailbox")
			require.EqualValues(t, 3+2+2+4, report.Items, "three orders of leads, in which an address is once; one of a list")
			require.EqualValues(t, 3+4, report.Suppressed, "ids and addresses")
			w.requireNoTrace()
			var facets int
			require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM lead_facet WHERE value = 'falconer'`).Scan(&facets))
			require.Zero(t, facets)
		})
	}
}

// E2: erasing again finds nothing and changes nothing.
func TestE2_AgainIsNothing(t *testing.T) {
	w := setup(t)
	w.importFile(file(5))
	w.order("ord_1")
	w.verified("ord_1")
	require.NotZero(t, w.erase(erasure.Request{Emails: []string{"g@other.test"}}).Items)
	require.Equal(t, erasure.Report{}, w.erase(erasure.Request{Emails: []string{"g@other.test", "greta.quill@corp.test"}, LeadIDs: []string{"G1", "G3"}}))
	require.Equal(t, erasure.Report{Suppressed: 2}, w.erase(erasure.Request{Emails: []string{"missing@corp.test"}, LeadIDs: []string{"L999"}}), "not known yet, and not taken in")
	require.EqualValues(t, 1, w.importFile(header+"L999,new@corp.test,,,,,,,,\n").Rejected)
}

// An address that many share belongs to no person: it leads from one person to no other.
func TestE1_ASharedAddressLeadsToNoOtherPerson(t *testing.T) {
	w := setup(t)
	team := header
	for i := range 6 {
		team += fmt.Sprintf("T%d,t%d@corp.test,Tom,Team,,,,,,info@corp.test\n", i, i)
	}
	w.importFile(team)
	w.order("ord_1")
	report := w.erase(erasure.Request{LeadIDs: []string{"T1"}})
	require.Equal(t, erasure.Report{Leads: 1, Items: 1, Suppressed: 2}, report)
	suppressed, err := suppression.New(w.pool).Suppressed(t.Context(), "acme", []string{"t1@corp.test", "info@corp.test", "t2@corp.test"})
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, false}, suppressed)
	require.EqualValues(t, 5, w.erase(erasure.Request{Emails: []string{"info@corp.test"}}).Leads, "unless it was asked for")
}

// E2: what is no request for anybody is refused before anything is erased.
func TestE2_AnUnclearErasureIsRefused(t *testing.T) {
	w := setup(t)
	w.importFile(file(5))
	many := make([]string, erasure.Most+1)
	for i := range many {
		many[i] = fmt.Sprintf("p%d@corp.test", i)
	}
	for field, r := range map[string]erasure.Request{
		"emails":      {},
		"emails[1]":   {Emails: []string{"p1@corp.test", "corp.test"}},
		"emails[0]":   {Emails: []string{"@corp.test"}},
		"lead_ids[0]": {Emails: []string{"p1@corp.test"}, LeadIDs: []string{""}},
	} {
		_, err := w.erasures.Erase(t.Context(), r)
		var invalid *erasure.InvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, field, invalid.Field)
	}
	_, err := w.erasures.Erase(t.Context(), erasure.Request{Emails: many})
	require.ErrorContains(t, err, "101 people are named; erase at most 100 at a time")
	var n int
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM lead`).Scan(&n))
	require.Equal(t, 5+3, n)
}

// E3: orders keep their counts, and the ledger its facts.
func TestE3_TheBooksStayTrue(t *testing.T) {
	w := setup(t)
	w.importFile(file(5))
	items := w.order("ord_leads")
	w.list("ord_list", "p1@corp.test", "greta.quill@corp.test", "p2@corp.test")
	book := ledger.New(w.pool)
	t.Cleanup(book.Close)
	grant(t, book, 100)
	for _, id := range []string{"ord_leads", "ord_list"} {
		require.NoError(t, w.book.WriteVerdicts(t.Context(), id, verdictsOf(w.pending(id))))
		charge(t, book, id, w.deliver(id))
	}
	tally, reasons, err := w.book.Tally(t.Context(), "ord_leads")
	require.NoError(t, err)
	require.Equal(t, items, tally.Valid)

	w.erase(erasure.Request{LeadIDs: []string{"G2"}})
	w.requireNoTrace()
	after, sameReasons, err := w.book.Tally(t.Context(), "ord_leads")
	require.NoError(t, err)
	require.Equal(t, tally, after)
	require.Equal(t, reasons, sameReasons)
	var facts int64
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		SELECT count(*) FROM credit_fact f WHERE f.subject = ANY ($1)`, []uuid.UUID{lead.Fingerprint("G1"), lead.Fingerprint("G2")}).Scan(&facts))
	require.EqualValues(t, 1, facts, "the fingerprint stays")
	report, err := ledger.Audit(t.Context(), w.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)

	// Of a list the row stays, in its place, empty; of leads it is left out.
	rows := strings.Split(strings.TrimSpace(w.results("ord_list")), "\r\n")
	require.Len(t, rows, 1+3)
	require.True(t, strings.HasPrefix(rows[1], "p1@corp.test,valid"), rows[1])
	require.True(t, strings.HasPrefix(rows[2], ",valid,accepted,,250,"), rows[2])
	require.Len(t, strings.Split(strings.TrimSpace(w.results("ord_leads")), "\r\n"), int(1+items-2), "Greta was in it by two addresses")
}

// E4: a person who was erased does not come back: not by an import, an upload
// or a selection, and a list that was there before has nothing to verify.
func TestE4_NoErasedPersonComesBack(t *testing.T) {
	w := setup(t)
	w.importFile(file(5))
	before := w.list("ord_before", "p1@corp.test", "greta.quill@corp.test")
	w.erase(erasure.Request{LeadIDs: []string{"G1"}})

	report := w.importFile(file(5) + "X1,x@new.test,Greta,Quill,,,,,,QUILL@home.test\nX2,x2@new.test,,,,,,,,\n")
	require.Equal(t, []int64{10, 1, 5, 4}, []int64{report.Rows, report.Imported, report.Unchanged, report.Rejected})
	lines := []int64{}
	for _, p := range report.Problems {
		lines = append(lines, p.Line)
		require.Equal(t, "the person was erased on request and is not taken in again", p.Reason)
	}
	require.Equal(t, []int64{7, 8, 9, 10}, lines)
	require.EqualValues(t, 1, w.importFile(header+"G1,new@new.test,Greta,Quill,,,,,,\n").Rejected, "by her id")
	w.requireNoTrace()

	upload, err := w.catalogue.KeepList(t.Context(), "acme", "", strings.NewReader("name,email\nAnn,p1@corp.test\nGreta,Greta.QUILL@corp.test\n"))
	require.NoError(t, err)
	require.Equal(t, []int64{2, 1, 1}, []int64{upload.Rows, upload.Unique, upload.Malformed})
	w.verify("ord_upload", upload)
	require.Len(t, w.pending("ord_upload"), 1)
	w.verified("ord_upload")
	require.Contains(t, w.results("ord_upload"), "\r\n,,,malformed: the person was erased on request,")

	again, err := w.catalogue.KeepEmails(t.Context(), "acme", []string{"p1@corp.test", "greta.quill@corp.test"})
	require.NoError(t, err)
	require.Equal(t, before, again, "the same list")
	w.verify("ord_again", again)
	require.Equal(t, "p1@corp.test", w.pending("ord_again")[0].Value)
	require.Len(t, w.pending("ord_again"), 1)
	w.verified("ord_again")
	_, reasons, err := w.book.Tally(t.Context(), "ord_again")
	require.NoError(t, err)
	require.ElementsMatch(t, []order.Reason{{Verdict: "valid", Reason: "accepted", Count: 1}, {Verdict: "unknown", Reason: "suppressed", Count: 1}}, reasons)
	require.EqualValues(t, 6, w.order("ord_leads"))
	w.requireNoTrace()

	// Until she is taken off the list.
	n, err := suppression.New(w.pool).Remove(t.Context(), suppression.Everybody, []string{"lead:G3", "quill@home.test", "g@other.test"})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.EqualValues(t, 1, w.importFile(file(5)).Imported)
}

// E5: an item that is erased while its batch is being verified stays erased, is
// not delivered and not charged; another one is.
func TestE5_ALateVerdictBringsNothingBack(t *testing.T) {
	w := setup(t)
	w.importFile(file(5))
	items := w.order("ord_1")
	w.list("ord_2", "greta.quill@corp.test", "p1@corp.test")
	late := map[string][]orderbook.Verdict{}
	for _, id := range []string{"ord_1", "ord_2"} {
		late[id] = verdictsOf(w.pending(id))
	}
	// One of hers has its verdict already and is about to be charged, one waits
	// for a later round.
	first, waits := late["ord_1"][0], late["ord_2"][0]
	waits.Verdict, waits.RetryAt = "unknown", time.Now().Add(time.Hour)
	require.NoError(t, w.book.WriteVerdicts(t.Context(), "ord_1", []orderbook.Verdict{first}))
	require.NoError(t, w.book.WriteVerdicts(t.Context(), "ord_2", []orderbook.Verdict{waits}))
	w.erase(erasure.Request{LeadIDs: []string{"G1"}})
	for id, verdicts := range late {
		require.NoError(t, w.book.WriteVerdicts(t.Context(), id, verdicts))
	}
	w.requireNoTrace()
	require.Len(t, w.deliver("ord_1"), int(items-2))
	require.Len(t, w.deliver("ord_2"), 1)
	tally, _, err := w.book.Tally(t.Context(), "ord_1")
	require.NoError(t, err)
	require.Equal(t, []int64{items - 2, 2}, []int64{tally.Valid, tally.Unknown})
}

// E5: while contact data are copied and a person is erased, nothing is
// left of them.
func TestE5_BesideEverythingThatRuns(t *testing.T) {
	w := setup(t)
	w.importFile(file(50))
	ctx, stop := context.WithCancel(t.Context())
	memory := verdicts.New(w.pool, says{})
	var running sync.WaitGroup
	errs := make(chan error, 100)
	for who, work := range []func(i int) error{
		func(int) error {
			_, err := w.catalogue.Import(ctx, strings.NewReader(file(50)), lead.CSV, lead.ImportOptions{})
			return err
		},
		func(i int) error {
			_, err := w.catalogue.Select(ctx, lead.Selection{OrderID: fmt.Sprintf("ord_s%d", i), Org: "acme", Count: 100, FactType: "email"})
			return err
		},
		func(i int) error {
			list, err := w.catalogue.KeepEmails(ctx, "acme", []string{fmt.Sprintf("p%d@x.test", i), "greta.quill@corp.test"})
			if err == nil {
				_, err = w.catalogue.SelectList(ctx, fmt.Sprintf("ord_l%d", i), list.ID)
			}
			return err
		},
		func(i int) error {
			id := fmt.Sprintf("ord_s%d", i)
			items, err := w.book.Pending(ctx, id, 1, 100, time.Now())
			if err == nil {
				err = w.book.WriteVerdicts(ctx, id, verdictsOf(items))
			}
			return err
		},
		func(int) error {
			return memory.Verify(ctx, []string{"p1@corp.test", "greta.quill@corp.test"}, func(int, verify.Result) {})
		},
	} {
		running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := work(i); err != nil && ctx.Err() == nil {
					errs <- fmt.Errorf("worker %d: %w", who, err)
					return
				}
			}
		})
	}
	require.Eventually(t, func() bool {
		var n int
		err := w.pool.QueryRow(ctx, `SELECT count(*) FROM order_item WHERE lower(value) = 'greta.quill@corp.test'`).Scan(&n)
		return err == nil && n > 5
	}, 20*time.Second, 5*time.Millisecond, "all are at work")
	require.NotZero(t, w.erase(erasure.Request{Emails: []string{"greta.quill@corp.test"}}).Items)
	var before, after int
	count := func(n *int) {
		require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM order_selection`).Scan(n))
	}
	count(&before)
	require.Eventually(t, func() bool { count(&after); return after > before+10 }, 20*time.Second, 5*time.Millisecond, "they go on")
	stop()
	running.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	_, err := w.pool.Exec(t.Context(), `ANALYZE`)
	require.NoError(t, err)
	w.requireNoTrace()
	var remembered int
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM verdict`).Scan(&remembered))
	require.Equal(t, 1, remembered)
}

// E6: who is suppressed after the selection and before the charge is neither
// delivered nor charged; what is charged already is delivered.
func TestE6_SuppressedBeforeTheCharge(t *testing.T) {
	for _, ahead := range []string{"0", "3 hours"} { // of the clock by which the order was entered
		t.Run(ahead, func(t *testing.T) { suppressedBeforeTheCharge(t, ahead) })
	}
}

func suppressedBeforeTheCharge(t *testing.T, ahead string) {
	w := setup(t)
	w.importFile(file(5))
	items := w.order("ord_1")
	_, err := w.pool.Exec(t.Context(), `UPDATE orders SET created_at = now() + $1::interval`, ahead)
	require.NoError(t, err)
	require.NoError(t, w.book.WriteVerdicts(t.Context(), "ord_1", verdictsOf(w.pending("ord_1"))))
	book := ledger.New(w.pool)
	t.Cleanup(book.Close)
	grant(t, book, 100)
	// p2's charge is in the ledger, by an attempt that got no further.
	hold(t, book, "ord_1", 100)
	capture(t, book, "ord_1", []uuid.UUID{lead.Fingerprint("L2")})

	list := suppression.New(w.pool)
	for org, entries := range map[string][]string{
		"acme":                {"p1@corp.test", "p2@corp.test"},
		suppression.Everybody: {"other.test"},
		"beta":                {"p3@corp.test"},
	} {
		_, err := list.Add(t.Context(), org, "asked to", entries)
		require.NoError(t, err)
	}
	delivered := w.deliver("ord_1")
	require.Len(t, delivered, int(items-2))
	require.Contains(t, delivered, lead.Fingerprint("L2"), "paid for before")
	require.Contains(t, delivered, lead.Fingerprint("L3"), "beta's list is not acme's")
	require.NotContains(t, delivered, lead.Fingerprint("L1"))
	require.NotContains(t, delivered, lead.Fingerprint("G3"), "by its domain")
	_, reasons, err := w.book.Tally(t.Context(), "ord_1")
	require.NoError(t, err)
	require.Contains(t, reasons, order.Reason{Verdict: "unknown", Reason: "suppressed", Count: 2})
	require.Empty(t, w.deliver("ord_1"), "nor later, where unknown is delivered too")
}
