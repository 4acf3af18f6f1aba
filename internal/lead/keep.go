package lead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/outbox"
	"holdfast/internal/suppression"
)

// keep copies the rows in and numbers their addresses. The rows of a short list
// are an array; a temporary table, which costs the database several times as much
// as they do, is for lists of any length. A list that comes in the body of an order
// has no upload.
func (c *Catalogue) keep(ctx context.Context, org string, id *listID, source *listSource, upload *Upload) (List, error) {
	var kept List
	short, err := source.short()
	if err != nil {
		return List{}, refusedOr(err, org)
	}
	member := ""
	if upload != nil {
		member = upload.Member
	}
	err = commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		if short == nil {
			if err := copyIn(ctx, tx, source); err != nil {
				return err
			}
		}
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		// All of it was read by now.
		if again, err := wanted(ctx, tx, org, id.String()); err != nil || again {
			return err
		}
		if err := c.admit(ctx, tx, org, usage{source.n, id.bytes}, upload != nil); err != nil {
			return err
		}
		list := []any{id.String(), org, source.columns, member, id.bytes, upload != nil}
		if short == nil {
			if err := keepLong(ctx, tx, list, &kept); err != nil {
				return err
			}
			return announceList(ctx, tx, org, upload, kept)
		}
		rows, err := tx.Query(ctx, `
			WITH upload AS MATERIALIZED (
				SELECT u.n, u.line, u.matchable, u.cleaned,
					CASE WHEN e IS NULL THEN u.email ELSE '' END AS email,
					CASE WHEN e IS NULL THEN u.cells::text[] ELSE array_fill(''::text, ARRAY[cardinality(u.cells::text[])]) END AS cells,
					CASE WHEN e IS NULL THEN u.problem ELSE `+erasedProblem+` END AS problem
				FROM unnest($7::bigint[], $8::bigint[], $9::text[], $10::bool[], $11::text[], $12::text[], $13::bool[])
					AS u (n, line, email, cleaned, cells, problem, matchable)
				LEFT JOIN LATERAL (SELECT true FROM suppression s
					WHERE u.problem IS NULL AND u.email <> '' AND s.org = '' AND s.reason = 'erased'
						AND s.subject = sha256(convert_to(lower(u.email), 'UTF8')) LIMIT 1) e (e) ON true
			), list_in AS (`+insertList+`
			), rows_in AS (`+insertRows+` WHERE EXISTS (SELECT FROM list_in))
			SELECT * FROM list_in`, append(list, short.columns()...)...)
		if err != nil {
			return err
		}
		if kept, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[List]); err != nil {
			return err
		}
		return announceList(ctx, tx, org, upload, kept)
	})
	if errors.Is(err, pgx.ErrNoRows) || err == nil && kept.ID == "" { // it is there already
		return c.List(ctx, org, id.String())
	}
	if err != nil {
		return List{}, refusedOr(err, org)
	}
	return kept, nil
}

// announceList writes the event of a list that was uploaded. One that was deleted
// and is uploaded again is another list.
func announceList(ctx context.Context, tx pgx.Tx, org string, upload *Upload, l List) error {
	if upload == nil { // it was made of an order's addresses
		return nil
	}
	event, err := outbox.New(org, outbox.ListReady, outbox.ReadyList{
		Org: org, Member: upload.Member, ID: l.ID, Columns: append([]string{}, l.Columns...), Rows: l.Rows, Unique: l.Unique,
		Matchable: l.Matchable, Malformed: l.Malformed, At: l.CreatedAt.UTC(),
	}, l.ID, l.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, event)
}

// refusedOr is the error of a list that is not stored.
func refusedOr(err error, org string) error {
	var refused *ListError
	var full *QuotaError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &full):
		return full
	}
	return fmt.Errorf("storing a list of %s: %w", org, err)
}

// insertList and insertRows make a list of what is in upload.
const (
	insertList = `
		INSERT INTO list (id, org, columns, rows, unique_rows, matchable, malformed, member, bytes, uploaded)
		SELECT $1, $2, $3, count(*), count(DISTINCT lower(email)) FILTER (WHERE problem IS NULL),
			count(problem) FILTER (WHERE matchable), count(problem) FILTER (WHERE NOT matchable), $4, $5, $6
		FROM upload
		ON CONFLICT (id) DO NOTHING
		RETURNING ` + listColumns
	insertRows = `
		INSERT INTO list_row (list_id, n, line, item, email, cleaned, cells, problem)
		SELECT $1, n, line, CASE WHEN problem IS NULL THEN
				dense_rank() OVER (PARTITION BY problem IS NULL ORDER BY split_part(lower(email), '@', -1) COLLATE "C", lower(email) COLLATE "C")
			END, email, cleaned, cells, problem
		FROM upload`
)

// copyIn copies the rows of a long list into the temporary table upload.
func copyIn(ctx context.Context, tx pgx.Tx, source *listSource) error {
	if _, err := tx.Exec(ctx, `
		CREATE TEMP TABLE upload (n bigint, line bigint, email text, cleaned boolean, cells text[], problem text, matchable boolean) ON COMMIT DROP`); err != nil {
		return err
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"upload"}, []string{"n", "line", "email", "cleaned", "cells", "problem", "matchable"}, source); err != nil {
		return cmp.Or(source.err, err) // what ended the reading, rather than that it ended
	}
	return nil
}

// keepLong makes a list of the table upload.
func keepLong(ctx context.Context, tx pgx.Tx, list []any, kept *List) error {
	if err := blankErased(ctx, tx); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, insertList, list...)
	if err != nil {
		return err
	}
	if *kept, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[List]); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertRows, list[0])
	return err
}

// shortList is a list that is short, turned on its side as unnest wants it.
type shortList struct {
	n, line            []int64
	email              []string
	cleaned, matchable []bool
	cells              []string // arrays
	problem            []*string
}

// shortMost is how many rows a list has at most that is not copied.
const shortMost = 1000

// short reads the source: it returns its rows, or nil where they are not few; then
// the source has all of them again.
func (s *listSource) short() (*shortList, error) {
	var rows [][]any
	for len(rows) <= shortMost && s.Next() {
		rows = append(rows, s.row)
	}
	if s.err != nil {
		return nil, s.err
	}
	if len(rows) == 0 {
		return nil, &ListError{"The list is empty; it needs at least one row with an address."}
	}
	if len(rows) > shortMost {
		s.ahead = rows
		return nil, nil
	}
	var l shortList
	for _, row := range rows {
		l.n, l.line = append(l.n, row[0].(int64)), append(l.line, row[1].(int64))
		l.email, l.cleaned = append(l.email, row[2].(string)), append(l.cleaned, row[3].(bool))
		l.cells = append(l.cells, arrayOf(row[4].([]string)))
		var problem *string
		if text, is := row[5].(string); is {
			problem = &text
		}
		l.problem, l.matchable = append(l.problem, problem), append(l.matchable, row[6].(bool))
	}
	return &l, nil
}

func (l *shortList) columns() []any {
	return []any{l.n, l.line, l.email, l.cleaned, l.cells, l.problem, l.matchable}
}

// arrayOf is a PostgreSQL array of texts, as a text.
func arrayOf(texts []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = `"` + escape.Replace(text) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}
