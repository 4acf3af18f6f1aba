package cell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
)

// ErrMove is why an organization is not moved.
var ErrMove = errcode.New(errcode.Conflict, "not moved")

// Move moves an organization from one cell to another. Every step may be repeated: a
// move that was interrupted is taken up by the next one to the same cell, and undone
// by one back to the cell it began in.
type Move struct {
	Directory *Directory
	Org       string
	Cells     []Cell // all; their databases' users own the schema
	To        string
	Wait      time.Duration // for requests that came before the organization was closed

	// Audit proves the books of the organization in a database.
	Audit func(context.Context, *pgxpool.Pool) (ledger.Report, error)
	Note  func(format string, args ...any)
}

// undoWithin is how long a move that failed or was stopped takes to undo what it did.
// A cell that says nothing any more keeps it no longer: the next move takes it up.
const undoWithin = 5 * time.Minute

func (m *Move) cell(name string) (Cell, error) {
	for _, c := range m.Cells {
		if c.Name == name {
			return c, nil
		}
	}
	return Cell{}, errcode.Say(ErrMove, "There is no cell %q.", name)
}

// Run moves. Where it refuses, the organization is as it was.
func (m *Move) Run(ctx context.Context) error {
	place, found, err := m.Directory.Find(ctx, m.Org)
	if err != nil {
		return err
	}
	if !found {
		return errcode.Say(ErrMove, "The directory has no organization %q; run migrate if it was made before there were cells.", m.Org)
	}
	to, err := m.cell(m.To)
	if err != nil {
		return err
	}
	from, err := m.cell(place.Cell)
	if err != nil {
		return err
	}
	switch {
	case place.LeftIn != "":
		if err := m.clearUp(ctx, place); err != nil || place.Cell == m.To {
			return err
		}
		place.LeftIn = ""
	case place.Cell == m.To && place.MovingTo == "":
		m.Note("%s is in cell %s already.", m.Org, m.To)
		return nil
	case place.MovingTo != "" && place.Cell == m.To:
		m.Note("The move to %s is undone.", place.MovingTo)
		return m.undo(ctx, place)
	case place.MovingTo != "" && place.MovingTo != m.To:
		return errcode.Say(ErrMove, "%s is being moved to %s; go on with that, or undo it by moving it to %s.", m.Org, place.MovingTo, place.Cell)
	}
	closed := Place{Cell: place.Cell, MovingTo: m.To}
	if place.MovingTo == "" {
		if err := m.Directory.change(ctx, m.Org, place, closed); err != nil {
			return err
		}
	}
	if m.Wait > 0 {
		m.Note("%s is closed; waiting %s for requests that came before.", m.Org, m.Wait)
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(m.Wait):
		err = m.carry(ctx, from, to)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
		defer cancel()
		now, _, lost := m.Directory.Find(ctx, m.Org)
		if lost == nil && now == closed { // it is still in the first cell
			err = errors.Join(err, m.undo(ctx, closed))
		}
	}
	return err
}

// undo opens the organization where it was, and removes what was copied.
func (m *Move) undo(ctx context.Context, closed Place) error {
	to, err := m.cell(closed.MovingTo)
	if err != nil {
		return err
	}
	if err := m.remove(ctx, to.Pool); err != nil {
		return err
	}
	return m.Directory.change(ctx, m.Org, closed, Place{Cell: closed.Cell})
}

// clearUp removes what an interrupted move has left behind.
func (m *Move) clearUp(ctx context.Context, place Place) error {
	left, err := m.cell(place.LeftIn)
	if err != nil {
		return err
	}
	if err := m.remove(ctx, left.Pool); err != nil {
		return err
	}
	return m.Directory.change(ctx, m.Org, place, Place{Cell: place.Cell})
}

func (m *Move) remove(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := m.delete(ctx, tx)
		return err
	})
}

// carry copies the rows, proves them, changes the directory and removes the old
// ones. From its first statement on nothing else writes the organization's credits
// in the old cell, so that what was proved is what was removed.
func (m *Move) carry(ctx context.Context, from, to Cell) error {
	tx, err := from.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("the cell %s does not answer: %w", from.Name, err)
	}
	defer func() { // after a commit it does nothing
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()
	if err := m.lock(ctx, tx); err != nil {
		return err
	}
	report, err := m.Audit(ctx, from.Pool)
	if err != nil {
		return err
	}
	if !report.Clean() {
		return errcode.Say(ErrMove, "The books of %s do not balance in cell %s; run audit, and repair them first.", m.Org, from.Name)
	}
	var copied map[string]int64
	if err := pgx.BeginFunc(ctx, to.Pool, func(there pgx.Tx) error {
		if _, err := m.delete(ctx, there); err != nil { // of a move that was interrupted
			return err
		}
		copied, err = m.copyAll(ctx, tx, there, to.Name)
		return err
	}); err != nil {
		return err
	}
	if err := m.prove(ctx, from, to); err != nil {
		return err
	}
	// Who waits for the locks would write here after the move, as a reset may.
	var waiting int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`).Scan(&waiting); err != nil {
		return fmt.Errorf("the sessions of the cell %s cannot be read: %w", from.Name, err)
	}
	if waiting > 0 {
		return errcode.Say(ErrMove, "Something wants to write about %s, such as a reset or an import of its list; move it again in a moment.", m.Org)
	}
	gone, err := m.delete(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if gone[p.table] != copied[p.table] {
			return errcode.Say(ErrMove, "Rows of %s were written while %s was copied; move it again.", p.table, m.Org)
		}
	}
	closed, moved := Place{Cell: from.Name, MovingTo: to.Name}, Place{Cell: to.Name, LeftIn: from.Name}
	if err := m.Directory.change(ctx, m.Org, closed, moved); err != nil {
		return err
	}
	// From here on it is in the new cell, even after a crash.
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("%s is in cell %s now, but its old rows in cell %s were not removed; run the same command again: %w", m.Org, to.Name, from.Name, err)
	}
	m.Note("%s is in cell %s: %d journal entries, %d orders.", m.Org, to.Name, copied["credit_entry"], copied["orders"])
	return m.clearUp(ctx, moved)
}

// open are what keeps an organization from being moved.
var open = []struct{ query, what, do string }{
	{`SELECT count(*) FROM orders WHERE org = $1 AND status IN ('reserved', 'verifying', 'completed')`, "open orders", "wait until they are settled, or cancel them"},
	{`SELECT count(*) FROM credit_hold WHERE owner = $1 AND NOT closed`, "open holds", "wait until its orders have begun or ended"},
	{`SELECT count(*) FROM outbox WHERE org = $1 AND published_at IS NULL`, "events that are not published yet", "see that the workers of its cell run"},
	{`SELECT count(*) FROM top_up WHERE org = $1 AND done_at IS NULL`, "automatic purchases under way", "wait until they have ended"},
	{`SELECT count(*) FROM ownership_due WHERE org = $1`, "ownership to be carried over", "run migrate in its cell"},
}

// lock keeps others from writing about the organization until the transaction ends,
// and refuses one that is at work.
func (m *Move) lock(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{
		`SELECT FROM credit_owner WHERE owner = $1 FOR UPDATE`,
		`SELECT FROM organization WHERE id = $1 FOR UPDATE`,
		`SELECT FROM orders WHERE org = $1 FOR UPDATE`,
	} {
		if _, err := tx.Exec(ctx, statement, m.Org); err != nil {
			return fmt.Errorf("%s was not locked: %w", m.Org, err)
		}
	}
	for _, o := range open {
		var n int64
		if err := tx.QueryRow(ctx, o.query, m.Org).Scan(&n); err != nil {
			return fmt.Errorf("what is open of %s cannot be read: %w", m.Org, err)
		}
		if n > 0 {
			return errcode.Say(ErrMove, "%s has %s (%d); %s.", m.Org, o.what, n, o.do)
		}
	}
	return nil
}

// prove compares the books of both cells.
func (m *Move) prove(ctx context.Context, from, to Cell) error {
	old, err := ledger.Heads(ctx, from.Pool, m.Org)
	if err != nil {
		return err
	}
	report, err := m.Audit(ctx, to.Pool)
	if err != nil {
		return err
	}
	now, err := ledger.Heads(ctx, to.Pool, m.Org)
	if err != nil {
		return err
	}
	same := len(old) == len(now)
	for i := range old {
		same = same && old[i].Seq == now[i].Seq && bytes.Equal(old[i].Hash, now[i].Hash)
	}
	if !report.Clean() || !same {
		return errcode.Say(ErrMove, "The copy of %s in cell %s is not like the original: %d findings of the audit.", m.Org, to.Name, report.Total)
	}
	return nil
}
