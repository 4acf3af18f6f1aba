package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"holdfast/internal/cell"
	"holdfast/internal/config"
	"holdfast/internal/dashboard"
	"holdfast/internal/ledger"
	"holdfast/internal/telemetry"
	"holdfast/internal/wire"
)

// severalCells are the cells that a command works in: nil where there are none or
// one was chosen.
func (a *app) severalCells(cfg config.Config) ([]config.Config, error) {
	if cfg.Cell != "" || a.at.cell != "" {
		return nil, nil
	}
	return cfg.EachCell()
}

// eachCell does something in each cell, and then with all of them; where there are
// no cells, or one was chosen, once.
func (a *app) eachCell(ctx context.Context, do func(context.Context, config.Config) error, then func(context.Context, []config.Config) error) error {
	cfg, err := config.Load(ctx)
	if err != nil {
		return err
	}
	cells, err := a.severalCells(cfg)
	if err != nil {
		return err
	}
	if cells == nil {
		if cfg, err = a.findStack(ctx); err != nil {
			return err
		}
		return do(ctx, cfg)
	}
	for _, one := range cells {
		a.note("Cell %s:", one.Cell)
		if err := do(ctx, one); err != nil {
			return fmt.Errorf("cell %s: %w", one.Cell, err)
		}
	}
	return then(ctx, cells)
}

// openCells opens all cells. Their handlers are still missing.
func (a *app) openCells(ctx context.Context, cells []config.Config, open opening) (list []*wire.App, done func(), err error) {
	done = func() {
		for _, parts := range list {
			parts.Close()
		}
	}
	for _, cfg := range cells {
		parts, err := a.openAt(ctx, cfg, open)
		if err != nil {
			done()
			return nil, nil, fmt.Errorf("cell %s: %w", cfg.Cell, err)
		}
		list = append(list, parts)
	}
	return list, done, nil
}

// openAll opens all cells, or what is configured where there are none or one was
// chosen.
func (a *app) openAll(ctx context.Context, open opening) (list []*wire.App, done func(), err error) {
	cfg, err := config.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	cells, err := a.severalCells(cfg)
	if err != nil {
		return nil, nil, err
	}
	if cells != nil {
		return a.openCells(ctx, cells, open)
	}
	parts, err := a.open(ctx, open)
	if err != nil {
		return nil, nil, err
	}
	return []*wire.App{parts}, parts.Close, nil
}

// haveOrg is an error where no cell has an organization.
func haveOrg(ctx context.Context, cells []*wire.App, org string) (err error) {
	for _, parts := range cells {
		if _, err = parts.Accounts.Org(ctx, org); err == nil {
			return nil
		}
	}
	return err
}

// headsOf are those of heads whose organizations are in a cell. One that is in none
// is looked for in the first cell.
func headsOf(ctx context.Context, cells []*wire.App, name string, heads []ledger.Head) (own []ledger.Head, err error) {
	directory := cell.NewDirectory(cells[0].Pool)
	for _, head := range heads {
		place, found, err := directory.Find(ctx, head.Owner)
		if err != nil {
			return nil, err
		}
		if found && place.Cell == name || !found && name == cells[0].Config.Cell {
			own = append(own, head)
		}
	}
	return own, nil
}

// addReport adds the audit of a cell to that of the cells before it.
func addReport(all *ledger.Report, of ledger.Report, name string) {
	all.Owners += of.Owners
	all.Entries += of.Entries
	all.Accounts += of.Accounts
	all.Grants += of.Grants
	all.Holds += of.Holds
	all.Facts += of.Facts
	all.Total += of.Total
	for _, finding := range of.Findings {
		if name != "" {
			finding.Key = name + ": " + finding.Key
		}
		all.Findings = append(all.Findings, finding)
	}
}

// cellsOf are the cells of list; of gives each its handler.
func cellsOf(list []*wire.App, of func(*wire.App) http.Handler) (cells []cell.Cell) {
	for _, parts := range list {
		cells = append(cells, cell.Cell{Name: parts.Config.Cell, Pool: parts.Pool, Handler: of(parts)})
	}
	return cells
}

// noHandler is for cells of which only the databases are used.
func noHandler(*wire.App) http.Handler { return nil }

// localCells is the API of all cells in this process.
func (a *app) localCells(ctx context.Context, cells []config.Config, open opening, operatorKey string, of func(*wire.App) http.Handler) (http.Handler, func(), error) {
	list, done, err := a.openCells(ctx, cells, open)
	if err != nil {
		return nil, nil, err
	}
	router, err := cell.NewRouter(ctx, cellsOf(list, of), operatorKey, list[0].Log)
	if err != nil {
		done()
		return nil, nil, err
	}
	return router, done, nil
}

// openServedCells opens all cells for serve.
func (a *app) openServedCells(ctx context.Context, cfg config.Config, cells []config.Config, open opening, shown *telemetry.Telemetry) (*installation, error) {
	list, done, err := a.openCells(ctx, cells, open)
	if err != nil {
		return nil, err
	}
	s := &installation{cfg: cfg, log: cfg.Logger(a.err), shown: shown, close: done}
	var drains []func()
	var known dashboard.Cells
	router, err := cell.NewRouter(ctx, cellsOf(list, func(parts *wire.App) http.Handler {
		backend := newAPI(parts)
		drains = append(drains, backend.Drain)
		return newMux(parts, backend, addresses{}, &known)
	}), cfg.OperatorKey, s.log)
	if err != nil {
		done()
		return nil, err
	}
	s.handler = router
	s.drain = func() {
		for _, drain := range drains {
			drain()
		}
	}
	s.ready = func(ctx context.Context) (map[string]string, bool) { return cellsReady(ctx, list) }
	return s, nil
}

// cellsReady is how all cells are. One that is not ready does not make the others
// unreachable, unless it is the first one, which has the directory.
func cellsReady(ctx context.Context, list []*wire.App) (state map[string]string, ready bool) {
	state = map[string]string{}
	for i, parts := range list {
		own, ok := parts.Ready(ctx)
		if i == 0 {
			maps.Copy(state, own)
			ready = ok
			continue
		}
		if state["cell "+parts.Config.Cell] = own["status"]; !ok && ready {
			state["status"] = "degraded"
		}
	}
	return state, ready
}

// registerCells writes the directory.
func (a *app) registerCells(ctx context.Context, cells []config.Config) error {
	list, done, err := a.openCells(ctx, cells, wire.OpenDatabase)
	if err != nil {
		return err
	}
	defer done()
	if err := cell.NewDirectory(list[0].Pool).Register(ctx, cellsOf(list, noHandler)); err != nil {
		return err
	}
	a.note("%s in the directory.", count(int64(len(cells)), "cell"))
	return nil
}

func (a *app) orgMoveCommand() *cobra.Command {
	var to string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "move ID",
		Short: "Move an organization to another cell",
		Long: `Moves an organization to another cell (HOLDFAST_CELLS). While it moves, its requests
are refused with 503 and Retry-After. It must have no open orders. Its rows are
copied, the audit runs in both cells and the heads of the journals are compared;
then the directory is changed and the old rows are removed. Where it is refused, the
organization is as it was. Interrupted, it is run again with the same arguments, or
undone with the cell where the organization was.

The users of both databases must own the schema, as for migrate. Make a backup of
the old cell first.`,
		Example: examples("holdfast org move acme --to eu-2"),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			cfgs, err := cfg.EachCell()
			if err != nil {
				return err
			}
			if cfgs == nil {
				return usagef("there are no cells; set HOLDFAST_CELLS")
			}
			list, done, err := a.openCells(cmd.Context(), cfgs, wire.OpenDatabase)
			if err != nil {
				return err
			}
			defer done()
			move := cell.Move{
				Directory: cell.NewDirectory(list[0].Pool), Org: args[0], Cells: cellsOf(list, noHandler), To: to, Wait: wait, Note: a.note,
				Audit: func(ctx context.Context, pool *pgxpool.Pool) (ledger.Report, error) {
					return ledger.Audit(ctx, pool, ledger.AuditOptions{Owner: args[0], Also: auditAlso()})
				},
			}
			return move.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the cell it moves to")
	cmd.Flags().DurationVar(&wait, "wait", 35*time.Second, "how long requests that came before it was closed get to end")
	required(cmd, "to")
	return cmd
}
