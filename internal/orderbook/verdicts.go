package orderbook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
)

// WriteVerdicts records verdicts of an order, see WriteAllVerdicts.
func (b *Book) WriteVerdicts(ctx context.Context, orderID string, verdicts []Verdict) error {
	of := slices.Clone(verdicts)
	for i := range of {
		of[i].OrderID = orderID
	}
	return b.WriteAllVerdicts(ctx, of)
}

// WriteAllVerdicts records verdicts of any orders, and keeps the orders' tallies.
// It may be called again with the same ones or with others: a final verdict
// stays, and a waiting item changes only by a later check, so that a verifier that
// was given up and comes late takes nothing back. Of several verdicts for one item
// the last counts.
func (b *Book) WriteAllVerdicts(ctx context.Context, verdicts []Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	type item struct {
		order string
		n     int64
	}
	var c verdictColumns
	at := make(map[item]int, len(verdicts))
	for _, v := range verdicts {
		i, twice := at[item{v.OrderID, v.N}]
		if !twice {
			i = len(c.n)
			at[item{v.OrderID, v.N}] = i
			c.grow()
		}
		c.set(i, v)
	}
	written, err := b.write(ctx, firstVerdicts, &c)
	if err == nil && written < int64(len(c.n)) {
		_, err = b.write(ctx, laterVerdicts, &c)
	}
	if err != nil {
		return fmt.Errorf("writing %d verdicts, such as of order %s: %w", len(verdicts), verdicts[0].OrderID, err)
	}
	return nil
}

// The verdicts are hidden from the planner in v: it would take a new order for a
// small one and compare all its items with all the verdicts. Items are locked in
// the order of their orders and numbers, and then the rows of the tallies in
// theirs, as every writer does.
const givenVerdicts = `
	WITH v AS MATERIALIZED (
		SELECT v.*
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
				$9::timestamptz[], $10::timestamptz[], $11::smallint[], $12::text[], $13::text[], $14::smallint[], $15::jsonb[], $16::text[], $17::text[], $18::text[])
			AS v (order_id, n, verdict, reason, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, retry_at, flags, provider, meant_domain, score, score_parts, value, keys, retry_queue)
		ORDER BY order_id, n
	)`

const setVerdict = `
	UPDATE order_item i SET
		verdict = v.verdict, reason = v.reason,
		mx_host = nullif(v.mx_host, ''), smtp_code = nullif(v.smtp_code, 0),
		smtp_enhanced = nullif(v.smtp_enhanced, ''), smtp_text = nullif(v.smtp_text, ''),
		checked_at = v.checked_at, retry_at = now() + (v.retry_at - v.checked_at), -- by the clock that it is compared with
		retry_queue = v.retry_queue,
		flags = v.flags, provider = v.provider, meant_domain = nullif(v.meant_domain, ''), score = v.score, score_parts = v.score_parts,
		value = CASE WHEN i.value = '' THEN '' ELSE coalesce(v.value, i.value) END, keys = coalesce(v.keys::uuid[], i.keys) -- '': erased
	FROM `

const keepTally = `
	, kept AS (
		INSERT INTO order_tally AS t (order_id, verdict, reason, items, owned, waiting)
		SELECT order_id, verdict, reason, sum(items), sum(owned), sum(waiting) FROM delta GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
		ON CONFLICT (order_id, verdict, reason) DO UPDATE SET
			items = t.items + excluded.items, owned = t.owned + excluded.owned, waiting = t.waiting + excluded.waiting
	)
	SELECT count(*) FROM written`

// firstVerdicts writes verdicts of items that have none, laterVerdicts of those
// that wait for another try. Nearly all verdicts are first ones; knowing that,
// the tally needs no look at what stood there before. Workers' clocks
// differ: what an earlier check found is refused while an item waits, by the
// database's clock, and counts after that.
const (
	firstVerdicts = givenVerdicts + `, written AS (` + setVerdict + `v
		WHERE i.order_id = v.order_id AND i.n = v.n AND i.verdict IS NULL
		RETURNING i.order_id, i.verdict, i.reason, i.already_owned, i.retry_at
	), delta AS (
		SELECT order_id, verdict, reason, 1 AS items, already_owned::int AS owned, (retry_at IS NOT NULL)::int AS waiting FROM written
	)` + keepTally
	laterVerdicts = givenVerdicts + `, old AS MATERIALIZED (
		SELECT v.*, i.verdict AS was, i.reason AS was_reason, i.already_owned AS was_owned
		FROM v JOIN order_item i ON i.order_id = v.order_id AND i.n = v.n
		WHERE i.retry_at IS NOT NULL AND (i.checked_at <= v.checked_at OR i.retry_at <= now() OR i.checked_at > now())
		ORDER BY i.order_id, i.n
		FOR UPDATE OF i
	), written AS (` + setVerdict + `old v
		WHERE i.order_id = v.order_id AND i.n = v.n
		RETURNING i.order_id, i.verdict, i.reason, i.already_owned, i.retry_at
	), delta AS (
		SELECT order_id, verdict, reason, 1 AS items, already_owned::int AS owned, (retry_at IS NOT NULL)::int AS waiting FROM written
		UNION ALL
		SELECT order_id, was, was_reason, -1, -was_owned::int, -1 FROM old
	)` + keepTally
)

// write writes verdicts by one of the statements, and returns how many.
func (b *Book) write(ctx context.Context, statement string, c *verdictColumns) (written int64, err error) {
	var update pgx.Batch
	settings := `
		SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
			set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)`
	if commit.Deferred(ctx) {
		settings += ", " + commit.Off
	}
	update.Queue(settings)
	update.Queue(statement,
		c.orderID, c.n, c.verdict, c.reason, c.mxHost, c.smtpCode, c.smtpEnhanced, c.smtpText, c.checkedAt, c.retryAt,
		c.flags, c.provider, c.meantDomain, c.score, c.scoreParts, c.value, c.keys, c.retryQueue).
		QueryRow(func(row pgx.Row) error { return row.Scan(&written) })
	return written, b.pool.SendBatch(ctx, &update).Close() // one transaction
}

// verdictColumns are verdicts turned on their side, as unnest wants them.
type verdictColumns struct {
	orderID                                         []string
	n                                               []int64
	verdict, reason, mxHost, smtpEnhanced, smtpText []string
	smtpCode                                        []int32
	checkedAt                                       []time.Time
	retryAt                                         []*time.Time
	flags, score                                    []*int32
	provider, meantDomain                           []*string
	scoreParts                                      []json.RawMessage
	value, keys, retryQueue                         []*string
}

func (c *verdictColumns) grow() {
	c.orderID, c.n = append(c.orderID, ""), append(c.n, 0)
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
	c.value, c.keys, c.retryQueue = append(c.value, nil), append(c.keys, nil), append(c.retryQueue, nil)
}

func (c *verdictColumns) set(i int, v Verdict) {
	c.orderID[i], c.n[i] = v.OrderID, v.N
	c.verdict[i] = v.Verdict
	c.reason[i] = v.Reason
	c.mxHost[i] = printable(v.MXHost)
	c.smtpCode[i] = int32(v.SMTPCode)
	c.smtpEnhanced[i] = printable(v.SMTPEnhanced)
	c.smtpText[i] = printable(v.SMTPText)
	c.checkedAt[i] = v.CheckedAt
	c.retryAt[i], c.retryQueue[i] = nil, nil
	if !v.RetryAt.IsZero() {
		c.retryAt[i] = &v.RetryAt
		if v.RetryQueue != "" {
			c.retryQueue[i] = &v.RetryQueue
		}
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
