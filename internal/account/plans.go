package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/plan"
)

type planKey struct {
	id      string
	version int
}

// SavePlan stores a plan and returns its version: a new one where the content
// differs from the newest version, else the newest. Versions count from 1.
func (a *Accounts) SavePlan(ctx context.Context, p *plan.Plan) (int, error) {
	content := *p
	content.Version = 0
	body, err := content.MarshalJSON()
	if err != nil {
		return 0, fmt.Errorf("the plan %s cannot be written as JSON: %w", p.ID, err)
	}
	if _, err := plan.Parse("plan "+p.ID, body); err != nil {
		return 0, errcode.Say(ErrInvalid, "The plan was not stored: %v", err)
	}
	hash, err := p.Hash()
	if err != nil {
		return 0, err
	}
	var version int
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// One writer per plan id, so that two of them cannot both see the same newest version.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('plan'), hashtext($1))`, p.ID); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH newest AS (
				SELECT version, hash FROM plan WHERE id = $1 ORDER BY version DESC LIMIT 1
			), added AS (
				INSERT INTO plan (id, version, hash, body)
				SELECT $1, coalesce((SELECT version FROM newest), 0) + 1, $2, $3
				WHERE NOT EXISTS (SELECT FROM newest WHERE hash = $2)
				RETURNING version)
			SELECT coalesce((SELECT version FROM added), (SELECT version FROM newest))`,
			p.ID, hash, body).Scan(&version)
	})
	if err != nil {
		return 0, fmt.Errorf("the plan %s was not stored: %w", p.ID, err)
	}
	return version, nil
}

// EnsurePresets stores the built-in plans where they are missing or have
// changed. Organizations stay on the version they have.
func (a *Accounts) EnsurePresets(ctx context.Context) error {
	presets, err := plan.Presets()
	if err != nil {
		return err
	}
	for _, p := range presets {
		if _, err := a.SavePlan(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// Plan returns a version of a plan, 0 for the newest, or ErrNotFound. The plan
// is shared: do not change it.
func (a *Accounts) Plan(ctx context.Context, id string, version int) (*plan.Plan, error) {
	return a.readPlan(ctx, a.pool, id, version)
}

// readPlan is Plan, also within a transaction.
func (a *Accounts) readPlan(ctx context.Context, db database.Reader, id string, version int) (*plan.Plan, error) {
	if p, ok := a.plans.Load(planKey{id, version}); ok {
		return p.(*plan.Plan), nil
	}
	rows, _ := db.Query(ctx, `
		SELECT version, body FROM plan
		WHERE id = $1 AND ($2 = 0 OR version = $2)
		ORDER BY version DESC LIMIT 1`, id, version)
	stored, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[storedPlan])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, noPlan(ctx, db, id, version)
	}
	if err != nil {
		return nil, fmt.Errorf("the plan %s cannot be read: %w", id, err)
	}
	p, err := plan.Parse(fmt.Sprintf("plan %s version %d", id, stored.Version), stored.Body)
	if err != nil {
		return nil, fmt.Errorf("the stored plan cannot be used: %w", err)
	}
	p.Version = stored.Version
	a.plans.Store(planKey{id, p.Version}, p)
	return p, nil
}

type storedPlan struct {
	Version int
	Body    []byte
}

func noPlan(ctx context.Context, db database.Reader, id string, version int) error {
	if version != 0 {
		return errcode.Say(ErrNotFound, "There is no version %d of plan %q; choose one that is stored.", version, id)
	}
	rows, _ := db.Query(ctx, `SELECT DISTINCT id FROM plan ORDER BY id`)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("the plans cannot be listed: %w", err)
	}
	if len(ids) == 0 {
		return errcode.Say(ErrNotFound, "There is no plan %q: none is stored yet; run holdfast migrate.", id)
	}
	return errcode.Say(ErrNotFound, "There is no plan %q; use one of %s.", id, strings.Join(ids, ", "))
}

// Plans returns the newest version of every plan, by id.
func (a *Accounts) Plans(ctx context.Context) ([]*plan.Plan, error) {
	rows, _ := a.pool.Query(ctx, `SELECT DISTINCT id FROM plan ORDER BY id`)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the plans cannot be listed: %w", err)
	}
	plans := make([]*plan.Plan, 0, len(ids))
	for _, id := range ids {
		p, err := a.Plan(ctx, id, 0)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}
