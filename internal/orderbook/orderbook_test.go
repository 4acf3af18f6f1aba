package orderbook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/outbox"
	"holdfast/internal/postgres/pgtest"
)

// fixture is an order book on a database of its own.
type fixture struct {
	*orderbook.Book
	t    *testing.T
	ctx  context.Context
	pool *pgxpool.Pool
}

func setup(t *testing.T) fixture {
	pool := pgtest.New(t)
	return fixture{orderbook.New(pool), t, t.Context(), pool}
}

func newOrder(id string) orderbook.NewOrder {
	return orderbook.NewOrder{
		ID: id, Org: "acme", Member: "jane",
		Request: order.Request{Kind: order.LeadList, Count: 100, Criteria: order.Criteria{Country: []string{"US"}}},
		PlanID:  "verified-leads", PlanVersion: 1, Status: order.Reserved,
		Held: []order.Amount{{Type: "email", Amount: 100}},
	}
}

// verifying enters an order with items 1..n that is being verified.
func (f fixture) verifying(id string, n int64) {
	f.t.Helper()
	_, err := f.Create(f.ctx, newOrder(id))
	require.NoError(f.t, err)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned)
		SELECT $1, n, n, gen_random_uuid(), 'p' || n || '@example.test', n % 10 = 0 FROM generate_series(1, $2::bigint) n`, id, n)
	require.NoError(f.t, err)
	require.NoError(f.t, f.Start(f.ctx, id, n))
}

// topics returns what was announced about an order, in order.
// deliver delivers the valid items from..to.
func (f fixture) deliver(from, to int64) (int64, error) {
	items, err := f.Billable(f.ctx, "ord_1", from, to, []string{"valid"})
	if err != nil {
		return 0, err
	}
	return f.Deliver(f.ctx, "ord_1", items)
}

func (f fixture) topics(id string) []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `SELECT topic, payload FROM outbox WHERE payload ->> 'id' = $1 ORDER BY id`, id)
	require.NoError(f.t, err)
	topics, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic string
		var data []byte
		err := row.Scan(&topic, &data)
		return topic, errors.Join(err, outbox.Fits(topic, data))
	})
	require.NoError(f.t, err)
	return topics
}

var checked = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func verdict(n int64, word, reason string) orderbook.Verdict {
	return orderbook.Verdict{
		N: n, Verdict: word, Reason: reason, MXHost: "mx.example.test", SMTPCode: 250,
		SMTPEnhanced: "2.1.5", SMTPText: "ok", CheckedAt: checked,
	}
}

func greylisted(n int64, at time.Time) orderbook.Verdict {
	v := verdict(n, "unknown", "greylisted")
	v.CheckedAt, v.RetryAt = at, at.Add(5*time.Minute)
	return v
}

func numbers(items []orderbook.Item) []int64 {
	list := []int64{}
	for _, item := range items {
		list = append(list, item.N)
	}
	return list
}

func TestO1_CreateIsIdempotent(t *testing.T) {
	f := setup(t)
	first, err := f.Create(f.ctx, newOrder("ord_1"))
	require.NoError(t, err)
	require.Equal(t, order.Reserved, first.Status)
	require.Equal(t, int64(100), first.Requested)
	require.Equal(t, []order.Credit{{Type: "email", Held: 100}}, first.Credits)
	require.Equal(t, "jane", first.Member)

	require.NoError(t, f.Start(f.ctx, "ord_1", 0))
	again, err := f.Create(f.ctx, newOrder("ord_1"))
	require.NoError(t, err)
	require.Equal(t, order.Verifying, again.Status, "a repeated creation answers the order as it stands")
	require.Equal(t, first.CreatedAt, again.CreatedAt)
	require.Equal(t, []string{"order.reserved", "order.started"}, f.topics("ord_1"))

	other := newOrder("ord_1")
	other.Request.Count = 101
	_, err = f.Create(f.ctx, other)
	require.ErrorIs(t, err, orderbook.ErrRequestDiffers)
	stranger := newOrder("ord_1")
	stranger.Org = "evil"
	_, err = f.Create(f.ctx, stranger)
	require.ErrorIs(t, err, orderbook.ErrRequestDiffers)
}

func TestO1_ConcurrentCreationsMakeOneOrder(t *testing.T) {
	f := setup(t)
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			o, err := f.Create(f.ctx, newOrder("ord_1"))
			if err == nil && o.Status != order.Reserved {
				err = fmt.Errorf("answered %s", o.Status)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, []string{"order.reserved"}, f.topics("ord_1"))
	orders, _, err := f.List(f.ctx, orderbook.Filter{})
	require.NoError(t, err)
	require.Len(t, orders, 1)
}

func TestCreateRejected(t *testing.T) {
	f := setup(t)
	n := newOrder("ord_1")
	n.Status, n.Held = order.Rejected, nil
	n.Failure = &order.Failure{
		Code: order.CodeInsufficientCredits, Message: "40 email credits are missing.",
		Missing: []order.Amount{{Type: "email", Amount: 40}},
	}
	o, err := f.Create(f.ctx, n)
	require.NoError(t, err)
	require.Equal(t, n.Failure, o.Failure)
	require.NotNil(t, o.SettledAt)
	require.Empty(t, o.Credits)
	require.Equal(t, []string{"order.rejected"}, f.topics("ord_1"))

	for _, bad := range []orderbook.NewOrder{
		{ID: "ord_2", Status: order.Rejected},
		{ID: "ord_2", Status: order.Completed},
		{ID: "ord_2", Status: order.Reserved, Failure: n.Failure},
	} {
		_, err = f.Create(f.ctx, bad)
		require.ErrorIs(t, err, orderbook.ErrInvalid)
	}
}

func TestGetBelongsToOrganization(t *testing.T) {
	f := setup(t)
	_, err := f.Create(f.ctx, newOrder("ord_1"))
	require.NoError(t, err)
	for _, org := range []string{"acme", ""} {
		o, err := f.Get(f.ctx, org, "ord_1")
		require.NoError(t, err)
		require.Equal(t, "acme", o.Org)
	}
	_, err = f.Get(f.ctx, "evil", "ord_1")
	require.ErrorIs(t, err, orderbook.ErrNotFound)
	_, err = f.Get(f.ctx, "", "ord_2")
	require.ErrorIs(t, err, orderbook.ErrNotFound)

	request, err := f.Request(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Equal(t, newOrder("ord_1").Request, request)
	_, err = f.Request(f.ctx, "ord_2")
	require.ErrorIs(t, err, orderbook.ErrNotFound)
}

// Orders that are asked for at the same time are read together, and each caller gets
// its own, or none.
func TestOrdersThatAreReadTogetherAreTheirCallers(t *testing.T) {
	f := setup(t)
	for i := range 10 {
		n := newOrder(fmt.Sprint("ord_", i))
		if i%2 == 1 {
			n.Org = "globex"
		}
		_, err := f.Create(f.ctx, n)
		require.NoError(t, err)
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			n := i % 12
			id, org := fmt.Sprint("ord_", n), []string{"acme", "globex", ""}[i%3]
			there := n < 10 && (org == "" || (org == "globex") == (n%2 == 1))
			o, err := f.Get(f.ctx, org, id)
			if there != (err == nil) || !there && !errors.Is(err, orderbook.ErrNotFound) || there && o.ID != id {
				t.Errorf("%s of %q: %+v, %v", id, org, o, err)
			}
		})
	}
	all.Wait()
}

func TestListPagesDoNotShift(t *testing.T) {
	f := setup(t)
	enter := func(id, org string) {
		n := newOrder(id)
		n.Org = org
		_, err := f.Create(f.ctx, n)
		require.NoError(t, err)
	}
	ids := func(orders []order.Order) (list []string) {
		for _, o := range orders {
			list = append(list, o.ID)
		}
		return list
	}
	for i := range 5 {
		enter(fmt.Sprintf("ord_%d", i), "acme")
		enter(fmt.Sprintf("ord_other_%d", i), "other")
	}
	page, next, err := f.List(f.ctx, orderbook.Filter{Org: "acme", Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"ord_4", "ord_3"}, ids(page))
	enter("ord_new", "acme")
	page, next, err = f.List(f.ctx, orderbook.Filter{Org: "acme", Limit: 2, Cursor: next})
	require.NoError(t, err)
	require.Equal(t, []string{"ord_2", "ord_1"}, ids(page))
	page, next, err = f.List(f.ctx, orderbook.Filter{Org: "acme", Limit: 2, Cursor: next})
	require.NoError(t, err)
	require.Equal(t, []string{"ord_0"}, ids(page))
	require.Empty(t, next)

	require.NoError(t, f.Start(f.ctx, "ord_3", 0))
	page, _, err = f.List(f.ctx, orderbook.Filter{Status: order.Verifying})
	require.NoError(t, err)
	require.Equal(t, []string{"ord_3"}, ids(page))
	page, _, err = f.List(f.ctx, orderbook.Filter{Kind: order.Export})
	require.NoError(t, err)
	require.Empty(t, page)
	for _, bad := range []orderbook.Filter{{Cursor: "!"}, {Limit: 501}, {Limit: -1}} {
		_, _, err = f.List(f.ctx, bad)
		require.ErrorIs(t, err, orderbook.ErrInvalid)
	}
}

func TestO2_LifeOfAnOrder(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 3)
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{
		verdict(1, "valid", "accepted"), verdict(2, "invalid", "no_such_user"), verdict(3, "valid", "accepted"),
	}))
	running, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Tally{Valid: 2, Invalid: 1}, running.Tally, "a running order is counted as it stands")

	tally, reasons, err := f.Tally(f.ctx, "ord_1")
	require.NoError(t, err)
	credits := []order.Credit{{Type: "email", Held: 100, Captured: 2}}
	for range 2 {
		require.NoError(t, f.Complete(f.ctx, "ord_1", tally, reasons, credits, 5*time.Minute))
	}
	o, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Completed, o.Status)
	require.Equal(t, int64(3), o.Selected)
	require.Equal(t, tally, o.Tally)
	require.Equal(t, []order.Reason{{Verdict: "valid", Reason: "accepted", Count: 2}, {Verdict: "invalid", Reason: "no_such_user", Count: 1}}, o.Reasons)
	require.Equal(t, credits, o.Credits)
	require.NotNil(t, o.CompletedAt)
	require.Equal(t, o.CompletedAt.Add(5*time.Minute), *o.RefundAt)
	require.Nil(t, o.SettledAt)

	credits[0].Released = 98
	for range 2 {
		require.NoError(t, f.Settle(f.ctx, "ord_1", credits))
	}
	settled, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Settled, settled.Status)
	require.Equal(t, credits, settled.Credits)
	require.Equal(t, tally, settled.Tally)
	require.Equal(t, o.CompletedAt, settled.CompletedAt)
	require.NotNil(t, settled.SettledAt)

	// A retried earlier step finds its work done and changes nothing.
	require.NoError(t, f.Start(f.ctx, "ord_1", 77))
	require.NoError(t, f.Complete(f.ctx, "ord_1", order.Tally{}, nil, nil, time.Hour))
	after, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, settled, after)
	require.Equal(t, []string{"order.reserved", "order.started", "order.completed", "order.settled"}, f.topics("ord_1"))

	var payload []byte
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT payload FROM outbox WHERE topic = 'order.settled'`).Scan(&payload))
	var announced order.Order
	require.NoError(t, json.Unmarshal(payload, &announced))
	require.Equal(t, settled, announced)
}

// TestO2_Ways tries every change from every status.
func TestO2_Ways(t *testing.T) {
	f := setup(t)
	failure := order.Failure{Code: order.CodeInternal, Message: "It broke."}
	change := map[order.Status]func(id string) error{
		order.Verifying: func(id string) error { return f.Start(f.ctx, id, 0) },
		order.Completed: func(id string) error { return f.Complete(f.ctx, id, order.Tally{}, nil, nil, 0) },
		order.Settled:   func(id string) error { return f.Settle(f.ctx, id, nil) },
		order.Cancelled: func(id string) error { return f.Cancel(f.ctx, id, order.Tally{}, nil) },
		order.Failed:    func(id string) error { return f.Fail(f.ctx, id, failure, order.Tally{}, nil) },
	}
	const moves, stays, settles, over = "moves", "stays", "settles", "over"
	for from, test := range map[order.Status]struct {
		reach []order.Status
		want  map[order.Status]string
	}{
		order.Reserved: {nil, map[order.Status]string{
			order.Verifying: moves, order.Completed: over, order.Settled: over, order.Cancelled: moves, order.Failed: moves,
		}},
		order.Verifying: {[]order.Status{order.Verifying}, map[order.Status]string{
			order.Verifying: stays, order.Completed: moves, order.Settled: over, order.Cancelled: moves, order.Failed: moves,
		}},
		order.Completed: {[]order.Status{order.Verifying, order.Completed}, map[order.Status]string{
			order.Verifying: stays, order.Completed: stays, order.Settled: moves, order.Cancelled: settles, order.Failed: settles,
		}},
		order.Settled: {[]order.Status{order.Verifying, order.Completed, order.Settled}, map[order.Status]string{
			order.Verifying: stays, order.Completed: stays, order.Settled: stays, order.Cancelled: stays, order.Failed: stays,
		}},
		order.Cancelled: {[]order.Status{order.Cancelled}, map[order.Status]string{
			order.Verifying: over, order.Completed: over, order.Settled: stays, order.Cancelled: stays, order.Failed: stays,
		}},
		order.Failed: {[]order.Status{order.Failed}, map[order.Status]string{
			order.Verifying: over, order.Completed: over, order.Settled: stays, order.Cancelled: stays, order.Failed: stays,
		}},
	} {
		for to, want := range test.want {
			t.Run(string(from)+" to "+string(to), func(t *testing.T) {
				id := "ord_" + string(from) + "_" + string(to)
				_, err := f.Create(f.ctx, newOrder(id))
				require.NoError(t, err)
				for _, status := range test.reach {
					require.NoError(t, change[status](id))
				}
				err = change[to](id)
				o, readErr := f.Get(f.ctx, "acme", id)
				require.NoError(t, readErr)
				switch want {
				case moves:
					require.NoError(t, err)
					require.Equal(t, to, o.Status)
				case stays:
					require.NoError(t, err)
					require.Equal(t, from, o.Status)
				case settles:
					require.NoError(t, err)
					require.Equal(t, order.Settled, o.Status)
					require.Nil(t, o.Failure)
				case over:
					require.ErrorIs(t, err, orderbook.ErrOver)
					require.Equal(t, from, o.Status)
				}
			})
		}
	}
	for _, to := range change {
		require.ErrorIs(t, to("ord_none"), orderbook.ErrNotFound)
	}
}

func TestO3_CompleteNeedsAVerdictForEveryItem(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 3)
	err := f.Complete(f.ctx, "ord_1", order.Tally{Valid: 2}, nil, nil, 0)
	require.ErrorContains(t, err, "order_o3_tally_complete")
	require.Equal(t, []string{"order.reserved", "order.started"}, f.topics("ord_1"), "nothing is announced that did not happen")
}

func TestO4_FinalVerdictsStay(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 4)
	pending := func(now time.Time) []int64 {
		items, err := f.Pending(f.ctx, "ord_1", 1, 4, now)
		require.NoError(t, err)
		return numbers(items)
	}
	write := func(v ...orderbook.Verdict) {
		require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", v))
	}
	progress := func() orderbook.Progress {
		p, err := f.Progress(f.ctx, "ord_1", 1, 4)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, []int64{1, 2, 3, 4}, pending(checked))
	write(verdict(1, "valid", "accepted"), greylisted(2, checked), greylisted(3, checked))
	first := progress()
	retry := first.RetryAt
	require.Equal(t, []int64{4}, pending(retry.Add(-time.Minute)))
	require.Equal(t, []int64{2, 3, 4}, pending(retry))
	require.Positive(t, first.RetryIn, "the wait begins now, not by the clock of the worker")
	require.LessOrEqual(t, first.RetryIn, 5*time.Minute)

	// A final verdict stays; a waiting one does not go back to an older check.
	late := verdict(2, "valid", "accepted")
	late.CheckedAt = checked.Add(-time.Second)
	write(verdict(1, "invalid", "no_such_user"), late)
	p := progress()
	p.RetryIn = 0
	require.Equal(t, orderbook.Progress{Done: 1, Pending: 1, Greylisted: 2, RetryAt: retry, Tally: order.Tally{Valid: 1}}, p)

	// The clock of the machine that asks again may be behind the one that asked first.
	_, err := f.pool.Exec(f.ctx, `UPDATE order_item SET retry_at = now() WHERE retry_at IS NOT NULL`)
	require.NoError(t, err)
	due := verdict(2, "valid", "accepted")
	due.CheckedAt = checked.Add(-time.Hour)
	write(due, greylisted(3, checked.Add(-time.Hour)))
	require.Positive(t, progress().RetryIn)
	// And the one that asked first ahead of all: none waits for its time.
	write(greylisted(4, time.Now().Add(3*time.Hour)))
	require.LessOrEqual(t, progress().RetryIn, 5*time.Minute)
	due = verdict(4, "invalid", "no_such_user")
	due.CheckedAt = time.Now()
	write(due)
	require.Equal(t, []int64{3}, pending(time.Now().Add(time.Hour)))
	for range 2 {
		require.NoError(t, f.FinishUnknown(f.ctx, "ord_1"))
	}
	require.Empty(t, pending(time.Now().Add(time.Hour)))
	tally, reasons, err := f.Tally(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Tally{Valid: 2, Invalid: 1, Unknown: 1}, tally)
	require.Contains(t, reasons, order.Reason{Verdict: "unknown", Reason: "greylisted", Count: 1})
}

func TestWriteVerdictsTakesWhatServersSay(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 3)
	odd := verdict(1, "invalid", "no_such_user")
	odd.SMTPText = "550 \xff\x00" + strings.Repeat("é", 5000)
	twice := verdict(2, "unknown", "temporary")
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{odd, twice, verdict(2, "valid", "accepted"), verdict(99, "valid", "accepted")}))
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", nil))
	var text string
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT smtp_text FROM order_item WHERE order_id = 'ord_1' AND n = 1`).Scan(&text))
	require.True(t, strings.HasPrefix(text, "550 \uFFFDé"), text)
	require.LessOrEqual(t, len(text), 1000)
	tally, _, err := f.Tally(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Tally{Valid: 1, Invalid: 1}, tally)

	require.ErrorContains(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{verdict(3, "perhaps", "accepted")}), "order_o4_item_verdict")
}

func TestO5_DeliveryIsCountedOnce(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 40)
	var verdicts []orderbook.Verdict
	for n := range int64(40) {
		word, reason := "valid", "accepted"
		if n%4 == 0 {
			word, reason = "catch_all", "domain_accepts_all"
		}
		verdicts = append(verdicts, verdict(n+1, word, reason))
	}
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", append(verdicts[:39:39], greylisted(40, checked))))

	facts, err := f.Billable(f.ctx, "ord_1", 1, 20, []string{"valid"})
	require.NoError(t, err)
	require.Len(t, facts, 15)
	require.Equal(t, int64(2), facts[0].N)
	require.NotEqual(t, uuid.Nil, facts[0].Fingerprint)
	owned := 0
	for _, fact := range facts {
		if fact.AlreadyOwned {
			owned++
		}
	}
	require.Equal(t, 2, owned)

	// Ranges in parallel, each one twice.
	var wg sync.WaitGroup
	delivered, errs := make([]int64, 8), make([]error, 8)
	for i := range delivered {
		from := int64(i%4)*10 + 1
		wg.Go(func() {
			delivered[i], errs[i] = f.deliver(from, from+9)
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	total := int64(0)
	for _, n := range delivered {
		total += n
	}
	require.Equal(t, int64(29), total, "30 valid ones less the greylisted one")
	var counted int64
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT delivered FROM orders WHERE id = 'ord_1'`).Scan(&counted))
	require.Equal(t, total, counted)

	facts, err = f.Billable(f.ctx, "ord_1", 1, 40, []string{"valid"})
	require.NoError(t, err)
	require.Empty(t, facts)
	facts, err = f.Billable(f.ctx, "ord_1", 1, 40, []string{"valid", "catch_all"})
	require.NoError(t, err)
	require.Len(t, facts, 10)
	p, err := f.Progress(f.ctx, "ord_1", 1, 40)
	require.NoError(t, err)
	require.Equal(t, total, p.Delivered)
	require.Equal(t, int64(1), p.Greylisted)
}

func TestO6_CancelKeepsWhatWasDelivered(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10)
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{verdict(1, "valid", "accepted"), verdict(2, "valid", "accepted")}))
	_, err := f.deliver(1, 1)
	require.NoError(t, err)
	tally, _, err := f.Tally(f.ctx, "ord_1")
	require.NoError(t, err)
	credits := []order.Credit{{Type: "email", Held: 100, Captured: 1, Released: 99}}
	for range 2 {
		require.NoError(t, f.Cancel(f.ctx, "ord_1", tally, credits))
	}
	o, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, order.Cancelled, o.Status)
	require.Equal(t, credits, o.Credits)
	require.Equal(t, tally, o.Tally)
	require.NotNil(t, o.SettledAt)
	require.Nil(t, o.CompletedAt)
	p, err := f.Progress(f.ctx, "ord_1", 1, 10)
	require.NoError(t, err)
	require.Equal(t, int64(1), p.Delivered)
	require.Equal(t, []string{"order.reserved", "order.started", "order.cancelled"}, f.topics("ord_1"))
}

// An order can end when its items are chosen and the order does not say yet how
// many they are: the worker that chose them died.
func TestO3_AnOrderEndsBetweenTheChoiceOfItemsAndItsNextStatus(t *testing.T) {
	f := setup(t)
	for id, end := range map[string]func(tally order.Tally) error{
		"ord_cancelled": func(tally order.Tally) error { return f.Cancel(f.ctx, "ord_cancelled", tally, nil) },
		"ord_failed": func(tally order.Tally) error {
			return f.Fail(f.ctx, "ord_failed", order.Failure{Code: order.CodeInternal}, tally, nil)
		},
	} {
		_, err := f.Create(f.ctx, newOrder(id))
		require.NoError(t, err)
		_, err = f.pool.Exec(f.ctx, `
			INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned, verdict, reason, checked_at)
			SELECT $1, n, n, gen_random_uuid(), 'p@example.test', false, 'unknown', 'not_new', now() FROM generate_series(1, 5) n`, id)
		require.NoError(t, err)
		tally, _, err := f.Tally(f.ctx, id)
		require.NoError(t, err)
		require.EqualValues(t, 5, tally.Verified())
		require.NoError(t, end(tally))
		o, err := f.Get(f.ctx, "acme", id)
		require.NoError(t, err)
		require.True(t, o.Status.Over())
		require.EqualValues(t, 5, o.Selected)
		require.Equal(t, tally, o.Tally)
	}
}

func TestFailSaysWhy(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 2)
	failure := order.Failure{Code: order.CodeInternal, Message: "The mail world is closed."}
	for range 2 {
		require.NoError(t, f.Fail(f.ctx, "ord_1", failure, order.Tally{}, []order.Credit{{Type: "email", Held: 100, Released: 100}}))
	}
	o, err := f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.Equal(t, &failure, o.Failure)
	require.Equal(t, order.Failed, o.Status)
	require.Equal(t, []string{"order.reserved", "order.started", "order.failed"}, f.topics("ord_1"))
}

// TestO5_OnlyTheCapturedItemsAreDelivered: a verdict that arrives between the
// look at what is billable and its delivery waits for a capture of its own.
func TestO5_OnlyTheCapturedItemsAreDelivered(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10)
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{verdict(1, "valid", "accepted"), verdict(2, "valid", "accepted")}))
	captured, err := f.Billable(f.ctx, "ord_1", 1, 10, []string{"valid"})
	require.NoError(t, err)
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{verdict(3, "valid", "accepted"), greylisted(4, checked)}))

	waiting := orderbook.Fact{N: 4} // cannot be captured, and is not delivered either
	for _, want := range []int64{2, 0} {
		delivered, err := f.Deliver(f.ctx, "ord_1", append(captured, waiting))
		require.NoError(t, err)
		require.Equal(t, want, delivered)
	}
	left, err := f.Billable(f.ctx, "ord_1", 1, 10, []string{"valid"})
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Equal(t, int64(3), left[0].N)
}

// TestTenThousandItems takes an order of 10,000 items through its batches in
// parallel, each batch with a duplicate that is always a little late.
func TestTenThousandItems(t *testing.T) {
	f := setup(t)
	const items, size = 10_000, 500
	f.verifying("ord_1", items)
	var wg sync.WaitGroup
	errs := make([]error, 2*items/size)
	for i := range errs {
		from := int64(i/2)*size + 1
		wg.Go(func() {
			errs[i] = func() error {
				pending, err := f.Pending(f.ctx, "ord_1", from, from+size-1, checked)
				if err != nil {
					return err
				}
				verdicts := make([]orderbook.Verdict, len(pending))
				for k, item := range pending {
					word, reason := "valid", "accepted"
					if (item.N+int64(i%2))%2 == 0 { // the duplicates would have it otherwise
						word, reason = "invalid", "no_such_user"
					}
					verdicts[k] = verdict(item.N, word, reason)
				}
				if err := f.WriteVerdicts(f.ctx, "ord_1", verdicts); err != nil {
					return err
				}
				_, err = f.deliver(from, from+size-1)
				return err
			}()
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	tally, reasons, err := f.Tally(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Equal(t, int64(items/2), tally.Valid)
	require.Equal(t, int64(items/2), tally.Invalid)
	p, err := f.Progress(f.ctx, "ord_1", 1, items)
	require.NoError(t, err)
	require.Equal(t, int64(items), p.Done)
	require.Equal(t, int64(items/2), p.Delivered)
	require.Equal(t, tally, p.Tally)
	require.NoError(t, f.Complete(f.ctx, "ord_1", tally, reasons, nil, 0))
	var hot, updates int64
	require.Eventually(t, func() bool {
		require.NoError(t, f.pool.QueryRow(f.ctx, `
			SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'order_item'`).Scan(&hot, &updates))
		return updates >= items+items/2
	}, 30*time.Second, 100*time.Millisecond)
	require.Greater(t, hot, updates/2, "updates of items stay on their page and out of the index")
}

// O9: a key has one line, written once; where an order or a line stands for it
// already, no other ride gets it.
func TestO9_AnOrderHasOneLine(t *testing.T) {
	b, ctx := setup(t), t.Context()
	in := func(id string) order.Input {
		return order.Input{ID: id, Org: "acme", Member: "ann", Request: order.Request{Kind: order.Verify, Count: 1}}
	}
	n := newOrder("ord_there")
	_, err := b.Create(ctx, n)
	require.NoError(t, err)
	entered, err := b.EnterLines(ctx, "ride/1", []order.Input{in("ord_a"), in("ord_b"), in("ord_there")})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"ord_a": true, "ord_b": true}, entered)
	entered, err = b.EnterLines(ctx, "ride/2", []order.Input{in("ord_b"), in("ord_c")})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"ord_c": true}, entered)

	line, err := b.Line(ctx, "ord_b")
	require.NoError(t, err)
	require.Equal(t, "ride/1", line.RideID)
	require.Equal(t, in("ord_b").Request.Hash(), line.RequestHash)
	require.False(t, line.GivenUp || line.Alone())
	require.NoError(t, b.GiveUpLine(ctx, "ord_b"))
	lines, err := b.Lines(ctx, "ride/1")
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"ord_a": true}, lines, "a ride that begins later leaves it out")
	_, err = b.Line(ctx, "ord_x")
	require.ErrorIs(t, err, orderbook.ErrNotFound)
}

// A cap on reports is not reached for longer because a clock was ahead once.
func TestA24_ReportsOfAnotherTimeDoNotCount(t *testing.T) {
	f := setup(t)
	_, err := f.pool.Exec(f.ctx, `INSERT INTO organization (id, name, time_zone, created_at) VALUES ('acme', 'Acme', 'UTC', now())`)
	require.NoError(t, err)
	counted := func(key string) bool {
		t.Helper()
		counted, err := f.CountBounces(f.ctx, "acme", key, 6, 10, 24*time.Hour)
		require.NoError(t, err)
		return counted
	}
	require.True(t, counted("a"))
	require.False(t, counted("b"))
	for by, is := range map[string]bool{"3 hours": false, "30 days": true} {
		_, err := f.pool.Exec(f.ctx, `UPDATE bounce_report SET at = now() + $1::interval`, by)
		require.NoError(t, err)
		require.Equal(t, is, counted("c "+by), by)
		_, err = f.pool.Exec(f.ctx, `DELETE FROM bounce_report WHERE key <> 'a'`)
		require.NoError(t, err)
	}
}
