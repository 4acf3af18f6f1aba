package lead

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// Viewer is who looks at leads: an organization, and which facts make a value
// visible to one of its members.
type Viewer struct {
	Org    string
	Types  []string // credit types of the plan
	Scopes []string // "" for what the organization has paid for once, and the member's own
}

// PreviewLead is a lead as a preview shows it: masked, but for the values that
// the organization owns, and for the whole name where it owns any of them.
type PreviewLead struct {
	ID             string `json:"id"`
	FirstName      string `json:"first_name"`
	LastName       string `json:"last_name" doc:"Its initial, unless owned."`
	Email          string `json:"email" doc:"Its first letter and domain, unless owned."`
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
	Owned          bool   `json:"owned" doc:"The organization has paid for a value of this lead; what it paid for is shown."`
	Phone          string `json:"phone,omitempty" doc:"The owned numbers."`
	DirectEmail    string `json:"direct_email,omitempty" doc:"Where owned."`
	Profile        string `json:"profile,omitempty" doc:"Where owned."`
}

// previewRow is what is read for a preview.
type previewRow struct {
	PreviewLead

	Masked     string // the address as it is shown where it is not owned
	FullName   string // the last name
	OwnsEmail  bool
	OwnsDirect bool
	OwnsText   bool
	PhoneKeys  []uuid.UUID
	OwnedKeys  []uuid.UUID
}

// Preview shows up to n leads that match. It takes them from all over the
// catalogue, the same ones each time.
func (c *Catalogue) Preview(ctx context.Context, v Viewer, criteria order.Criteria, n int) ([]PreviewLead, error) {
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
	return c.show(ctx, v, sample)
}

// Page shows the next n leads that match, in the order of the catalogue, behind a
// cursor, and returns that of the next page, which is empty at the end. What is
// imported later does not shift the pages.
//
// Errors: ErrBadCursor.
func (c *Catalogue) Page(ctx context.Context, v Viewer, criteria order.Criteria, cursor string, n int) (shown []PreviewLead, next string, err error) {
	var after uint64
	if cursor != "" {
		if after, err = strconv.ParseUint(cursor, 10, 31); err != nil {
			return nil, "", ErrBadCursor
		}
	}
	leads, err := matching(ctx, c.pool, criteria)
	if err != nil {
		return nil, "", fmt.Errorf("looking for a page of leads: %w", err)
	}
	page := make([]int64, 0, n)
	all := leads.Iterator()
	if after > 0 {
		all.AdvanceIfNeeded(uint32(after) + 1)
	}
	for all.HasNext() && len(page) < n {
		page = append(page, int64(all.Next()))
	}
	if all.HasNext() {
		next = strconv.FormatInt(page[len(page)-1], 10)
	}
	shown, err = c.show(ctx, v, page)
	return shown, next, err
}

// show reads leads by their numbers, masked.
func (c *Catalogue) show(ctx context.Context, v Viewer, numbers []int64) ([]PreviewLead, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT l.id, l.first_name, `+initialSQL("l.last_name")+` AS last_name, l.email,
			l.title, l.seniority, l.department, l.company, l.industry, l.headcount::bigint AS headcount, l.country, l.region, l.city,
			l.phone <> '' AS has_phone, l.direct_email <> '' AS has_direct_email,
			cardinality(o.keys) > 0 AS owned, l.phone, l.direct_email, l.profile,
			left(split_part(l.email, '@', 1), 1) || '***@' || l.email_domain AS masked, l.last_name AS full_name,
			coalesce(l.email_key = ANY (o.keys), false) AS owns_email, coalesce(l.direct_key = ANY (o.keys), false) AS owns_direct,
			coalesce(l.profile_key = ANY (o.keys), false) AS owns_text, l.phone_keys, o.keys AS owned_keys
		FROM lead l CROSS JOIN LATERAL (
			SELECT coalesce(array_agg(k), '{}') AS keys
			FROM unnest(ARRAY[l.email_key, l.direct_key, l.profile_key] || l.phone_keys) AS k
			WHERE `+visible("k")+`) o
		WHERE l.no = ANY ($4) ORDER BY l.no`, v.Org, v.Types, v.Scopes, numbers)
	if err != nil {
		return nil, fmt.Errorf("reading leads to show: %w", err)
	}
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[previewRow])
	if err != nil {
		return nil, fmt.Errorf("reading leads to show: %w", err)
	}
	shownLeads := make([]PreviewLead, len(read))
	for i := range read {
		shownLeads[i] = read[i].shown()
	}
	return shownLeads, nil
}

// visible says in SQL whether a value's key is that of a fact that the viewer
// ($1 organization, $2 types, $3 scopes) may see.
func visible(key string) string {
	return `EXISTS (SELECT FROM unnest($2::text[]) AS t (type) CROSS JOIN unnest($3::text[]) AS s (scope)
		JOIN credit_fact f ON f.owner = $1 AND f.type = t.type AND f.scope = s.scope AND f.subject = ` + key + ` AND NOT f.reversed)`
}

// shown masks what is not owned.
func (r previewRow) shown() PreviewLead {
	l := r.PreviewLead
	if l.Owned {
		l.LastName = r.FullName
	}
	if !r.OwnsEmail {
		l.Email = r.Masked
	}
	if !r.OwnsDirect {
		l.DirectEmail = ""
	}
	if !r.OwnsText {
		l.Profile = ""
	}
	owned := map[uuid.UUID]bool{}
	for _, k := range r.OwnedKeys {
		owned[k] = true
	}
	var numbers []string
	for i, number := range strings.Split(l.Phone, ";") {
		if i < len(r.PhoneKeys) && owned[r.PhoneKeys[i]] {
			numbers = append(numbers, strings.TrimSpace(number))
		}
	}
	l.Phone = strings.Join(numbers, ";")
	return l
}
