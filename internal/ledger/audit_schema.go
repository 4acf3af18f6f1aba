package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// eventsKept is how long the audit expects events in the outbox: a little less
// than webhooks keep them.
const eventsKept = 29 * 24 * time.Hour

// eventsFrom finds since when every entry has its events in the outbox: they are
// removed after a while, and entries older than migration 16 do not have all.
func (a *auditor) eventsFrom(ctx context.Context) error {
	err := a.lookup.QueryRow(ctx, `SELECT greatest($1, max(tstamp)::timestamptz) FROM goose_db_version WHERE version_id = 16`,
		a.now.Add(-eventsKept)).Scan(&a.eventful)
	if err != nil {
		return fmt.Errorf("the age of the schema cannot be read: %w", err)
	}
	return nil
}

// expectEvents notes the events that an entry must have in the outbox.
func (a *auditor) expectEvents(ctx context.Context, e *entry) error {
	if _, own := a.clocks[a.replay.owner]; own || !e.at.After(a.eventful) {
		return nil // events are kept for a time that a test clock does not know
	}
	for i := range e.postings {
		p := &e.postings[i]
		for _, threshold := range p.Low {
			a.events = append(a.events, lowKey(e.seq, p, threshold))
		}
		topic := topicOf(e.kind, p.Move)
		if topic == "" {
			continue
		}
		moved := movedBy(topic, p)
		key := moved.key(e.seq)
		if n := len(a.events); n == 0 || a.events[n-1] != key {
			a.events = append(a.events, key)
		}
	}
	if len(a.events) < lookupRows {
		return nil
	}
	return a.checkEvents(ctx)
}

// checkEvents looks up the events noted.
func (a *auditor) checkEvents(ctx context.Context) error {
	if len(a.events) == 0 {
		return nil
	}
	rows, err := a.lookup.Query(ctx, `SELECT k.key FROM unnest($2::text[]) k (key)
		WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.org = $1 AND o.key = k.key)`, a.replay.owner, a.events)
	if err != nil {
		return err
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, key := range missing {
		a.row("I6", "outbox", key, "the journal has this event, the row is missing")
	}
	a.events = a.events[:0]
	return err
}

// guards are what the database itself keeps of the invariants.
var guards = []struct{ table, name string }{
	{"credit_owner", "credit_owner_pkey"},
	{"credit_owner", "ledger_i6_owner_counters"},
	{"credit_owner", "ledger_i11_clock_not_behind"},
	{"credit_owner", "ledger_i11_clock_runs_forward"},
	{"credit_account", "credit_account_pkey"},
	{"credit_account", "ledger_i1_account_not_negative"},
	{"credit_grant", "credit_grant_pkey"},
	{"credit_grant", "ledger_i2_grant_not_negative"},
	{"credit_grant", "ledger_i3_grant_sum"},
	{"credit_grant", "ledger_i3_grant_live"},
	{"credit_hold", "credit_hold_pkey"},
	{"credit_hold", "ledger_i4_hold_sum"},
	{"credit_hold", "ledger_i4_hold_closed"},
	{"credit_hold", "ledger_i5_hold_reversed"},
	{"credit_budget", "credit_budget_pkey"},
	{"credit_budget", "ledger_i8_budget_not_negative"},
	{"credit_entry", "credit_entry_pkey"},
	{"credit_entry", "ledger_i6_entry_seq"},
	{"credit_entry", "ledger_i7_entry_key"},
	{"credit_entry", "ledger_i7_entry_result"},
	{"credit_entry", "ledger_i7_entry_key_once"},
	{"credit_entry", "ledger_i6_append_only"},
	{"credit_entry", "ledger_i6_append_only_truncate"},
	{"credit_fact", "credit_fact_pkey"},
	{"credit_fact", "ledger_i5_fact_cost"},
	{"outbox", "outbox_key_once"},
}

// checkSchema finds constraints, the unique index of keys and the append-only
// triggers that are missing, switched off or without effect.
func (a *auditor) checkSchema(ctx context.Context) error {
	rows, err := a.lookup.Query(ctx, `
		SELECT c.conname FROM pg_constraint c WHERE c.convalidated
		UNION ALL
		SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL
		UNION ALL
		SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
		WHERE t.tgrelid = 'credit_owner'::regclass AND t.tgenabled IN ('O', 'A') AND p.proname = 'credit_owner_clock_runs_forward'
			OR t.tgrelid = 'credit_entry'::regclass AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL
			AND p.proname = 'credit_entry_is_append_only' AND p.prosrc ~ 'BEGIN\s+RAISE EXCEPTION'
			AND pg_get_triggerdef(t.oid) ~ 'BEFORE (DELETE OR UPDATE ON .* FOR EACH ROW|TRUNCATE ON .* FOR EACH STATEMENT) '`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, g := range guards {
		if !there[g.name] {
			a.found(invariantOf(g.name), g.table, g.name, "the database does not enforce this any more: it is missing or switched off")
		}
	}
	return nil
}

// invariantOf takes the invariant out of the name of a constraint, ledger_i3_….
func invariantOf(name string) string {
	var n int
	if _, err := fmt.Sscanf(name, "ledger_i%d_", &n); err != nil {
		return "I6"
	}
	return fmt.Sprintf("I%d", n)
}
