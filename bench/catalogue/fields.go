package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// fieldsOrg is the organization that orders fields.
const fieldsOrg = "fields"

// fields times orders for fields of leads that are named or matched, at two
// sizes. The organization owns the addresses of a tenth of the leads.
func (b *bench) fields(ctx context.Context, sizes ...int64) error {
	const org = fieldsOrg
	if _, err := b.pool.Exec(ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT $1, 'email', '', email_key, 1, 1 FROM lead WHERE no % 10 = 0 AND email_key IS NOT NULL ON CONFLICT DO NOTHING`, org); err != nil {
		return err
	}
	email := lead.FieldWanted{Field: order.EmailField, FactType: "email"}
	phone := lead.FieldWanted{Field: order.PhoneField, FactType: "phone"}
	all := []lead.FieldWanted{
		email, phone, {Field: order.DirectEmailField, FactType: "direct_email"}, {Field: order.ProfileField, FactType: "profile"},
	}
	table := b.report.Table("Fields of leads", "order", "leads", "list s", "count s", "select s", "results s")
	for _, size := range sizes {
		for _, kind := range []struct {
			name string
			kind order.Kind
			sql  string // a row of the list
			s    lead.FieldSelection
		}{
			{"reveal two fields", order.Reveal, "", lead.FieldSelection{Fields: []lead.FieldWanted{email, phone}}},
			{"enrich by address", order.Enrich, `'Missing', email`, lead.FieldSelection{Match: true, Fields: []lead.FieldWanted{email, phone}}},
			{"enrich by name and company", order.Enrich, `first_name || ' ' || last_name, company`, lead.FieldSelection{Match: true, Fields: []lead.FieldWanted{email, phone}}},
			{"export by address", order.Export, "", lead.FieldSelection{Fields: []lead.FieldWanted{email}, Carry: all}},
			{"export by lead", order.Export, "", lead.FieldSelection{Fields: []lead.FieldWanted{{Field: order.LeadField}}, Carry: all}},
		} {
			s := kind.s
			s.OrderID, s.Org = b.nextOrder(), org
			began := time.Now()
			list, err := b.list(ctx, kind.sql, size)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			s.ListID = list.ID
			kept := time.Since(began)
			began = time.Now()
			if _, _, err := b.catalogue.CountFields(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			counted := time.Since(began)
			if err := b.enter(ctx, s.OrderID, org, kind.kind, list.Rows); err != nil {
				return err
			}
			began = time.Now()
			if _, err := b.catalogue.SelectFields(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			selected := time.Since(began)
			if _, err := b.pool.Exec(ctx, `
				UPDATE order_item SET verdict = coalesce(verdict, 'valid'), reason = coalesce(reason, 'accepted'), checked_at = now(),
					delivered_at = CASE WHEN coalesce(verdict, 'valid') = 'valid' THEN now() END WHERE order_id = $1`, s.OrderID); err != nil {
				return err
			}
			began = time.Now()
			if err := b.catalogue.WriteResults(ctx, io.Discard, s.OrderID, lead.CSV, lead.ResultOptions{}); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			table.Add(kind.name, list.Rows, kept.Seconds(), counted.Seconds(), selected.Seconds(), time.Since(began).Seconds())
		}
	}
	return nil
}

// countFields times what an order for fields of a thousand leads counts before it
// is placed, without and with a list of addresses that must not be given away.
func (b *bench) countFields(ctx context.Context, size int64) error {
	const org = fieldsOrg
	email, phone := lead.FieldWanted{Field: order.EmailField, FactType: "email"}, lead.FieldWanted{Field: order.PhoneField, FactType: "phone"}
	two := []lead.FieldWanted{email, phone}
	byID, err := b.list(ctx, "", size)
	if err != nil {
		return err
	}
	byAddress, err := b.list(ctx, `'Missing', email`, size)
	if err != nil {
		return err
	}
	byName, err := b.list(ctx, `first_name || ' ' || last_name, company`, size)
	if err != nil {
		return err
	}
	rows, err := b.pool.Query(ctx, `SELECT id FROM lead ORDER BY hashtext(id) LIMIT $1`, size)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	table := b.report.Table(fmt.Sprintf("Counting two fields of %d leads, median of %d", size, b.rounds), "leads named by", "ms", "ms with 100,000 suppressed")
	named := []struct {
		name string
		s    lead.FieldSelection
	}{
		{"id, in the request", lead.FieldSelection{Org: org, LeadIDs: ids, Fields: two}},
		{"id, in a list", lead.FieldSelection{Org: org, ListID: byID.ID, Fields: two}},
		{"address", lead.FieldSelection{Org: org, ListID: byAddress.ID, Match: true, Fields: two}},
		{"name and company", lead.FieldSelection{Org: org, ListID: byName.ID, Match: true, Fields: two}},
	}
	var took [2][]float64 // without and with suppressed addresses
	for i := range took {
		for _, n := range named {
			ms, err := b.median(func() error { _, _, err := b.catalogue.CountFields(ctx, n.s); return err })
			if err != nil {
				return err
			}
			took[i] = append(took[i], ms)
		}
		if i == 0 {
			if _, err := b.pool.Exec(ctx, `
				INSERT INTO suppression (org, subject, reason)
				SELECT $1, sha256(convert_to('missing.' || n || '@example.test', 'UTF8')), 'opted_out' FROM generate_series(1, 100000) AS n`, org); err != nil {
				return err
			}
		}
	}
	if _, err := b.pool.Exec(ctx, `DELETE FROM suppression WHERE org = $1`, org); err != nil {
		return err
	}
	for i, n := range named {
		table.Add(n.name, took[0][i], took[1][i])
	}
	return nil
}

// list keeps a list over leads from all over the catalogue: of their ids or,
// with sql, of two columns.
func (b *bench) list(ctx context.Context, sql string, size int64) (lead.List, error) {
	columns := sql
	if sql == "" {
		columns = `id, ''`
	}
	rows, err := b.pool.Query(ctx, `SELECT `+columns+` FROM lead ORDER BY hashtext(id) LIMIT $1`, size)
	if err != nil {
		return lead.List{}, err
	}
	pairs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ A, B string }])
	if err != nil {
		return lead.List{}, err
	}
	if sql == "" {
		ids := make([]string, len(pairs))
		for i, p := range pairs {
			ids[i] = p.A
		}
		return b.catalogue.KeepLeadIDs(ctx, fieldsOrg, ids)
	}
	source, feed := io.Pipe()
	go func() {
		header := "name,company\n"
		if sql == `'Missing', email` {
			header = "note,email\n"
		}
		_, err := io.WriteString(feed, header)
		for _, p := range pairs {
			if err == nil {
				_, err = fmt.Fprintf(feed, "%s,%s\n", p.A, p.B)
			}
		}
		_ = feed.CloseWithError(err) // does not fail
	}()
	return b.catalogue.KeepList(ctx, fieldsOrg, "", source)
}

// largeList uploads a list as large as lists may be and selects its addresses,
// watching the memory.
func (b *bench) largeList(ctx context.Context, rows int64) error {
	table := b.report.Table("A large list to verify", "step", "rows", "seconds", "memory MB")
	watch := func(name string, f func() error) error {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- f() }()
		most := before.HeapAlloc
		for {
			select {
			case err := <-done:
				table.Add(name, rows, time.Since(began).Seconds(), int64(most-before.HeapAlloc)>>20)
				return err
			case <-time.After(50 * time.Millisecond):
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
		}
	}
	var list lead.List
	if err := watch("upload", func() (err error) {
		list, err = b.catalogue.KeepList(ctx, "acme", "", &manyAddresses{left: rows})
		return err
	}); err != nil {
		return err
	}
	return watch("select", func() error {
		_, err := b.catalogue.SelectList(ctx, "ord_list", list.ID)
		return err
	})
}

// manyAddresses is a list that is made while it is read.
type manyAddresses struct{ left int64 }

func (m *manyAddresses) Read(p []byte) (n int, err error) {
	const longest = 80
	for m.left > 0 && len(p)-n >= longest {
		n += copy(p[n:], fmt.Sprintf("Person %d,person.%d@company-%d.test\n", m.left, m.left, m.left*7919%50_000))
		m.left--
	}
	if n == 0 && m.left == 0 {
		return 0, io.EOF
	}
	return n, nil
}
