package lead

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

// Quota is how much of uploaded lists an organization may have.
type Quota struct {
	Rows  int64 // of all its lists together
	Bytes int64 // of their content
}

// DefaultQuota is the quota where none is given.
var DefaultQuota = Quota{Rows: 10_000_000, Bytes: 2 << 30}

const (
	unusedShare = 4   // lists that no order has used may take a quarter of the quota
	fewRows     = 100 // lists in the bodies of small orders: see admit
)

// UnusedFor is how long a list is kept that no order uses.
const UnusedFor = 7 * 24 * time.Hour

// ErrListInUse says that an open order uses a list.
var ErrListInUse = errcode.New(errcode.Conflict, "an open order uses the list; delete it when the order is over")

// QuotaError is a list for which an organization has no room.
type QuotaError struct {
	Message string // one sentence for the person who sent it
}

func (e *QuotaError) Error() string { return e.Message }

// ErrorInfo is what is known of the error.
func (e *QuotaError) ErrorInfo() errcode.Info { return errcode.Info{Kind: errcode.QuotaExceeded} }

// usage is how much there is of lists.
type usage struct{ rows, bytes int64 }

func (u usage) plus(v usage) usage { return usage{u.rows + v.rows, u.bytes + v.bytes} }

func (u usage) within(q Quota) bool { return u.rows <= q.Rows && u.bytes <= q.Bytes }

func (q Quota) share(n int64) Quota { return Quota{q.Rows / n, q.Bytes / n} }

// lists says how much an organization has of uploaded lists, and of lists that
// no order uses.
func lists(ctx context.Context, db database.Reader, org string) (uploaded, unused usage, err error) {
	rows, _ := db.Query(ctx, `
		SELECT coalesce(sum(rows) FILTER (WHERE uploaded), 0)::bigint, coalesce(sum(bytes) FILTER (WHERE uploaded), 0)::bigint,
			coalesce(sum(rows) FILTER (WHERE NOT uploaded), 0)::bigint, coalesce(sum(bytes) FILTER (WHERE NOT uploaded), 0)::bigint
		FROM (SELECT rows, bytes, true AS uploaded FROM list WHERE org = $1 AND uploaded
			UNION ALL SELECT rows, bytes, false FROM list WHERE org = $1 AND used_at IS NULL) l`, org)
	_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(&uploaded.rows, &uploaded.bytes, &unused.rows, &unused.bytes)
	})
	return uploaded, unused, err
}

// refuse is nil where both usages are within the quota.
func (q Quota) refuse(uploaded, unused usage) error {
	switch {
	case !uploaded.within(q):
		return &QuotaError{fmt.Sprintf("The uploaded lists of an organization may have %d rows and %d bytes together; delete lists that are not needed any more.", q.Rows, q.Bytes)}
	case !unused.within(q.share(unusedShare)):
		left := q.share(unusedShare)
		return &QuotaError{fmt.Sprintf("Lists that no order uses may have %d rows and %d bytes together; use them in orders, or delete them.", left.Rows, left.Bytes)}
	}
	return nil
}

// hasRoom refuses an upload before it is read where there is no room for a row.
//
// Errors: *QuotaError.
func (c *Catalogue) hasRoom(ctx context.Context, org string) error {
	uploaded, unused, err := lists(ctx, c.pool, org)
	if err != nil {
		return fmt.Errorf("counting the lists of %s: %w", org, err)
	}
	one := usage{1, 1}
	return c.quota.refuse(uploaded.plus(one), unused.plus(one))
}

// admit counts a new list against the quota of its organization. Lists of one
// organization that come at the same time wait for each other. Those of small
// orders do so only where much of the quota is taken: calls for single addresses
// must not queue up.
//
// Errors: *QuotaError.
func (c *Catalogue) admit(ctx context.Context, tx pgx.Tx, org string, list usage, upload bool) error {
	count := func() (uploaded, unused usage, err error) {
		if uploaded, unused, err = lists(ctx, tx, org); err != nil {
			return uploaded, unused, err
		}
		if upload {
			uploaded = uploaded.plus(list)
		} else {
			uploaded = usage{} // what an order brings along is none
		}
		return uploaded, unused.plus(list), nil
	}
	if !upload && list.rows <= fewRows {
		_, unused, err := count()
		if err != nil || unused.within(c.quota.share(2*unusedShare)) {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('lists of ' || $1, 0))`, org); err != nil {
		return err
	}
	uploaded, unused, err := count()
	if err != nil {
		return err
	}
	return c.quota.refuse(uploaded, unused)
}

// wanted says which lists are there, and keeps them from expiring.
func wanted(ctx context.Context, tx pgx.Tx, org string, ids []string) (map[string]bool, error) {
	rows, _ := tx.Query(ctx, `
		UPDATE list SET wanted_at = now()
		WHERE id IN (SELECT id FROM list WHERE id = ANY ($1) AND org = $2 ORDER BY id FOR UPDATE)
		RETURNING id`, ids, org)
	return idSet(rows)
}

// idSet reads rows of one id each.
func idSet(rows pgx.Rows) (map[string]bool, error) {
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, err
}

// Want is List for an order that is about to use it: it does not expire now.
func (c *Catalogue) Want(ctx context.Context, org, id string) (List, error) {
	if _, err := c.pool.Exec(ctx, `
		UPDATE list SET wanted_at = now() WHERE id = $1 AND org = $2 AND used_at IS NULL AND wanted_at NOT BETWEEN now() - interval '1 hour' AND now()`, id, org); err != nil {
		return List{}, fmt.Errorf("reading the list %s: %w", id, err)
	}
	return c.List(ctx, org, id)
}

// use notes that orders take the rows of lists. They are in the book by then, so
// that the lists are not deleted.
func use(ctx context.Context, tx pgx.Tx, ids ...string) error {
	_, err := tx.Exec(ctx, `
		UPDATE list SET used_at = now()
		WHERE id IN (SELECT id FROM list WHERE id = ANY ($1) AND used_at IS NULL ORDER BY id FOR UPDATE)`, ids)
	return err
}

// Missing are those of some lists that an organization does not have.
func (c *Catalogue) Missing(ctx context.Context, org string, ids []string) (map[string]bool, error) {
	rows, _ := c.pool.Query(ctx, `SELECT id FROM unnest($1::text[]) AS i (id) WHERE NOT EXISTS (SELECT FROM list WHERE id = i.id AND org = $2)`, ids, org)
	missing, err := idSet(rows)
	if err != nil {
		return nil, fmt.Errorf("looking for the lists of %s: %w", org, err)
	}
	return missing, nil
}

const openStatuses = `('reserved', 'verifying', 'completed')`

// DeleteList deletes a list with its rows; with a member, one that this member
// uploaded. Orders that used it keep their items, with the addresses that were
// verified; their results have no cells of the list any more.
//
// Errors: ErrNoList, ErrListInUse.
func (c *Catalogue) DeleteList(ctx context.Context, org, member, id string) error {
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		var used bool
		err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM orders o WHERE o.status IN `+openStatuses+` AND o.org = l.org AND o.request ->> 'list_id' = l.id)
			FROM list l WHERE id = $1 AND org = $2 AND ($3 = '' OR member = $3) FOR UPDATE`, id, org, member).Scan(&used)
		switch {
		case err != nil:
			return noList(err)
		case used:
			return ErrListInUse
		}
		return dropLists(ctx, tx, []string{id})
	})
	if err != nil {
		return fmt.Errorf("deleting a list of %s: %w", org, err)
	}
	return nil
}

// DropListOf deletes the list that an order verified where no other order uses it
// but such as have been verified and lost their results, too.
func (c *Catalogue) DropListOf(ctx context.Context, orderID string) error {
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT l.id FROM orders o JOIN list l ON l.id = o.request ->> 'list_id' AND l.org = o.org
			WHERE o.id = $1 AND NOT EXISTS (
				SELECT FROM orders other WHERE other.org = l.org AND other.request ->> 'list_id' = l.id AND other.id <> o.id
					AND (other.results_removed_at IS NULL OR other.kind <> o.kind) AND other.status <> 'rejected')
			FOR UPDATE OF l`, orderID)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(ids) == 0 {
			return err
		}
		return dropLists(ctx, tx, ids)
	})
	if err != nil {
		return fmt.Errorf("deleting the list of order %s: %w", orderID, err)
	}
	return nil
}

func dropLists(ctx context.Context, tx pgx.Tx, ids []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM list_row WHERE list_id = ANY ($1)`, ids); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM list WHERE id = ANY ($1)`, ids)
	return err
}

// ExpireLists deletes up to limit lists that no order has used and none has asked
// for in the last UnusedFor, and returns how many. A list that an open order is
// still to select from stays.
func (c *Catalogue) ExpireLists(ctx context.Context, limit int) (int, error) {
	var ids []string
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT id FROM list
			WHERE used_at IS NULL AND wanted_at NOT BETWEEN now() - $1::bigint * interval '1 second' AND now() + $1::bigint * interval '1 second'
				AND id NOT IN (SELECT request ->> 'list_id' FROM orders WHERE status IN `+openStatuses+` AND request ? 'list_id')
			LIMIT $2 FOR UPDATE SKIP LOCKED`, int64(UnusedFor.Seconds()), limit)
		var err error
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(ids) == 0 {
			return err
		}
		return dropLists(ctx, tx, ids)
	})
	if err != nil {
		return 0, fmt.Errorf("unused lists were not deleted: %w", err)
	}
	return len(ids), nil
}
