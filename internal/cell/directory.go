package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// idsApart is how many ids of rows each cell has for itself, so that the rows of an
// organization keep theirs when it moves. Those of the first cell begin at 0.
const idsApart = int64(1) << 40

// sequences number rows that organizations have.
var sequences = []string{"orders_seq_seq", "outbox_id_seq", "webhook_delivery_id_seq", "purchase_id_seq", "top_up_id_seq"}

// Place is where an organization is.
type Place struct {
	Cell     string
	MovingTo string // not empty: it is closed until it is there
	LeftIn   string // where rows of before its last move may still be
}

// Directory knows the cell of each organization. It is in the database of the
// first cell.
type Directory struct{ pool *pgxpool.Pool }

// NewDirectory returns the directory in the database of the first cell.
func NewDirectory(first *pgxpool.Pool) *Directory { return &Directory{first} }

// Register writes cells into the directory, numbers the rows of each apart from
// the others' and notes where organizations are that are there already. It may run
// any number of times.
func (d *Directory) Register(ctx context.Context, cells []Cell) error {
	for i, c := range cells {
		if _, err := enrolled(ctx, c); err != nil {
			return err
		}
		number, err := d.number(ctx, c.Name, i == 0)
		if err != nil {
			return fmt.Errorf("the cell %s was not written into the directory: %w", c.Name, err)
		}
		if err := pgx.BeginFunc(ctx, c.Pool, func(tx pgx.Tx) error { return enroll(ctx, tx, c.Name, number) }); err != nil {
			return fmt.Errorf("the cell %s does not know its name: %w", c.Name, err)
		}
	}
	for _, c := range cells {
		if err := d.adopt(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// number is a cell's, for good.
func (d *Directory) number(ctx context.Context, name string, first bool) (number int, err error) {
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE cell IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO cell (number, name, here) SELECT coalesce(max(number) + 1, 0), $1, $2 FROM cell
			ON CONFLICT DO NOTHING`, name, first); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT number FROM cell WHERE name = $1`, name).Scan(&number)
	})
	if err == nil && first && number != 0 {
		err = errors.New("another cell was the first one; keep the order of HOLDFAST_CELLS, and add cells at its end")
	}
	return number, err
}

// enrolled says whether a cell's own database knows which cell it is. It is an error
// where it knows itself as another one.
func enrolled(ctx context.Context, c Cell) (bool, error) {
	var name string
	if err := c.Pool.QueryRow(ctx, `SELECT coalesce(max(name), '') FROM cell WHERE here`).Scan(&name); err != nil {
		return false, fmt.Errorf("the cell %s cannot be read: %w", c.Name, err)
	}
	if name != "" && name != c.Name {
		return false, fmt.Errorf("the database of the cell %s is that of the cell %s; give it its own database_url in HOLDFAST_CELLS", c.Name, name)
	}
	return name != "", nil
}

// enroll tells a cell's own database which cell it is.
func enroll(ctx context.Context, tx pgx.Tx, name string, number int) error {
	// Processes that start together wait for each other: a row that another one has just
	// written could be met at its number first, which would be an error.
	if _, err := tx.Exec(ctx, `LOCK TABLE cell IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO cell (number, name, here) VALUES ($1, $2, true) ON CONFLICT (name) DO NOTHING`, number, name); err != nil {
		return err
	}
	if number == 0 {
		return nil
	}
	for _, sequence := range sequences {
		if _, err := tx.Exec(ctx, `SELECT setval($1::text::regclass, $2) WHERE (SELECT coalesce(last_value, 0) FROM pg_sequences WHERE sequencename = $1::text) < $2`,
			sequence, int64(number)*idsApart); err != nil {
			return err
		}
	}
	return nil
}

// adopt notes the organizations of a cell that the directory does not know.
func (d *Directory) adopt(ctx context.Context, c Cell) error {
	rows, _ := c.Pool.Query(ctx, `SELECT id FROM organization`)
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil {
		_, err = d.pool.Exec(ctx, `
			INSERT INTO cell_org (org, cell) SELECT org, $1 FROM unnest($2::text[]) AS org ON CONFLICT DO NOTHING`, c.Name, orgs)
	}
	if err != nil {
		return fmt.Errorf("the organizations of the cell %s were not written into the directory: %w", c.Name, err)
	}
	rows, _ = d.pool.Query(ctx, `
		SELECT org || ' (' || cell || ')' FROM cell_org
		WHERE org = ANY ($1) AND $2 NOT IN (cell, coalesce(moving_to, ''), coalesce(left_in, '')) LIMIT 10`, orgs, c.Name)
	twice, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(twice) > 0 {
		err = fmt.Errorf("%s has organizations that the directory has in other cells: %s", c.Name, twice)
	}
	return err
}

// Knows is an error where one of cells is not registered, or has the database of
// another one.
func (d *Directory) Knows(ctx context.Context, cells []Cell) error {
	rows, _ := d.pool.Query(ctx, `SELECT name FROM cell`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("the directory of cells cannot be read: %w", err)
	}
	for _, c := range cells {
		known, err := enrolled(ctx, c)
		if err != nil {
			return err
		}
		if !known || !slices.Contains(names, c.Name) {
			return fmt.Errorf("the cell %s is not in the directory; run migrate", c.Name)
		}
	}
	return nil
}

// Find is where an organization is.
func (d *Directory) Find(ctx context.Context, org string) (p Place, found bool, err error) {
	err = d.pool.QueryRow(ctx, `SELECT cell, coalesce(moving_to, ''), coalesce(left_in, '') FROM cell_org WHERE org = $1`, org).
		Scan(&p.Cell, &p.MovingTo, &p.LeftIn)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("the directory of cells cannot be read: %w", err)
	}
	return p, true, nil
}

// put notes the cell of an organization that the directory does not know, and
// returns where it is: another process may have been faster.
func (d *Directory) put(ctx context.Context, org, cell string) (Place, error) {
	if _, err := d.pool.Exec(ctx, `INSERT INTO cell_org (org, cell) VALUES ($1, $2) ON CONFLICT DO NOTHING`, org, cell); err != nil {
		return Place{}, fmt.Errorf("the cell of %s was not noted: %w", org, err)
	}
	p, _, err := d.Find(ctx, org)
	return p, err
}

// fewest is the one of cells that has the fewest organizations.
func (d *Directory) fewest(ctx context.Context, cells []string) (name string, err error) {
	err = d.pool.QueryRow(ctx, `
		SELECT c.name FROM cell c LEFT JOIN cell_org o ON o.cell = c.name WHERE c.name = ANY ($1)
		GROUP BY c.number, c.name ORDER BY count(o.org), c.number LIMIT 1`, cells).Scan(&name)
	if err != nil {
		return "", fmt.Errorf("the directory of cells cannot be read: %w", err)
	}
	return name, nil
}

// change writes where an organization is, if it still is where the caller thinks.
func (d *Directory) change(ctx context.Context, org string, from, to Place) error {
	tag, err := d.pool.Exec(ctx, `
		UPDATE cell_org SET cell = $2, moving_to = nullif($3, ''), left_in = nullif($4, ''), changed_at = now()
		WHERE org = $1 AND cell = $5 AND coalesce(moving_to, '') = $6 AND coalesce(left_in, '') = $7`,
		org, to.Cell, to.MovingTo, to.LeftIn, from.Cell, from.MovingTo, from.LeftIn)
	if err == nil && tag.RowsAffected() == 0 {
		err = errors.New("another move has changed it just now")
	}
	if err != nil {
		return fmt.Errorf("the directory was not changed for %s: %w", org, err)
	}
	return nil
}
