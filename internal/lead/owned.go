package lead

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/ledger"
)

// ownership is what a set of owned leads is about: an organization, the type and
// scope of its facts, and whether these are about leads as well as addresses.
type ownership struct {
	org, factType, factScope string
	perLead                  bool
}

// ownedSet is the leads that an organization owned at a place in its journal, of
// the leads that the catalogue had then. Leads deleted since may be in it: they
// are in no criteria's set any more, and no number is given twice.
type ownedSet struct {
	seq   int64           // the last journal entry
	head  []byte          // its hash
	last  int64           // the highest lead number
	count int64           // how often leads had changed
	leads *roaring.Bitmap // nil = nothing is known; never changed once others can see it
	kept  uint64          // how many leads the set had when it was stored
}

// ownedSets keeps the sets of those who own many leads and were asked for.
type ownedSets struct {
	mu    sync.Mutex
	known map[ownership]ownedSet
}

const (
	// maxOwnedSets bounds the memory: a set takes at most a bit for each lead of
	// the catalogue.
	maxOwnedSets = 256
	// worthKeeping is how many owned leads take longer to read than to ask for.
	worthKeeping = 1000
)

func (s *ownedSets) get(of ownership) ownedSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[of]
}

func (s *ownedSets) put(of ownership, set ownedSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[ownership]ownedSet{}
	}
	delete(s.known, of)
	if set.leads.GetCardinality() < worthKeeping {
		return
	}
	for other := range s.known { // any of them will do
		if len(s.known) < maxOwnedSets {
			break
		}
		delete(s.known, other)
	}
	s.known[of] = set
}

// owned returns a set with those of the leads that the organization owns, and
// perhaps others. Of few leads it looks at each, unless the organization owns fewer
// still or it is known what it owns; of many it reads all the organization's facts
// once and afterwards what its journal and the catalogue have had since.
func (c *Catalogue) owned(ctx context.Context, s Selection, leads *roaring.Bitmap) (*roaring.Bitmap, error) {
	const few = 20_000
	of := ownership{s.Org, s.FactType, s.FactScope, s.PerLead}
	set := c.ownedSets.get(of)
	if n := leads.GetCardinality(); set.leads == nil && n <= few {
		fewer, err := c.ownsFewer(ctx, of, n)
		if err != nil {
			return nil, err
		}
		if !fewer {
			return numbers(ctx, c.pool, `
				SELECT l.no FROM unnest($4::bigint[]) AS few (no) JOIN lead l USING (no)
				WHERE `+isOwned("$5"), s.Org, s.FactType, s.FactScope, leads.ToArray(), s.PerLead)
		}
	}
	if set.leads == nil {
		var err error
		if set, err = c.storedSet(ctx, of); err != nil {
			return nil, err
		}
	}
	// One snapshot: what the journal says was charged is in the facts, too.
	err := pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		set, err = set.upToDate(ctx, tx, of)
		return err
	})
	if err != nil {
		return nil, err
	}
	if set.worthStoring() {
		if err := c.storeSet(ctx, of, set); err != nil {
			return nil, err
		}
		set.kept = set.leads.GetCardinality()
	}
	c.ownedSets.put(of, set)
	return set.leads, nil
}

// worthStoring says whether the stored set, from which other processes begin, is
// missing or has become an eighth larger or smaller.
func (s ownedSet) worthStoring() bool {
	n := s.leads.GetCardinality()
	return n >= worthKeeping && (n > s.kept+s.kept/8 || n < s.kept-s.kept/8)
}

// storedSet reads the set that was stored last; one without leads if none was, or
// if it cannot be read any more.
func (c *Catalogue) storedSet(ctx context.Context, of ownership) (set ownedSet, err error) {
	var leads []byte
	err = c.pool.QueryRow(ctx, `
		SELECT seq, head, last, changes, leads FROM owned_set WHERE org = $1 AND type = $2 AND scope = $3 AND per_lead = $4`,
		of.org, of.factType, of.factScope, of.perLead).Scan(&set.seq, &set.head, &set.last, &set.count, &leads)
	if errors.Is(err, pgx.ErrNoRows) {
		return ownedSet{}, nil
	}
	if err != nil {
		return ownedSet{}, err
	}
	set.leads = roaring.New()
	if err := set.leads.UnmarshalBinary(leads); err != nil {
		return ownedSet{}, nil //nolint:nilerr // made again from the facts, and stored
	}
	set.kept = set.leads.GetCardinality()
	return set, nil
}

// storeSet stores a set, unless a later one is there. A set of another journal,
// of before the database was restored, gives way.
func (c *Catalogue) storeSet(ctx context.Context, of ownership, set ownedSet) error {
	leads, err := set.leads.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = c.pool.Exec(ctx, `
		INSERT INTO owned_set AS s (org, type, scope, per_lead, seq, head, last, changes, leads) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (org, type, scope, per_lead) DO UPDATE SET
			seq = excluded.seq, head = excluded.head, last = excluded.last, changes = excluded.changes, leads = excluded.leads
		WHERE s.seq <= excluded.seq OR NOT EXISTS (SELECT FROM credit_entry e WHERE e.owner = s.org AND e.seq = s.seq AND e.hash = s.head)`,
		of.org, of.factType, of.factScope, of.perLead, set.seq, set.head, set.last, set.count, leads)
	return err
}

// ownsFewer says whether an organization has fewer facts than n.
func (c *Catalogue) ownsFewer(ctx context.Context, of ownership, n uint64) (fewer bool, err error) {
	err = c.pool.QueryRow(ctx, `
		SELECT count(*) < $4 FROM (SELECT FROM credit_fact WHERE owner = $1 AND type = $2 AND scope = $3 LIMIT $4) f`,
		of.org, of.factType, of.factScope, int64(n)).Scan(&fewer)
	return fewer, err
}

// upToDate returns the set as it is now. It looks again at the leads whose facts
// were charged or reversed since, and at those that were imported since, for the
// fact may be older than the lead. Where that is more than a quarter of the set,
// leads that it has were changed, or the journal is not the one that was read (a
// database that was restored), it reads everything again.
func (s ownedSet) upToDate(ctx context.Context, tx pgx.Tx, of ownership) (ownedSet, error) {
	var now ownedSet
	var before []byte // the hash of the entry up to which the set is good
	if err := tx.QueryRow(ctx, `
		SELECT coalesce(o.seq, 0), coalesce(o.head, ''), coalesce((SELECT max(no) FROM lead), 0), (SELECT count FROM lead_changes),
			coalesce((SELECT hash FROM credit_entry WHERE owner = $1 AND seq = $2), '')
		FROM (SELECT) AS one LEFT JOIN credit_owner o ON o.owner = $1`, of.org, s.seq).
		Scan(&now.seq, &now.head, &now.last, &now.count, &before); err != nil {
		return now, err
	}
	if s.leads == nil || now.count != s.count || !bytes.Equal(before, s.head) {
		return now.readAll(ctx, tx, of)
	}
	now.last, now.kept = max(now.last, s.last), s.kept
	most := int64(s.leads.GetCardinality() / 4)
	if now.seq-s.seq+now.last-s.last > most {
		return now.readAll(ctx, tx, of)
	}
	var subjects [][16]byte
	if now.seq > s.seq {
		var err error
		if subjects, err = ledger.FactsSince(ctx, tx, of.org, of.factType, of.factScope, s.seq); err != nil {
			return now, err
		}
	}
	if int64(len(subjects)) > most {
		return now.readAll(ctx, tx, of)
	}
	now.leads = s.leads
	if len(subjects) == 0 && now.last == s.last {
		return now, nil
	}
	if err := lookUp(ctx, tx); err != nil {
		return now, err
	}
	rows, err := tx.Query(ctx, `
		SELECT l.no, `+isOwned("$6")+` FROM (
			SELECT no, fingerprint, email_key FROM lead WHERE no > $4
			UNION SELECT no, l.fingerprint, email_key FROM unnest($5::uuid[]) AS changed (fingerprint) JOIN lead l USING (fingerprint) WHERE $6
			UNION SELECT no, fingerprint, l.email_key FROM unnest($5::uuid[]) AS changed (email_key) JOIN lead l USING (email_key)
		) l`, of.org, of.factType, of.factScope, s.last, subjects, of.perLead)
	if err != nil {
		return now, err
	}
	now.leads = s.leads.Clone()
	var no int64
	var owned bool
	_, err = pgx.ForEachRow(rows, []any{&no, &owned}, func() error {
		if owned {
			now.leads.Add(uint32(no))
		} else {
			now.leads.Remove(uint32(no))
		}
		return nil
	})
	return now, err
}

// readAll completes the set with all of the organization's leads.
func (s ownedSet) readAll(ctx context.Context, tx pgx.Tx, of ownership) (_ ownedSet, err error) {
	s.leads, err = numbers(ctx, tx, `
		SELECT l.no FROM credit_fact f JOIN lead l ON l.email_key = f.subject
		WHERE f.owner = $1 AND f.type = $2 AND f.scope = $3 AND NOT f.reversed
		UNION ALL SELECT l.no FROM credit_fact f JOIN lead l ON l.fingerprint = f.subject
		WHERE $4 AND f.owner = $1 AND f.type = $2 AND f.scope = $3 AND NOT f.reversed`, of.org, of.factType, of.factScope, of.perLead)
	return s, err
}
