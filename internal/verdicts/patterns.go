package verdicts

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/verify"
)

// shapes reads how the valid addresses of the emails' domains look.
func (m *Memory) shapes(ctx context.Context, emails []string) (verify.Shapes, error) {
	seen := map[string]bool{}
	var domains []string
	for _, email := range emails {
		if addr, _, err := verify.ReadAddress(email); err == nil && !seen[addr.Domain] {
			seen[addr.Domain] = true
			domains = append(domains, addr.Domain)
		}
	}
	rows, err := m.pool.Query(ctx, `SELECT domain, shape, valid FROM mail_pattern WHERE domain = ANY ($1)`, domains)
	if err != nil {
		return nil, fmt.Errorf("the patterns of domains cannot be read: %w", err)
	}
	shapes := verify.Shapes{}
	var domain, shape string
	var valid int64
	if _, err := pgx.ForEachRow(rows, []any{&domain, &shape, &valid}, func() error {
		shapes.Count(domain, shape, valid)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the patterns of domains cannot be read: %w", err)
	}
	return shapes, nil
}

// scored gives each result its score as of now, beside the valid addresses of
// its domain that earlier orders found.
func (m *Memory) scored(shapes verify.Shapes, each func(i int, r verify.Result)) func(i int, r verify.Result) {
	return func(i int, r verify.Result) {
		r.Pattern = shapes.Compare(r.Email)
		verify.SetScore(&r, m.now())
		each(i, r)
	}
}

// rememberShapes counts the shapes of valid addresses that are not remembered
// yet. Domains are sorted, so that two writers never wait for each other in a
// circle.
func rememberShapes(ctx context.Context, tx pgx.Tx, entries []entry) error {
	var addresses [][]byte
	var domains, shapes []string
	for _, e := range entries {
		if e.Domain != "" {
			addresses, domains, shapes = append(addresses, e.Address), append(domains, e.Domain), append(shapes, clean(e.Shape))
		}
	}
	if len(domains) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO mail_pattern AS p (domain, shape, valid)
		SELECT n.domain, n.shape, count(*)
		FROM unnest($1::bytea[], $2::text[], $3::text[]) AS n (address, domain, shape)
		WHERE NOT EXISTS (SELECT FROM verdict v WHERE v.address = n.address AND v.verdict = 'valid')
		GROUP BY n.domain, n.shape ORDER BY n.domain, n.shape
		ON CONFLICT (domain, shape) DO UPDATE SET valid = p.valid + excluded.valid`, addresses, domains, shapes)
	if err != nil {
		return fmt.Errorf("the patterns of domains were not remembered: %w", err)
	}
	return nil
}
