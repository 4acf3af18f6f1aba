package ledger_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// keep books of every kind: 12 journal entries, 3 grants, 3 holds.
func keepBooks(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	l := ledger.New(pool)
	defer l.Close()
	grant(t, l, ledger.Grant{Key: "g1", Amount: 100})
	grant(t, l, ledger.Grant{Key: "g2", Amount: 50, Pool: "bob", Source: ledger.SourceAllotment})
	for _, id := range []string{"o1", "o2"} {
		_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: id + "/hold", HoldID: id, Lines: []ledger.Line{
			{Type: "email", Amount: 60, Pools: []string{"bob", ""}, Budget: ledger.Budget{Name: "bob/1", Cap: 90}},
			{Type: "phone", Pools: []string{""}, Budget: ledger.Budget{Name: "bob/1", Cap: 90}},
		}})
		require.NoError(t, err)
	}
	_, err := l.Capture(ctx, ledger.Capture{
		Owner: "acme", Key: "o1/capture", HoldID: "o1", Type: "email", UnitCost: 2,
		Facts: []ledger.Fact{{Subject: [16]byte{1}}, {Subject: [16]byte{2}}, {Subject: [16]byte{3}, Scope: "bob"}},
		Memo:  ledger.Memo{Member: "bob", OrderID: "o1"},
	})
	require.NoError(t, err)
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "o1/release", HoldID: "o1"})
	require.NoError(t, err)
	_, err = l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "bounce", Type: "email", Facts: []ledger.Fact{{Subject: [16]byte{2}}}})
	require.NoError(t, err)
	charge := ledger.Charge{Owner: "acme", Key: "c1", Lines: []ledger.ChargeLine{{
		Type: "email", Pools: []string{""}, Facts: []ledger.Fact{{Subject: [16]byte{2}}}, UnitCost: 1,
	}}}
	_, err = l.Charge(ctx, charge)
	require.NoError(t, err)
	_, err = l.Renew(ctx, ledger.Renew{Owner: "acme", Key: "renew", Pool: "bob", Lines: []ledger.Renewal{
		{Type: "email", Amount: 50, Rollover: true, Cap: 20},
	}})
	require.NoError(t, err)
	_, err = l.Alert(ctx, ledger.Alert{Owner: "acme", Key: "alert", Type: "email", Thresholds: []int64{10, 5}})
	require.NoError(t, err)
	charge.Key, charge.Lines[0].Facts[0].Subject = "c2", [16]byte{4}
	_, err = l.Charge(ctx, charge)
	require.NoError(t, err)
	_, err = l.Expire(ctx, ledger.Expire{Owner: "acme"})
	require.NoError(t, err)
}

// X4: for each change behind the ledger's back, the audit names the row.
func TestAuditFindsTampering(t *testing.T) {
	for name, c := range map[string]struct {
		tamper, table, key, invariant string
	}{
		"entry changed":          {byForce + `UPDATE credit_entry SET member = 'eve' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's amount":         {byForce + `UPDATE credit_entry SET postings = replace(postings::text, '"amount":6', '"amount":5')::json WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's key":            {byForce + `UPDATE credit_entry SET key = 'other' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's result":         {byForce + `UPDATE credit_entry SET result = '{"charged":0}' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's facts":          {byForce + `UPDATE credit_entry SET facts = facts || '\x00' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's reason":         {byForce + `UPDATE credit_entry SET reason = 'another' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's time, a bit":    {byForce + `UPDATE credit_entry SET at = at + interval '1 microsecond' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry's time":           {byForce + `UPDATE credit_entry SET at = at - interval '1 day' WHERE seq = 5`, "credit_entry", "acme/5", "I6"},
		"entry removed":          {byForce + `DELETE FROM credit_entry WHERE seq = 5`, "credit_entry", "acme/6", "I6"},
		"last entry removed":     {byForce + `DELETE FROM credit_entry WHERE seq = (SELECT max(seq) FROM credit_entry)`, "credit_owner", "acme", "I6"},
		"all entries removed":    {byForce + `DELETE FROM credit_entry`, "credit_owner", "acme", "I6"},
		"owner's count":          {`UPDATE credit_owner SET seq = seq + 1`, "credit_owner", "acme", "I6"},
		"owner's head":           {`UPDATE credit_owner SET head = '\x00'`, "credit_owner", "acme", "I6"},
		"owner's grants":         {`UPDATE credit_owner SET grants = 9`, "credit_owner", "acme", "I6"},
		"owner removed":          {`DELETE FROM credit_owner`, "credit_owner", "acme", "I6"},
		"balance raised":         {`UPDATE credit_account SET available = available + 1 WHERE pool = 'bob'`, "credit_account", "acme/bob/email", "I1"},
		"rollover raised":        {`UPDATE credit_account SET carry = 20 WHERE pool = 'bob'`, "credit_account", "acme/bob/email", "I10"},
		"alert lowered":          {`UPDATE credit_account SET alert_at[2] = 4 WHERE pool = ''`, "credit_account", "acme//email", "I6"},
		"alert silenced":         {`UPDATE credit_account SET alert_at = NULL WHERE pool = ''`, "credit_account", "acme//email", "I6"},
		"account removed":        {`DELETE FROM credit_account WHERE pool = 'bob'`, "credit_account", "acme/bob/email", "I1"},
		"account made up":        {`INSERT INTO credit_account VALUES ('acme', 'eve', 'email', 5, 0)`, "credit_account", "acme/eve/email", "I1"},
		"grant refilled":         {`UPDATE credit_grant SET available = available + 1, captured = captured - 1 WHERE no = 1`, "credit_grant", "acme/1", "I3"},
		"grant enlarged":         {`UPDATE credit_grant SET available = available + 1, amount = amount + 1 WHERE no = 1`, "credit_grant", "acme/1", "I3"},
		"grant prolonged":        {`UPDATE credit_grant SET expires_at = '2999-01-01' WHERE no = 1`, "credit_grant", "acme/1", "I3"},
		"grant unrenewed":        {`UPDATE credit_grant SET renewed = false WHERE no = 2`, "credit_grant", "acme/2", "I10"},
		"grant removed":          {`DELETE FROM credit_grant WHERE no = 1`, "credit_grant", "acme/1", "I3"},
		"grant made up":          {`INSERT INTO credit_grant VALUES ('acme', 99, '', 'email', 'pack', 0, NULL, now(), 5, 5, 0, 0, 0, 0, false, true)`, "credit_grant", "acme/99", "I3"},
		"hold uncharged":         {`UPDATE credit_hold SET captured = captured - 1, released = released + 1, reversed = 0 WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"hold's slices":          {`UPDATE credit_hold SET body = replace(body::text, '"amount":50', '"amount":49')::json WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"hold's budget changed":  {`UPDATE credit_hold SET body = replace(body::text, 'bob/1', 'bob/2')::json WHERE id = 'o2'`, "credit_hold", "acme/o2", "I4"},
		"hold's budget dropped":  {`UPDATE credit_hold SET body = replace(body::text, ',"budget":"bob/1"', '')::json WHERE id = 'o2'`, "credit_hold", "acme/o2", "I4"},
		"empty line added":       {`UPDATE credit_hold SET body = replace(body::text, '"lines":[', '"lines":[{"type":"phone"},')::json WHERE id = 'o2'`, "credit_hold", "acme/o2", "I4"},
		"empty line dropped":     {`UPDATE credit_hold SET body = replace(body::text, ',{"type":"phone","budget":"bob/1"}', '')::json WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"empty line's budget":    {`UPDATE credit_hold SET body = replace(body::text, '{"type":"phone","budget":"bob/1"}', '{"type":"phone"}')::json WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"event removed":          {`DELETE FROM outbox WHERE key = 'credits.granted/1/1'`, "outbox", "acme/credits.granted/1/1", "I6"},
		"all of it removed":      {byForce + `DELETE FROM credit_owner; DELETE FROM credit_account; DELETE FROM credit_grant; DELETE FROM credit_hold; DELETE FROM credit_budget; DELETE FROM credit_fact; DELETE FROM credit_entry`, "outbox", "acme", "I6"},
		"trigger removed":        {`DROP TRIGGER ledger_i6_append_only ON credit_entry`, "credit_entry", "ledger_i6_append_only", "I6"},
		"trigger switched off":   {`ALTER TABLE credit_entry DISABLE TRIGGER ledger_i6_append_only_truncate`, "credit_entry", "ledger_i6_append_only_truncate", "I6"},
		"trigger in name only":   {`CREATE OR REPLACE FUNCTION credit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`, "credit_entry", "ledger_i6_append_only", "I6"},
		"constraint removed":     {`ALTER TABLE credit_grant DROP CONSTRAINT ledger_i3_grant_sum`, "credit_grant", "ledger_i3_grant_sum", "I3"},
		"keys may repeat":        {`DROP INDEX ledger_i7_entry_key_once`, "credit_entry", "ledger_i7_entry_key_once", "I7"},
		"hold reopened":          {`UPDATE credit_hold SET closed = false WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"hold removed":           {`DELETE FROM credit_hold WHERE id = 'o1'`, "credit_hold", "acme/o1", "I4"},
		"hold made up":           {`INSERT INTO credit_hold VALUES ('acme', 'eve', 0, 0, 0, 0, false, '{"lines":[]}')`, "credit_hold", "acme/eve", "I4"},
		"budget lowered":         {`UPDATE credit_budget SET used = used - 1`, "credit_budget", "acme/bob/1/email", "I8"},
		"budget removed":         {`DELETE FROM credit_budget`, "credit_budget", "acme/bob/1/email", "I8"},
		"fact disowned":          {`UPDATE credit_fact SET reversed = true WHERE subject = '01000000-0000-0000-0000-000000000000'`, "credit_fact", "acme/email//01000000000000000000000000000000", "I5"},
		"fact's cost":            {`UPDATE credit_fact SET cost = 9 WHERE subject = '01000000-0000-0000-0000-000000000000'`, "credit_fact", "acme/email//01000000000000000000000000000000", "I5"},
		"fact's entry":           {`UPDATE credit_fact SET seq = 1 WHERE subject = '01000000-0000-0000-0000-000000000000'`, "credit_fact", "acme/email//01000000000000000000000000000000", "I5"},
		"fact removed":           {`DELETE FROM credit_fact WHERE scope = 'bob'`, "credit_fact", "acme/email/bob/03000000000000000000000000000000", "I5"},
		"fact made up":           {`INSERT INTO credit_fact VALUES ('acme', 'email', '', '07000000-0000-0000-0000-000000000000', 5, 0)`, "credit_fact", "acme/email//07000000000000000000000000000000", "I5"},
		"stranger's credits":     {`INSERT INTO credit_grant VALUES ('eve', 1, '', 'email', 'pack', 0, NULL, now(), 5, 5, 0, 0, 0, 0, false, true)`, "credit_grant", "eve", "I6"},
		"credits of an idle one": {`INSERT INTO credit_owner (owner) VALUES ('eve'); INSERT INTO credit_account VALUES ('eve', '', 'email', 5, 0)`, "credit_account", "eve//email", "I1"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := pgtest.New(t)
			keepBooks(t, pool)
			requireClean(t, pool)
			conn, err := pool.Acquire(t.Context())
			require.NoError(t, err)
			_, err = conn.Conn().PgConn().Exec(t.Context(), c.tamper).ReadAll()
			conn.Release()
			require.NoError(t, err)

			report, err := ledger.Audit(t.Context(), pool, ledger.AuditOptions{})
			require.NoError(t, err)
			require.False(t, report.Clean())
			var keys []string
			for _, f := range report.Findings {
				if f.Table == c.table && f.Invariant == c.invariant {
					keys = append(keys, f.Key)
				}
			}
			require.Contains(t, keys, c.key, "%+v", report.Findings)
		})
	}
}

// I6: the journal cannot be changed by ordinary means.
func TestJournalIsAppendOnly(t *testing.T) {
	pool := pgtest.New(t)
	keepBooks(t, pool)
	for _, change := range []string{
		`UPDATE credit_entry SET member = 'eve'`, `DELETE FROM credit_entry WHERE seq = 1`, `TRUNCATE credit_entry`,
	} {
		_, err := pool.Exec(t.Context(), change)
		require.ErrorContains(t, err, "append-only", change)
	}
	requireClean(t, pool)
}

func TestAuditOfOneOrganizationAndLongLists(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	keepBooks(t, pool)
	l := ledger.New(pool)
	defer l.Close()
	_, err := l.Grant(ctx, ledger.Grant{Owner: "globex", Key: "g", Type: "email", Amount: 1, Source: ledger.SourcePack})
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `UPDATE credit_account SET held = held + 1`)
	require.NoError(t, err)

	var entries int64
	report, err := ledger.Audit(ctx, pool, ledger.AuditOptions{MaxFindings: 1, Progress: func(n int64) { entries = n }})
	require.NoError(t, err)
	require.Len(t, report.Findings, 1)
	require.EqualValues(t, 3, report.Total)
	require.EqualValues(t, 2, report.Owners)
	require.Equal(t, report.Entries, entries)

	report, err = ledger.Audit(ctx, pool, ledger.AuditOptions{Owner: "globex"})
	require.NoError(t, err)
	require.EqualValues(t, 1, report.Owners)
	require.EqualValues(t, 1, report.Entries)
	require.Equal(t, "globex//email", report.Findings[0].Key)
}
