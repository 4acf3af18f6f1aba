package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed all:migrations
var embedded embed.FS

// Migrations returns the numbered SQL files this program was built with.
func Migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return embedded // cannot happen: the folder is part of the program
	}
	return files
}

// Errors of CheckVersion, so that a caller can offer to migrate.
var (
	ErrSchemaOld = errors.New("the database schema is older than this program")
	ErrSchemaNew = errors.New("the database schema is newer than this program")
)

// Migration is one numbered change of the schema.
type Migration struct {
	Version   int64     `json:"version"`
	File      string    `json:"file"`
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"` // zero while pending
}

// Migrate brings the schema at url to the newest version, forward only: a schema
// that a newer program made is left as it is, with ErrSchemaNew. It may run in many
// processes at once: one works, the others wait and find nothing left to do.
func Migrate(ctx context.Context, url string) error {
	return withGoose(ctx, url, func(provider *goose.Provider, db *sql.DB) error {
		have, want, err := provider.GetVersions(ctx)
		if err != nil {
			return fmt.Errorf("the schema's version could not be read: %w", err)
		}
		if have > want {
			return newer(have, want)
		}
		if _, err := provider.Up(ctx); err != nil {
			var partial *goose.PartialError
			if errors.As(err, &partial) && partial.Failed != nil {
				return fmt.Errorf("migration %s failed, and nothing of it was kept: %w", partial.Failed.Source.Path, partial.Err)
			}
			return fmt.Errorf("the schema could not be migrated: %w", err)
		}
		return makeKeys(ctx, db)
	})
}

// Status lists every migration this program knows, oldest first.
func Status(ctx context.Context, url string) ([]Migration, error) {
	var list []Migration
	err := withGoose(ctx, url, func(provider *goose.Provider, _ *sql.DB) error {
		status, err := provider.Status(ctx)
		if err != nil {
			return fmt.Errorf("the schema's state could not be read: %w", err)
		}
		for _, s := range status {
			list = append(list, Migration{
				Version: s.Source.Version, File: s.Source.Path,
				Applied: s.State == goose.StateApplied, AppliedAt: s.AppliedAt,
			})
		}
		return nil
	})
	return list, err
}

// CheckVersion compares the schema behind pool with what this program was built
// for and wraps ErrSchemaOld or ErrSchemaNew when they differ.
func CheckVersion(ctx context.Context, pool *pgxpool.Pool) error {
	want, err := newest()
	if err != nil {
		return err
	}
	var have int64
	err = pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have)
	var failed *pgconn.PgError
	if errors.As(err, &failed) && failed.Code == "42P01" { // undefined_table: never migrated
		have, err = 0, nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("the schema's version could not be read: %w", err)
	case have < want:
		return fmt.Errorf("%w (version %d, needed %d); run `holdfast migrate`", ErrSchemaOld, have, want)
	case have > want:
		return newer(have, want)
	}
	return nil
}

func newer(have, want int64) error {
	return fmt.Errorf("%w (version %d, known up to %d); run a newer program, or restore a backup and `holdfast migrate`", ErrSchemaNew, have, want)
}

// newest is the version of the last embedded migration, 0 when there is none.
func newest() (int64, error) {
	files, err := fs.Glob(Migrations(), "*.sql")
	if err != nil {
		return 0, err
	}
	var last int64
	for _, name := range files {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("migration %s has no number: %w", name, err)
		}
		last = max(last, version)
	}
	return last, nil
}

// withGoose runs do against the database at url; without any migration there is
// nothing to do.
func withGoose(ctx context.Context, url string, do func(*goose.Provider, *sql.DB) error) error {
	config, err := parse(url)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config.ConnConfig)
	defer func() { _ = db.Close() }()
	if err := ping(ctx, db); err != nil {
		return unreachable(config.ConnConfig, err)
	}
	// A second process asks each second, for up to ten minutes: the longest
	// that a migration may take.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, Migrations(),
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the migrations could not be read: %w", err)
	}
	return do(provider, db)
}

func ping(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	return db.PingContext(ctx)
}
