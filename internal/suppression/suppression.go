// Package suppression keeps the lists of people and domains that must not be
// given to anybody, or not to one organization. See README.md.
package suppression

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/errcode"
)

// Everybody is the organization of the entries that hold for all.
const Everybody = ""

// List gives access to the suppression lists. It is safe for concurrent use.
type List struct {
	pool *pgxpool.Pool
	most int64 // entries of an organization
}

// New returns the lists stored in the database behind pool.
func New(pool *pgxpool.Pool) *List { return &List{pool: pool, most: MaxEntries} }

// InvalidError is an entry that is neither an address nor a domain.
type InvalidError struct {
	Line int // 1-based position among the entries
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("Entry %d is neither an address (ann@example.com) nor a domain (@example.com).", e.Line)
}

// MaxReason is the longest reason, in characters; ledger.MaxReason is the same.
const MaxReason = 500

// ErrorInfo says that the request is not valid.
func (e *InvalidError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true}
}

// MaxEntries is how many entries an organization's own list may have: lists of all
// organizations are on the operator's disk.
const MaxEntries = 2_000_000

// ErrFull says that a list has no room for more entries.
var ErrFull = errcode.New(errcode.QuotaExceeded, fmt.Sprintf("the suppression list may have %d entries; remove some first, or put whole domains on it", MaxEntries))

// Add puts addresses (ann@example.com) and whole domains (@example.com or
// example.com) on an organization's list, or on everybody's, and says how many
// were new. All are added or, with an *InvalidError, none. The reason is for
// people and holds no contact data.
func (l *List) Add(ctx context.Context, org, reason string, entries []string) (added int64, err error) {
	if n := utf8.RuneCountInString(reason); n > MaxReason {
		return 0, fmt.Errorf("the reason has %d characters; write at most %d", n, MaxReason)
	}
	if reason == Erased {
		return 0, fmt.Errorf("the reason %q is that of erased people; erase them, or give another reason", Erased)
	}
	subjects, err := subjectsOf(entries)
	if err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		// Entries of one organization are added one after the other: what is counted is true.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('suppression ' || $1, 0))`, org); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO suppression (org, subject, reason)
			SELECT DISTINCT $1, subject, $2 FROM unnest($3::bytea[]) AS subject
			ON CONFLICT DO NOTHING`, org, reason, subjects)
		if added = tag.RowsAffected(); err != nil || org == Everybody || added == 0 {
			return err
		}
		var n int64
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM suppression WHERE org = $1`, org).Scan(&n); err != nil {
			return err
		}
		if n > l.most {
			return ErrFull
		}
		return nil
	})
	if errors.Is(err, ErrFull) {
		return 0, ErrFull
	}
	if err != nil {
		return 0, fmt.Errorf("the suppression list cannot be written: %w", err)
	}
	return added, nil
}

// Remove takes entries off an organization's list, or off everybody's, and says
// how many were on it. lead:ID takes off the id of a lead that was erased.
func (l *List) Remove(ctx context.Context, org string, entries []string) (removed int64, err error) {
	var leads [][]byte
	entries = slices.DeleteFunc(slices.Clone(entries), func(entry string) bool {
		id, found := strings.CutPrefix(entry, "lead:")
		if found {
			leads = append(leads, LeadSubject(id))
		}
		return found
	})
	subjects, err := subjectsOf(entries)
	if err != nil {
		return 0, err
	}
	subjects = append(subjects, leads...)
	tag, err := l.pool.Exec(ctx, `DELETE FROM suppression WHERE org = $1 AND subject = ANY ($2)`, org, subjects)
	if err != nil {
		return 0, fmt.Errorf("the suppression list cannot be written: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Suppressed says of each entry whether it is suppressed for an organization:
// by its own list or everybody's, an address also by its domain.
func (l *List) Suppressed(ctx context.Context, org string, entries []string) ([]bool, error) {
	subjects, err := subjectsOf(entries)
	if err != nil {
		return nil, err
	}
	domains := make([][]byte, len(entries))
	for i, entry := range entries {
		domains[i] = Subject(entry[strings.LastIndexByte(entry, '@')+1:])
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT `+listed("$1", "entry.subject, entry.domain")+`
		FROM unnest($2::bytea[], $3::bytea[]) WITH ORDINALITY AS entry (subject, domain, n)
		ORDER BY n`, org, subjects, domains)
	suppressed, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, fmt.Errorf("the suppression list cannot be read: %w", err)
	}
	return suppressed, nil
}

// Count says how many entries a list has.
func (l *List) Count(ctx context.Context, org string) (int64, error) {
	var n int64
	if err := l.pool.QueryRow(ctx, `SELECT count(*) FROM suppression WHERE org = $1`, org).Scan(&n); err != nil {
		return 0, fmt.Errorf("the suppression list cannot be read: %w", err)
	}
	return n, nil
}

// Entry is an entry of a list: never the address itself.
type Entry struct {
	Hash    string    `json:"sha256" doc:"SHA-256 in hexadecimal, of the address in lower case or of @ and the domain." example:"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"`
	Reason  string    `json:"reason,omitempty" doc:"Why, as it was given." example:"asked to"`
	AddedAt time.Time `json:"added_at" doc:"When it was added."`
}

// Entries lists entries of a list, newest first, behind the one with the time
// and hash that are given; hash "" begins.
func (l *List) Entries(ctx context.Context, org string, added time.Time, hash string, limit int) ([]Entry, error) {
	rows, _ := l.pool.Query(ctx, `
		SELECT encode(subject, 'hex') AS hash, reason, added_at FROM suppression
		WHERE org = $1 AND ($3 = '' OR (added_at, encode(subject, 'hex')) < ($2, $3))
		ORDER BY added_at DESC, encode(subject, 'hex') DESC LIMIT $4`, org, added, hash, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Entry])
	if err != nil {
		return nil, fmt.Errorf("the suppression list cannot be read: %w", err)
	}
	for i := range list {
		list[i].AddedAt = list[i].AddedAt.UTC()
	}
	return list, nil
}

// LeadSQL says in SQL whether the lead of a table, named by its alias, must not
// be given to an organization, by its addresses or their domains; more are
// further addresses of the person.
func LeadSQL(org, lead string, more ...string) string {
	subjects := addressSQL(lead+".email", lead+".email_domain") + ", " + addressSQL(lead+".direct_email", lead+".domain")
	for _, address := range more {
		subjects += ", " + addressSQL(address, "lower(split_part("+address+", '@', -1))")
	}
	return listed(org, subjects)
}

// addressSQL is Subject in SQL, of an address and of a domain in lower case.
func addressSQL(address, domain string) string {
	return `sha256(convert_to(lower(` + address + `), 'UTF8')), sha256(convert_to('@' || ` + domain + `, 'UTF8'))`
}

// listed says in SQL whether any of the subjects is on an organization's list or
// everybody's. It looks for the subject, never for the organization (the reason for the
// empty text): before the statistics know of a list that was just uploaded, the
// planner would read the whole of it for each lead.
func listed(org, subjects string) string {
	return `EXISTS (SELECT FROM suppression s WHERE s.org || '' IN ('', ` + org + `) AND s.subject IN (` + subjects + `))`
}

// Subject is what the lists hold of an address or a domain: a SHA-256, 32
// bytes.
func Subject(entry string) []byte {
	entry = strings.ToLower(strings.TrimSpace(entry))
	if !strings.Contains(entry, "@") {
		entry = "@" + entry
	}
	sum := sha256.Sum256([]byte(entry))
	return sum[:]
}

func subjectsOf(entries []string) ([][]byte, error) {
	subjects := make([][]byte, len(entries))
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		_, domain, found := strings.Cut(entry, "@")
		if !found {
			domain = entry
		}
		if !strings.Contains(domain, ".") || strings.ContainsAny(entry, " \t\r\n,;") {
			return nil, &InvalidError{Line: i + 1}
		}
		subjects[i] = Subject(entry)
	}
	return subjects, nil
}
