package lead

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
	"holdfast/internal/suppression"
)

// Selection says which leads an order wants.
type Selection struct {
	OrderID      string
	Org          string
	Criteria     order.Criteria
	Count        int64  // most leads wanted, at least 1
	FactType     string // credit type whose facts say what the organization owns
	FactScope    string // scope of those facts: "" for once per organization
	IncludeOwned bool   // include owned leads, marked, instead of leaving them out
	Round        int    // 0 and 1 are the first selection of the order, 2 the second, …
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
// nobody twice.
//
// It is idempotent per order and round: a second call answers what the first one
// froze, whatever has become of the catalogue since.
func (c *Catalogue) Select(ctx context.Context, s Selection) (Selected, error) {
	if s.Count < 1 {
		return Selected{}, fmt.Errorf("the selection of order %s asks for %d leads; ask for at least 1", s.OrderID, s.Count)
	}
	s.Round = max(s.Round, 1)
	var selected Selected
	err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		// The row is the lock: a second call waits for the first and finds it.
		tag, err := tx.Exec(ctx, `INSERT INTO order_selection (order_id, round) VALUES ($1, $2) ON CONFLICT DO NOTHING`, s.OrderID, s.Round)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return tx.QueryRow(ctx, `SELECT items, already_owned FROM order_selection WHERE order_id = $1 AND round = $2`, s.OrderID, s.Round).
				Scan(&selected.Items, &selected.AlreadyOwned)
		}
		leads, err := matching(ctx, tx, s.Criteria)
		if err != nil {
			return err
		}
		if err := lookUp(ctx, tx); err != nil {
			return err
		}
		addresses, err := leaveOutSelected(ctx, tx, s, leads)
		if err != nil {
			return err
		}
		before := int64(len(addresses))
		numbers, err := pick(ctx, tx, s, leads, addresses)
		if err != nil {
			return err
		}
		selected, err = freeze(ctx, tx, s, before, numbers)
		return err
	})
	if err != nil {
		return Selected{}, fmt.Errorf("selecting the leads of order %s: %w", s.OrderID, err)
	}
	return selected, nil
}

// isOwned says in SQL whether the organization $1 owns the lead l by a fact of
// type $2 and scope $3. As a scalar it is looked up lead by lead, in whichever
// way the planner thinks of the organization's other facts.
const isOwned = `coalesce((
	SELECT NOT f.reversed FROM credit_fact f
	WHERE f.owner = $1 AND f.type = $2 AND f.scope = $3 AND f.subject = l.fingerprint), false)`

// isSuppressed says in SQL whether the lead l must not be given to the
// organization $1.
var isSuppressed = suppression.LeadSQL("$1", "l")

// leaveOutSelected takes away the leads that earlier rounds of the order have
// selected and returns the hashes of their addresses, one for each item: of one
// that was erased since, of its number.
func leaveOutSelected(ctx context.Context, tx pgx.Tx, s Selection, leads *roaring.Bitmap) (map[int64]bool, error) {
	addresses := map[int64]bool{}
	if s.Round == 1 {
		return addresses, nil
	}
	rows, err := tx.Query(ctx, `SELECT lead_no, hashtextextended(coalesce(nullif(lower(value), ''), n::text), 0) FROM order_item WHERE order_id = $1`, s.OrderID)
	if err != nil {
		return nil, err
	}
	var c candidate
	_, err = pgx.ForEachRow(rows, []any{&c.No, &c.Address}, func() error {
		leads.Remove(uint32(c.No))
		addresses[c.Address] = true
		return nil
	})
	return addresses, err
}

// candidate is a lead that an order may take.
type candidate struct {
	No      int64
	Address int64 // hash of its email address
}

// pick draws up to s.Count of the leads, at random but always the same for the
// same order and catalogue. It draws in rounds because what is drawn may be
// owned already, share an address with another or have been deleted since it
// was indexed.
// addresses are hashes of those that must not come again.
func pick(ctx context.Context, tx pgx.Tx, s Selection, leads *roaring.Bitmap, addresses map[int64]bool) ([]int64, error) {
	draw := s.OrderID
	if s.Round > 1 {
		draw += fmt.Sprintf("/%d", s.Round)
	}
	seed := sha256.Sum256([]byte(draw))
	random := rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:]), binary.BigEndian.Uint64(seed[8:])))
	left := leads.ToArray()
	picked := make([]int64, 0, min(s.Count, int64(len(left))))
	var suppressing bool // whether there is any list to look at
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM suppression WHERE org IN ('', $1))`, s.Org).Scan(&suppressing); err != nil {
		return nil, err
	}
	drawn := int64(0)
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
			SELECT l.no, hashtextextended(lower(l.email), 0)
			FROM unnest($4::bigint[]) AS candidate (no)
			JOIN lead l USING (no)
			WHERE ($5 OR NOT `+isOwned+`) AND NOT ($6 AND `+isSuppressed+`)
			ORDER BY l.no`, s.Org, s.FactType, s.FactScope, batch, s.IncludeOwned, suppressing)
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
			if !addresses[c.Address] && int64(len(picked)) < s.Count {
				addresses[c.Address] = true
				picked = append(picked, c.No)
			}
		}
	}
	slices.Sort(picked)
	return picked, nil
}

// freeze writes items of an order, behind those there are.
func freeze(ctx context.Context, tx pgx.Tx, s Selection, before int64, leads []int64) (Selected, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned)
		SELECT $4, $7 + row_number() OVER (ORDER BY l.email_domain, l.no), l.no, l.fingerprint, l.email,
			$6 AND `+isOwned+`
		FROM unnest($5::bigint[]) AS picked (no)
		JOIN lead l USING (no)
		ORDER BY 2`, s.Org, s.FactType, s.FactScope, s.OrderID, leads, s.IncludeOwned, before)
	if err != nil {
		return Selected{}, err
	}
	selected := Selected{Items: before + tag.RowsAffected()}
	if s.IncludeOwned {
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM order_item WHERE order_id = $1 AND already_owned`, s.OrderID).
			Scan(&selected.AlreadyOwned); err != nil {
			return Selected{}, err
		}
	}
	_, err = tx.Exec(ctx, `UPDATE order_selection SET items = $2, already_owned = $3 WHERE order_id = $1 AND round = $4`,
		s.OrderID, selected.Items, selected.AlreadyOwned, s.Round)
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

// Masked is a lead as it may be shown to somebody who has not paid for it.
type Masked struct {
	ID             string `json:"id"`
	FirstName      string `json:"first_name"`
	LastName       string `json:"last_name"` // initial only
	Email          string `json:"email"`     // first letter and domain only
	Title          string `json:"title"`
	Seniority      string `json:"seniority"`
	Department     string `json:"department"`
	Company        string `json:"company"`
	Industry       string `json:"industry"`
	Headcount      *int64 `json:"headcount"` // nil when it is not known
	Country        string `json:"country"`
	Region         string `json:"region"`
	City           string `json:"city"`
	HasPhone       bool   `json:"has_phone"`
	HasDirectEmail bool   `json:"has_direct_email"`
}

// Preview shows up to n leads that match, with their contact data masked. It
// takes them from all over the catalogue, the same ones each time.
func (c *Catalogue) Preview(ctx context.Context, criteria order.Criteria, n int) ([]Masked, error) {
	if n < 1 || n > 100 {
		return nil, errors.New("a preview shows between 1 and 100 leads; ask for so many")
	}
	leads, err := matching(ctx, c.pool, criteria)
	if err != nil {
		return nil, fmt.Errorf("looking for leads to preview: %w", err)
	}
	total := leads.GetCardinality()
	shown := min(uint64(n), total)
	sample := make([]int64, 0, shown)
	for i := range shown {
		no, err := leads.Select(uint32(i * total / shown))
		if err != nil {
			return nil, fmt.Errorf("looking for leads to preview: %w", err)
		}
		sample = append(sample, int64(no))
	}
	rows, err := c.pool.Query(ctx, `
		SELECT id, first_name, left(last_name, 1) || CASE WHEN length(last_name) > 1 THEN '.' ELSE '' END AS last_name,
			left(split_part(email, '@', 1), 1) || '***@' || email_domain AS email,
			title, seniority, department, company, industry, headcount::bigint, country, region, city,
			phone <> '' AS has_phone, direct_email <> '' AS has_direct_email
		FROM lead WHERE no = ANY ($1) ORDER BY no`, sample)
	if err != nil {
		return nil, fmt.Errorf("reading leads to preview: %w", err)
	}
	masked, err := pgx.CollectRows(rows, pgx.RowToStructByName[Masked])
	if err != nil {
		return nil, fmt.Errorf("reading leads to preview: %w", err)
	}
	return masked, nil
}
