package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Head is where an organization's journal stood: the number of its last entry
// and the hash of that, which stands for all entries before. Kept outside of the
// database it proves later that the journal was only appended to.
type Head struct {
	Owner string
	Seq   int64
	Hash  []byte
}

// Heads returns where the journals stand, of one organization or, where owner is
// "", of all that have any entries.
func Heads(ctx context.Context, pool *pgxpool.Pool, owner string) ([]Head, error) {
	rows, _ := pool.Query(ctx, `SELECT owner, seq, head AS hash FROM credit_owner
		WHERE $1 IN ('', owner) AND seq > 0 ORDER BY owner`, owner)
	heads, err := pgx.CollectRows(rows, pgx.RowToStructByName[Head])
	if err != nil {
		return nil, fmt.Errorf("the heads of the journals cannot be read: %w", err)
	}
	return heads, nil
}

// byOwner sorts the kept heads that an audit is concerned with.
func byOwner(opts AuditOptions) map[string][]Head {
	kept := map[string][]Head{}
	for _, h := range opts.Against {
		if opts.Owner == "" || opts.Owner == h.Owner {
			kept[h.Owner] = append(kept[h.Owner], h)
		}
	}
	return kept
}

// checkKept compares an entry with the head that was kept when it was the last.
func (a *auditor) checkKept(e *entry) {
	kept := a.kept[a.replay.owner]
	for i := 0; i < len(kept); {
		if kept[i].Seq != e.seq {
			i++
			continue
		}
		if !bytes.Equal(kept[i].Hash, e.hash) {
			a.replay.complain("I6", e, "its hash is not the one that was kept: the journal was rewritten")
		}
		kept = slices.Delete(kept, i, i+1)
		a.kept[a.replay.owner] = kept
	}
}

// keptBeyondEnd reports the kept heads that the journal does not reach any more.
func (a *auditor) keptBeyondEnd() {
	for _, h := range a.kept[a.replay.owner] {
		a.found("I6", "credit_entry", h.Owner+"/"+strconv.FormatInt(h.Seq, 10),
			fmt.Sprintf("its hash was kept, the journal ends with entry %d: it was cut off or rewritten", a.replay.seq))
	}
	delete(a.kept, a.replay.owner)
}

// missingJournals reports organizations whose heads were kept and that the
// ledger does not know any more.
func (a *auditor) missingJournals() {
	for owner, heads := range a.kept {
		for _, h := range heads {
			a.found("I6", "credit_entry", owner+"/"+strconv.FormatInt(h.Seq, 10), "its hash was kept, the organization's journal is gone")
		}
	}
}
