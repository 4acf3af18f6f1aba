// Package lead is the catalogue: it takes leads in from files, counts and
// selects them by criteria for an order, and writes out what an order
// delivered. See README.md for the model and its invariants.
package lead

import (
	"cmp"
	"context"
	"crypto/sha256"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/commit"
)

// Catalogue gives access to the leads in PostgreSQL. It is safe for concurrent
// use.
type Catalogue struct {
	pool      *pgxpool.Pool
	quota     Quota
	ownedSets ownedSets
	few       *commit.Group[together, newList, List]
	draws     *commit.Group[together, draw, Selected]
	verified  *commit.Group[string, string, []Verified]
}

// together says which calls share a transaction: those of an organization that
// wait for the disk, or those that do not.
type together struct {
	org      string
	deferred bool
}

// Option changes a catalogue.
type Option func(*Catalogue)

// WithQuota bounds the uploaded lists of each organization. What is 0 is as in
// DefaultQuota.
func WithQuota(q Quota) Option {
	return func(c *Catalogue) {
		c.quota = Quota{cmp.Or(q.Rows, DefaultQuota.Rows), cmp.Or(q.Bytes, DefaultQuota.Bytes)}
	}
}

// New returns the catalogue stored in the database behind pool.
func New(pool *pgxpool.Pool, options ...Option) *Catalogue {
	c := &Catalogue{pool: pool, quota: DefaultQuota}
	c.few = commit.NewGroup(fewTogether, c.keepFew)
	c.draws = commit.NewGroup(drawsTogether, c.drawAll)
	c.verified = commit.NewGroup(verifiedTogether, c.readVerified)
	for _, option := range options {
		option(c)
	}
	return c
}

// Fingerprint identifies a lead where its contact data must not appear, as in
// the ledger: the first 16 bytes of the SHA-256 of "lead:" and the lead's id.
func Fingerprint(id string) uuid.UUID {
	sum := sha256.Sum256([]byte("lead:" + id))
	return uuid.UUID(sum[:16])
}

// lookUp makes PostgreSQL look up each row by itself for the rest of the
// transaction. The statements it is meant for touch few leads of many, and the
// planner, which cannot know that of a parameter, would at times rather read
// the whole catalogue. What it would remember of rows is hardly asked for twice.
func lookUp(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
			set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), set_config('enable_memoize', 'off', true)`)
	return err
}
