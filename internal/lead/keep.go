package lead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/outbox"
	"holdfast/internal/suppression"
)

// newList is a list before it is kept.
type newList struct {
	id      string
	columns []string
	upload  *Upload // nil: it comes in the body of an order
	size    usage
	rows    *shortList // nil: in the table upload
}

// keep copies the rows in and numbers their addresses. The rows of a short list
// are an array; a temporary table, which costs the database several times as much
// as they do, is for lists of any length. Lists of a few rows that come in the
// bodies of orders at the same time are kept together.
func (c *Catalogue) keep(ctx context.Context, org string, id *listID, source *listSource, upload *Upload) (List, error) {
	short, err := source.short()
	if err != nil {
		return List{}, refusedOr(err, org)
	}
	l := newList{columns: source.columns, upload: upload, rows: short}
	var kept List
	if short != nil && upload == nil && source.n <= fewRows {
		l.id, l.size = id.String(), usage{source.n, id.bytes}
		kept, err = c.few.Call(ctx, together{org, commit.Deferred(ctx)}, l)
	} else {
		err = commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
			if short == nil {
				if err := copyIn(ctx, tx, source); err != nil {
					return err
				}
			}
			l.id, l.size = id.String(), usage{source.n, id.bytes} // all of it was read by now
			made, err := c.keepAll(ctx, tx, org, l)
			kept = made[l.id]
			return err
		})
	}
	if err == nil && kept.ID == "" { // it is there already
		return c.List(ctx, org, id.String())
	}
	if err != nil {
		return List{}, refusedOr(err, org)
	}
	return kept, nil
}

const fewTogether = 100 // lists that are kept together at most

// keepFew keeps lists of a few rows each. One that is there already has no outcome.
func (c *Catalogue) keepFew(ctx context.Context, key together, all []newList) ([]List, error) {
	kept := make([]List, len(all))
	return kept, commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		made, err := c.keepAll(ctx, tx, key.org, all...)
		for i, l := range all {
			kept[i] = made[l.id]
		}
		return err
	}, commit.PlannedOnce...)
}

// keepAll keeps lists, but for those that are there already, and returns by ID what
// it has made. A list in the table upload comes alone.
func (c *Catalogue) keepAll(ctx context.Context, tx pgx.Tx, org string, all ...newList) (map[string]List, error) {
	if err := suppression.Copying(ctx, tx); err != nil {
		return nil, err
	}
	ids := make([]string, len(all))
	for i, l := range all {
		ids[i] = l.id
	}
	there, err := wanted(ctx, tx, org, ids)
	if err != nil {
		return nil, err
	}
	var fresh []newList
	var size usage
	for _, l := range all {
		if !there[l.id] {
			there[l.id] = true // it may come twice
			fresh, size = append(fresh, l), size.plus(l.size)
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	upload := fresh[0].upload // it comes alone
	if err := c.admit(ctx, tx, org, size, upload != nil); err != nil {
		return nil, err
	}
	var lists []List
	if fresh[0].rows != nil {
		lists, err = insertShort(ctx, tx, org, fresh...)
	} else {
		lists, err = insertLong(ctx, tx, org, fresh[0])
	}
	if err != nil {
		return nil, err
	}
	made := make(map[string]List, len(lists))
	for _, l := range lists {
		made[l.ID] = l
		if err := announceList(ctx, tx, org, upload, l); err != nil {
			return nil, err
		}
	}
	return made, nil
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

// insertLists and insertRows make lists of what is in upload.
const (
	insertLists = `
		INSERT INTO list (id, org, columns, rows, unique_rows, matchable, malformed, member, bytes, uploaded)
		SELECT l.id, $1, l.columns::text[], count(*), count(DISTINCT lower(u.email)) FILTER (WHERE u.problem IS NULL),
			count(u.problem) FILTER (WHERE u.matchable), count(u.problem) FILTER (WHERE NOT u.matchable), l.member, l.bytes, l.uploaded
		FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bool[]) AS l (id, columns, member, bytes, uploaded)
		JOIN upload u ON u.list_id = l.id
		GROUP BY l.id, l.columns, l.member, l.bytes, l.uploaded
		ORDER BY l.id
		ON CONFLICT (id) DO NOTHING
		RETURNING ` + listColumns
	insertRows = `
		INSERT INTO list_row (list_id, n, line, item, email, cleaned, cells, problem)
		SELECT list_id, n, line, CASE WHEN problem IS NULL THEN
				dense_rank() OVER (PARTITION BY list_id, problem IS NULL ORDER BY split_part(lower(email), '@', -1) COLLATE "C", lower(email) COLLATE "C")
			END, email, cleaned, cells, problem
		FROM upload`
)

// heads are the parameters of insertLists.
func heads(org string, lists ...newList) []any {
	var ids, columns, members []string
	var bytes []int64
	var uploaded []bool
	for _, l := range lists {
		member := ""
		if l.upload != nil {
			member = l.upload.Member
		}
		ids, columns, members = append(ids, l.id), append(columns, arrayOf(l.columns)), append(members, member)
		bytes, uploaded = append(bytes, l.size.bytes), append(uploaded, l.upload != nil)
	}
	return []any{org, ids, columns, members, bytes, uploaded}
}

// insertShort makes lists, but for those that are there, and returns them.
func insertShort(ctx context.Context, tx pgx.Tx, org string, lists ...newList) ([]List, error) {
	var of []string
	var all shortList
	for _, l := range lists {
		of = append(of, slices.Repeat([]string{l.id}, len(l.rows.n))...)
		all.add(l.rows)
	}
	rows, _ := tx.Query(ctx, `
		WITH upload AS MATERIALIZED (
			SELECT u.list_id, u.n, u.line, u.matchable, u.cleaned,
				CASE WHEN e IS NULL THEN u.email ELSE '' END AS email,
				CASE WHEN e IS NULL THEN u.cells::text[] ELSE array_fill(''::text, ARRAY[cardinality(u.cells::text[])]) END AS cells,
				CASE WHEN e IS NULL THEN u.problem ELSE `+erasedProblem+` END AS problem
			FROM unnest($7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::bool[], $12::text[], $13::text[], $14::bool[])
				AS u (list_id, n, line, email, cleaned, cells, problem, matchable)
			LEFT JOIN LATERAL (SELECT true FROM suppression s
				WHERE u.problem IS NULL AND u.email <> '' AND s.org = '' AND s.reason = 'erased'
					AND s.subject = sha256(convert_to(lower(u.email), 'UTF8')) LIMIT 1) e (e) ON true
		), list_in AS (`+insertLists+`
		), rows_in AS (`+insertRows+` WHERE list_id IN (SELECT id FROM list_in))
		SELECT * FROM list_in`, append(append(heads(org, lists...), of), all.columns()...)...)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[List])
}

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

// insertLong makes a list of the table upload, unless it is there.
func insertLong(ctx context.Context, tx pgx.Tx, org string, l newList) ([]List, error) {
	if err := blankErased(ctx, tx); err != nil {
		return nil, err
	}
	rows, _ := tx.Query(ctx, `WITH upload AS (SELECT ($2::text[])[1] AS list_id, u.* FROM pg_temp.upload u)`+insertLists, heads(org, l)...)
	made, err := pgx.CollectRows(rows, pgx.RowToStructByPos[List])
	if err != nil || len(made) == 0 {
		return nil, err
	}
	_, err = tx.Exec(ctx, `WITH upload AS (SELECT $1::text AS list_id, u.* FROM pg_temp.upload u)`+insertRows, l.id)
	return made, err
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

// add appends the rows of another list.
func (l *shortList) add(other *shortList) {
	l.n, l.line, l.email = append(l.n, other.n...), append(l.line, other.line...), append(l.email, other.email...)
	l.cleaned, l.matchable = append(l.cleaned, other.cleaned...), append(l.matchable, other.matchable...)
	l.cells, l.problem = append(l.cells, other.cells...), append(l.problem, other.problem...)
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
