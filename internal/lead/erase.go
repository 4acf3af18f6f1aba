package lead

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/suppression"
)

// shared is how many leads may have an address that is still taken for one
// person's own; info@ and the like are not.
const shared = 5

// Person is a person as the catalogue knows them: leads that have addresses in
// common.
type Person struct {
	Numbers   []int64  // internal numbers of the leads
	IDs       []string // ids of the leads
	Addresses []string // all of them, in the spellings that were met
}

// FindPerson finds the leads that have one of the addresses, letter case aside,
// or one of the ids, and those that have an address in common with these; former
// tells what other addresses a lead had, by its number. An address that more than
// five leads share leads to no other person and is not this person's, unless it was
// asked for. A person who is not in the catalogue is no error.
func (c *Catalogue) FindPerson(ctx context.Context, tx pgx.Tx, addresses, ids []string, former func(no int64) ([]string, error)) (Person, error) {
	if err := lookUp(ctx, tx); err != nil {
		return Person{}, err
	}
	type known struct {
		No                     int64
		ID, Email, DirectEmail string
	}
	var person Person
	var next []string // addresses to look for
	asked, seen := map[string]bool{}, map[string]bool{}
	for _, address := range addresses {
		asked[strings.ToLower(address)] = true
		next = append(next, address)
	}
	take := func(leads []known) error {
		for _, l := range leads {
			if slices.Contains(person.Numbers, l.No) {
				continue
			}
			person.Numbers, person.IDs = append(person.Numbers, l.No), append(person.IDs, l.ID)
			had, err := former(l.No)
			if err != nil {
				return err
			}
			next = append(append(next, l.Email, l.DirectEmail), had...)
		}
		return nil
	}
	find := func(where string, arg any) ([]known, error) {
		rows, _ := tx.Query(ctx, `SELECT no, id, email, direct_email FROM lead WHERE `+where+` ORDER BY no`, arg)
		leads, err := pgx.CollectRows(rows, pgx.RowToStructByName[known])
		if err != nil {
			return nil, fmt.Errorf("looking for a person in the catalogue: %w", err)
		}
		return leads, nil
	}
	leads, err := find(`id = ANY ($1)`, ids)
	if err == nil {
		err = take(leads)
	}
	if err != nil {
		return Person{}, err
	}
	for len(next) > 0 {
		address := next[0]
		next = next[1:]
		if address == "" || seen[address] {
			continue
		}
		seen[address] = true
		if leads, err = find(`no IN (
			SELECT no FROM lead WHERE lower(email) = lower($1)
			UNION SELECT no FROM lead WHERE direct_email <> '' AND lower(direct_email) = lower($1))`, address); err != nil {
			return Person{}, err
		}
		if len(leads) > shared && !asked[strings.ToLower(address)] {
			continue
		}
		person.Addresses = append(person.Addresses, address)
		if err := take(leads); err != nil {
			return Person{}, err
		}
	}
	return person, nil
}

// EraseLeads deletes leads. The facet index forgets them with Reindex.
func (c *Catalogue) EraseLeads(ctx context.Context, tx pgx.Tx, numbers []int64) (erased int64, err error) {
	chunks := map[int64]bool{}
	for _, no := range numbers {
		chunks[no/chunkSize] = true
	}
	tag, err := tx.Exec(ctx, `DELETE FROM lead WHERE no = ANY ($1)`, numbers)
	if err == nil && len(chunks) > 0 {
		err = markStale(ctx, tx, chunks)
	}
	if err != nil {
		return 0, fmt.Errorf("erasing leads: %w", err)
	}
	return tag.RowsAffected(), nil
}

// EraseRows empties the rows of uploaded lists that have one of the addresses,
// letter case aside, and those that orders matched to the lead of their items
// with these numbers (orders[i] and items[i] belong together). Rows keep their
// place, and lists their counts. It returns the addresses as they stood there.
func (c *Catalogue) EraseRows(ctx context.Context, tx pgx.Tx, addresses, orders []string, items []int64) (erased []string, err error) {
	wanted := make([]string, len(addresses))
	for i, address := range addresses {
		wanted[i] = strings.ToLower(address)
	}
	rows, _ := tx.Query(ctx, `
		WITH found AS MATERIALIZED (
			SELECT list_id, n, email FROM list_row WHERE lower(email) = ANY ($1)
			UNION
			SELECT r.list_id, r.n, r.email
			FROM unnest($2::text[], $3::bigint[]) AS i (order_id, n)
			JOIN order_row m ON m.order_id = i.order_id AND m.item = i.n
			JOIN order_selection s ON s.order_id = i.order_id AND s.round = 1
			JOIN list_row r ON r.list_id = s.list_id AND r.n = m.n
		)
		UPDATE list_row r SET email = '', cells = array_fill(''::text, ARRAY[cardinality(r.cells)])
		FROM found f
		WHERE r.list_id = f.list_id AND r.n = f.n
		RETURNING f.email`, wanted, orders, items)
	if erased, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, fmt.Errorf("erasing rows of lists: %w", err)
	}
	return erased, nil
}

// leaveOutErased takes the people out of a batch who were erased.
func (imp *importer) leaveOutErased(ctx context.Context, tx pgx.Tx, b *batch) error {
	if err := suppression.Copying(ctx, tx); err != nil {
		return err
	}
	const each = 3 // subjects a row
	subjects := make([][]byte, 0, each*len(b.rows))
	for i := range b.rows {
		rec := &b.rows[i].rec
		subjects = append(subjects, suppression.LeadSubject(rec[colID]), suppression.Subject(rec[colEmail]), suppression.Subject(rec[colDirect]))
	}
	erased, err := suppression.WhichErased(ctx, tx, subjects)
	if err != nil {
		return err
	}
	kept := b.rows[:0]
	for i, row := range b.rows {
		if slices.Contains(erased[each*i:each*(i+1)], true) {
			b.reject(row.line, "the person was erased on request and is not taken in again")
			continue
		}
		kept = append(kept, row)
	}
	b.rows = kept
	return nil
}

// erasedProblem is why a row is malformed whose person was erased, in SQL.
const erasedProblem = `'the person was erased on request'`

// blankErased takes the people out of an upload who were erased: their rows are
// malformed and empty.
func blankErased(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		UPDATE upload SET email = '', cells = array_fill(''::text, ARRAY[cardinality(cells)]),
			problem = `+erasedProblem+`
		FROM suppression s
		WHERE problem IS NULL AND email <> '' AND s.org = '' AND s.reason = 'erased'
			AND s.subject = sha256(convert_to(lower(email), 'UTF8'))`)
	return err
}

// EraseLists empties all rows of the lists that an organization has uploaded.
// Rows keep their place, and lists their counts.
func (c *Catalogue) EraseLists(ctx context.Context, org string) error {
	rows, _ := c.pool.Query(ctx, `SELECT id FROM list WHERE org = $1 ORDER BY created_at, id`, org)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("the lists of %s cannot be listed: %w", org, err)
	}
	for _, id := range ids {
		if _, err := c.pool.Exec(ctx, `
			UPDATE list_row SET email = '', cells = array_fill(''::text, ARRAY[cardinality(cells)])
			WHERE list_id = $1`, id); err != nil {
			return fmt.Errorf("erasing the rows of the list %s: %w", id, err)
		}
	}
	return nil
}
