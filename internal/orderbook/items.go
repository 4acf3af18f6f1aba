package orderbook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// Item is an item that wants a verdict.
type Item struct {
	N     int64
	Field order.Field
	Value string // the address or the number that is verified
	Keys  []uuid.UUID
	Owned bool `db:"already_owned"` // the customer has paid for it before
}

// Verdict is what verification found about an item.
type Verdict struct {
	N            int64
	Verdict      string // valid, invalid, catch_all, risky, disposable, unknown
	Reason       string // why, in one word
	MXHost       string // evidence: the server that said so, empty when none did
	SMTPCode     int    // its reply code, 0 when there was none
	SMTPEnhanced string
	SMTPText     string
	CheckedAt    time.Time
	RetryAt      time.Time // when to ask again: the verdict is not final; zero when it is
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
	ScoreParts  json.RawMessage // what it is made of
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
	rows, err := b.pool.Query(ctx, `
		SELECT n, field, value, keys, already_owned
		FROM order_item
		WHERE order_id = $1 AND n BETWEEN $2 AND $3 AND (verdict IS NULL OR retry_at <= $4)
		ORDER BY n`, orderID, from, to, now)
	if err != nil {
		return nil, fmt.Errorf("reading the pending items of order %s: %w", orderID, err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Item])
	if err != nil {
		return nil, fmt.Errorf("reading the pending items of order %s: %w", orderID, err)
	}
	return items, nil
}

// WriteVerdicts records verdicts, and keeps the order's tally. It may be called
// again with the same ones or with others: a final verdict stays, and a waiting
// item changes only by a later check, so that a verifier that was given up and
// comes late takes nothing back. Of several verdicts for one item the last
// counts.
func (b *Book) WriteVerdicts(ctx context.Context, orderID string, verdicts []Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	var c verdictColumns
	at := make(map[int64]int, len(verdicts))
	for _, v := range verdicts {
		i, twice := at[v.N]
		if !twice {
			i = len(c.n)
			at[v.N] = i
			c.grow()
		}
		c.set(i, v)
	}
	written, err := b.write(ctx, orderID, firstVerdicts, &c)
	if err == nil && written < int64(len(c.n)) {
		_, err = b.write(ctx, orderID, laterVerdicts, &c)
	}
	if err != nil {
		return fmt.Errorf("writing %d verdicts of order %s: %w", len(verdicts), orderID, err)
	}
	return nil
}

// The order's ID is hidden from the planner in v: it would take a new order for
// a small one and compare all its items with all the verdicts. Items are locked
// in the order of their numbers, and then the rows of the tally in theirs, as
// every writer does.
const givenVerdicts = `
	WITH v AS MATERIALIZED (
		SELECT $1::text AS order_id, v.*
		FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
				$9::timestamptz[], $10::timestamptz[], $11::smallint[], $12::text[], $13::text[], $14::smallint[], $15::jsonb[], $16::text[], $17::text[])
			AS v (n, verdict, reason, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, retry_at, flags, provider, meant_domain, score, score_parts, value, keys)
		ORDER BY n
	)`

const setVerdict = `
	UPDATE order_item i SET
		verdict = v.verdict, reason = v.reason,
		mx_host = nullif(v.mx_host, ''), smtp_code = nullif(v.smtp_code, 0),
		smtp_enhanced = nullif(v.smtp_enhanced, ''), smtp_text = nullif(v.smtp_text, ''),
		checked_at = v.checked_at, retry_at = v.retry_at,
		flags = v.flags, provider = v.provider, meant_domain = nullif(v.meant_domain, ''), score = v.score, score_parts = v.score_parts,
		value = CASE WHEN i.value = '' THEN '' ELSE coalesce(v.value, i.value) END, keys = coalesce(v.keys::uuid[], i.keys) -- '': erased
	FROM `

const keepTally = `
	, kept AS (
		INSERT INTO order_tally AS t (order_id, verdict, reason, items, owned, waiting)
		SELECT $1, verdict, reason, sum(items), sum(owned), sum(waiting) FROM delta GROUP BY verdict, reason ORDER BY verdict, reason
		ON CONFLICT (order_id, verdict, reason) DO UPDATE SET
			items = t.items + excluded.items, owned = t.owned + excluded.owned, waiting = t.waiting + excluded.waiting
	)
	SELECT count(*) FROM written`

// firstVerdicts writes verdicts of items that have none, laterVerdicts of those
// that wait for another try. Nearly all verdicts are first ones; knowing that,
// the tally needs no look at what stood there before.
const (
	firstVerdicts = givenVerdicts + `, written AS (` + setVerdict + `v
		WHERE i.order_id = v.order_id AND i.n = v.n AND i.verdict IS NULL
		RETURNING i.verdict, i.reason, i.already_owned, i.retry_at
	), delta AS (
		SELECT verdict, reason, 1 AS items, already_owned::int AS owned, (retry_at IS NOT NULL)::int AS waiting FROM written
	)` + keepTally
	laterVerdicts = givenVerdicts + `, old AS MATERIALIZED (
		SELECT v.*, i.verdict AS was, i.reason AS was_reason, i.already_owned AS was_owned
		FROM v JOIN order_item i ON i.order_id = v.order_id AND i.n = v.n
		WHERE i.retry_at IS NOT NULL AND i.checked_at <= v.checked_at
		ORDER BY i.n
		FOR UPDATE OF i
	), written AS (` + setVerdict + `old v
		WHERE i.order_id = v.order_id AND i.n = v.n
		RETURNING i.verdict, i.reason, i.already_owned, i.retry_at
	), delta AS (
		SELECT verdict, reason, 1 AS items, already_owned::int AS owned, (retry_at IS NOT NULL)::int AS waiting FROM written
		UNION ALL
		SELECT was, was_reason, -1, -was_owned::int, -1 FROM old
	)` + keepTally
)

// write writes verdicts by one of the statements, and returns how many.
func (b *Book) write(ctx context.Context, orderID, statement string, c *verdictColumns) (written int64, err error) {
	var update pgx.Batch
	update.Queue(`
		SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
			set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`)
	update.Queue(statement,
		orderID, c.n, c.verdict, c.reason, c.mxHost, c.smtpCode, c.smtpEnhanced, c.smtpText, c.checkedAt, c.retryAt,
		c.flags, c.provider, c.meantDomain, c.score, c.scoreParts, c.value, c.keys).
		QueryRow(func(row pgx.Row) error { return row.Scan(&written) })
	return written, b.pool.SendBatch(ctx, &update).Close() // one transaction
}

// verdictColumns are verdicts turned on their side, as unnest wants them.
type verdictColumns struct {
	n                                               []int64
	verdict, reason, mxHost, smtpEnhanced, smtpText []string
	smtpCode                                        []int32
	checkedAt                                       []time.Time
	retryAt                                         []*time.Time
	flags, score                                    []*int32
	provider, meantDomain                           []*string
	scoreParts                                      []json.RawMessage
	value, keys                                     []*string
}

func (c *verdictColumns) grow() {
	c.n = append(c.n, 0)
	c.verdict = append(c.verdict, "")
	c.reason = append(c.reason, "")
	c.mxHost = append(c.mxHost, "")
	c.smtpCode = append(c.smtpCode, 0)
	c.smtpEnhanced = append(c.smtpEnhanced, "")
	c.smtpText = append(c.smtpText, "")
	c.checkedAt = append(c.checkedAt, time.Time{})
	c.retryAt = append(c.retryAt, nil)
	c.flags = append(c.flags, nil)
	c.provider = append(c.provider, nil)
	c.meantDomain = append(c.meantDomain, nil)
	c.score = append(c.score, nil)
	c.scoreParts = append(c.scoreParts, nil)
	c.value, c.keys = append(c.value, nil), append(c.keys, nil)
}

func (c *verdictColumns) set(i int, v Verdict) {
	c.n[i] = v.N
	c.verdict[i] = v.Verdict
	c.reason[i] = v.Reason
	c.mxHost[i] = printable(v.MXHost)
	c.smtpCode[i] = int32(v.SMTPCode)
	c.smtpEnhanced[i] = printable(v.SMTPEnhanced)
	c.smtpText[i] = printable(v.SMTPText)
	c.checkedAt[i] = v.CheckedAt
	c.retryAt[i] = nil
	if !v.RetryAt.IsZero() {
		c.retryAt[i] = &v.RetryAt
	}
	c.flags[i], c.provider[i], c.meantDomain[i], c.score[i], c.scoreParts[i] = nil, nil, nil, nil, nil
	if x := v.Extras; x != nil {
		c.flags[i], c.provider[i], c.meantDomain[i], c.score[i], c.scoreParts[i] = &x.Flags, &x.Provider, &x.MeantDomain, &x.Score, x.ScoreParts
	}
	c.value[i], c.keys[i] = nil, nil
	if v.Part != nil {
		c.value[i] = &v.Part.Value
		if len(v.Part.Keys) > 0 {
			keys := make([]string, len(v.Part.Keys))
			for k, key := range v.Part.Keys {
				keys[k] = key.String()
			}
			array := "{" + strings.Join(keys, ",") + "}"
			c.keys[i] = &array
		}
	}
}

// printable makes what a mail server said fit to be stored: servers may send
// any bytes, at any length.
func printable(said string) string {
	const most = 1000 // bytes kept
	said = strings.ReplaceAll(strings.ToValidUTF8(said, "\uFFFD"), "\x00", "")
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "")
	}
	return said
}

// FinishUnknown makes the verdicts of the items that still wait for a retry
// final as they are: unknown, with their reason. It may be called again.
func (b *Book) FinishUnknown(ctx context.Context, orderID string) error {
	var finish pgx.Batch
	finish.Queue(`UPDATE order_item SET retry_at = NULL WHERE order_id = $1 AND retry_at IS NOT NULL`, orderID)
	finish.Queue(`UPDATE order_tally SET waiting = 0 WHERE order_id = $1 AND waiting > 0`, orderID)
	if err := b.pool.SendBatch(ctx, &finish).Close(); err != nil {
		return fmt.Errorf("finishing the greylisted items of order %s: %w", orderID, err)
	}
	return nil
}

// goesOut says in SQL whether the item i is to be delivered and is not yet: its
// verdict is final and one of $4, or it carries what the organization owns, or is
// a field that it owns and that could not be verified again; and the reason is
// not $5, suppressed.
const goesOut = `i.delivered_at IS NULL AND i.retry_at IS NULL AND i.reason <> $5
	AND (i.verdict = ANY ($4) OR (i.verdict IS NOT NULL AND i.carries IS NOT NULL)
		OR (i.verdict = 'unknown' AND i.already_owned AND i.same_as IS NULL
			AND EXISTS (SELECT FROM order_selection s WHERE s.order_id = i.order_id AND s.round = 1 AND s.fields IS NOT NULL)))`

// Billable returns the items from..to (inclusive) whose verdict is final, one
// of verdicts, and that are not delivered yet, by number. An item that carries
// what the organization owns goes out whatever its verdict is. Whoever was
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
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE order_item SET delivered_at = now(), already_owned = n = ANY ($3)
			WHERE order_id = $1 AND n = ANY ($2) AND delivered_at IS NULL AND retry_at IS NULL AND verdict IS NOT NULL`,
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

// LeaveOut notes of items that another order has paid for them meanwhile, and
// that they are not delivered a second time.
func (b *Book) LeaveOut(ctx context.Context, orderID string, items []Fact) error {
	numbers, owned := make([]int64, len(items)), slices.Clone(items)
	for i, item := range items {
		numbers[i], owned[i].AlreadyOwned = item.N, true
	}
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE order_item SET already_owned = true
			WHERE order_id = $1 AND n = ANY ($2) AND delivered_at IS NULL AND NOT already_owned`, orderID, numbers)
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
	Done       int64       // items with a final verdict
	Pending    int64       // items never checked
	Greylisted int64       // items that wait for another try
	Delivered  int64       // items delivered and charged, a part of Done
	RetryAt    time.Time   // when the last of the greylisted items is due; zero when there are none
	Tally      order.Tally // items with a final verdict
}

// Progress says how far the items from..to (inclusive) are.
func (b *Book) Progress(ctx context.Context, orderID string, from, to int64) (Progress, error) {
	rows, err := b.pool.Query(ctx, `
		SELECT verdict, retry_at IS NOT NULL, max(retry_at), count(*), count(*) FILTER (WHERE already_owned), count(delivered_at)
		FROM order_item
		WHERE order_id = $1 AND n BETWEEN $2 AND $3
		GROUP BY 1, 2`, orderID, from, to)
	if err != nil {
		return Progress{}, fmt.Errorf("reading the progress of order %s: %w", orderID, err)
	}
	var (
		p                       Progress
		verdict                 *string
		waits                   bool
		retryAt                 *time.Time
		count, owned, delivered int64
	)
	if _, err := pgx.ForEachRow(rows, []any{&verdict, &waits, &retryAt, &count, &owned, &delivered}, func() error {
		switch {
		case verdict == nil:
			p.Pending += count
		case waits:
			p.Greylisted += count
			if retryAt.After(p.RetryAt) {
				p.RetryAt = retryAt.UTC()
			}
		default:
			p.Done += count
			p.Delivered += delivered
			p.Tally.Count(*verdict, count)
			if *verdict == "valid" {
				p.Tally.AlreadyOwned += owned
			}
		}
		return nil
	}); err != nil {
		return Progress{}, fmt.Errorf("reading the progress of order %s: %w", orderID, err)
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
		tally.Count(r.Verdict, r.Count)
		if r.Verdict == "valid" {
			tally.AlreadyOwned += owned
		}
		return nil
	}); err != nil {
		return order.Tally{}, nil, fmt.Errorf("counting the items of order %s: %w", orderID, err)
	}
	return tally, reasons, nil
}
