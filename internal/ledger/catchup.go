package ledger

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ownerRow is the row of an organization that a batch has locked.
type ownerRow struct {
	seq, grants int64
	head        []byte
	at          time.Time
	clock       *time.Time // the organization's own time, where it has a test clock
}

// behind is books that another process has written past. They follow the
// entries since then instead of being read again, which would take long where
// there are many grants.
type behind struct {
	target   ownerRow
	seq      int64 // followed so far
	head     []byte
	lost     bool // they cannot follow: they are read again
	lots     map[int64]struct{}
	accounts map[accountID]struct{}
}

// followed reports whether the books have arrived at the locked row's head.
func (l *behind) followed() bool {
	return !l.lost && l.seq == l.target.seq && slices.Equal(l.head, l.target.head)
}

// numbered is how many grants the organization has had.
func (w *laneWork) numbered() int64 {
	if w.behind != nil {
		return w.behind.target.grants
	}
	return w.books.grants
}

// meet compares the books with the locked row, and notes what to do where they
// are not those of its head.
func (w *laneWork) meet(row ownerRow) {
	w.clock = row.clock
	b := w.books
	switch {
	case b.seq == row.seq && slices.Equal(b.head, row.head) && b.grants == row.grants:
	case b.seq > 0 && b.seq < row.seq && row.seq-b.seq <= int64(len(b.lots)/4):
		w.behind = &behind{target: row, seq: b.seq, head: b.head}
	default:
		w.reread(row)
	}
}

// reread begins new books as of the locked row.
func (w *laneWork) reread(row ownerRow) {
	known := w.books.stored // read under the lock
	w.books = newBooks(w.lane.owner)
	w.books.stored = known
	w.books.seq, w.books.head, w.books.at, w.books.grants = row.seq, row.head, row.at, row.grants
	w.behind, w.unproven, w.asked, w.fresh = nil, true, needs{}, fresh{}
}

// catchUp lets books that are behind follow the journal: what the entries have
// touched is read again, the rest stays.
func (t *batch) catchUp(ctx context.Context, conn *pgxpool.Conn) error {
	var late []*laneWork
	for _, w := range t.lanes {
		if w.usable() && w.behind != nil {
			late = append(late, w)
		}
	}
	if len(late) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	t.queueEntries(b, late)
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	late = slices.DeleteFunc(late, func(w *laneWork) bool {
		if !w.behind.followed() {
			w.reread(w.behind.target)
		}
		return w.behind == nil
	})
	b = &pgx.Batch{}
	if t.queueTouched(b, late); b.Len() > 0 {
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	for _, w := range late {
		row := w.behind.target
		w.books.seq, w.books.head, w.books.at, w.books.grants = row.seq, row.head, row.at, row.grants
		w.behind, w.asked = nil, needs{}
	}
	return nil
}

// queueEntries asks for the entries that books have not followed.
func (t *batch) queueEntries(b *pgx.Batch, late []*laneWork) {
	var k ownedKeys
	for _, w := range late {
		k.owners, k.numbers = append(k.owners, w.lane.owner), append(k.numbers, w.behind.seq)
	}
	b.Queue(`SELECT e.owner, e.seq, e.kind, e.hold_id, convert_to(e.postings::text, 'UTF8'), e.prev_hash, e.hash
		FROM unnest($1::text[], $2::bigint[]) k (owner, seq)
		CROSS JOIN LATERAL (SELECT * FROM credit_entry e WHERE e.owner = k.owner AND e.seq > k.seq ORDER BY e.seq OFFSET 0) e`,
		k.owners, k.numbers).Query(func(rows pgx.Rows) error {
		var owner string
		var e entry
		_, err := pgx.ForEachRow(rows, []any{&owner, &e.seq, &e.kind, &e.holdID, &e.postingsJSON, &e.prevHash, &e.hash}, func() error {
			t.byOwner[owner].follow(&e)
			return nil
		})
		return err
	})
}

// follow notes what an entry has touched. The end of a period touches grants
// that it does not name.
func (w *laneWork) follow(e *entry) {
	late, b := w.behind, w.books
	var postings []posting
	if e.seq != late.seq+1 || !slices.Equal(e.prevHash, late.head) || e.kind == kindRenew || json.Unmarshal(e.postingsJSON, &postings) != nil {
		late.lost = true
	}
	late.seq, late.head = e.seq, slices.Clone(e.hash)
	delete(b.holds, e.holdID)
	for i := range postings {
		p := &postings[i]
		delete(b.holds, p.Hold)
		delete(b.budgets, budgetID{p.Budget, p.Type})
		if p.Move == moveLine || !b.allPools && !b.pools[p.Pool] {
			continue
		}
		add(&late.accounts, accountID{p.Pool, p.Type})
		add(&late.lots, p.Grant)
		add(&late.lots, p.Into)
	}
}

// queueTouched asks for the accounts and grants that entries have touched.
func (t *batch) queueTouched(b *pgx.Batch, late []*laneWork) {
	var lots, accounts ownedKeys
	for _, w := range late {
		for no := range w.behind.lots {
			lots.owners, lots.numbers = append(lots.owners, w.lane.owner), append(lots.numbers, no)
		}
		for id := range w.behind.accounts {
			accounts.owners = append(accounts.owners, w.lane.owner)
			accounts.texts, accounts.types = append(accounts.texts, id.pool), append(accounts.types, id.kind)
			w.fresh.pool(id.pool, false)
		}
	}
	if len(lots.owners) > 0 {
		b.Queue(lotsByNumber, lots.owners, lots.numbers).Query(func(rows pgx.Rows) error {
			return t.readLots(rows, func(w *laneWork, l lot) { w.books.refresh(l) })
		})
	}
	if len(accounts.owners) > 0 {
		b.Queue(accountColumns+`FROM unnest($1::text[], $2::text[], $3::text[]) k (owner, pool, type)
			CROSS JOIN LATERAL (SELECT * FROM credit_account x
				WHERE x.owner = k.owner AND x.pool = k.pool AND x.type = k.type LIMIT 1) x`,
			accounts.owners, accounts.texts, accounts.types).Query(func(rows pgx.Rows) error {
			return t.readAccounts(rows, func(*books, accountID) bool { return true })
		})
	}
}

// refresh takes over a grant as another process has left it.
func (b *books) refresh(read lot) {
	l := b.lots[read.no]
	switch {
	case l == nil && !read.live():
		return
	case l == nil:
		l = &lot{}
		b.lots[read.no] = l
	}
	read.listed = l.listed
	*l = read
	if !l.live() {
		delete(b.lots, l.no) // it leaves the burn order when the account is changed
		return
	}
	b.list(l)
	b.account(l.accountID).sooner(l)
}
