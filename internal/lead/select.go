package lead

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/suppression"
)

// Selection says which leads an order wants.
type Selection struct {
	OrderID      string
	Org          string
	Criteria     order.Criteria
	Count        int64  // most leads wanted, at least 1
	MostNew      *int64 // most of them that may be new to the organization: what its hold covers; nil = all
	FactType     string // credit type whose facts say what the organization owns
	FactScope    string // scope of those facts: "" for once per organization
	PerLead      bool   // who has paid for a lead's address has paid for all that stands there
	IncludeOwned bool   // include owned leads, marked, instead of leaving them out

	// IncludeKnownBad takes leads whose verdict is known and not Billable, too.
	IncludeKnownBad bool
	Billable        []string

	Round int // 0 and 1 are the first selection of the order, 2 the second, …
}

// Selected says what the selections of an order have frozen into its items.
type Selected struct {
	Items        int64 // items of the order, numbered 1..Items
	AlreadyOwned int64 // of these, the ones the organization owned before; 0 unless they were included
	Decided      int64 // of these, the ones that had their final verdict from the start; fields only
}

// Select freezes the candidates of an order into order_item rows, numbered
// 1..Items by email domain, so that one mail host's addresses stand together.
// It takes a random sample of the leads that match, the same one for the same
// order ID, never two with the same email address, and fewer than Count where
// the catalogue has no more. Leads that the organization owns (an unreversed
// fact in the ledger) are left out or, with IncludeOwned, marked; suppressed
// ones are left out. A later round adds Count others behind the items there are,
// no lead twice.
//
// It is idempotent per order and round: a second call answers what the first one
// froze, also when the catalogue has changed since.
func (c *Catalogue) Select(ctx context.Context, s Selection) (Selected, error) {
	if s.Count < 1 {
		return Selected{}, fmt.Errorf("the selection of order %s asks for %d leads; ask for at least 1", s.OrderID, s.Count)
	}
	s.Round = max(s.Round, 1)
	if s.MostNew != nil && !s.IncludeOwned {
		s.Count = min(s.Count, *s.MostNew)
	}
	leads, err := matching(ctx, c.pool, s.Criteria)
	if err != nil {
		return Selected{}, fmt.Errorf("finding the leads of order %s: %w", s.OrderID, err)
	}
	key, drawing := together{s.Org, commit.Deferred(ctx)}, draw{s, leads}
	var selected Selected
	if s.Count <= fewLeads {
		selected, err = c.draws.Call(ctx, key, drawing)
	} else {
		var alone []Selected
		alone, err = c.drawAll(ctx, key, []draw{drawing})
		selected = alone[0]
	}
	if err != nil {
		return Selected{}, fmt.Errorf("selecting the leads of order %s: %w", s.OrderID, err)
	}
	return selected, nil
}

// draw is a selection and the leads that match it.
type draw struct {
	Selection

	leads *roaring.Bitmap
}

const (
	fewLeads      = 1000 // of a selection that shares a transaction with others
	drawsTogether = 50
)

// drawAll carries out selections of an organization one after the other. Those of
// all processes wait for each other: each sees what the one before has claimed.
func (c *Catalogue) drawAll(ctx context.Context, key together, all []draw) ([]Selected, error) {
	selected := make([]Selected, len(all))
	return selected, commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		if err := oneAtATime(ctx, tx, key.org); err != nil {
			return err
		}
		if err := lookUp(ctx, tx); err != nil {
			return err
		}
		taken, err := claimed(ctx, tx, key.org)
		for i := 0; err == nil && i < len(all); i++ {
			selected[i], err = all[i].carryOut(ctx, tx, taken)
		}
		return err
	})
}

// carryOut freezes what a selection draws, unless that was done before.
func (d draw) carryOut(ctx context.Context, tx pgx.Tx, taken claims) (selected Selected, err error) {
	// The row is the lock: a second call waits for the first and finds it.
	tag, err := tx.Exec(ctx, `INSERT INTO order_selection (order_id, round) VALUES ($1, $2) ON CONFLICT DO NOTHING`, d.OrderID, d.Round)
	if err != nil {
		return selected, err
	}
	if tag.RowsAffected() == 0 {
		err = tx.QueryRow(ctx, `SELECT items, already_owned FROM order_selection WHERE order_id = $1 AND round = $2`, d.OrderID, d.Round).
			Scan(&selected.Items, &selected.AlreadyOwned)
		return selected, err
	}
	before, err := leaveOutSelected(ctx, tx, d.Selection, d.leads, taken)
	if err != nil {
		return selected, err
	}
	picked, err := pick(ctx, tx, d.Selection, d.leads, taken)
	if err != nil {
		return selected, err
	}
	return freeze(ctx, tx, d.Selection, before, picked)
}

// isOwned says in SQL whether the organization $1 owns the address of the lead l
// by a fact of type $2 and scope $3: about the address or, where perLead is true
// in SQL, about the lead. As a scalar it is looked up lead by lead, no matter
// what the planner expects of the organization's other facts.
func isOwned(perLead string) string {
	const fact = `coalesce((SELECT NOT f.reversed FROM credit_fact f
	WHERE f.owner = $1 AND f.type = $2 AND f.scope = $3 AND f.subject = `
	return `(` + fact + `l.email_key), false) OR ` + perLead + ` AND ` + fact + `l.fingerprint), false))`
}

// isSuppressed says in SQL whether the lead l must not be given to the
// organization $1.
var isSuppressed = suppression.LeadSQL("$1", "l")

// leaveOutSelected takes away the leads that earlier rounds of the order have
// selected, adds their addresses to taken, and returns how many items there are.
func leaveOutSelected(ctx context.Context, tx pgx.Tx, s Selection, leads *roaring.Bitmap, taken claims) (items int64, err error) {
	if s.Round == 1 {
		return 0, nil
	}
	rows, err := tx.Query(ctx, `
		SELECT i.lead_no, coalesce(i.keys[1], l.email_key) FROM order_item i LEFT JOIN lead l ON l.no = i.lead_no
		WHERE i.order_id = $1`, s.OrderID)
	if err != nil {
		return 0, err
	}
	var no int64
	var key *uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&no, &key}, func() error {
		items++
		leads.Remove(uint32(no))
		if key != nil { // not of one that was erased since
			taken.add(*key)
		}
		return nil
	})
	return items, err
}

// candidate is a lead that an order may take.
type candidate struct {
	No    int64
	Key   uuid.UUID // of its email address
	Owned bool
}

// pick draws up to s.Count of the leads, at random but always the same for the
// same order and catalogue. It draws in rounds because what is drawn may be
// owned already, share an address with another, be known to be bad or have been
// deleted since it was indexed.
// taken are the addresses that must not come again.
func pick(ctx context.Context, tx pgx.Tx, s Selection, leads *roaring.Bitmap, taken claims) ([]candidate, error) {
	name := s.OrderID
	if s.Round > 1 {
		name += fmt.Sprintf("/%d", s.Round)
	}
	seed := sha256.Sum256([]byte(name))
	random := rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:]), binary.BigEndian.Uint64(seed[8:]))) //nolint:gosec // a fair draw, no secret
	left := leads.ToArray()
	picked := make([]candidate, 0, min(s.Count, int64(len(left))))
	var suppressing, remembering bool // whether there is any list, and any verdict, to look at
	if err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM suppression WHERE org IN ('', $1)), EXISTS (SELECT FROM verdict)`, s.Org).Scan(&suppressing, &remembering); err != nil {
		return nil, err
	}
	drawn, fresh := int64(0), int64(0)
	for missing := s.Count; missing > 0 && len(left) > 0; missing = s.Count - int64(len(picked)) {
		// As many as are missing and a few more, and after a round in which
		// most were refused, in proportion.
		wanted := missing + missing/50 + 50
		if drawn > 0 {
			wanted = min(wanted*(drawn+1)/(int64(len(picked))+1), 20*wanted)
		}
		wanted = min(wanted, int64(len(left)), 200_000)
		for i := range wanted { // Fisher-Yates, as far as needed
			j := i + random.Int64N(int64(len(left))-i)
			left[i], left[j] = left[j], left[i]
		}
		batch := make([]int64, wanted)
		for i := range batch {
			batch[i] = int64(left[i])
		}
		left = left[wanted:]
		drawn += wanted
		slices.Sort(batch) // neighbours are read together

		rows, err := tx.Query(ctx, `
			SELECT l.no, l.email_key, $5 AND `+isOwned("$7")+`
			FROM unnest($4::bigint[]) AS candidate (no)
			JOIN lead l USING (no)
			WHERE l.email_key IS NOT NULL AND ($5 OR NOT `+isOwned("$7")+`) AND NOT ($6 AND `+isSuppressed+`)
				AND NOT ($8 AND `+isKnownBad("$9")+`)
			ORDER BY l.no`, s.Org, s.FactType, s.FactScope, batch, s.IncludeOwned, suppressing, s.PerLead,
			remembering && !s.IncludeKnownBad, s.Billable)
		if err != nil {
			return nil, err
		}
		free, err := pgx.CollectRows(rows, pgx.RowToStructByPos[candidate])
		if err != nil {
			return nil, err
		}
		// In the order of the draw again, or the last numbers, those of the
		// newest leads, would be the ones there is no room for.
		random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		for _, c := range free {
			if int64(len(picked)) == s.Count || (!c.Owned && s.MostNew != nil && fresh == *s.MostNew) || !taken.add(c.Key) {
				continue
			}
			picked = append(picked, c)
			if !c.Owned {
				fresh++
			}
		}
	}
	slices.SortFunc(picked, func(a, b candidate) int { return cmp.Compare(a.No, b.No) })
	return picked, nil
}

// freeze writes items of an order, behind those there are.
func freeze(ctx context.Context, tx pgx.Tx, s Selection, before int64, picked []candidate) (Selected, error) {
	leads := make([]int64, len(picked))
	for i, c := range picked {
		leads[i] = c.No
	}
	written, err := orderbook.Freeze(ctx, tx, orderbook.NewItems{Columns: "order_id, n, lead_no, fingerprint, value, keys, already_owned", Query: `
		SELECT $4, $7 + row_number() OVER (ORDER BY l.email_domain, l.no), l.no, l.fingerprint, l.email, ARRAY[l.email_key],
			$6 AND ` + isOwned("$8") + `
		FROM unnest($5::bigint[]) AS picked (no)
		JOIN lead l USING (no)
		ORDER BY 2`}, s.Org, s.FactType, s.FactScope, s.OrderID, leads, s.IncludeOwned, before, s.PerLead)
	if err != nil {
		return Selected{}, err
	}
	selected := Selected{Items: before + written}
	if s.IncludeOwned {
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM order_item WHERE order_id = $1 AND already_owned`, s.OrderID).
			Scan(&selected.AlreadyOwned); err != nil {
			return Selected{}, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE order_selection SET items = $2, already_owned = $3, claims = $5 WHERE order_id = $1 AND round = $4`,
		s.OrderID, selected.Items, selected.AlreadyOwned, s.Round, claimsOf(picked))
	return selected, err
}

// Counted says what a selection would find.
type Counted struct {
	Leads        int64 // leads that match the criteria
	AlreadyOwned int64 // of these, the ones the organization owns
}

// Count says how many leads match the criteria of a selection and how many of
// them the organization owns, both exactly; OrderID, Count and IncludeOwned are
// not looked at. With an empty Org nothing is owned.
func (c *Catalogue) Count(ctx context.Context, s Selection) (Counted, error) {
	leads, err := matching(ctx, c.pool, s.Criteria)
	if err != nil {
		return Counted{}, fmt.Errorf("counting leads: %w", err)
	}
	counted := Counted{Leads: int64(leads.GetCardinality())}
	if s.Org == "" || counted.Leads == 0 {
		return counted, nil
	}
	owned, err := c.owned(ctx, s, leads)
	if err != nil {
		return Counted{}, fmt.Errorf("counting the leads that %s owns: %w", s.Org, err)
	}
	counted.AlreadyOwned = int64(leads.AndCardinality(owned))
	return counted, nil
}

// Selectable says how many leads a selection would take that are new to the
// organization, at most s.Count: what an order has to hold credits for. It is
// exact unless there are several times as many as are wanted.
func (c *Catalogue) Selectable(ctx context.Context, s Selection) (int64, error) {
	const plenty = 4
	n, enough, err := c.roughly(ctx, s, plenty*s.Count)
	if err == nil && !enough {
		n, err = c.dryRun(ctx, s)
	}
	if err != nil {
		return 0, fmt.Errorf("counting the leads that %s could be given: %w", s.Org, err)
	}
	return n, nil
}

// roughly reports whether there are so many leads that are not owned that it
// does not matter how many of them are bad.
func (c *Catalogue) roughly(ctx context.Context, s Selection, plenty int64) (n int64, enough bool, err error) {
	leads, err := matching(ctx, c.pool, s.Criteria)
	if err != nil || int64(leads.GetCardinality()) < plenty {
		return 0, false, err
	}
	owned, err := c.owned(ctx, s, leads)
	if err != nil {
		return 0, false, err
	}
	return s.Count, int64(leads.GetCardinality()-leads.AndCardinality(owned)) >= plenty, nil
}

// dryRun selects and keeps nothing.
func (c *Catalogue) dryRun(ctx context.Context, s Selection) (n int64, err error) {
	s.Round, s.IncludeOwned, s.MostNew = 1, false, nil
	err = pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		leads, err := matching(ctx, tx, s.Criteria)
		if err != nil {
			return err
		}
		taken, err := claimed(ctx, tx, s.Org)
		if err != nil {
			return err
		}
		if err := lookUp(ctx, tx); err != nil {
			return err
		}
		picked, err := pick(ctx, tx, s, leads, taken)
		n = int64(len(picked))
		return err
	})
	return n, err
}
