package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// exports times exports of leads that an order delivered, by address and by
// lead, from the count to the file. The organization owns the address of every
// lead and the telephone number of every other. Beside them stands what
// PostgreSQL takes to copy the same leads out, in the same order, on its own.
func (b *bench) exports(ctx context.Context, sizes ...int64) error {
	const org, part = "exports", 1000
	carry := []lead.FieldWanted{
		{Field: order.EmailField, FactType: "email"},
		{Field: order.PhoneField, FactType: "phone"},
		{Field: order.DirectEmailField, FactType: "direct_email"},
		{Field: order.ProfileField, FactType: "profile"},
	}
	table := b.report.Table("Exports of delivered leads", "export", "leads", "count s", "select s", "batches s", "results s", "select µs a lead", "plain COPY s")
	for _, size := range sizes {
		from, err := b.delivered(ctx, org, size)
		if err != nil {
			return err
		}
		for _, kind := range []struct {
			name  string
			field lead.FieldWanted
		}{{"by lead", lead.FieldWanted{Field: order.LeadField}}, {"by address", carry[0]}} {
			s := lead.FieldSelection{OrderID: b.nextOrder(), Org: org, FromOrder: from, Fields: []lead.FieldWanted{kind.field}, Carry: carry}
			var selected lead.Selected
			var seconds [5]float64
			for i, step := range []func() error{
				func() error { _, _, err := b.catalogue.CountFields(ctx, s); return err },
				func() (err error) { selected, err = b.catalogue.SelectFields(ctx, s); return err },
				func() error {
					for n := int64(1); n <= selected.Items; n += part {
						rows, err := b.catalogue.ExportBatch(ctx, s.OrderID, n, n+part-1)
						if err != nil {
							return err
						}
						if want := min(part, selected.Items-n+1); int64(len(rows)) != want {
							return fmt.Errorf("items %d to %d are %d rows", n, n+want-1, len(rows))
						}
					}
					return nil
				},
				func() error {
					return b.catalogue.WriteResults(ctx, io.Discard, s.OrderID, lead.CSV, lead.ResultOptions{})
				},
				func() error { return b.copyOut(ctx, s.OrderID) },
			} {
				if i == 1 {
					if err := b.enter(ctx, s.OrderID, org, order.Export, size); err != nil {
						return err
					}
				}
				if i == 3 { // what was sent is delivered
					if _, err := b.pool.Exec(ctx, `UPDATE order_item SET delivered_at = now() WHERE order_id = $1`, s.OrderID); err != nil {
						return err
					}
				}
				began := time.Now()
				if err := step(); err != nil {
					return fmt.Errorf("export %s of %d leads: %w", kind.name, size, err)
				}
				seconds[i] = time.Since(began).Seconds()
			}
			if selected.Items != size || selected.Decided != size {
				return fmt.Errorf("export %s of %d leads selected %+v", kind.name, size, selected)
			}
			table.Add(kind.name, size, seconds[0], seconds[1], seconds[2], seconds[3], seconds[1]*1e6/float64(size), seconds[4])
		}
	}
	return nil
}

// delivered makes an order that has delivered leads from all over the catalogue,
// and the facts that were charged for them.
func (b *bench) delivered(ctx context.Context, org string, size int64) (string, error) {
	id := b.nextOrder()
	if err := b.enter(ctx, id, org, order.LeadList, size); err != nil {
		return "", err
	}
	if _, err := b.pool.Exec(ctx, `
		INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, keys, already_owned, verdict, reason, checked_at, delivered_at)
		SELECT $1, row_number() OVER (ORDER BY email_domain, no), no, fingerprint, email, ARRAY[email_key], false, 'valid', 'accepted', now(), now()
		FROM (SELECT no, email_domain, fingerprint, email, email_key FROM lead WHERE email_key IS NOT NULL ORDER BY hashtext(id) LIMIT $2) l`, id, size); err != nil {
		return "", err
	}
	if _, err := b.pool.Exec(ctx, `
		INSERT INTO verdict (address, verdict, reason, role, disposable, free, mx_host, smtp_code, smtp_enhanced, smtp_text, checked_at, engine)
		SELECT sha256(convert_to(value, 'UTF8')), verdict, reason, false, false, false, 'mx1.mail.example.test', 250, '2.1.5', '2.1.5 Recipient OK', checked_at, ''
		FROM order_item WHERE order_id = $1 ON CONFLICT DO NOTHING`, id); err != nil {
		return "", err
	}
	_, err := b.pool.Exec(ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT $1, f.type, '', f.subject, 1, 1
		FROM order_item i JOIN lead l ON l.no = i.lead_no
		CROSS JOIN LATERAL (SELECT 'email', l.email_key UNION ALL SELECT 'phone', unnest(l.phone_keys)) AS f (type, subject)
		WHERE i.order_id = $2 AND (f.type = 'email' OR l.no % 2 = 0)
		ORDER BY f.type, f.subject
		ON CONFLICT DO NOTHING`, org, id)
	return id, err
}

func (b *bench) nextOrder() string {
	b.orders++
	return fmt.Sprintf("ord_%d", b.orders)
}

// enter puts an order into the book.
func (b *bench) enter(ctx context.Context, id, org string, kind order.Kind, size int64) error {
	_, err := b.pool.Exec(ctx, `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested)
		VALUES ($1, $2, '', $3, '{}', '', '', 1, 'verifying', $4)`, id, org, kind, size)
	return err
}

// copyOut has PostgreSQL write an order's leads out by itself.
func (b *bench) copyOut(ctx context.Context, orderID string) error {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Conn().PgConn().CopyTo(ctx, io.Discard, `
		COPY (SELECT l.* FROM order_item i JOIN lead l ON l.no = i.lead_no WHERE i.order_id = '`+orderID+`' ORDER BY i.n) TO STDOUT (FORMAT csv)`)
	return err
}
