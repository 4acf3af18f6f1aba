package orderbook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/order"
)

// Item is an item that wants a verdict.
type Item struct {
	OrderID string
	N       int64
	Field   order.Field
	Value   string // the address or the number that is verified
	Keys    []uuid.UUID
	Owned   bool `db:"already_owned"` // the customer has paid for it before
}

// Verdict is what verification found about an item.
type Verdict struct {
	OrderID      string
	N            int64
	Verdict      string // valid, invalid, catch_all, risky, disposable, unknown
	Reason       string // why, in one word
	MXHost       string // evidence: the server that said so, empty when none did
	SMTPCode     int    // its reply code, 0 when there was none
	SMTPEnhanced string
	SMTPText     string
	CheckedAt    time.Time
	RetryAt      time.Time // when to ask again: the verdict is not final; zero when it is
	RetryQueue   string    // the task queue to ask again on, with RetryAt; empty: any
	Extras       *Extras   // what else is known of an address; nil of other values
	Part         *Part     // of several values, the ones that the verdict is about; nil = all
}

// Part is what of an item's values is delivered: the others are not valid.
type Part struct {
	Value string
	Keys  []uuid.UUID
}

// Extras are what is known of an address besides its verdict.
type Extras struct {
	Flags       int32           // see FlagRole
	Provider    string          // who runs the domain's mail hosts
	MeantDomain string          // the domain that was probably meant: the address itself would be contact data
	Score       int32           // 0 to 100
	ScoreParts  json.RawMessage // what it is made of; nil: of the verdict alone
}

// Flags of an address, as order_item keeps them.
const (
	FlagRole = 1 << iota
	FlagFree
	FlagDisposable
	FlagAlias
	FlagCleaned
	FlagDoubtful
)

// Fact is an item that may be charged: what is delivered with it, by fingerprint.
type Fact struct {
	N            int64
	Field        order.Field
	Fingerprint  uuid.UUID   // of the lead and, but for its email, the field; of a list, the address
	Keys         []uuid.UUID // of the values, see internal/value
	LeadNo       int64       // 0 of a list
	Value        string      // only where an item of before has no keys
	AlreadyOwned bool
	Verdict      string
	Reason       string

	wasOwned bool // when it was read
}

// Pending returns the items from..to (inclusive) that want to be verified at
// the time now: those never checked and those whose retry is due, by number.
func (b *Book) Pending(ctx context.Context, orderID string, from, to int64, now time.Time) ([]Item, error) {
	return b.pending(ctx, orderID, `n BETWEEN $2 AND $3 AND (verdict IS NULL OR retry_at <= $4)`, from, to, now)
}

// PendingOn returns those of Pending that one task queue asks for again.
func (b *Book) PendingOn(ctx context.Context, orderID string, from, to int64, now time.Time, queue string) ([]Item, error) {
	return b.pending(ctx, orderID, `n BETWEEN $2 AND $3 AND retry_at <= $4 AND retry_queue = $5`, from, to, now, queue)
}

func (b *Book) pending(ctx context.Context, orderID, which string, args ...any) ([]Item, error) {
	rows, err := b.pool.Query(ctx, `
		SELECT order_id, n, field, value, keys, already_owned
		FROM order_item
		WHERE order_id = $1 AND `+which+`
		ORDER BY n`, append([]any{orderID}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("reading the pending items of order %s: %w", orderID, err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Item])
	if err != nil {
		return nil, fmt.Errorf("reading the pending items of order %s: %w", orderID, err)
	}
	return items, nil
}

// FinishUnknown makes the verdicts of the items that still wait for a retry
// final as they are: unknown, with their reason. It may be called again.
func (b *Book) FinishUnknown(ctx context.Context, orderID string) error {
	var finish pgx.Batch
	finish.Queue(`UPDATE order_item SET retry_at = NULL, retry_queue = NULL WHERE order_id = $1 AND retry_at IS NOT NULL`, orderID)
	finish.Queue(`UPDATE order_tally SET waiting = 0 WHERE order_id = $1 AND waiting > 0`, orderID)
	if err := b.pool.SendBatch(ctx, &finish).Close(); err != nil {
		return fmt.Errorf("finishing the greylisted items of order %s: %w", orderID, err)
	}
	return nil
}

// goesOut says in SQL whether the item i is deliverable and not yet delivered: its
// verdict is final and one of $4, or it carries what the organization owns, or is
// a field that it owns and that could not be verified again; and the reason is
// not $5, suppressed.
const goesOut = `i.delivered_at IS NULL AND i.retry_at IS NULL AND i.reason <> $5
	AND (i.verdict = ANY ($4) OR (i.verdict IS NOT NULL AND i.carries IS NOT NULL)
		OR (i.verdict = 'unknown' AND i.already_owned AND i.same_as IS NULL
			AND EXISTS (SELECT FROM order_selection s WHERE s.order_id = i.order_id AND s.round = 1 AND s.fields IS NOT NULL)))`

// Billable returns the items from..to (inclusive) whose verdict is final, one
// of verdicts, and that are not delivered yet, by number. An item that carries
// what the organization owns goes out with any verdict. A person who was
// suppressed since the selection becomes unknown first, and is not among them.
// The set stays the same until Deliver, a later round of verification or a later
// suppression.
func (b *Book) Billable(ctx context.Context, orderID string, from, to int64, verdicts []string) ([]Fact, error) {
	if err := b.Withhold(ctx, orderID, from, to, verdicts); err != nil {
		return nil, err
	}
	rows, err := b.pool.Query(ctx, `
		SELECT n, field, fingerprint, keys, lead_no, CASE WHEN keys IS NULL THEN value ELSE '' END AS value, already_owned, verdict, reason
		FROM order_item i
		WHERE i.order_id = $1 AND i.n BETWEEN $2 AND $3 AND `+goesOut+`
		ORDER BY n`, orderID, from, to, verdicts, order.ReasonSuppressed)
	if err != nil {
		return nil, fmt.Errorf("reading the billable items of order %s: %w", orderID, err)
	}
	facts, err := pgx.CollectRows(rows, pgx.RowToStructByName[Fact])
	if err != nil {
		return nil, fmt.Errorf("reading the billable items of order %s: %w", orderID, err)
	}
	for i := range facts {
		facts[i].wasOwned = facts[i].AlreadyOwned
	}
	return facts, nil
}

// Numbered says in SQL which items of the order $1 have one of the numbers $2. Their
// range stands beside them because PostgreSQL takes a new order for as large as its
// statistics say that orders are, and would read a large one as a whole.
const Numbered = `order_id = $1 AND n = ANY ($2::bigint[])
	AND n BETWEEN (SELECT min(k) FROM unnest($2::bigint[]) AS k) AND (SELECT max(k) FROM unnest($2::bigint[]) AS k)`

// Deliver marks items that Billable returned as delivered: call it with exactly
// those whose capture is recorded. It returns how many were newly marked;
// called again, none are.
func (b *Book) Deliver(ctx context.Context, orderID string, items []Fact) (delivered int64, err error) {
	numbers, owned := make([]int64, len(items)), []int64{}
	for i, item := range items {
		numbers[i] = item.N
		if item.AlreadyOwned {
			owned = append(owned, item.N)
		}
	}
	err = commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE order_item SET delivered_at = `+orderNow("$1")+`, already_owned = n = ANY ($3)
			WHERE `+Numbered+` AND delivered_at IS NULL AND retry_at IS NULL AND verdict IS NOT NULL`,
			orderID, numbers, owned)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		delivered = tag.RowsAffected()
		if err := keepOwned(ctx, tx, orderID, items); err != nil {
			return err
		}
		// Last, so that batches of one order wait for each other's commit only.
		_, err = tx.Exec(ctx, `UPDATE orders SET delivered = delivered + $2 WHERE id = $1`, orderID, delivered)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("marking %d items of order %s as delivered: %w", len(items), orderID, err)
	}
	return delivered, nil
}

// LeaveOut notes of items that another order has paid for them since, and
// that they are not delivered a second time.
func (b *Book) LeaveOut(ctx context.Context, orderID string, items []Fact) error {
	numbers, owned := make([]int64, len(items)), slices.Clone(items)
	for i, item := range items {
		numbers[i], owned[i].AlreadyOwned = item.N, true
	}
	err := commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE order_item SET already_owned = true
			WHERE `+Numbered+` AND delivered_at IS NULL AND NOT already_owned`, orderID, numbers)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return keepOwned(ctx, tx, orderID, owned)
	})
	if err != nil {
		return fmt.Errorf("leaving %d items of order %s out: %w", len(items), orderID, err)
	}
	return nil
}

// keepOwned keeps the tally up to date with the items that turned out to be
// owned, or not, when they were charged.
func keepOwned(ctx context.Context, tx pgx.Tx, orderID string, items []Fact) error {
	found := map[order.Reason]int64{}
	for _, item := range items {
		if item.AlreadyOwned == item.wasOwned {
			continue
		}
		n := int64(1)
		if item.wasOwned {
			n = -1
		}
		found[order.Reason{Verdict: item.Verdict, Reason: item.Reason}] += n
	}
	inOrder := slices.SortedFunc(maps.Keys(found), func(a, b order.Reason) int {
		return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Reason, b.Reason))
	})
	for _, r := range inOrder {
		if _, err := tx.Exec(ctx, `
			UPDATE order_tally SET owned = owned + $4 WHERE order_id = $1 AND verdict = $2 AND reason = $3`, orderID, r.Verdict, r.Reason, found[r]); err != nil {
			return err
		}
	}
	return nil
}

// Progress says how far a range of items is. Done + Pending + Greylisted is
// the number of items in the range.
type Progress struct {
	Done        int64         // items with a final verdict
	Pending     int64         // items never checked
	Greylisted  int64         // items that wait for another try
	Delivered   int64         // items delivered and charged, a part of Done
	RetryAt     time.Time     // when the last of the greylisted items is due; zero when there are none
	RetryIn     time.Duration // until then, by the database's clock
	RetryQueues []string      // the task queues to try the greylisted items again on, sorted, with "" first where any worker may try some of them; nil: all
	Tally       order.Tally   // items with a final verdict
}

// Progress says how far the items from..to (inclusive) are.
func (b *Book) Progress(ctx context.Context, orderID string, from, to int64) (Progress, error) {
	rows, err := b.pool.Query(ctx, `
		SELECT verdict, CASE WHEN reason = $4 THEN reason ELSE '' END, retry_at IS NOT NULL, max(retry_at), greatest(0, extract(epoch FROM max(retry_at) - now()) * 1000)::bigint, count(*), count(*) FILTER (WHERE already_owned), count(delivered_at), coalesce(retry_queue, '')
		FROM order_item
		WHERE order_id = $1 AND n BETWEEN $2 AND $3
		GROUP BY 1, 2, 3, 9
		ORDER BY 9`, orderID, from, to, order.ReasonDuplicate)
	if err != nil {
		return Progress{}, fmt.Errorf("reading the progress of order %s: %w", orderID, err)
	}
	var (
		p                       Progress
		verdict                 *string
		reason                  string
		waits                   bool
		retryAt                 *time.Time
		wait                    int64
		count, owned, delivered int64
		queue                   string
	)
	if _, err := pgx.ForEachRow(rows, []any{&verdict, &reason, &waits, &retryAt, &wait, &count, &owned, &delivered, &queue}, func() error {
		switch {
		case verdict == nil:
			p.Pending += count
		case waits:
			p.Greylisted += count
			if !slices.Contains(p.RetryQueues, queue) {
				p.RetryQueues = append(p.RetryQueues, queue)
			}
			if retryAt.After(p.RetryAt) {
				p.RetryAt, p.RetryIn = retryAt.UTC(), time.Duration(wait)*time.Millisecond
			}
		default:
			p.Done += count
			p.Delivered += delivered
			p.Tally.Count(*verdict, reason, count)
			if *verdict == "valid" {
				p.Tally.AlreadyOwned += owned
			}
		}
		return nil
	}); err != nil {
		return Progress{}, fmt.Errorf("reading the progress of order %s: %w", orderID, err)
	}
	if slices.Equal(p.RetryQueues, []string{""}) {
		p.RetryQueues = nil
	}
	return p, nil
}

// Tally counts the order's items that have a verdict, final or not, by verdict
// and, in reasons, by verdict and reason, the most frequent first.
func (b *Book) Tally(ctx context.Context, orderID string) (tally order.Tally, reasons []order.Reason, err error) {
	rows, err := b.pool.Query(ctx, `
		SELECT verdict, reason, count(*), count(*) FILTER (WHERE already_owned)
		FROM order_item
		WHERE order_id = $1 AND verdict IS NOT NULL
		GROUP BY verdict, reason
		ORDER BY 3 DESC, 1, 2`, orderID)
	if err != nil {
		return order.Tally{}, nil, fmt.Errorf("counting the items of order %s: %w", orderID, err)
	}
	var r order.Reason
	var owned int64
	if _, err := pgx.ForEachRow(rows, []any{&r.Verdict, &r.Reason, &r.Count, &owned}, func() error {
		reasons = append(reasons, r)
		tally.Count(r.Verdict, r.Reason, r.Count)
		if r.Verdict == "valid" {
			tally.AlreadyOwned += owned
		}
		return nil
	}); err != nil {
		return order.Tally{}, nil, fmt.Errorf("counting the items of order %s: %w", orderID, err)
	}
	return tally, reasons, nil
}
