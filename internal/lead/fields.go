package lead

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/suppression"
	"holdfast/internal/verdicts"
)

// FieldSelection says which fields of which leads an order wants: it reveals or
// exports leads that are named, or enriches rows that are matched to leads.
type FieldSelection struct {
	OrderID string
	Org     string
	// ListID is the list whose rows name leads by id or, with Match, are
	// matched to leads.
	ListID string
	Match  bool
	// FromOrder is, instead of a list, the order of the same organization whose
	// delivered leads are exported.
	FromOrder string
	// LeadIDs are, instead of a list, leads by id: for CountFields alone.
	LeadIDs []string
	Fields  []FieldWanted // each makes one item of a lead, in this order
	Carry   []FieldWanted // of an export: what goes out with an item where it is owned
}

// FieldWanted is a field and the fact by which an organization owns it.
type FieldWanted struct {
	Field     order.Field
	FactType  string // credit type of the fact; "" = the field cannot be owned
	FactScope string // "" = once per organization
	PerLead   bool   // who has paid for the field of a lead has paid for any value of it
}

// FieldCount says what the items of one field would come to.
// Items − Owned − Lacking could be charged.
type FieldCount struct {
	Field   order.Field
	Items   int64
	Owned   int64 // paid for already
	Lacking int64 // nothing to give: not found, not new, nothing owned that could be exported, or suppressed
}

// FieldItem is an item that could be delivered, and what of it is owned.
type FieldItem struct {
	Field     order.Field
	Lead      uuid.UUID   // the field of the lead, see Subject
	Keys      []uuid.UUID // of the values; none of a lead as a whole
	Unowned   []uuid.UUID // of the keys, those that are not paid for
	LeadOwned bool        // the field of the lead is paid for
}

// Owned reports whether what the subject is about is paid for.
func (i FieldItem) Owned(subject [16]byte) bool {
	if subject == i.Lead {
		return i.LeadOwned
	}
	return !slices.Contains(i.Unowned, subject)
}

// Subject identifies a field of a lead in the ledger: its address, and the lead
// as a whole, by the lead's Fingerprint; another field by the first 16 bytes of
// the SHA-256 of "lead:", the lead's id, "/" and the field. What a plan charges
// by the lead is charged under it; else it is the value that is (internal/value).
func Subject(id string, f order.Field) uuid.UUID {
	if f == order.EmailField || f == order.LeadField {
		return Fingerprint(id)
	}
	sum := sha256.Sum256([]byte("lead:" + id + "/" + string(f)))
	return uuid.UUID(sum[:16])
}

// subjectOf is Subject in SQL.
func subjectOf(id, field string) string {
	return `encode(substr(sha256(convert_to('lead:' || ` + id + ` ||
		CASE WHEN ` + field + ` IN ('email', 'lead') THEN '' ELSE '/' || ` + field + ` END, 'UTF8')), 1, 16), 'hex')::uuid`
}

// keysOf are in SQL the keys of a field of the lead l, NULL where there are none.
func keysOf(field string) string {
	return `CASE ` + field + ` WHEN 'email' THEN array_remove(ARRAY[l.email_key], NULL) WHEN 'phone' THEN l.phone_keys
		WHEN 'direct_email' THEN array_remove(ARRAY[l.direct_key], NULL) WHEN 'profile' THEN array_remove(ARRAY[l.profile_key], NULL) END`
}

// ownsFact says in SQL whether the organization $1 owns the fact of a type and
// scope about a subject. It is a scalar for the reason that isOwned is one.
func ownsFact(of, subject string) string {
	return `coalesce(` + of + `.type <> '' AND (SELECT NOT o.reversed FROM credit_fact o
		WHERE o.owner = $1 AND o.type = ` + of + `.type AND o.scope = ` + of + `.scope AND o.subject = ` + subject + `), false)`
}

// possibleItems are the items of the leads in the table wanted (rank, lead_no, id,
// says, said), one for each field. Parameters: $1 the organization, $2–$4 the
// fields with types and scopes of their facts, $5–$7 the same of what is carried,
// $8 whether anything is suppressed, $9 whether the fields are owned by the lead.
// An item has a reason, and with it a verdict, where there is nothing to verify.
// What is owned has one where an earlier verification of this very value is still
// relied on.
var possibleItems = `
	SELECT w.rank, f.ord, f.field, coalesce(l.no, 0) AS lead_no, v.subject, v.value, nullif(v.keys, '{}') AS keys,
		own.unowned, own.by_lead, o.free, c.carries, c.carried, d.reason,
		e.mx_host, e.smtp_code, e.smtp_enhanced, e.checked_at
	FROM wanted w
	LEFT JOIN lead l ON l.no = w.lead_no
	CROSS JOIN LATERAL (SELECT coalesce($8 AND ` + isSuppressed + `, false) AS suppressed OFFSET 0) x
	CROSS JOIN unnest($2::text[], $3::text[], $4::text[], $9::boolean[]) WITH ORDINALITY AS f (field, type, scope, per_lead, ord)
	CROSS JOIN LATERAL (SELECT CASE WHEN f.field IN ('email', 'lead') AND l.no IS NOT NULL THEN l.fingerprint
			ELSE ` + subjectOf("coalesce(l.id, w.id)", "f.field") + ` END AS subject,
		coalesce(CASE f.field WHEN 'email' THEN l.email
			WHEN 'phone' THEN CASE WHEN w.said = 0 THEN l.phone ELSE (SELECT string_agg(p.number, ';' ORDER BY p.at)
				FROM unnest(string_to_array(l.phone, ';')) WITH ORDINALITY AS p (number, at) WHERE w.said >> (p.at - 1)::int & 1 = 0) END
			WHEN 'direct_email' THEN l.direct_email WHEN 'profile' THEN l.profile END, '') AS value,
		CASE WHEN f.field = 'phone' AND w.said <> 0 THEN ARRAY(SELECT p.key
				FROM unnest(l.phone_keys) WITH ORDINALITY AS p (key, at) WHERE w.said >> (p.at - 1)::int & 1 = 0 ORDER BY p.at)
			ELSE ` + keysOf("f.field") + ` END AS keys OFFSET 0) v
	CROSS JOIN LATERAL (SELECT
		f.per_lead AND ` + ownsFact("f", "v.subject") + ` AS by_lead,
		CASE WHEN f.type = '' THEN nullif(v.keys, '{}')
			WHEN cardinality(v.keys) = 1 THEN CASE WHEN NOT ` + ownsFact("f", "v.keys[1]") + ` THEN v.keys END
			ELSE (SELECT array_agg(k) FROM unnest(v.keys) AS k WHERE NOT ` + ownsFact("f", "k") + `) END AS unowned OFFSET 0) own
	CROSS JOIN LATERAL (SELECT own.by_lead OR coalesce(cardinality(v.keys) > 0 AND own.unowned IS NULL, false) AS free) o
	CROSS JOIN LATERAL (SELECT array_agg(DISTINCT c.field) AS carries, array_agg(c.key) AS carried FROM (
		SELECT c.field, k.key FROM unnest($5::text[], $6::text[], $7::text[]) AS c (field, type, scope)
		CROSS JOIN LATERAL unnest(` + keysOf("c.field") + `) AS k (key) WHERE ` + ownsFact("c", "k.key") + `) c) c
	LEFT JOIN LATERAL (` + verdicts.FreshSQL("v.value") + `) e ON o.free AND f.field IN ('email', 'direct_email')
	CROSS JOIN LATERAL (SELECT CASE
		WHEN l.no IS NULL THEN 'not_found'
		WHEN x.suppressed THEN 'suppressed'
		WHEN f.field = 'lead' AND c.carries IS NULL THEN 'not_owned'
		WHEN f.field = 'lead' THEN 'on_file'
		WHEN w.says >> (f.ord - 1)::int & 1 = 1 THEN 'not_new'
		WHEN v.value = '' THEN 'not_found'
		WHEN f.field = 'email' AND l.email_key IS NULL AND l.phone_keys IS NOT NULL THEN 'syntax'
		WHEN f.field = 'profile' AND o.free THEN 'owned'
		WHEN f.field = 'profile' THEN 'on_file'
		WHEN o.free AND e.verdict = 'valid' THEN 'owned'
		END AS reason) d`

// fieldItems are the possible items, in which the same values stand once: an
// item whose values an earlier one has, first by its rank and ord, is a duplicate.
// A value that will not be delivered is left out.
var fieldItems = `
	SELECT p.rank, p.ord, p.field, p.lead_no, p.subject, p.by_lead, p.free AND s.verdict IS DISTINCT FROM 'unknown' AS owned, p.carries, p.carried,
		r.reason, s.verdict, p.first_rank, p.first_ord, p.mx_host, p.smtp_code, p.smtp_enhanced, p.checked_at,
		CASE WHEN s.verdict IS DISTINCT FROM 'unknown' THEN p.unowned END AS unowned,
		CASE WHEN s.verdict IS DISTINCT FROM 'unknown' THEN p.keys END AS keys,
		CASE WHEN s.verdict IS DISTINCT FROM 'unknown' THEN p.value ELSE '' END AS value
	FROM (SELECT i.*, row_number() OVER same AS nth, first_value(i.rank) OVER same AS first_rank, first_value(i.ord) OVER same AS first_ord
		FROM (SELECT i.*, CASE WHEN i.reason IS NULL OR i.reason IN ('owned', 'on_file') THEN CASE WHEN cardinality(i.keys) > 1
				THEN ARRAY(SELECT k FROM unnest(i.keys) AS k ORDER BY k) ELSE i.keys END END AS values
			FROM (` + possibleItems + `) i) i
		WINDOW same AS (PARTITION BY i.values ORDER BY i.rank, i.lead_no, i.ord)) p
	CROSS JOIN LATERAL (SELECT CASE WHEN p.values IS NOT NULL AND p.nth > 1 THEN 'duplicate' ELSE p.reason END AS reason) r
	CROSS JOIN LATERAL (SELECT CASE WHEN r.reason IN ('owned', 'on_file') THEN 'valid' WHEN r.reason = 'syntax' THEN 'invalid'
		WHEN r.reason IS NOT NULL THEN 'unknown' END AS verdict) s`

// CountFields says how many leads a selection names and what the items of each
// field would come to, by the same rules as SelectFields. It keeps nothing.
//
// Errors: ErrNoList, *ListError.
func (c *Catalogue) CountFields(ctx context.Context, s FieldSelection) (leads int64, counts []FieldCount, err error) {
	return c.EachField(ctx, s, func(FieldItem) {})
}

// EachField is CountFields and calls each with the items that could be
// delivered.
func (c *Catalogue) EachField(ctx context.Context, s FieldSelection, each func(FieldItem)) (leads int64, counts []FieldCount, err error) {
	err = commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		if err := nameLeads(ctx, tx, s); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			CREATE TEMP TABLE wanted ON COMMIT DROP AS
			SELECT 0 AS rank, lead_no, id, bit_and(says) AS says, bit_and(said) AS said FROM named WHERE problem IS NULL GROUP BY lead_no, id`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM wanted WHERE lead_no > 0`).Scan(&leads); err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Fields, func(f FieldWanted) bool { return f.Field == order.LeadField }) {
			s.Carry = nil // costs time and decides nothing
		}
		counts, err = s.count(ctx, tx, each)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("counting the fields of leads: %w", err)
	}
	return leads, counts, nil
}

// count adds up the items of the table wanted.
func (s FieldSelection) count(ctx context.Context, tx pgx.Tx, each func(FieldItem)) ([]FieldCount, error) {
	counts := make([]FieldCount, len(s.Fields))
	for i, f := range s.Fields {
		counts[i].Field = f.Field
	}
	parameters, err := s.parameters(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT field, subject, keys, unowned, by_lead, ord, owned, verdict IN ('unknown', 'invalid') AS lacking FROM (`+fieldItems+`) i`, parameters...)
	if err != nil {
		return nil, err
	}
	var item FieldItem
	var ord int64
	var owned bool
	var lacking *bool
	_, err = pgx.ForEachRow(rows, []any{&item.Field, &item.Lead, &item.Keys, &item.Unowned, &item.LeadOwned, &ord, &owned, &lacking}, func() error {
		n := &counts[ord-1]
		n.Items++
		switch {
		case lacking != nil && *lacking:
			n.Lacking++
			return nil
		case owned:
			n.Owned++
		}
		each(item)
		item.Keys, item.Unowned = nil, nil // each may keep them
		return nil
	})
	return counts, err
}

// SelectFields freezes the items of an order: for every lead that is named, each
// once, an item for each field. The items of a lead stand together, those of one
// mail host's leads too. What needs no verification has its verdict from the
// start: what the organization owns, what the catalogue does not have, what is
// suppressed. It is idempotent per order.
//
// Errors: ErrNoList, *ListError.
func (c *Catalogue) SelectFields(ctx context.Context, s FieldSelection) (Selected, error) {
	var selected Selected
	err := commit.Begin(ctx, c.pool, func(tx pgx.Tx) error {
		if err := suppression.Copying(ctx, tx); err != nil {
			return err
		}
		fields := make([]order.Field, len(s.Fields))
		for i, f := range s.Fields {
			fields[i] = f.Field
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO order_selection (order_id, list_id, fields) VALUES ($1, nullif($2, ''), $3) ON CONFLICT DO NOTHING`,
			s.OrderID, s.ListID, fields)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return tx.QueryRow(ctx, `SELECT items, already_owned, decided FROM order_selection WHERE order_id = $1 AND round = 1`, s.OrderID).
				Scan(&selected.Items, &selected.AlreadyOwned, &selected.Decided)
		}
		if s.ListID != "" {
			if err := use(ctx, tx, s.ListID); err != nil {
				return err
			}
		}
		if err := nameLeads(ctx, tx, s); err != nil {
			return err
		}
		selected, err = freezeFields(ctx, tx, s)
		return err
	})
	if err != nil {
		return Selected{}, fmt.Errorf("selecting the leads of order %s: %w", s.OrderID, err)
	}
	return selected, nil
}

// nameLeads makes the temporary table named: a row for each row of the list, or
// each lead of the order, with the lead it stands for, 0 for an unknown
// id, or the problem it has.
func nameLeads(ctx context.Context, tx pgx.Tx, s FieldSelection) error {
	if err := lookUp(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		CREATE TEMP TABLE named (
			n bigint, lead_no bigint NOT NULL, id text NOT NULL DEFAULT '', -- the id where there is no such lead
			says integer NOT NULL DEFAULT 0, -- bit i: the row has the i-th field already
			said bigint NOT NULL DEFAULT 0, -- bit i: the row has the i-th telephone number already
			problem text
		) ON COMMIT DROP`); err != nil {
		return err
	}
	if len(s.LeadIDs) > 0 {
		_, err := tx.Exec(ctx, `
			INSERT INTO named (lead_no, id)
			SELECT coalesce(l.no, 0), CASE WHEN l.no IS NULL THEN trim(w.id) ELSE '' END
			FROM unnest($1::text[]) AS w (id) LEFT JOIN lead l ON l.id = trim(w.id)
			WHERE trim(w.id) <> ''`, s.LeadIDs)
		return err
	}
	if s.FromOrder != "" {
		_, err := tx.Exec(ctx, `
			INSERT INTO named (lead_no)
			SELECT DISTINCT l.no FROM orders o JOIN order_item i ON i.order_id = o.id JOIN lead l ON l.no = i.lead_no
			WHERE o.id = $1 AND o.org = $2 AND i.delivered_at IS NOT NULL`, s.FromOrder, s.Org)
		return err
	}
	rows, _ := tx.Query(ctx, `SELECT columns FROM list WHERE id = $1 AND org = $2`, s.ListID, s.Org)
	columns, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]string])
	if err != nil {
		return noList(err)
	}
	if s.Match {
		return matchRows(ctx, tx, s.ListID, columns, s.Fields)
	}
	at := findMatchColumns(columns).id
	if at < 0 {
		return &ListError{"The list has no column id; give one with the ids of leads."}
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO named (n, lead_no, id)
		SELECT r.n, coalesce(l.no, 0), CASE WHEN l.no IS NULL THEN trim(coalesce(r.cells[$2], '')) ELSE '' END
		FROM list_row r LEFT JOIN lead l ON l.id = trim(r.cells[$2]) WHERE r.list_id = $1`, s.ListID, at+1)
	return err
}

// freezeFields writes the items, and which row of the list has which.
func freezeFields(ctx context.Context, tx pgx.Tx, s FieldSelection) (Selected, error) {
	if _, err := tx.Exec(ctx, `
		CREATE TEMP TABLE ranked ON COMMIT DROP AS
		SELECT n.*, dense_rank() OVER (PARTITION BY problem IS NULL ORDER BY l.email_domain, n.lead_no, n.id) AS rank
		FROM named n LEFT JOIN lead l ON l.no = n.lead_no`); err != nil {
		return Selected{}, err
	}
	if _, err := tx.Exec(ctx, `
		CREATE TEMP TABLE wanted ON COMMIT DROP AS
		SELECT rank, lead_no, id, bit_and(says) AS says, bit_and(said) AS said FROM ranked WHERE problem IS NULL GROUP BY rank, lead_no, id ORDER BY rank`); err != nil {
		return Selected{}, err
	}
	parameters, err := s.parameters(ctx, tx)
	if err != nil {
		return Selected{}, err
	}
	if _, err := orderbook.Freeze(ctx, tx, orderbook.NewItems{
		Columns: `order_id, n, lead_no, fingerprint, field, value, keys, already_owned, verdict, reason,
			mx_host, smtp_code, smtp_enhanced, checked_at, carries, carried, same_as`,
		Query: `
		SELECT $10, (rank - 1) * $11 + ord, lead_no, subject, field, value, keys, owned, verdict, reason,
			nullif(mx_host, ''), nullif(smtp_code, 0), nullif(smtp_enhanced, ''),
			CASE WHEN verdict IS NOT NULL THEN CASE WHEN reason = 'owned' THEN coalesce(checked_at, now()) ELSE now() END END,
			CASE WHEN goes THEN carries END, CASE WHEN goes THEN carried END,
			CASE WHEN reason = 'duplicate' THEN (first_rank - 1) * $11 + first_ord END
		FROM (` + fieldItems + `) i CROSS JOIN LATERAL (SELECT verdict IS DISTINCT FROM 'unknown' OR reason = 'duplicate' AS goes) g
		ORDER BY 2`,
	}, append(parameters, s.OrderID, int64(len(s.Fields)))...); err != nil {
		return Selected{}, err
	}
	if s.ListID != "" {
		if _, err := tx.Exec(ctx, `
			INSERT INTO order_row (order_id, n, item, problem)
			SELECT $1, n, CASE WHEN problem IS NULL THEN (rank - 1) * $2 + 1 END, problem FROM ranked ORDER BY n`,
			s.OrderID, int64(len(s.Fields))); err != nil {
			return Selected{}, err
		}
	}
	var selected Selected
	err = tx.QueryRow(ctx, `
		UPDATE order_selection s SET items = i.items, already_owned = i.owned, decided = i.decided, claims = i.claims
		FROM (SELECT count(*) AS items, count(*) FILTER (WHERE already_owned) AS owned, count(verdict) AS decided,
				string_agg(substr(uuid_send(keys[1]), 1, 8), '')
					FILTER (WHERE verdict IS NULL AND NOT already_owned AND field IN ('email', 'direct_email')) AS claims
			FROM order_item WHERE order_id = $1) i
		WHERE s.order_id = $1
		RETURNING s.items, s.already_owned, s.decided`, s.OrderID).
		Scan(&selected.Items, &selected.AlreadyOwned, &selected.Decided)
	return selected, err
}

// parameters are those of fieldItems. A type and scope of which the organization
// has no facts at all is left out, for then there is nothing to look up for each
// lead.
func (s FieldSelection) parameters(ctx context.Context, tx pgx.Tx) ([]any, error) {
	var fields, types, scopes []string
	for _, f := range slices.Concat(s.Fields, s.Carry) {
		fields, types, scopes = append(fields, string(f.Field)), append(types, f.FactType), append(scopes, f.FactScope)
	}
	var suppressing bool // whether there is any list to look at
	if err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM suppression WHERE org IN ('', $1)), ARRAY(
			SELECT CASE WHEN EXISTS (SELECT FROM credit_fact o WHERE o.owner = $1 AND o.type = f.type AND o.scope = f.scope) THEN f.type ELSE '' END
			FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS f (type, scope, ord) ORDER BY ord)`, s.Org, types, scopes).
		Scan(&suppressing, &types); err != nil {
		return nil, err
	}
	n := len(s.Fields)
	byLead := make([]bool, n)
	for i := range byLead {
		byLead[i] = s.Fields[i].PerLead
	}
	return []any{s.Org, fields[:n], types[:n], scopes[:n], fields[n:], types[n:], scopes[n:], suppressing, byLead}, nil
}
