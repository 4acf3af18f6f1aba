package lead

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// BadRow is a row of a list that has no address which can be used.
type BadRow struct {
	Line    int64    // of the file, where the row begins
	Cells   []string // as they came
	Problem string   // why, in a sentence
}

// BadRows are the first rows of an organization's list that have no address which
// can be used, at most limit of them, in the order of the file.
func (c *Catalogue) BadRows(ctx context.Context, org, list string, limit int) ([]BadRow, error) {
	rows, _ := c.pool.Query(ctx, `
		SELECT r.line, r.cells, r.problem FROM list l JOIN list_row r ON r.list_id = l.id
		WHERE l.id = $1 AND l.org = $2 AND r.problem IS NOT NULL ORDER BY r.n LIMIT $3`, list, org, limit)
	bad, err := pgx.CollectRows(rows, pgx.RowToStructByPos[BadRow])
	if err != nil {
		return nil, fmt.Errorf("reading the rows of the list %s that cannot be used: %w", list, err)
	}
	return bad, nil
}
