package ledger

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/outbox"
)

// queueWrites puts everything the batch has changed into a few statements, a
// row per thing and not per change, and the commit behind them. Rows that exist
// are written by ON CONFLICT, see planByKey.
func (t *batch) queueWrites() *pgx.Batch {
	b := &pgx.Batch{}
	t.writeEntries(b)
	t.writeHolds(b)
	t.writeGrants(b)
	t.writeAccounts(b)
	t.writeBudgets(b)
	t.writeFacts(b)
	t.writeEvents(b)
	t.writeOwners(b)
	b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the ledger's transaction ended in %s", tag)
		}
		return nil
	})
	return b
}

func (t *batch) commit(ctx context.Context, conn *pgxpool.Conn, writes *pgx.Batch) error {
	return conn.SendBatch(ctx, writes).Close()
}

func (t *batch) writeEntries(b *pgx.Batch) {
	n := 0
	for _, w := range t.lanes {
		n += len(w.books.changes.entries)
	}
	if n == 0 {
		return
	}
	// Most of what a batch allocates: columns that grow would be copied over and over.
	column := func() []string { return make([]string, 0, n) }
	hashed := func() [][]byte { return make([][]byte, 0, n) }
	owners, kinds, holdIDs, orders, actions := column(), column(), column(), column(), column()
	members, reasons, postings := column(), column(), column()
	requests, facts, prevs, hashes := hashed(), hashed(), hashed(), hashed()
	seqs, ats := make([]int64, 0, n), make([]time.Time, 0, n)
	keys, results := make([]*string, 0, n), make([]*string, 0, n)
	for _, w := range t.lanes {
		for i := range w.books.changes.entries {
			e := &w.books.changes.entries[i]
			owners = append(owners, w.lane.owner)
			seqs = append(seqs, e.seq)
			kinds = append(kinds, string(e.kind))
			if e.kind == kindExpired {
				keys, requests, results = append(keys, nil), append(requests, nil), append(results, nil)
			} else {
				result := string(e.result)
				keys, requests, results = append(keys, &e.key), append(requests, e.requestHash[:]), append(results, &result)
			}
			ats = append(ats, e.at)
			holdIDs = append(holdIDs, e.holdID)
			orders = append(orders, e.memo.OrderID)
			actions = append(actions, e.memo.Action)
			members = append(members, e.memo.Member)
			reasons = append(reasons, e.memo.Reason)
			postings = append(postings, string(e.postingsJSON))
			facts = append(facts, e.facts)
			prevs = append(prevs, e.prevHash)
			hashes = append(hashes, e.hash)
		}
	}
	b.Queue(`INSERT INTO credit_entry (owner, seq, kind, key, request_hash, at, hold_id, order_id, action, member, reason,
			postings, facts, result, prev_hash, hash)
		SELECT u.owner, u.seq, u.kind, u.key, u.request_hash, u.at, u.hold_id, u.order_id, u.action, u.member, u.reason,
			u.postings::json, u.facts, u.result::json, u.prev_hash, u.hash
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::text[],
			$8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::text[], $15::bytea[], $16::bytea[])
			u (owner, seq, kind, key, request_hash, at, hold_id, order_id, action, member, reason,
				postings, facts, result, prev_hash, hash)`,
		owners, seqs, kinds, keys, requests, ats, holdIDs, orders, actions, members, reasons,
		postings, facts, results, prevs, hashes)
}

func (t *batch) writeHolds(b *pgx.Batch) {
	type columns struct {
		owners, ids, bodies                      []string
		amounts, captureds, releaseds, reverseds []int64
		closed                                   []bool
	}
	var opened, changed columns
	for _, w := range t.lanes {
		for _, h := range w.books.changes.holds {
			c := &changed
			if h.isNew {
				c = &opened
			}
			sum := h.sums()
			c.owners = append(c.owners, w.lane.owner)
			c.ids = append(c.ids, h.id)
			c.amounts = append(c.amounts, sum.Amount)
			c.captureds = append(c.captureds, sum.Captured)
			c.releaseds = append(c.releaseds, sum.Released)
			c.reverseds = append(c.reverseds, sum.Reversed)
			c.closed = append(c.closed, h.closed)
			c.bodies = append(c.bodies, string(appendHold(nil, h)))
		}
	}
	const insert = `INSERT INTO credit_hold (owner, id, amount, captured, released, reversed, closed, body)
		SELECT u.owner, u.id, u.amount, u.captured, u.released, u.reversed, u.closed, u.body::json
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bool[], $8::text[])
			u (owner, id, amount, captured, released, reversed, closed, body) `
	if c := opened; len(c.owners) > 0 {
		b.Queue(insert, c.owners, c.ids, c.amounts, c.captureds, c.releaseds, c.reverseds, c.closed, c.bodies)
	}
	if c := changed; len(c.owners) > 0 {
		b.Queue(insert+`ON CONFLICT (owner, id) DO UPDATE SET captured = excluded.captured, released = excluded.released,
			reversed = excluded.reversed, closed = excluded.closed, body = excluded.body`,
			c.owners, c.ids, c.amounts, c.captureds, c.releaseds, c.reverseds, c.closed, c.bodies)
	}
}

func (t *batch) writeGrants(b *pgx.Batch) {
	var (
		owners, pools, types, sources                    []string
		nos, amounts, avail, inHold, capt, lapsed, voids []int64
		waits                                            []int64
		priorities                                       []int32
		starts, expires, burnBys                         []*time.Time
		granted                                          []time.Time
		renewed, live                                    []bool
	)
	for _, w := range t.lanes {
		for _, l := range w.books.changes.lots {
			owners = append(owners, w.lane.owner)
			nos = append(nos, l.no)
			pools = append(pools, l.pool)
			types = append(types, l.kind)
			sources = append(sources, string(l.source))
			priorities = append(priorities, l.priority)
			starts = append(starts, nullTime(l.startsAt))
			expires = append(expires, nullTime(l.expiresAt))
			burnBys = append(burnBys, nullTime(l.burnBy))
			granted = append(granted, l.grantedAt)
			amounts = append(amounts, l.amount)
			avail = append(avail, l.bucket[available])
			inHold = append(inHold, l.bucket[held])
			capt = append(capt, l.bucket[captured])
			lapsed = append(lapsed, l.bucket[expired])
			voids = append(voids, l.bucket[voided])
			waits = append(waits, l.bucket[waiting])
			renewed = append(renewed, l.renewed)
			live = append(live, l.live())
		}
	}
	if len(owners) == 0 {
		return
	}
	b.Queue(`INSERT INTO credit_grant (owner, no, pool, type, source, priority, expires_at, granted_at,
			amount, available, held, captured, expired, voided, renewed, live, starts_at, waiting, burn_by)
		SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], $7::timestamptz[],
			$8::timestamptz[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
			$15::bool[], $16::bool[], $17::timestamptz[], $18::bigint[], $19::timestamptz[])
		ON CONFLICT (owner, no) DO UPDATE SET amount = excluded.amount, available = excluded.available,
			held = excluded.held, captured = excluded.captured, expired = excluded.expired, voided = excluded.voided,
			renewed = excluded.renewed, live = excluded.live, waiting = excluded.waiting`,
		owners, nos, pools, types, sources, priorities, expires, granted,
		amounts, avail, inHold, capt, lapsed, voids, renewed, live, starts, waits, burnBys)
}

func (t *batch) writeAccounts(b *pgx.Batch) {
	var (
		owners, pools, types []string
		avail, held          []int64
		carries              []*int64
		priorities           []int32
		untils, burnBys      []*time.Time
		alertAts             []*string // arrays as text: unnest would make one of them all
	)
	for _, w := range t.lanes {
		for _, a := range w.books.changes.accounts {
			owners = append(owners, w.lane.owner)
			pools = append(pools, a.pool)
			types = append(types, a.kind)
			avail = append(avail, a.available)
			held = append(held, a.held)
			var left *int64
			var priority int32
			var until, burnBy *time.Time
			if c := a.carry; c != nil {
				left, priority, until, burnBy = &c.Left, c.Priority, nullTime(c.Until), nullTime(c.BurnBy)
			}
			carries, priorities, untils = append(carries, left), append(priorities, priority), append(untils, until)
			burnBys = append(burnBys, burnBy)
			alertAts = append(alertAts, arrayText(a.alertAt))
		}
	}
	if len(owners) == 0 {
		return
	}
	b.Queue(`INSERT INTO credit_account (owner, pool, type, available, held, carry, carry_priority, carry_until, carry_burn_by, alert_at)
		SELECT u.owner, u.pool, u.type, u.available, u.held, u.carry, u.carry_priority, u.carry_until, u.carry_burn_by, u.alert_at::bigint[]
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[],
			$8::timestamptz[], $9::timestamptz[], $10::text[])
			u (owner, pool, type, available, held, carry, carry_priority, carry_until, carry_burn_by, alert_at)
		ON CONFLICT (owner, pool, type) DO UPDATE SET available = excluded.available, held = excluded.held,
			carry = excluded.carry, carry_priority = excluded.carry_priority, carry_until = excluded.carry_until,
			carry_burn_by = excluded.carry_burn_by, alert_at = excluded.alert_at`,
		owners, pools, types, avail, held, carries, priorities, untils, burnBys, alertAts)
}

func (t *batch) writeBudgets(b *pgx.Batch) {
	var owners, names, types []string
	var used []int64
	for _, w := range t.lanes {
		for _, u := range w.books.changes.budgets {
			owners = append(owners, w.lane.owner)
			names = append(names, u.name)
			types = append(types, u.kind)
			used = append(used, u.used)
		}
	}
	if len(owners) > 0 {
		b.Queue(`INSERT INTO credit_budget (owner, name, type, used)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
			ON CONFLICT (owner, name, type) DO UPDATE SET used = excluded.used`, owners, names, types, used)
	}
}

func (t *batch) writeFacts(b *pgx.Batch) {
	type columns struct {
		ownedKeys
		seqs, costs []int64
		reversed    []bool
	}
	var added, changed columns
	for _, w := range t.lanes {
		for _, f := range w.books.changes.facts {
			c := &changed
			if f.isNew {
				c = &added
			}
			c.addFact(w.lane.owner, f.factID)
			c.seqs = append(c.seqs, f.seq)
			c.costs = append(c.costs, f.cost)
			c.reversed = append(c.reversed, f.reversed)
		}
	}
	const insert = `INSERT INTO credit_fact (owner, type, scope, subject, seq, cost, reversed)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bool[]) `
	if c := added; len(c.owners) > 0 {
		b.Queue(insert, c.owners, c.types, c.scopes, c.subjects, c.seqs, c.costs, c.reversed)
	}
	if c := changed; len(c.owners) > 0 {
		b.Queue(insert+`ON CONFLICT (owner, type, scope, subject)
			DO UPDATE SET seq = excluded.seq, cost = excluded.cost, reversed = excluded.reversed`,
			c.owners, c.types, c.scopes, c.subjects, c.seqs, c.costs, c.reversed)
	}
}

func (t *batch) writeEvents(b *pgx.Batch) {
	var events []outbox.Event
	for _, w := range t.lanes {
		events = append(events, w.books.changes.events...)
	}
	outbox.Queue(b, events)
}

func (t *batch) writeOwners(b *pgx.Batch) {
	var owners []string
	var seqs, grants []int64
	var heads [][]byte
	var ats []time.Time
	for _, w := range t.lanes {
		if len(w.books.changes.entries) == 0 {
			continue
		}
		owners = append(owners, w.lane.owner)
		seqs = append(seqs, w.books.seq)
		heads = append(heads, w.books.head)
		ats = append(ats, w.books.at)
		grants = append(grants, w.books.grants)
	}
	if len(owners) > 0 {
		b.Queue(`INSERT INTO credit_owner (owner, seq, head, at, grants)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::bigint[])
			ON CONFLICT (owner) DO UPDATE SET seq = excluded.seq, head = excluded.head, at = excluded.at, grants = excluded.grants`,
			owners, seqs, heads, ats, grants)
	}
}

// arrayText writes an array as PostgreSQL reads it, nil for an empty one.
func arrayText(ns []int64) *string {
	if len(ns) == 0 {
		return nil
	}
	b := []byte{'{'}
	for i, n := range ns {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	s := string(append(b, '}'))
	return &s
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
