package erasure_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/erasure"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
)

// world is a catalogue with orders, on a database of its own.
type world struct {
	t         *testing.T
	pool      *pgxpool.Pool
	catalogue *lead.Catalogue
	book      *orderbook.Book
	erasures  *erasure.Erasures
}

func setup(t *testing.T) *world {
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool, catalogue: lead.New(pool), book: orderbook.New(pool)}
	w.erasures = erasure.New(pool, w.catalogue, w.book)
	return w
}

const header = "id,email,first_name,last_name,title,company,domain,country,phone,direct_email\n"

// file is a catalogue of n people at one company and of Greta, who is known
// three times: twice by one address, once by her direct one alone.
func file(n int) string {
	var b strings.Builder
	b.WriteString(header)
	for i := range n {
		fmt.Fprintf(&b, "L%d,p%d@corp.test,Ann,Person%d,Engineer,Corp,corp.test,US,+4930%06d,\n", i, i, i, i)
	}
	b.WriteString("G1,Greta.Quill@corp.test,Greta,Quill,Falconer,Corp,corp.test,US,+4917012345,quill@home.test\n")
	b.WriteString("G2,greta.quill@CORP.test,Greta M.,Quill,Falconer,Corp,corp.test,US,,\n")
	b.WriteString("G3,g@other.test,Greta,Quill,,Other,other.test,DE,,Quill@home.test\n")
	return b.String()
}

// traces are what nothing may hold of Greta once she is erased.
var traces = []string{"greta", "quill", "4917012345", "g@other.test"}

func (w *world) importFile(text string) lead.ImportReport {
	w.t.Helper()
	report, err := w.catalogue.Import(w.t.Context(), strings.NewReader(text), lead.CSV, lead.ImportOptions{})
	require.NoError(w.t, err)
	return report
}

// order enters an order for all leads.
func (w *world) order(id string) int64 {
	w.t.Helper()
	_, err := w.book.Create(w.t.Context(), orderbook.NewOrder{
		ID: id, Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 100}, PlanID: "p", PlanVersion: 1,
		Status: order.Reserved, Held: []order.Amount{{Type: "email", Amount: 100}},
	})
	require.NoError(w.t, err)
	selected, err := w.catalogue.Select(w.t.Context(), lead.Selection{OrderID: id, Org: "acme", Count: 100, FactType: "email", IncludeOwned: true})
	require.NoError(w.t, err)
	_, err = w.pool.Exec(w.t.Context(), `UPDATE order_selection SET claims = NULL`) // open orders of this world may overlap
	require.NoError(w.t, err)
	require.NoError(w.t, w.book.Start(w.t.Context(), id, selected.Items))
	return selected.Items
}

// list enters an order for a list.
func (w *world) list(id string, emails ...string) lead.List {
	w.t.Helper()
	list, err := w.catalogue.KeepEmails(w.t.Context(), "acme", emails)
	require.NoError(w.t, err)
	w.verify(id, list)
	return list
}

func (w *world) verify(id string, list lead.List) {
	w.t.Helper()
	_, err := w.book.Create(w.t.Context(), orderbook.NewOrder{
		ID: id, Org: "acme", Request: order.Request{Kind: order.Verify, ListID: list.ID, Count: list.Unique}, PlanID: "p", PlanVersion: 1,
		Status: order.Reserved, Held: []order.Amount{{Type: "email", Amount: list.Unique}},
	})
	require.NoError(w.t, err)
	_, err = w.catalogue.SelectList(w.t.Context(), id, list.ID)
	require.NoError(w.t, err)
	require.NoError(w.t, w.book.Start(w.t.Context(), id, list.Unique))
}

// verdictsOf are what a verifier says of items: valid, with words that name them.
func verdictsOf(items []orderbook.Item) []orderbook.Verdict {
	list := make([]orderbook.Verdict, len(items))
	for i, item := range items {
		list[i] = orderbook.Verdict{
			N: item.N, Verdict: "valid", Reason: "accepted", MXHost: "mx.corp.test", SMTPCode: 250,
			SMTPText: "<" + item.Value + "> ok, hello", CheckedAt: time.Now(),
		}
	}
	return list
}

func (w *world) pending(id string) []orderbook.Item {
	w.t.Helper()
	items, err := w.book.Pending(w.t.Context(), id, 1, 1000, time.Now())
	require.NoError(w.t, err)
	return items
}

// deliver delivers what is valid and returns the fingerprints.
func (w *world) deliver(id string) []uuid.UUID {
	w.t.Helper()
	items, err := w.book.Billable(w.t.Context(), id, 1, 1000, []string{"valid", "invalid", "unknown"})
	require.NoError(w.t, err)
	n, err := w.book.Deliver(w.t.Context(), id, items)
	require.NoError(w.t, err)
	require.Len(w.t, items, int(n))
	facts := make([]uuid.UUID, len(items))
	for i, item := range items {
		facts[i] = item.Fingerprint
	}
	return facts
}

// verified carries an order to its delivery.
func (w *world) verified(id string) {
	w.t.Helper()
	require.NoError(w.t, w.book.WriteVerdicts(w.t.Context(), id, verdictsOf(w.pending(id))))
	w.deliver(id)
}

func (w *world) results(id string) string {
	w.t.Helper()
	var b bytes.Buffer
	require.NoError(w.t, w.catalogue.WriteResults(w.t.Context(), &b, id, lead.CSV, lead.ResultOptions{All: true}))
	return b.String()
}

func (w *world) erase(r erasure.Request) erasure.Report {
	w.t.Helper()
	report, err := w.erasures.Erase(w.t.Context(), r)
	require.NoError(w.t, err)
	return report
}

func (w *world) requireNoTrace() {
	w.t.Helper()
	dump := pgtest.Dump(w.t, w.pool)
	require.Contains(w.t, dump, "p1@corp.test", "the dump shows what there is")
	for _, trace := range traces {
		at := strings.Index(dump, trace)
		if at >= 0 {
			require.Failf(w.t, "a trace is left", "%s in …%s…", trace, dump[max(0, at-200):min(len(dump), at+100)])
		}
	}
}

// says is a verifier that calls everything valid and names it.
type says struct{}

func (says) Preflight(context.Context) error { return nil }

func (says) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	for i, email := range emails {
		each(i, verify.Result{Email: email, Verdict: verify.Valid, Reason: verify.Accepted, CheckedAt: time.Now(), MXHost: "mx.corp.test", SMTPText: email})
	}
	return nil
}

func grant(t *testing.T, book *ledger.Ledger, amount int64) {
	_, err := book.Grant(t.Context(), ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: amount, Source: ledger.SourcePack})
	require.NoError(t, err)
}

func hold(t *testing.T, book *ledger.Ledger, id string, amount int64) {
	_, err := book.Hold(t.Context(), ledger.Hold{
		Owner: "acme", Key: id + "/hold", HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: amount, Pools: []string{""}}},
		Memo: ledger.Memo{OrderID: id},
	})
	require.NoError(t, err)
}

func capture(t *testing.T, book *ledger.Ledger, id string, subjects []uuid.UUID) {
	facts := make([]ledger.Fact, len(subjects))
	for i, subject := range subjects {
		facts[i] = ledger.Fact{Subject: subject}
	}
	_, err := book.Capture(t.Context(), ledger.Capture{
		Owner: "acme", Key: id + "/capture", HoldID: id, Type: "email", Facts: facts, UnitCost: 1, Memo: ledger.Memo{OrderID: id},
	})
	require.NoError(t, err)
}

func charge(t *testing.T, book *ledger.Ledger, id string, subjects []uuid.UUID) {
	hold(t, book, id, int64(len(subjects)))
	capture(t, book, id, subjects)
}
