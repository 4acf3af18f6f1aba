package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/commit"
)

// errNewOwner says that an organization has no credit_owner row yet.
var errNewOwner = fmt.Errorf("the organization is new to the ledger")

// planByKey makes a transaction plan its statements by index, once per
// connection: on a young table without statistics the planner would like to scan
// it, and keep that plan while the table grows. For the same reason rows are
// looked up LATERAL with a LIMIT, and changed by INSERT … ON CONFLICT: there is
// only one way to plan those, key by key.
const planByKey = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('plan_cache_mode', 'force_generic_plan', true)`

// How long a batch waits for a lane that another transaction has locked. Several
// lanes do not wait at all: the one that is locked is left out.
const (
	lockBriefly = planByKey + `, set_config('lock_timeout', '1s', true)`
	lockApart   = planByKey + `, set_config('lock_timeout', '15s', true)`
)

// begin opens the batch's transaction, locks its lanes, asks the database for
// the time and reads what the books lack, all in one round trip. The lock is its
// own statement: only the statements after it are sure to see what the lane's
// last holder committed.
func (t *batch) begin(ctx context.Context, conn *pgxpool.Conn) error {
	b := &pgx.Batch{}
	b.Queue("begin")
	settings := lockBriefly
	if t.lanes[0].lane.apart {
		settings = lockApart
	}
	if t.deferred() {
		settings += ", " + commit.Off
	}
	b.Queue(settings)
	t.queueLock(b)
	b.Queue("SELECT clock_timestamp()").QueryRow(func(row pgx.Row) error { return row.Scan(&t.now) })
	t.queueStored(b)
	t.queueNeeds(b)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if err := checkClock(t.now); err != nil {
		return err
	}
	if err := t.unseen(ctx, conn); err != nil {
		return err
	}
	if err := t.catchUp(ctx, conn); err != nil {
		return err
	}
	for { // what was read may point to more, a hold to its grants
		b = &pgx.Batch{}
		if t.queueNeeds(b); b.Len() == 0 {
			break
		}
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	for _, w := range t.lanes {
		w.check()
	}
	return nil
}

// queueLock locks the lanes, and replaces books that are not those of the head
// in the locked row. A lane that is missing in what is read is new or locked
// elsewhere; see unseen.
func (t *batch) queueLock(b *pgx.Batch) {
	owners := make([]string, 0, len(t.lanes))
	for _, w := range t.lanes {
		owners = append(owners, w.lane.owner)
		w.unproven = w.books.seq == 0
	}
	lock := `SELECT owner, seq, head, at, grants, clock FROM credit_owner WHERE owner = ANY($1) ORDER BY owner FOR UPDATE`
	if len(t.lanes) > 1 {
		lock += " SKIP LOCKED"
	}
	b.Queue(lock, owners).Query(func(rows pgx.Rows) error {
		for _, w := range t.lanes {
			w.locked = true
		}
		var owner string
		var seq, grants int64
		var head []byte
		var at time.Time
		var clock *time.Time
		_, err := pgx.ForEachRow(rows, []any{&owner, &seq, &head, &at, &grants, &clock}, func() error {
			w := t.byOwner[owner]
			w.locked = false
			w.meet(ownerRow{seq: seq, grants: grants, head: slices.Clone(head), at: at.UTC(), clock: clock})
			return nil
		})
		return err
	})
}

// unseen looks at the lanes that could not be locked. Those with a row are
// locked by another transaction. Those without one are new, or damaged where
// there was no opening them.
func (t *batch) unseen(ctx context.Context, conn *pgxpool.Conn) error {
	var owners []string
	for _, w := range t.lanes {
		if w.locked {
			w.books, w.behind, w.damage, w.fresh = newBooks(w.lane.owner), nil, nil, fresh{} // read without the lock
			owners = append(owners, w.lane.owner)
		}
	}
	if len(owners) == 0 {
		return nil
	}
	rows, _ := conn.Query(ctx, `SELECT owner FROM credit_owner WHERE owner = ANY($1)`, owners)
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	switch {
	case err != nil:
		return err
	case len(there) == len(owners):
		return nil
	case !t.opened:
		return errNewOwner
	}
	for _, owner := range owners {
		if !slices.Contains(there, owner) {
			t.byOwner[owner].locked = false
			t.byOwner[owner].damaged("there are journal entries, the row in credit_owner is missing")
		}
	}
	return nil
}

// queueStored asks for the results of operations that were carried out before.
func (t *batch) queueStored(b *pgx.Batch) {
	var owners, keys []string
	for _, w := range t.lanes {
		for _, op := range w.ops {
			owners = append(owners, w.lane.owner)
			keys = append(keys, op.header().key)
		}
	}
	b.Queue(`SELECT e.owner, e.key, e.request_hash, e.result
		FROM unnest($1::text[], $2::text[]) k (owner, key)
		CROSS JOIN LATERAL (SELECT * FROM credit_entry e WHERE e.owner = k.owner AND e.key = k.key LIMIT 1) e`, owners, keys).Query(func(rows pgx.Rows) error {
		var owner, key string
		var hash, result []byte
		_, err := pgx.ForEachRow(rows, []any{&owner, &key, &hash, &result}, func() error {
			if len(hash) != len(requestHash{}) {
				t.byOwner[owner].damaged("the journal entry with key %q has no request hash", key)
				return nil
			}
			t.byOwner[owner].books.stored[key] = stored{requestHash(hash), slices.Clone(result)}
			return nil
		})
		return err
	})
}

// ownedKeys are keys of rows of several organizations, column by column.
type ownedKeys struct {
	owners, texts, types, scopes []string
	numbers                      []int64
	subjects                     [][16]byte
}

// queueNeeds asks for everything the books of the batch lack for its operations.
func (t *batch) queueNeeds(b *pgx.Batch) {
	var all, unproven []string
	var pools, holds, lots, budgets, facts, origins, captures ownedKeys
	for _, w := range t.lanes {
		owner := w.lane.owner
		n := w.lacking()
		if w.unproven {
			unproven = append(unproven, owner)
		}
		if n.allPools {
			all = append(all, owner)
			n.pools = nil
		}
		for p := range n.pools {
			pools.owners, pools.texts = append(pools.owners, owner), append(pools.texts, p)
		}
		for id := range n.holds {
			holds.owners, holds.texts = append(holds.owners, owner), append(holds.texts, id)
		}
		for no := range n.lots {
			lots.owners, lots.numbers = append(lots.owners, owner), append(lots.numbers, no)
		}
		for id := range n.budgets {
			budgets.owners, budgets.texts = append(budgets.owners, owner), append(budgets.texts, id.name)
			budgets.types = append(budgets.types, id.kind)
		}
		for id := range n.facts {
			facts.addFact(owner, id)
		}
		for id := range n.origins {
			origins.addFact(owner, id)
		}
		for seq := range n.captures {
			captures.owners, captures.numbers = append(captures.owners, owner), append(captures.numbers, seq)
		}
	}
	if len(unproven) > 0 {
		t.queueHeads(b, unproven)
	}
	if len(all) > 0 {
		t.queuePools(b, "x.owner = k.owner", all, make([]string, len(all)), true)
	}
	if len(pools.owners) > 0 {
		t.queuePools(b, "x.owner = k.owner AND x.pool = k.pool", pools.owners, pools.texts, false)
	}
	if len(holds.owners) > 0 {
		t.queueHolds(b, holds)
	}
	if len(lots.owners) > 0 {
		t.queueLots(b, lots)
	}
	if len(budgets.owners) > 0 {
		t.queueBudgets(b, budgets)
	}
	if len(facts.owners) > 0 {
		t.queueFacts(b, facts, false)
	}
	if len(origins.owners) > 0 {
		t.queueFacts(b, origins, true)
	}
	if len(captures.owners) > 0 {
		t.queueCaptures(b, captures)
	}
}

func (k *ownedKeys) addFact(owner string, id factID) {
	k.owners = append(k.owners, owner)
	k.types = append(k.types, id.kind)
	k.scopes = append(k.scopes, id.scope)
	k.subjects = append(k.subjects, id.subject)
}

// lotColumns are what readLots reads.
const lotColumns = `SELECT x.owner, x.no, x.pool, x.type, x.source, x.priority, x.expires_at, x.burn_by, x.granted_at,
	x.amount, x.available, x.held, x.captured, x.expired, x.voided, x.renewed, x.starts_at, x.waiting `

const lotsByNumber = lotColumns + `FROM unnest($1::text[], $2::bigint[]) k (owner, no)
	CROSS JOIN LATERAL (SELECT * FROM credit_grant x WHERE x.owner = k.owner AND x.no = k.no LIMIT 1) x`

// readLots gives every row, and the lane it belongs to, to take.
func (t *batch) readLots(rows pgx.Rows, take func(*laneWork, lot)) error {
	var owner string
	var l lot
	var starts, expires, burnBy *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&owner, &l.no, &l.pool, &l.kind, &l.source, &l.priority, &expires, &burnBy, &l.grantedAt, &l.amount,
		&l.bucket[available], &l.bucket[held], &l.bucket[captured], &l.bucket[expired], &l.bucket[voided], &l.renewed,
		&starts, &l.bucket[waiting],
	}, func() error {
		w := t.byOwner[owner]
		if l.no > w.numbered() {
			w.damaged("there is a grant %d, and grants are numbered up to %d", l.no, w.numbered())
		}
		read := l
		read.startsAt, read.expiresAt, read.burnBy = orZero(starts), orZero(expires), orZero(burnBy)
		read.grantedAt = l.grantedAt.UTC()
		take(w, read)
		return nil
	})
	return err
}

// addLots takes in grants that the books do not have.
func (t *batch) addLots(rows pgx.Rows) error {
	return t.readLots(rows, func(w *laneWork, l lot) {
		if b := w.books; b.lots[l.no] == nil {
			b.lots[l.no] = &l
			b.list(&l)
		}
	})
}

// accountColumns are what readAccounts reads.
const accountColumns = `SELECT x.owner, x.pool, x.type, x.available, x.held, x.carry, x.carry_priority, x.carry_until, x.carry_burn_by, x.alert_at `

// readAccounts takes accounts into the books where they are wanted.
func (t *batch) readAccounts(rows pgx.Rows, wanted func(*books, accountID) bool) error {
	var owner string
	var a account
	var left *int64
	var priority int32
	var until, burnBy *time.Time
	_, err := pgx.ForEachRow(rows, []any{
		&owner, &a.pool, &a.kind, &a.available, &a.held, &left, &priority, &until, &burnBy, &a.alertAt,
	}, func() error {
		books := t.byOwner[owner].books
		if !wanted(books, a.accountID) {
			return nil
		}
		read := books.account(a.accountID) // its grants may be there already
		read.available, read.held, read.seen = a.available, a.held, a.available
		read.alertAt, read.carry = slices.Clone(a.alertAt), nil
		if left != nil {
			read.carry = &carry{Left: *left, Priority: priority, Until: orZero(until), BurnBy: orZero(burnBy)}
		}
		return nil
	})
	return err
}

// queuePools asks for accounts and live grants, of some pools or of all.
func (t *batch) queuePools(b *pgx.Batch, where string, owners, pools []string, all bool) {
	b.Queue(accountColumns+`FROM unnest($1::text[], $2::text[]) k (owner, pool)
		CROSS JOIN LATERAL (SELECT * FROM credit_account x WHERE `+where+` OFFSET 0) x`, owners, pools).Query(func(rows pgx.Rows) error {
		return t.readAccounts(rows, func(b *books, id accountID) bool { return !b.allPools && !b.pools[id.pool] })
	})
	b.Queue(lotColumns+`FROM unnest($1::text[], $2::text[]) k (owner, pool)
		CROSS JOIN LATERAL (SELECT * FROM credit_grant x WHERE `+where+` AND x.live OFFSET 0) x`, owners, pools).Query(func(rows pgx.Rows) error {
		if err := t.addLots(rows); err != nil {
			return err
		}
		for i, o := range owners {
			w := t.byOwner[o]
			w.books.pools[pools[i]] = true
			w.books.allPools = w.books.allPools || all
			w.fresh.pool(pools[i], all)
		}
		return nil
	})
}

func (t *batch) queueHolds(b *pgx.Batch, k ownedKeys) {
	b.Queue(`SELECT h.owner, h.id, h.amount, h.captured, h.released, h.reversed, h.closed, h.body
		FROM unnest($1::text[], $2::text[]) k (owner, id)
		CROSS JOIN LATERAL (SELECT * FROM credit_hold h WHERE h.owner = k.owner AND h.id = k.id LIMIT 1) h`, k.owners, k.texts).Query(func(rows pgx.Rows) error {
		for i, o := range k.owners {
			t.byOwner[o].books.holds[k.texts[i]] = nil
		}
		var owner, id string
		var sum slice
		var closed bool
		var body []byte
		_, err := pgx.ForEachRow(rows, []any{
			&owner, &id, &sum.Amount, &sum.Captured, &sum.Released, &sum.Reversed, &closed, &body,
		}, func() error {
			w := t.byOwner[owner]
			var read holdBody
			if err := json.Unmarshal(body, &read); err != nil {
				w.damaged("the hold %q cannot be read: %w", id, err)
				return nil
			}
			h := &hold{id: id, closed: closed, lines: read.Lines, captures: read.Captures}
			if h.sums() != sum {
				w.damaged("the lines of hold %q do not add up to its sums", id)
			}
			w.books.holds[id] = h
			w.fresh.holds = append(w.fresh.holds, h)
			return nil
		})
		return err
	})
}

func (t *batch) queueLots(b *pgx.Batch, k ownedKeys) {
	b.Queue(lotsByNumber, k.owners, k.numbers).Query(func(rows pgx.Rows) error {
		if err := t.addLots(rows); err != nil {
			return err
		}
		for i, o := range k.owners {
			if t.byOwner[o].books.lots[k.numbers[i]] == nil {
				t.byOwner[o].damaged("grant %d does not exist", k.numbers[i])
			}
		}
		return nil
	})
}

func (t *batch) queueBudgets(b *pgx.Batch, k ownedKeys) {
	b.Queue(`SELECT u.owner, u.name, u.type, u.used FROM unnest($1::text[], $2::text[], $3::text[]) k (owner, name, type)
		CROSS JOIN LATERAL (SELECT * FROM credit_budget u
			WHERE u.owner = k.owner AND u.name = k.name AND u.type = k.type LIMIT 1) u`, k.owners, k.texts, k.types).Query(func(rows pgx.Rows) error {
		for i, o := range k.owners {
			t.byOwner[o].books.budget(budgetID{k.texts[i], k.types[i]})
		}
		var owner string
		var u budget
		_, err := pgx.ForEachRow(rows, []any{&owner, &u.name, &u.kind, &u.used}, func() error {
			t.byOwner[owner].books.budget(u.budgetID).used = u.used
			return nil
		})
		return err
	})
}
