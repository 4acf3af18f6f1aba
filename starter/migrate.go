package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/config"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

func (a *app) migrateCommand() *cobra.Command {
	var status, withoutTemporal, roles bool
	var users []string
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database schema, the preset plans and Temporal's search attributes up to date",
		Long: `Brings the database schema to this program's version, stores the preset plans
and registers in Temporal the search attributes that orders carry. It may run
any number of times, also in several processes at once.

It fails when TEMPORAL_ADDRESS is set and Temporal does not answer; with
--without-temporal it leaves Temporal out. It refuses a schema that a newer
version has made.

Where there are several cells (HOLDFAST_CELLS) it does so for each, and writes
the directory that says in which one each organization is.

--roles makes the PostgreSQL role ` + postgres.AppRole + `, which may read and write data but can
change neither the journal of credits nor the schema, and gives it to the users of
--to. Run serve and workers as such a user, and migrate as the schema's owner.`,
		Example: examples("holdfast migrate", "holdfast migrate --without-temporal", "holdfast migrate --roles --to app", "holdfast migrate --status"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.eachCell(cmd.Context(), func(ctx context.Context, cfg config.Config) error {
				if !status {
					if err := migrate(ctx, cfg); err != nil {
						return err
					}
					if roles || len(users) > 0 {
						if err := postgres.MakeRoles(ctx, cfg.DatabaseURL, users); err != nil {
							return err
						}
					}
					if err := a.migrateTemporal(ctx, cfg, withoutTemporal); err != nil {
						return err
					}
				}
				return a.showMigrations(ctx, cfg)
			}, func(ctx context.Context, cells []config.Config) error {
				if status {
					return nil
				}
				return a.registerCells(ctx, cells)
			})
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "only show which migrations are applied and which are pending")
	cmd.Flags().BoolVar(&roles, "roles", false, "make the PostgreSQL role that serve and workers need")
	cmd.Flags().StringSliceVar(&users, "to", nil, "PostgreSQL `users` that get the role; implies --roles")
	cmd.Flags().BoolVar(&withoutTemporal, "without-temporal", false, "leave Temporal out: register no search attributes")
	return cmd
}

// migrate brings the schema and the preset plans up to date.
func migrate(ctx context.Context, cfg config.Config) error {
	if err := postgres.Migrate(ctx, cfg.DatabaseURL); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	accounts := account.New(pool)
	if err := accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	books := ledger.New(pool)
	defer books.Close()
	return billing.New(accounts, books, orderbook.New(pool)).CarryOwnership(ctx, "")
}

func (a *app) showMigrations(ctx context.Context, cfg config.Config) error {
	list, err := postgres.Status(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(list)
	}
	t := newTable(">version", "migration", "applied")
	for _, m := range list {
		applied := "pending"
		if m.Applied {
			applied = when(m.AppliedAt)
		}
		t.add(fmt.Sprint(m.Version), m.File, applied)
	}
	a.print(t)
	return nil
}

// migrateTemporal registers the search attributes, unless it is left out or
// there is no Temporal: the database can be brought up to date without it.
func (a *app) migrateTemporal(ctx context.Context, cfg config.Config, leftOut bool) error {
	if leftOut {
		a.note("Temporal is left out: its search attributes are not registered.")
		return nil
	}
	parts, err := wire.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if errors.Is(err, wire.ErrNoTemporal) {
		options, bad := cfg.Temporal()
		if bad != nil || options.HostPort != "" {
			return fmt.Errorf("the schema is up to date, but the search attributes are not registered: %w; or run migrate --without-temporal", err)
		}
		a.note("Temporal does not answer: its search attributes are not registered; migrate again when it is there.")
		return nil
	}
	if err != nil {
		return err
	}
	defer parts.Close()
	return registerAttributes(ctx, parts)
}

// registerAttributes makes Temporal know the search attributes that orders
// carry. Those that are there already stay as they are.
func registerAttributes(ctx context.Context, parts *wire.App) error {
	options, err := parts.Config.Temporal()
	if err != nil {
		return err
	}
	namespace := cmp.Or(options.Namespace, client.DefaultNamespace)
	operator := parts.Temporal.OperatorService()
	known, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("the search attributes of Temporal's namespace %s cannot be read: %w", namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	for _, key := range workflows.SearchAttributes() {
		if _, there := known.GetCustomAttributes()[key.GetName()]; !there {
			missing[key.GetName()] = key.GetValueType()
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("the search attributes cannot be registered in Temporal's namespace %s: %w", namespace, err)
	}
	return nil
}
