package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"holdfast/internal/value"
)

// keyBatch is how many leads get their keys in one transaction.
const keyBatch = 20_000

// unkeyed is a lead of before its values had keys.
type unkeyed struct {
	No                                  int64
	Email, Phone, Direct, Profile, Land string
}

// makeKeys gives the leads their keys that were imported before there were any
// (migration 0012). SQL cannot make them: the domain of an address and a
// telephone number have to be read first. It may be interrupted and run again.
func makeKeys(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver is a %T", driver)
		}
		for {
			n, err := makeKeyBatch(ctx, c.Conn())
			if err != nil {
				return fmt.Errorf("the keys of leads were not made: %w", err)
			}
			if n == 0 {
				return nil
			}
		}
	})
}

func makeKeyBatch(ctx context.Context, conn *pgx.Conn) (made int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT no, email, phone, direct_email AS direct, profile, country AS land
			FROM lead WHERE phone_keys IS NULL ORDER BY no LIMIT $1 FOR UPDATE`, keyBatch)
		leads, err := pgx.CollectRows(rows, pgx.RowToStructByName[unkeyed])
		if err != nil || len(leads) == 0 {
			return err
		}
		made = len(leads)
		if _, err := tx.Exec(ctx, `
			CREATE TEMPORARY TABLE IF NOT EXISTS made (
				no bigint, phone text, email_key uuid, phone_keys uuid[], direct_key uuid, profile_key uuid
			) ON COMMIT DELETE ROWS`); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"made"},
			[]string{"no", "phone", "email_key", "phone_keys", "direct_key", "profile_key"},
			pgx.CopyFromSlice(len(leads), func(i int) ([]any, error) { return leads[i].keys(), nil })); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE lead l SET phone = m.phone, email_key = m.email_key, phone_keys = m.phone_keys,
				direct_key = m.direct_key, profile_key = m.profile_key
			FROM made m WHERE m.no = l.no`)
		return err
	})
	return made, err
}

// keys is a row of the table made.
func (l unkeyed) keys() []any {
	of := value.OfLead(l.Email, l.Phone, l.Direct, l.Profile, l.Land)
	return []any{l.No, of.Phone, orNull(of.Email), of.Numbers, orNull(of.Direct), orNull(of.Profile)}
}

func orNull(key uuid.UUID) *uuid.UUID {
	if key == uuid.Nil {
		return nil
	}
	return &key
}
