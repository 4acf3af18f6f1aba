// Package erasure deletes a person from everywhere at once, as the person may
// demand. See README.md for what that means for each table.
package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/errcode"
	"holdfast/internal/lead"
	"holdfast/internal/orderbook"
	"holdfast/internal/suppression"
	"holdfast/internal/verdicts"
)

// Most is how many people one request may name: each is looked for in all items
// of all orders.
const Most = 100

// Request names people, each by one thing that is known of them.
type Request struct {
	Emails  []string `json:"emails,omitempty"`
	LeadIDs []string `json:"lead_ids,omitempty"`
}

// InvalidError is a request that names no person, too many, or one by what is
// no address.
type InvalidError struct {
	Field   string // emails or lead_ids, with the position of a bad entry
	Message string // one sentence, without contact data
}

func (e *InvalidError) Error() string { return e.Message }

// ErrorInfo says of which field the request is not valid.
func (e *InvalidError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true, Field: e.Field}
}

// Report counts what was erased. Everything is zero where no person was known
// any more.
type Report struct {
	Leads      int64 `json:"leads"`      // deleted from the catalogue
	Items      int64 `json:"items"`      // of orders, emptied
	ListRows   int64 `json:"list_rows"`  // of uploaded lists, emptied
	Verdicts   int64 `json:"verdicts"`   // forgotten
	Suppressed int64 `json:"suppressed"` // new entries on everybody's suppression list
}

// Add adds what another request, or another database, erased.
func (r *Report) Add(other Report) {
	r.Leads += other.Leads
	r.Items += other.Items
	r.ListRows += other.ListRows
	r.Verdicts += other.Verdicts
	r.Suppressed += other.Suppressed
}

// Erasures erases people. It is safe for concurrent use.
type Erasures struct {
	pool      *pgxpool.Pool
	catalogue *lead.Catalogue
	book      *orderbook.Book
}

// New returns erasures in the database behind pool.
func New(pool *pgxpool.Pool, catalogue *lead.Catalogue, book *orderbook.Book) *Erasures {
	return &Erasures{pool: pool, catalogue: catalogue, book: book}
}

// Erase erases people one after the other, each in one transaction: all of what
// is kept of a person, or nothing. It may be called again at any time, also
// after an error, which says how far it came. Orders may run at the same time.
//
// Errors: *InvalidError, before anything is erased.
func (e *Erasures) Erase(ctx context.Context, r Request) (Report, error) {
	var report Report
	if err := r.check(); err != nil {
		return report, err
	}
	people := len(r.Emails) + len(r.LeadIDs)
	for i := range people {
		var emails, ids []string
		if i < len(r.Emails) {
			emails = []string{strings.TrimSpace(r.Emails[i])}
		} else {
			ids = []string{r.LeadIDs[i-len(r.Emails)]}
		}
		if err := e.erase(ctx, emails, ids, &report); err != nil {
			return report, fmt.Errorf("%d of %d people were erased; try again: %w", i, people, err)
		}
	}
	return report, e.catalogue.Reindex(ctx)
}

func (r Request) check() error {
	switch n := len(r.Emails) + len(r.LeadIDs); {
	case n == 0:
		return &InvalidError{"emails", "No person is named; give emails or lead_ids."}
	case n > Most:
		return &InvalidError{"emails", fmt.Sprintf("%d people are named; erase at most %d at a time.", n, Most)}
	}
	for i, email := range r.Emails {
		email = strings.TrimSpace(email)
		if local, domain, found := strings.Cut(email, "@"); !found || local == "" || domain == "" || strings.ContainsAny(email, " \t\r\n,;\x00") {
			return &InvalidError{fmt.Sprintf("emails[%d]", i), fmt.Sprintf("Email %d is not an address such as ann@example.com.", i+1)}
		}
	}
	for i, id := range r.LeadIDs {
		if id == "" || strings.ContainsRune(id, 0) {
			return &InvalidError{fmt.Sprintf("lead_ids[%d]", i), fmt.Sprintf("Lead id %d is not the id of a lead.", i+1)}
		}
	}
	return nil
}

// erase erases one person and adds to the report.
func (e *Erasures) erase(ctx context.Context, emails, ids []string, report *Report) error {
	var done Report
	err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) (err error) {
		if err := suppression.Erasing(ctx, tx); err != nil {
			return err
		}
		// Who it is: all leads with an address in common, and the addresses that
		// they had when orders selected them. Rows are looked up from here on, as
		// the catalogue sees to for the rest of the transaction.
		person, err := e.catalogue.FindPerson(ctx, tx, emails, ids, func(no int64) ([]string, error) {
			return e.book.AddressesOf(ctx, tx, no)
		})
		if err != nil {
			return err
		}
		addresses := person.Addresses
		items, err := e.book.Erase(ctx, tx, person.Numbers, addresses)
		if err != nil {
			return err
		}
		orders, numbers := make([]string, len(items)), make([]int64, len(items))
		spellings := slices.Clone(addresses)
		for i, item := range items {
			orders[i], numbers[i] = item.OrderID, item.N
			spellings = append(spellings, item.Value)
		}
		rows, err := e.catalogue.EraseRows(ctx, tx, addresses, orders, numbers)
		if err != nil {
			return err
		}
		done.Items, done.ListRows = int64(len(items)), int64(len(rows))
		if done.Verdicts, err = verdicts.Erase(ctx, tx, append(spellings, rows...)); err != nil {
			return err
		}
		if done.Leads, err = e.catalogue.EraseLeads(ctx, tx, person.Numbers); err != nil {
			return err
		}
		done.Suppressed, err = suppression.Erase(ctx, tx, addresses, append(ids, person.IDs...))
		return err
	})
	if err != nil {
		return err
	}
	report.Add(done)
	return nil
}
