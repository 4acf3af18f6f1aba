package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
)

// ErrNoEntry says that there is no journal entry of this number.
var ErrNoEntry = errcode.New(errcode.NotFound, "there is no such entry in the history")

// EntryFacts are what a journal entry charged or reversed facts about.
type EntryFacts struct {
	OrderID  string
	Member   string
	Subjects [][16]byte // in the order of the journal; of all credit types
}

// EntryFacts returns the facts of one entry of an organization's journal, by
// the Seq of its history lines. ErrNoEntry where there is none.
func (l *Ledger) EntryFacts(ctx context.Context, owner string, seq int64) (EntryFacts, error) {
	var entry EntryFacts
	var text []byte
	err := l.pool.QueryRow(ctx, `
		SELECT order_id, member, facts FROM credit_entry WHERE owner = $1 AND seq = $2`, owner, seq).Scan(&entry.OrderID, &entry.Member, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		return entry, ErrNoEntry
	}
	if err != nil {
		return entry, fmt.Errorf("entry %d of %q cannot be read: %w", seq, owner, err)
	}
	groups, err := parseFacts(text)
	if err != nil {
		return entry, fmt.Errorf("entry %d of %q cannot be read, run the audit: %w", seq, owner, err)
	}
	for _, g := range groups {
		entry.Subjects = append(entry.Subjects, g.subjects...)
	}
	return entry, nil
}
