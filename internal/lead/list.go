package lead

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/suppression"
	"holdfast/internal/verify"
)

// MaxListRows is the largest number of rows a list may have.
const MaxListRows = 1_000_000

// ErrNoList says that an organization has no such list.
var ErrNoList = errcode.New(errcode.NotFound, "there is no such list; upload it first")

// ListError is a file that cannot be taken as a list.
type ListError struct {
	Message string // one sentence for the person who sent it
}

func (e *ListError) Error() string { return e.Message }

// ErrorInfo says that the request is not valid.
func (e *ListError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true}
}

// List is an uploaded list. Rows = Unique + duplicates + Matchable + Malformed.
type List struct {
	ID        string    `json:"id"`
	Org       string    `json:"-"`
	Columns   []string  `json:"columns"`
	Rows      int64     `json:"rows"`
	Unique    int64     `json:"unique"`    // addresses, letter case aside
	Matchable int64     `json:"matchable"` // rows without an address that stand for a lead otherwise: enough to enrich or reveal
	Malformed int64     `json:"malformed"` // rows that can be neither verified nor matched, kept and reported in the results
	CreatedAt time.Time `json:"created_at"`
	Bytes     int64     `json:"bytes" example:"52341" doc:"The size of its content."` // of its content
}

// Duplicates is the number of rows whose address stands in an earlier row.
func (l List) Duplicates() int64 { return l.Rows - l.Unique - l.Matchable - l.Malformed }

// KeepList stores a list of addresses from a file: CSV with a header (separated
// by commas, semicolons or tabs) or plain text, one address a line. column names
// the column of a CSV that has the addresses; empty, it is found by its name or
// by its content. A list in which leads can be found by name and company or by
// domain need have no addresses. The file is streamed; memory holds a few rows.
//
// The same content is the same list, however often it comes.
//
// Errors: *ListError.
func (c *Catalogue) KeepList(ctx context.Context, org, column string, r io.Reader) (List, error) {
	return c.Upload(ctx, Upload{Org: org, Column: column}, r)
}

// Upload is a file that becomes a list.
type Upload struct {
	Org     string
	Member  string // who sends it; empty: the organization
	Column  string // that has the addresses
	MaxRows int64  // 0 = MaxListRows
}

// Upload stores a file, as KeepList does.
//
// Errors: *ListError.
func (c *Catalogue) Upload(ctx context.Context, u Upload, r io.Reader) (List, error) {
	if err := c.hasRoom(ctx, u.Org); err != nil {
		return List{}, err
	}
	id := newListID(u.Org, u.Column)
	source, err := readList(io.TeeReader(r, id), u.Column)
	if err != nil {
		return List{}, err
	}
	source.most = u.MaxRows
	list, err := c.keep(ctx, u.Org, id, source, &u)
	if err != nil {
		return List{}, err
	}
	idempotency.Asks(ctx, list.ID) // what was asked for is known when all of it was read
	return list, pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		_, _, err := idempotency.Claim(ctx, tx, u.Org, "list", idempotency.Made{ID: list.ID})
		return err
	})
}

// Lists returns a page of an organization's lists, newest first, behind the list
// of which created and id are given; zero: the first page.
func (c *Catalogue) Lists(ctx context.Context, org string, created time.Time, id string, limit int) ([]List, error) {
	rows, _ := c.pool.Query(ctx, `
		SELECT `+listColumns+` FROM list
		WHERE org = $1 AND ($3 = '' OR (created_at, id) < ($2, $3))
		ORDER BY created_at DESC, id DESC LIMIT $4`, org, created, id, limit)
	lists, err := pgx.CollectRows(rows, pgx.RowToStructByPos[List])
	if err != nil {
		return nil, fmt.Errorf("the lists of %s cannot be listed: %w", org, err)
	}
	return lists, nil
}

// KeepEmails stores addresses as a list with the column email.
//
// Errors: *ListError.
func (c *Catalogue) KeepEmails(ctx context.Context, org string, emails []string) (List, error) {
	id := newListID(org, "email")
	for _, email := range emails {
		fmt.Fprintf(id, "%d:%s", len(email), email)
	}
	source := &listSource{columns: []string{"email"}, next: func() (int64, []string, error) {
		if len(emails) == 0 {
			return 0, nil, io.EOF
		}
		email := emails[0]
		emails = emails[1:]
		return 0, []string{email}, nil
	}}
	return c.keep(ctx, org, id, source, nil)
}

// KeepLeadIDs stores lead ids, without duplicates, as a list with the column id. Its Rows
// is their number. Unknown ids are kept, but not if all are so.
//
// Errors: *ListError.
func (c *Catalogue) KeepLeadIDs(ctx context.Context, org string, ids []string) (List, error) {
	id := newListID(org, "lead ids")
	var rows []string
	seen := map[string]bool{}
	for _, lead := range ids {
		lead = strings.TrimSpace(readable(lead))
		if lead == "" || seen[lead] {
			continue
		}
		seen[lead] = true
		rows = append(rows, lead)
		fmt.Fprintf(id, "%d:%s", len(lead), lead)
	}
	var known bool
	if err := c.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM lead WHERE id = ANY ($1))`, rows).Scan(&known); err != nil {
		return List{}, fmt.Errorf("looking for the leads of a list of %s: %w", org, err)
	}
	if !known {
		return List{}, &ListError{"None of the lead ids is known; give ids as they stand in results or previews."}
	}
	source := &listSource{columns: []string{"id"}, at: -1, ids: true, next: func() (int64, []string, error) {
		if len(rows) == 0 {
			return 0, nil, io.EOF
		}
		row := rows[0]
		rows = rows[1:]
		return 0, []string{row}, nil
	}}
	return c.keep(ctx, org, id, source, nil)
}

// listID makes the id of a list from all that makes it up.
type listID struct {
	hash.Hash
	bytes int64 // of its content
}

func newListID(org, column string) *listID {
	id := &listID{Hash: sha256.New()}
	fmt.Fprintf(id.Hash, "%s\x00%s\x00", org, column)
	return id
}

func (id *listID) Write(content []byte) (int, error) {
	id.bytes += int64(len(content))
	return id.Hash.Write(content)
}

func (id *listID) String() string {
	return "lst_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id.Sum(nil)[:15]))
}

const listColumns = `id, org, columns, rows, unique_rows, matchable, malformed, created_at, bytes`

// List returns a list of an organization, or ErrNoList.
func (c *Catalogue) List(ctx context.Context, org, id string) (List, error) {
	rows, _ := c.pool.Query(ctx, `SELECT `+listColumns+` FROM list WHERE id = $1 AND org = $2`, id, org)
	l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[List])
	if err != nil {
		return List{}, fmt.Errorf("reading the list %s: %w", id, noList(err))
	}
	return l, nil
}

// DuplicatesIn counts the duplicates in some lists of an organization, by ID.
func (c *Catalogue) DuplicatesIn(ctx context.Context, org string, ids []string) (map[string]int64, error) {
	if len(ids) == 0 {
		return map[string]int64{}, nil
	}
	are, these := database.In("id", ids)
	rows, _ := c.pool.Query(ctx, `SELECT `+listColumns+` FROM list WHERE `+are+` AND org = $2`, these, org)
	lists, err := pgx.CollectRows(rows, pgx.RowToStructByPos[List])
	if err != nil {
		return nil, fmt.Errorf("reading %d lists: %w", len(ids), err)
	}
	duplicates := make(map[string]int64, len(lists))
	for _, l := range lists {
		duplicates[l.ID] = l.Duplicates()
	}
	return duplicates, nil
}

// noList is the error of reading a list: ErrNoList where there is none.
func noList(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoList
	}
	return err
}

// SelectList freezes the addresses of a list into the items of an order, each
// once, numbered by mail domain. It is idempotent per order.
//
// Errors: ErrNoList.
func (c *Catalogue) SelectList(ctx context.Context, orderID, listID string) (Selected, error) {
	all, err := c.selectLists(ctx, map[string]string{orderID: listID})
	if err != nil {
		return Selected{}, err
	}
	selected, there := all[orderID]
	if !there {
		return Selected{}, fmt.Errorf("selecting the addresses of order %s: %w", orderID, ErrNoList)
	}
	return selected, nil
}

// SelectLists is SelectList for several orders over short lists: lists has the list
// of each. An order whose list is not there is left out.
func (c *Catalogue) SelectLists(ctx context.Context, lists map[string]string) (map[string]Selected, error) {
	return c.selectLists(ctx, lists, commit.PlannedOnce...)
}

func (c *Catalogue) selectLists(ctx context.Context, lists map[string]string, settings ...string) (map[string]Selected, error) {
	orders := slices.Sorted(maps.Keys(lists))
	of := make([]string, len(orders))
	for i, id := range orders {
		of[i] = lists[id]
	}
	selected := make(map[string]Selected, len(orders))
	err := commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		if err := use(ctx, tx, of...); err != nil {
			return err
		}
		if _, err := orderbook.Freeze(ctx, tx, orderbook.NewItems{
			With: `fresh AS MATERIALIZED (
				INSERT INTO order_selection (order_id, list_id, items)
				SELECT o.order_id, l.id, l.unique_rows
				FROM unnest($1::text[], $2::text[]) AS o (order_id, list_id) JOIN list l ON l.id = o.list_id
				ORDER BY o.order_id
				ON CONFLICT DO NOTHING
				RETURNING order_id, list_id)`,
			Columns: "order_id, n, lead_no, fingerprint, value, already_owned, verdict, reason, checked_at",
			Query: `
			SELECT order_id, item, 0,
				encode(substr(sha256(convert_to('email:' || lower(email), 'UTF8')), 1, 16), 'hex')::uuid, email, false,
				CASE WHEN email = '' THEN 'unknown' END, CASE WHEN email = '' THEN $3 END, CASE WHEN email = '' THEN now() END -- erased
			FROM fresh CROSS JOIN LATERAL (
				SELECT DISTINCT ON (item) item, email FROM list_row
				WHERE list_id = fresh.list_id AND item IS NOT NULL
				ORDER BY item, n) r`,
		}, orders, of, order.ReasonSuppressed); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT order_id, items FROM order_selection WHERE order_id = ANY ($1) AND round = 1`, orders)
		if err != nil {
			return err
		}
		var id string
		var items int64
		_, err = pgx.ForEachRow(rows, []any{&id, &items}, func() error {
			selected[id] = Selected{Items: items}
			return nil
		})
		return err
	}, settings...)
	if err != nil {
		return nil, fmt.Errorf("selecting the addresses of %d orders, such as %s: %w", len(orders), orders[0], err)
	}
	return selected, nil
}

// DistinctEmails counts the addresses among texts as a list of them would.
func DistinctEmails(texts []string) int64 {
	seen := make(map[string]bool, len(texts))
	for _, text := range texts {
		if email, _, problem := addressOf(text); problem == "" {
			seen[strings.ToLower(email)] = true
		}
	}
	return int64(len(seen))
}

const noAddress = "there is no address"

// NoAddress says why a text is no address that could be verified, empty where
// it is one: with the same words as the results of a list.
func NoAddress(text string) string {
	_, _, problem := addressOf(text)
	return problem
}

// addressOf takes an address out of a cell, and says whether it had to be freed
// of something (see verify.ReadAddress), or why there is none. Whether mail can
// arrive there is for the verification to say.
func addressOf(cell string) (email string, cleaned bool, problem string) {
	email = strings.TrimSpace(unguard(cell))
	switch {
	case email == "":
		return "", false, noAddress
	case !utf8.ValidString(email) || strings.ContainsRune(email, 0):
		return "", false, "the address is not readable text"
	}
	address, cleaned, err := verify.ReadAddress(email)
	if err != nil {
		return "", false, err.Error()
	}
	if cleaned {
		email = address.String()
	}
	return email, cleaned, ""
}
