package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AppRole is what serve and workers may do: everything to the data except
// changing the journal or the schema. The user that migrates owns both.
const AppRole = "holdfast_app"

// grants give AppRole what it needs. They may run any number of times.
var grants = []string{
	// A role belongs to the whole server: another database may just be making it.
	`DO $$ BEGIN CREATE ROLE ` + AppRole + ` NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
	`REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
	`GRANT USAGE ON SCHEMA public TO ` + AppRole,
	`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ` + AppRole,
	`GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ` + AppRole,
	`REVOKE UPDATE, DELETE, TRUNCATE ON credit_entry FROM ` + AppRole,
	`REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON goose_db_version FROM ` + AppRole,
	// Of tables that later migrations make.
	`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ` + AppRole,
	`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO ` + AppRole,
}

// MakeRoles makes AppRole, and gives it to users that exist. The schema must be
// up to date, and the user in url must own it and may make roles.
func MakeRoles(ctx context.Context, url string, users []string) error {
	config, err := parse(url)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return unreachable(config.ConnConfig, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	statements := grants
	for _, user := range users {
		statements = append(statements[:len(statements):len(statements)], "GRANT "+AppRole+" TO "+pgx.Identifier{user}.Sanitize())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Rows of PostgreSQL's catalogues bear no two writers.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('holdfast roles'))`); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the role %s could not be made; the database's user must own the schema and have CREATEROLE: %w", AppRole, err)
	}
	return nil
}
