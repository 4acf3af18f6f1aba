package ledger

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// queueFacts asks for facts, where origins are asked for with the holds that
// paid for them.
func (t *batch) queueFacts(b *pgx.Batch, k ownedKeys, origins bool) {
	query := `SELECT f.owner, f.type, f.scope, f.subject, f.seq, f.cost, f.reversed, '' AS hold_id
		FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) k (owner, type, scope, subject)
		CROSS JOIN LATERAL (SELECT * FROM credit_fact f WHERE f.owner = k.owner AND f.type = k.type
			AND f.scope = k.scope AND f.subject = k.subject LIMIT 1) f`
	if origins {
		query = strings.Replace(query, "''", "coalesce(e.hold_id, '')", 1) + `
		LEFT JOIN LATERAL (SELECT hold_id FROM credit_entry e WHERE e.owner = f.owner AND e.seq = f.seq LIMIT 1) e ON true`
	}
	b.Queue(query, k.owners, k.types, k.scopes, k.subjects).Query(func(rows pgx.Rows) error {
		for i, o := range k.owners {
			t.byOwner[o].books.facts[factID{k.types[i], k.scopes[i], k.subjects[i]}] = nil
		}
		var owner string
		var f fact
		_, err := pgx.ForEachRow(rows, []any{
			&owner, &f.kind, &f.scope, &f.subject, &f.seq, &f.cost, &f.reversed, &f.hold,
		}, func() error {
			w := t.byOwner[owner]
			read := f
			w.books.facts[f.factID] = &read
			if origins {
				w.fresh.origins = append(w.fresh.origins, &read)
			}
			return nil
		})
		return err
	})
}

func (t *batch) queueCaptures(b *pgx.Batch, k ownedKeys) {
	b.Queue(`SELECT e.owner, e.seq, e.facts FROM unnest($1::text[], $2::bigint[]) k (owner, seq)
		CROSS JOIN LATERAL (SELECT * FROM credit_entry e WHERE e.owner = k.owner AND e.seq = k.seq LIMIT 1) e`, k.owners, k.numbers).Query(func(rows pgx.Rows) error {
		var owner string
		var seq int64
		var packed []byte
		_, err := pgx.ForEachRow(rows, []any{&owner, &seq, &packed}, func() error {
			w := t.byOwner[owner]
			groups, err := parseFacts(packed)
			if err != nil {
				w.damaged("entry %d: %w", seq, err)
				return nil
			}
			ids := []factID{}
			for _, g := range groups {
				for _, s := range g.subjects {
					ids = append(ids, factID{g.kind, g.scope, s})
				}
			}
			w.books.charged[seq] = ids
			return nil
		})
		return err
	})
}
