package lead

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
	"holdfast/internal/value"
)

// Why a row stands for no lead.
const (
	noMatch   = order.ReasonNoMatch
	ambiguous = order.ReasonAmbiguous // what it says fits more than one lead
)

// matchColumns are the columns of a list that say who a row is about, by
// position; -1 where the list has no such column.
type matchColumns struct{ id, first, last, name, company, domain int }

func findMatchColumns(columns []string) matchColumns {
	at := func(names ...string) int {
		for _, name := range names {
			if i := slices.IndexFunc(columns, func(column string) bool {
				return strings.EqualFold(strings.NewReplacer("_", " ", "-", " ").Replace(column), name)
			}); i >= 0 {
				return i
			}
		}
		return -1
	}
	return matchColumns{
		id:      at("lead id", "id"),
		first:   at("first name", "firstname", "given name"),
		last:    at("last name", "lastname", "surname", "family name"),
		name:    at("full name", "name", "contact name"),
		company: at("company", "company name", "organization", "organisation", "account name"),
		domain:  at("domain", "company domain", "website", "company website", "url"),
	}
}

// described is what a row says of a person, besides the address.
type described struct {
	name, company, domain string // empty where the row is silent; the domain in lower case
}

func (m matchColumns) describe(cells []string) described {
	cell := func(i int) string {
		if i < 0 || i >= len(cells) {
			return ""
		}
		return strings.TrimSpace(unguard(cells[i]))
	}
	d := described{company: cell(m.company), domain: domainOf(cell(m.domain))}
	if first, last := cell(m.first), cell(m.last); first != "" && last != "" {
		d.name = first + " " + last
	} else {
		d.name = strings.Join(strings.Fields(cell(m.name)), " ")
	}
	return d
}

// enough reports whether a lead can be looked for by it without an address.
func (d described) enough() bool { return d.domain != "" || (d.name != "" && d.company != "") }

// canMatch reports whether the columns are enough to look for leads.
func (m matchColumns) canMatch() bool {
	return m.domain >= 0 || (m.company >= 0 && (m.name >= 0 || (m.first >= 0 && m.last >= 0)))
}

// domainOf takes the domain out of a web address.
func domainOf(website string) string {
	domain := strings.ToLower(website)
	if _, rest, found := strings.Cut(domain, "://"); found {
		domain = rest
	}
	if end := strings.IndexAny(domain, "/?#:"); end >= 0 {
		domain = domain[:end]
	}
	return strings.TrimPrefix(domain, "www.")
}

// matched is a lead that a row was found to be about.
type matched struct {
	N         int64
	LeadNo    *int64 // nil = none
	Ambiguous bool
	Email     string // these: what is known of the lead
	Phone     string
	Numbers   []uuid.UUID // keys of the numbers of the phone
	Country   string
	Direct    string
	Profile   string
}

// matchMost is how many leads a name or a domain may have before a row that says
// no more of a person is ambiguous.
const matchMost = "50"

// oneOf says in SQL which of the leads of a condition is meant: of several with
// one address the newest. found is the number of different addresses.
func oneOf(condition string) string {
	return `SELECT CASE WHEN count(*) = ` + matchMost + ` THEN count(*) ELSE count(DISTINCT coalesce(x.email_key, x.fingerprint)) END AS found,
			(array_agg(x.no ORDER BY x.imported_at DESC, x.no DESC))[1] AS no
		FROM (SELECT l.no, l.email_key, l.fingerprint, l.imported_at FROM lead l WHERE ` + condition + ` LIMIT ` + matchMost + `) x`
}

// matchStatement finds for each row the lead it is about: the newest that has the
// address (either of its two), else the one that alone has the name and company,
// else name and domain; and where the row says nothing of a person, the one that
// is alone under the domain. Leads with one address are one person.
var matchStatement = `
	SELECT r.n, l.no AS lead_no, l.no IS NULL AND greatest(c.found, d.found, e.found) > 1 AS ambiguous,
		coalesce(l.email, '') AS email, coalesce(l.phone, '') AS phone, coalesce(l.phone_keys, '{}') AS numbers,
		coalesce(l.country, '') AS country, coalesce(l.direct_email, '') AS direct, coalesce(l.profile, '') AS profile
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[]) AS r (n, email, name, company, domain, key)
	CROSS JOIN LATERAL (SELECT count(*) AS found, (array_agg(x.no ORDER BY x.imported_at DESC, x.no DESC))[1] AS no FROM (
		(SELECT l.no, l.imported_at FROM lead l WHERE r.key IS NOT NULL AND l.email_key = r.key LIMIT ` + matchMost + `)
		UNION
		(SELECT l.no, l.imported_at FROM lead l WHERE r.email <> '' AND l.direct_email <> '' AND lower(l.direct_email) = lower(r.email) LIMIT ` + matchMost + `)) x) a
	CROSS JOIN LATERAL (` + oneOf(`a.found = 0 AND r.name <> '' AND r.company <> ''
			AND lower(l.company) COLLATE "C" = lower(r.company) AND lower(l.first_name || ' ' || l.last_name) COLLATE "C" = lower(r.name)`) + `) c
	CROSS JOIN LATERAL (` + oneOf(`a.found = 0 AND c.found <> 1 AND r.name <> '' AND r.domain <> ''
			AND l.domain = r.domain AND lower(l.first_name || ' ' || l.last_name) COLLATE "C" = lower(r.name)`) + `) d
	CROSS JOIN LATERAL (` + oneOf(`r.email = '' AND r.name = '' AND r.domain <> '' AND l.domain = r.domain`) + `) e
	LEFT JOIN lead l ON l.no = CASE WHEN a.found > 0 THEN a.no WHEN c.found = 1 THEN c.no WHEN d.found = 1 THEN d.no WHEN e.found = 1 THEN e.no END
	ORDER BY r.n`

// matchRows fills the table named with the rows of a list: for each the lead it
// is about, or why there is none, and which of the fields it says already.
func matchRows(ctx context.Context, tx pgx.Tx, listID string, columns []string, fields []FieldWanted) error {
	const batch = 10_000
	by := findMatchColumns(columns)
	for from := int64(0); ; {
		var n []int64
		var email, name, company, domain []string
		var keys []*uuid.UUID
		var rows [][]string
		read, err := tx.Query(ctx, `
			SELECT n, email, cells FROM list_row WHERE list_id = $1 AND n > $2 ORDER BY n LIMIT $3`, listID, from, batch)
		if err != nil {
			return err
		}
		var address string
		var cells []string
		if _, err := pgx.ForEachRow(read, []any{&from, &address, &cells}, func() error {
			d := by.describe(cells)
			n, rows = append(n, from), append(rows, cells)
			email, name = append(email, address), append(name, d.name)
			company, domain = append(company, d.company), append(domain, d.domain)
			keys = append(keys, addressKey(address))
			cells = nil // rows keeps it
			return nil
		}); err != nil {
			return err
		}
		if len(n) == 0 {
			return nil
		}
		found, err := tx.Query(ctx, matchStatement, n, email, name, company, domain, keys)
		if err != nil {
			return err
		}
		leads, err := pgx.CollectRows(found, pgx.RowToStructByName[matched])
		if err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"named"}, []string{"n", "lead_no", "says", "said", "problem"},
			pgx.CopyFromSlice(len(leads), func(i int) ([]any, error) {
				m := leads[i]
				switch {
				case m.LeadNo != nil:
					says, said := m.says(rows[i], fields)
					return []any{m.N, *m.LeadNo, says, said, nil}, nil
				case m.Ambiguous:
					return []any{m.N, int64(0), int32(0), int64(0), ambiguous}, nil
				default:
					return []any{m.N, int64(0), int32(0), int64(0), noMatch}, nil
				}
			})); err != nil {
			return err
		}
	}
}

// addressKey is the key of an address, nil where a text cannot be one.
func addressKey(address string) *uuid.UUID {
	key, ok := value.Address(address)
	if !ok {
		return nil
	}
	return &key
}

// says returns which of the fields the row has already: bit i of bits for the
// i-th. Where it has some of the telephone numbers, said tells which.
func (m matched) says(cells []string, fields []FieldWanted) (bits int32, said int64) {
	for i, f := range fields {
		var has bool
		switch f.Field {
		case order.EmailField:
			has = hasAddress(cells, m.Email)
		case order.DirectEmailField:
			has = hasAddress(cells, m.Direct)
		case order.ProfileField:
			has = hasCell(cells, m.Profile)
		case order.PhoneField:
			said = m.saysNumbers(cells)
			has = len(m.Numbers) > 0 && said == 1<<min(len(m.Numbers), maxNumbers)-1
		case order.LeadField:
		}
		if has {
			bits |= 1 << i
		}
	}
	return bits, said
}

// maxNumbers is how many telephone numbers of a lead are compared with a row.
const maxNumbers = 62

// saysNumbers returns which of the lead's telephone numbers the cells have,
// however they are written: bit i for the i-th.
func (m matched) saysNumbers(cells []string) (said int64) {
	if len(m.Numbers) == 0 {
		return 0
	}
	for _, cell := range cells {
		if !strings.ContainsAny(cell, "0123456789") {
			continue
		}
		_, has := value.Numbers(unguard(cell), m.Country)
		for i, key := range m.Numbers[:min(len(m.Numbers), maxNumbers)] {
			if slices.Contains(has, key) || hasDigits(cell, m.Phone, i) {
				said |= 1 << i
			}
		}
	}
	return said
}

// hasDigits reports whether a cell has the digits of the i-th of the numbers:
// many lists have lost the +.
func hasDigits(cell, phones string, i int) bool {
	wanted := digits(strings.Split(phones, ";")[i])
	for has := range strings.SplitSeq(cell, ";") {
		if wanted != "" && digits(has) == wanted {
			return true
		}
	}
	return false
}

// hasAddress reports whether a cell is the address, however it is written.
func hasAddress(cells []string, address string) bool {
	if address == "" {
		return false
	}
	wanted, _ := value.Address(address)
	return slices.ContainsFunc(cells, func(cell string) bool {
		if !strings.Contains(cell, "@") {
			return false
		}
		has, _ := value.Address(unguard(cell))
		return has == wanted
	})
}

// hasCell reports whether a cell is the value, letter case aside.
func hasCell(cells []string, value string) bool {
	return value != "" && slices.ContainsFunc(cells, func(cell string) bool {
		return strings.EqualFold(strings.TrimSpace(unguard(cell)), value)
	})
}

func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, text)
}
