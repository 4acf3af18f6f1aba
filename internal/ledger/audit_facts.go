package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// factAudit follows which facts an organization was charged for. Most facts are
// charged once and never again: their rows are looked up soon after and the
// facts forgotten. Only those that were reversed stay in memory until the end.
type factAudit struct {
	owner    string
	lookup   pgx.Tx
	report   func(invariant, table, key, problem string)
	recent   []fact           // charged lately, not looked up yet
	open     map[factID]*fact // reversed, or charged again later
	verified int64            // rows that agree with the journal
}

func newFactAudit(owner string, lookup pgx.Tx, report func(invariant, table, key, problem string)) *factAudit {
	return &factAudit{owner: owner, lookup: lookup, report: report, open: map[factID]*fact{}}
}

func (a *factAudit) complain(id factID, format string, args ...any) {
	a.report("I5", "credit_fact", a.owner+"/"+id.kind+"/"+id.scope+"/"+hex.EncodeToString(id.subject[:]),
		fmt.Sprintf(format, args...))
}

// follow takes in the facts of an entry.
func (a *factAudit) follow(ctx context.Context, e *entry) error {
	if len(e.facts) == 0 {
		return nil
	}
	groups, err := parseFacts(e.facts)
	if err != nil {
		a.report("I5", "credit_entry", fmt.Sprintf("%s/%d", a.owner, e.seq), err.Error())
		return nil
	}
	if e.kind == kindReverse {
		if err := a.settle(ctx); err != nil {
			return err
		}
	}
	for _, g := range groups {
		for _, s := range g.subjects {
			f := fact{factID: factID{g.kind, g.scope, s}, seq: e.seq, cost: g.cost}
			known := a.open[f.factID]
			switch {
			case e.kind == kindReverse && (known == nil || known.reversed):
				a.complain(f.factID, "entry %d reverses it, the row does not say so", e.seq)
			case e.kind == kindReverse:
				known.reversed = true
			case known == nil:
				a.recent = append(a.recent, f)
			case !known.reversed:
				a.complain(f.factID, "entry %d charges it again, without a reversal in between", e.seq)
			default:
				*known = f
			}
		}
	}
	if len(a.recent) >= lookupRows {
		return a.settle(ctx)
	}
	return nil
}

// settle looks up the facts charged lately.
func (a *factAudit) settle(ctx context.Context) error {
	for part := range slices.Chunk(a.recent, lookupRows) {
		rows, err := a.rows(ctx, part)
		if err != nil {
			return err
		}
		for _, f := range part {
			row, ok := rows[f.factID]
			switch {
			case !ok:
				a.complain(f.factID, "entry %d charges it, the row is missing", f.seq)
			case row.reversed || row.seq > f.seq:
				a.open[f.factID] = &f
			default:
				a.compare(f, row)
			}
		}
	}
	a.recent = a.recent[:0]
	return nil
}

func (a *factAudit) compare(f, row fact) {
	a.verified++
	if row.seq != f.seq || row.cost != f.cost || row.reversed != f.reversed {
		a.complain(f.factID, "it says entry %d, cost %d, reversed %t; the journal says %d, %d, %t",
			row.seq, row.cost, row.reversed, f.seq, f.cost, f.reversed)
	}
}

// rows looks up fact rows.
func (a *factAudit) rows(ctx context.Context, facts []fact) (map[factID]fact, error) {
	var k ownedKeys
	for i := range facts {
		k.addFact(a.owner, facts[i].factID)
	}
	rows, err := a.lookup.Query(ctx, `SELECT f.type, f.scope, f.subject, f.seq, f.cost, f.reversed
		FROM unnest($2::text[], $3::text[], $4::uuid[]) k (type, scope, subject)
		CROSS JOIN LATERAL (SELECT * FROM credit_fact f WHERE f.owner = $1 AND f.type = k.type
			AND f.scope = k.scope AND f.subject = k.subject LIMIT 1) f`,
		a.owner, k.types, k.scopes, k.subjects)
	if err != nil {
		return nil, err
	}
	found := make(map[factID]fact, len(facts))
	var f fact
	_, err = pgx.ForEachRow(rows, []any{&f.kind, &f.scope, &f.subject, &f.seq, &f.cost, &f.reversed}, func() error {
		found[f.factID] = f
		return nil
	})
	return found, err
}

// finish looks up the rest and finds facts without a charge. It returns
// the number of fact rows.
func (a *factAudit) finish(ctx context.Context) (int64, error) {
	if err := a.settle(ctx); err != nil {
		return 0, err
	}
	open := make([]fact, 0, len(a.open))
	for _, f := range a.open {
		open = append(open, *f)
	}
	for part := range slices.Chunk(open, lookupRows) {
		rows, err := a.rows(ctx, part)
		if err != nil {
			return 0, err
		}
		for _, f := range part {
			a.compare(f, rows[f.factID])
		}
	}
	var n int64
	if err := a.lookup.QueryRow(ctx, `SELECT count(*) FROM credit_fact WHERE owner = $1`, a.owner).Scan(&n); err != nil {
		return 0, err
	}
	if n != a.verified {
		return n, a.strangers(ctx)
	}
	return n, nil
}

// strangers finds fact rows whose journal entry does not contain them. It is
// slow and runs only when the numbers do not agree.
func (a *factAudit) strangers(ctx context.Context) error {
	var after fact
	for {
		rows, err := a.lookup.Query(ctx, `SELECT f.type, f.scope, f.subject, f.seq, e.facts FROM credit_fact f
			LEFT JOIN credit_entry e ON e.owner = f.owner AND e.seq = f.seq
			WHERE f.owner = $1 AND (f.type, f.scope, f.subject) > ($2, $3, $4)
			ORDER BY f.type, f.scope, f.subject LIMIT 500`, a.owner, after.kind, after.scope, after.subject)
		if err != nil {
			return err
		}
		n := 0
		var packed []byte
		_, err = pgx.ForEachRow(rows, []any{&after.kind, &after.scope, &after.subject, &after.seq, &packed}, func() error {
			n++
			groups, err := parseFacts(packed)
			if err != nil || !slices.ContainsFunc(groups, func(g factGroup) bool {
				return g.kind == after.kind && g.scope == after.scope && slices.Contains(g.subjects, after.subject)
			}) {
				a.complain(after.factID, "entry %d does not charge it", after.seq)
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
