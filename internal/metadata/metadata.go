// Package metadata keeps what callers note about their organizations, members,
// orders and grants: a few texts by name, which Holdfast does not look into.
// They stay in PostgreSQL and never travel through Temporal. See README.md.
package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

// Data are the texts by name.
type Data map[string]string

// Thing is what metadata can be about.
type Thing string

// The things that have metadata.
const (
	Organization Thing = "organization"
	Member       Thing = "member"
	Order        Thing = "order"
	Grant        Thing = "grant"
)

// The limits.
const (
	MaxEntries = 20
	MaxName    = 40  // characters
	MaxValue   = 500 // characters
)

// InvalidError is metadata beyond the limits.
type InvalidError struct{ Message string }

func (e *InvalidError) Error() string { return e.Message }

// ErrorInfo says that the metadata of a request is not valid.
func (e *InvalidError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true, Field: "metadata"}
}

// Check says what is wrong with metadata, as an *InvalidError.
func Check(d Data) error {
	if len(d) > MaxEntries {
		return &InvalidError{fmt.Sprintf("The metadata has %d entries; at most %d are kept.", len(d), MaxEntries)}
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		switch {
		case name == "" || utf8.RuneCountInString(name) > MaxName:
			return &InvalidError{fmt.Sprintf("A name in the metadata is empty or longer than %d characters; shorten it.", MaxName)}
		case utf8.RuneCountInString(d[name]) > MaxValue:
			return &InvalidError{fmt.Sprintf("The value of %q in the metadata is longer than %d characters; shorten it.", name, MaxValue)}
		}
	}
	return nil
}

// Store gives access to the metadata of things whose packages do not keep it
// themselves. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// New returns the store behind a pool.
func New(pool *pgxpool.Pool) *Store { return &Store{pool} }

// Set replaces the metadata of a thing; none removes it.
func Set(ctx context.Context, db database.Writer, org string, thing Thing, id string, d Data) error {
	if err := Check(d); err != nil {
		return err
	}
	statement, args := `DELETE FROM metadata WHERE org = $1 AND thing = $2 AND id = $3`, []any{org, thing, id}
	if len(d) > 0 {
		statement = `INSERT INTO metadata (org, thing, id, data) VALUES ($1, $2, $3, $4)
			ON CONFLICT (org, thing, id) DO UPDATE SET data = EXCLUDED.data`
		args = append(args, d)
	}
	if _, err := db.Exec(ctx, statement, args...); err != nil {
		return fmt.Errorf("the metadata of %s %s was not kept: %w", thing, id, err)
	}
	return nil
}

// Keep notes the metadata of a thing that was just made, once: it returns what
// is kept, which is another's where the thing had some before.
func (s *Store) Keep(ctx context.Context, org string, thing Thing, id string, d Data) (Data, error) {
	if err := Check(d); err != nil {
		return nil, err
	}
	if len(d) > 0 {
		if _, err := s.pool.Exec(ctx, `
			INSERT INTO metadata (org, thing, id, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, org, thing, id, d); err != nil {
			return nil, fmt.Errorf("the metadata of %s %s was not kept: %w", thing, id, err)
		}
	}
	kept, err := s.Of(ctx, org, thing, []string{id})
	return kept[id], err
}

// KeepOfOrder notes the metadata of an order that is about to be made, and returns
// what is kept: of an order that is there, what it came with.
func KeepOfOrder(ctx context.Context, pool *pgxpool.Pool, org, id string, d Data) (kept Data, err error) {
	err = pool.QueryRow(ctx, `
		INSERT INTO metadata AS m (org, thing, id, data) VALUES ($1, $4, $2, $3)
		ON CONFLICT (org, thing, id) DO UPDATE SET data = CASE WHEN EXISTS (SELECT FROM orders WHERE orders.id = $2) THEN m.data ELSE EXCLUDED.data END
		RETURNING data`, org, id, d, Order).Scan(&kept)
	return kept, err
}

// Of returns the metadata of several things of one kind, by id; those without
// any are missing.
func (s *Store) Of(ctx context.Context, org string, thing Thing, ids []string) (map[string]Data, error) {
	found := map[string]Data{}
	rows, _ := s.pool.Query(ctx, `SELECT id, data FROM metadata WHERE org = $1 AND thing = $2 AND id = ANY ($3)`, org, thing, ids)
	var id string
	var d Data
	_, err := pgx.ForEachRow(rows, []any{&id, &d}, func() error {
		found[id] = d
		d = nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the metadata cannot be read: %w", err)
	}
	return found, nil
}

// Find returns the ids of the things of one kind whose metadata holds all of the
// entries.
func (s *Store) Find(ctx context.Context, org string, thing Thing, d Data) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT id FROM metadata WHERE org = $1 AND thing = $2 AND data @> $3`, org, thing, d)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the metadata cannot be searched: %w", err)
	}
	return ids, nil
}

// SQL is the metadata of a thing, or NULL, within a statement.
func SQL(thing Thing, org, id string) string {
	return `(SELECT noted.data FROM metadata noted WHERE noted.org = ` + org + ` AND noted.thing = '` + string(thing) + `' AND noted.id = ` + id + `)`
}

// Erase removes all metadata of an organization: callers may have put anything
// into it.
func (s *Store) Erase(ctx context.Context, org string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM metadata WHERE org = $1`, org); err != nil {
		return fmt.Errorf("the metadata of %s was not erased: %w", org, err)
	}
	return nil
}

// Text is metadata as a filter takes it: JSON, or "" for none.
func (d Data) Text() string {
	if len(d) == 0 {
		return ""
	}
	text, _ := json.Marshal(d) //nolint:errchkjson // texts always marshal
	return string(text)
}
