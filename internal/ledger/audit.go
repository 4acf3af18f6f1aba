package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/outbox"
)

// AuditOptions tune an audit.
type AuditOptions struct {
	Owner       string              // only this organization
	MaxFindings int                 // list at most so many; 100 by default
	Progress    func(entries int64) // called now and then
	Against     []Head              // kept earlier, outside of the database; the journal must still contain them
	Also        []Check             // what other packages know of the ledger, in the same snapshot
}

// Check compares other tables with the ledger's, of one organization or, where
// owner is "", of all. It reports what contradicts the ledger.
type Check func(ctx context.Context, tx pgx.Tx, owner string, found func(invariant, table, key, problem string)) error

// Report is the outcome of an audit.
type Report struct {
	Owners   int64     `json:"owners"`
	Entries  int64     `json:"entries"`
	Accounts int64     `json:"accounts"`
	Grants   int64     `json:"grants"`
	Holds    int64     `json:"holds"`
	Facts    int64     `json:"facts"`
	Total    int64     `json:"problems"` // also those not listed
	Findings []Finding `json:"findings"`
}

// Clean reports whether the books balance.
func (r Report) Clean() bool { return r.Total == 0 }

// Finding is one row that contradicts the journal, or an entry that contradicts
// those before it.
type Finding struct {
	Invariant string `json:"invariant"` // I1…, see README.md
	Table     string `json:"table"`
	Key       string `json:"key"`     // of the row, its parts separated by slashes
	Problem   string `json:"problem"` // one sentence
}

// auditor walks through the journal on one connection and looks up what should
// follow from it on another, both in one snapshot of the database.
type auditor struct {
	opts   AuditOptions
	lookup pgx.Tx
	report Report
	now    time.Time
	clocks map[string]time.Time // of organizations that have a test clock
	kept   map[string][]Head    // by organization; those that were not come across yet
	replay *replay              // of the organization at hand
	facts  *factAudit

	eventful time.Time // later entries have their events in the outbox
	events   []string  // keys that the outbox must have, not looked up yet
}

// progressEvery is how many entries lie between two calls of Progress.
const progressEvery = 20_000

// Audit recomputes every balance, grant, hold, budget and fact from the journal
// and compares it with the tables; it checks the journal's hash chain on the
// way. It reads one consistent snapshot while operations go on. Memory is bound
// by the grants and open holds of the largest organization, not by the journal.
func Audit(ctx context.Context, pool *pgxpool.Pool, opts AuditOptions) (Report, error) {
	if opts.MaxFindings <= 0 {
		opts.MaxFindings = 100
	}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	journal, err := pool.BeginTx(ctx, snapshot)
	if err != nil {
		return Report{}, err
	}
	defer rollback(ctx, journal)
	lookup, err := pool.BeginTx(ctx, snapshot)
	if err != nil {
		return Report{}, err
	}
	defer rollback(ctx, lookup)
	var id string
	if err := journal.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&id); err != nil {
		return Report{}, err
	}
	if _, err := lookup.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+id+"'"); err != nil {
		return Report{}, err
	}
	if _, err := lookup.Exec(ctx, planByKey); err != nil {
		return Report{}, err
	}
	a := &auditor{opts: opts, lookup: lookup, kept: byOwner(opts)}
	if err := lookup.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&a.now); err != nil {
		return Report{}, err
	}
	if process := time.Now(); process.Before(a.now) {
		a.now = process // one of the clocks may be wrong: what both call the future is
	}
	if err := cmp.Or(a.readClocks(ctx), a.eventsFrom(ctx)); err != nil {
		return Report{}, err
	}
	if err := errors.Join(a.walk(ctx, journal), a.checkSchema(ctx), a.also(ctx)); err != nil {
		return a.report, fmt.Errorf("the audit was cut short: %w", err)
	}
	return a.report, nil
}

// readClocks reads the times of organizations that have a test clock: what is
// later is the future to them.
func (a *auditor) readClocks(ctx context.Context) error {
	a.clocks = map[string]time.Time{}
	rows, _ := a.lookup.Query(ctx, `SELECT owner, `+finite("clock")+` FROM credit_owner WHERE clock IS NOT NULL`)
	var owner string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&owner, &at}, func() error { a.clocks[owner] = at; return nil }); err != nil {
		return fmt.Errorf("the test clocks cannot be read: %w", err)
	}
	return nil
}

// also runs the checks of other packages.
func (a *auditor) also(ctx context.Context) error {
	for _, check := range a.opts.Also {
		if err := check(ctx, a.lookup, a.opts.Owner, a.found); err != nil {
			return err
		}
	}
	return nil
}

// rollback ends a transaction that has only read.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx) // nothing to lose; the pool discards a broken connection
}

// found adds a finding.
func (a *auditor) found(invariant, table, key, problem string) {
	a.report.Total++
	if len(a.report.Findings) < a.opts.MaxFindings {
		a.report.Findings = append(a.report.Findings, Finding{invariant, table, key, problem})
	}
}

// walk follows the journal, organization by organization.
func (a *auditor) walk(ctx context.Context, journal pgx.Tx) error {
	rows, err := journal.Query(ctx, `SELECT owner, seq, kind, coalesce(key, ''), request_hash, `+finite("at")+`, hold_id, order_id,
			action, member, reason, postings::text, facts, result::text, prev_hash, hash
		FROM credit_entry WHERE $1 IN ('', owner) ORDER BY owner, seq`, a.opts.Owner)
	if err != nil {
		return err
	}
	var owner string
	var e entry
	var requestHash []byte
	var postings, result *string
	_, err = pgx.ForEachRow(rows, []any{
		&owner, &e.seq, &e.kind, &e.key, &requestHash, &e.at, &e.holdID, &e.memo.OrderID,
		&e.memo.Action, &e.memo.Member, &e.memo.Reason, &postings, &e.facts, &result, &e.prevHash, &e.hash,
	}, func() error {
		if a.replay == nil || a.replay.owner != owner {
			if err := a.finish(ctx); err != nil {
				return err
			}
			a.start(owner)
		}
		copy(e.requestHash[:], requestHash)
		if requestHash == nil {
			clear(e.requestHash[:])
		}
		e.postingsJSON, e.result = text(postings), text(result)
		a.replay.follow(&e)
		a.checkKept(&e)
		a.report.Entries++
		if a.opts.Progress != nil && a.report.Entries%progressEvery == 0 {
			a.opts.Progress(a.report.Entries)
		}
		if err := a.facts.follow(ctx, &e); err != nil {
			return err
		}
		if err := a.expectEvents(ctx, &e); err != nil {
			return err
		}
		if len(a.replay.closed) >= lookupRows {
			return a.checkClosed(ctx)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.finish(ctx); err != nil {
		return err
	}
	if err := a.silent(ctx); err != nil {
		return err
	}
	a.missingJournals()
	if a.opts.Progress != nil {
		a.opts.Progress(a.report.Entries)
	}
	return a.strangers(ctx)
}

func text(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

func (a *auditor) start(owner string) {
	a.replay = newReplay(owner, a.found)
	a.replay.latest = a.now.Add(ClockTolerance)
	if clock, ok := a.clocks[owner]; ok {
		a.replay.latest = clock
	}
	a.facts = newFactAudit(owner, a.lookup, a.found)
}

// finish compares the tables with what the journal of an organization came to.
func (a *auditor) finish(ctx context.Context) error {
	if a.replay == nil {
		return nil
	}
	a.report.Owners++
	if err := a.checkClosed(ctx); err != nil {
		return err
	}
	a.replay.conclude()
	a.keptBeyondEnd()
	facts, err := a.facts.finish(ctx)
	a.report.Facts += facts
	return errors.Join(err,
		a.checkEvents(ctx),
		a.checkHolds(ctx),
		a.checkOwner(ctx),
		a.checkAccounts(ctx),
		a.checkGrants(ctx),
		a.checkBudgets(ctx))
}

// silent looks at organizations without any journal entry: they must own nothing.
func (a *auditor) silent(ctx context.Context) error {
	owners, err := a.owners(ctx, `SELECT owner FROM credit_owner o WHERE $1 IN ('', owner)
		AND NOT EXISTS (SELECT FROM credit_entry e WHERE e.owner = o.owner)`)
	if err != nil {
		return err
	}
	for _, owner := range owners {
		a.start(owner)
		if err := a.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// owners are the organizations that a query finds, of the one that is audited.
func (a *auditor) owners(ctx context.Context, query string) ([]string, error) {
	rows, err := a.lookup.Query(ctx, query, a.opts.Owner)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// strangers finds rows of organizations that the ledger does not know.
func (a *auditor) strangers(ctx context.Context) error {
	for _, table := range []string{"credit_account", "credit_grant", "credit_hold", "credit_budget", "credit_fact"} {
		// From one owner to the next by index, however many rows lie in between.
		owners, err := a.owners(ctx, `WITH RECURSIVE t (owner) AS (
				SELECT min(owner) FROM `+table+`
				UNION ALL
				SELECT (SELECT min(n.owner) FROM `+table+` n WHERE n.owner > t.owner) FROM t WHERE t.owner IS NOT NULL)
			SELECT owner FROM t WHERE owner IS NOT NULL AND $1 IN ('', owner)
			AND NOT EXISTS (SELECT FROM credit_owner o WHERE o.owner = t.owner)`)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			a.found("I6", table, owner, "rows of an organization that has no credit_owner row")
		}
	}
	return a.forgotten(ctx)
}

// forgotten finds organizations whose events tell of credits and of which the
// ledger knows nothing: all of their rows were deleted.
func (a *auditor) forgotten(ctx context.Context) error {
	rows, err := a.lookup.Query(ctx, `SELECT DISTINCT org FROM outbox WHERE $1 IN ('', org) AND topic = ANY($2)
		AND NOT EXISTS (SELECT FROM credit_owner o WHERE o.owner = org) ORDER BY org`,
		a.opts.Owner, []string{outbox.CreditsLow, outbox.CreditsGranted, outbox.CreditsExpired, outbox.CreditsVoided, outbox.CreditsReversed})
	if err != nil {
		return err
	}
	owners, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, owner := range owners {
		a.found("I6", "outbox", owner, "events tell of credits of this organization, its rows in the ledger are missing")
	}
	return err
}
