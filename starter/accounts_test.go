package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
)

// withDatabase is a world with a migrated database of its own.
func newDatabaseWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+pgtest.NewURL(t), "TEMPORAL_ADDRESS=127.0.0.1:1")
	w.run("migrate", "--without-temporal").ok()
	return w
}

func TestOrganizationsAndMembers(t *testing.T) {
	w := newDatabaseWorld(t)
	require.Contains(t, w.run("org", "list").ok().stdout, "No organizations yet")

	var org account.Org
	w.run("org", "create", "acme", "--name", "Acme Inc.", "--time-zone", "Europe/Berlin", "--anchor", "2026-01-31", "--json").ok().into(&org)
	require.Equal(t, "Acme Inc.", org.Name)
	require.Equal(t, "verified-leads", org.Plan)
	require.Equal(t, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), org.Anchor.UTC())

	w.run("org", "create", "acme").fails(exitFailed, "acme")
	w.run("org", "create", "Not An Id").fails(exitFailed, "lower-case")
	w.run("org", "create", "other", "--plan", "golden").fails(exitFailed, "golden")
	w.run("org", "create", "other", "--time-zone", "Mars/Base").fails(exitFailed, "Mars/Base")
	w.run("org", "show", "missing").fails(exitFailed, "missing")
	require.Contains(t, w.run("org", "show", "acme").ok().stdout, "plan verified-leads version 1")
	require.Contains(t, w.run("org", "list").ok().stdout, "Acme Inc.")

	var members []account.Member
	w.run("member", "list", "--org", "acme", "--json").ok().into(&members)
	require.Empty(t, members)
	w.run("member", "create", "bob", "--org", "acme", "--role", "admin").ok()
	w.run("member", "create", "bob", "--org", "acme").fails(exitFailed, "bob")
	w.run("member", "create", "jane", "--org", "acme", "--role", "king").fails(exitUsage, "king")
	w.run("member", "create", "bob", "--org", "missing").fails(exitFailed, "missing")
	w.run("member", "list", "--org", "acme", "--json").ok().into(&members)
	require.Len(t, members, 1)
	require.Equal(t, account.RoleAdmin, members[0].Role)
	require.Contains(t, w.run("member", "list", "--org", "acme").ok().stdout, "bob")
}

func TestPlans(t *testing.T) {
	w := newDatabaseWorld(t)
	var plans []struct {
		ID string `json:"id"`
	}
	w.run("plan", "list", "--json").ok().into(&plans)
	ids := map[string]bool{}
	for _, p := range plans {
		ids[p.ID] = true
	}
	require.True(t, ids["verified-leads"], "%v", ids)
	for id := range ids {
		o := w.run("plan", "show", id).ok()
		require.Contains(t, o.stdout, id)
	}
	shown := w.run("plan", "show", "verified-leads").ok().stdout
	require.Contains(t, shown, "1 email credit per contact, once per organization")
	require.Contains(t, shown, "come back 5 min after")
	w.run("plan", "show", "golden").fails(exitFailed, "golden")
	w.run("plan", "show", "verified-leads", "--version", "99").fails(exitFailed, "99")
}

func TestCredits(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme").ok()
	w.run("member", "create", "bob", "--org", "acme").ok()
	require.Contains(t, w.run("credits", "--org", "acme").ok().stdout, "None yet")
	require.Contains(t, w.run("credits", "--org", "acme", "--at", "2020-01-01").ok().stdout, "2020")
	w.run("credits", "--org", "acme", "--at", "2999-01-01").fails(exitFailed, "in the future")
	w.run("credits", "--org", "missing").fails(exitFailed, "missing")
	w.run("credits", "--org", "acme", "--member", "missing").fails(exitFailed, "missing")

	grant := []string{"credits", "grant", "--org", "acme", "--type", "email", "--key", "first", "--json"}
	var view billing.Credits
	for range 2 { // the same key is the same grant
		w.run(append(grant, "--amount", "1000")...).ok().into(&view)
		require.Equal(t, []billing.Credit{{Type: "email", Pool: "organization", Available: 1000}}, view.Credits)
	}
	w.run(append(grant, "--amount", "1001")...).fails(exitFailed, "idempotency key")
	w.run("credits", "grant", "--org", "acme", "--type", "gold", "--amount", "5").fails(exitFailed, "it has email")
	w.run("credits", "grant", "--org", "missing", "--type", "email", "--amount", "5").fails(exitFailed, "missing")
	w.run("credits", "grant", "--org", "acme", "--member", "missing", "--type", "email", "--amount", "5").fails(exitFailed, "missing")

	o := w.run("credits", "grant", "--org", "acme", "--member", "bob", "--type", "email", "--amount", "50",
		"--source", "promotion", "--expires-at", "2199-12-31", "--reason", "welcome").ok()
	require.Contains(t, o.stderr, "Idempotency key: cli-")
	require.Contains(t, o.stdout, "50 email credits granted.")
	require.Contains(t, o.stdout, "2199-12-31")

	var history struct {
		Entries    []billing.Entry `json:"entries"`
		NextCursor string          `json:"next_cursor"`
	}
	w.run("credits", "history", "--org", "acme", "--json").ok().into(&history)
	require.Len(t, history.Entries, 2)
	require.Equal(t, "member", history.Entries[0].Pool, "newest first")
	require.Equal(t, "welcome", history.Entries[0].Reason)
	require.Equal(t, int64(1000), history.Entries[1].Balance)

	w.run("credits", "history", "--org", "acme", "--limit", "1", "--json").ok().into(&history)
	require.Len(t, history.Entries, 1)
	require.NotEmpty(t, history.NextCursor)
	w.run("credits", "history", "--org", "acme", "--limit", "1", "--cursor", history.NextCursor, "--json").ok().into(&history)
	require.Len(t, history.Entries, 1)
	require.Equal(t, int64(1000), history.Entries[0].Amount)
	require.Contains(t, w.run("credits", "history", "--org", "acme", "--to", "2020-01-01").ok().stdout, "No movements")
	w.run("credits", "history", "--org", "missing").fails(exitFailed, "missing")

	require.Contains(t, w.run("audit").ok().stdout, "The books balance")
}

func TestAuditFindsTampering(t *testing.T) {
	url := pgtest.NewURL(t)
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+url, "TEMPORAL_ADDRESS=127.0.0.1:1")
	w.run("migrate", "--without-temporal").ok()
	w.run("org", "create", "acme").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "1000").ok()
	var report auditReport
	w.run("audit", "--json").ok().into(&report)
	require.True(t, report.Balanced)
	require.Equal(t, int64(1), report.Owners)
	require.NotNil(t, report.Findings)

	// Both the account and its grant are changed alike, so that no constraint
	// notices; only the journal knows.
	require.NoError(t, execute(t.Context(), url,
		"UPDATE credit_grant SET amount = amount + 1, available = available + 1; UPDATE credit_account SET available = available + 1"))
	o := w.run("audit", "--json")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.stderr, "The books do not balance")
	o.into(&report)
	require.False(t, report.Balanced)
	require.NotEmpty(t, report.Findings)
	require.NotEmpty(t, report.Findings[0].Problem)
}

// What is kept outside of the database finds a journal that was rewritten, and
// the audit compares the ledger with organizations and orders.
func TestAuditAgainstWhatIsKnownElsewhere(t *testing.T) {
	url := pgtest.NewURL(t)
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+url, "TEMPORAL_ADDRESS=127.0.0.1:1")
	w.run("migrate", "--without-temporal").ok()
	w.run("audit", "--org", "acme").fails(exitFailed, "acme")
	w.run("audit", "--head", "--org", "acme").fails(exitFailed, "acme")
	w.run("org", "create", "acme").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "1000").ok()
	heads := w.run("audit", "--head").ok().stdout
	require.Regexp(t, `^[0-9]+ [0-9a-f]{64} acme\n$`, heads)
	kept := filepath.Join(w.dir, "heads.txt")
	require.NoError(t, os.WriteFile(kept, []byte(heads), 0o600))
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "1").ok()
	w.run("audit", "--against", kept).ok()
	w.feed(heads, "audit", "--against", "-", "--org", "acme").ok()
	w.feed("7 xyz acme\n", "audit", "--against", "-").fails(exitFailed, "not a line of")
	w.feed("\n", "audit", "--against", "-").fails(exitFailed, "no heads")
	w.run("audit", "--against", filepath.Join(w.dir, "none")).fails(exitFailed, "cannot be read")

	require.NoError(t, execute(t.Context(), url, `SET session_replication_role = replica; DELETE FROM credit_owner; DELETE FROM credit_account;
		DELETE FROM credit_grant; DELETE FROM credit_entry; DELETE FROM outbox; RESET session_replication_role;
		UPDATE subscription SET next_period = next_period + 1, due_at = created_at + interval '20 days';
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested)
		VALUES ('ord_lost', 'acme', '', 'lead_list', '{}', '', 'verified-leads', 1, 'verifying', 10);
		INSERT INTO credit_hold VALUES ('acme', 'ord_none', 0, 0, 0, 0, false, '{"lines":[]}')`))
	o := w.run("audit", "--against", kept)
	require.Equal(t, exitFailed, o.code)
	for _, problem := range []string{"acme/ord_lost", "acme/ord_none", "journal is gone", "order.reserved/ord_lost"} {
		require.Contains(t, o.stdout, problem)
	}
	require.Equal(t, exitFailed, w.run("audit", "--org", "acme").code)
}

const header = "id,email,first_name,last_name,title,seniority,department,company,domain,industry,headcount,country,region,city,phone,direct_email\n"

func TestImport(t *testing.T) {
	w := newDatabaseWorld(t)
	good := "l1,a@one.test,Ada,Lind,Engineer,senior,engineering,One,one.test,software,50,US,CA,Fresno,,\n"
	bad := "l2,,Bo,Berg,Clerk,junior,finance,Two,two.test,retail,10,US,TX,Austin,,\n" +
		"l3,c@three.test,Cy,Cole,Clerk,junior,finance,Three,three.test,retail,lots,US,TX,Austin,,\n" +
		"l4,d@four.test,short row\n"
	path := filepath.Join(w.dir, "leads.csv")
	require.NoError(t, os.WriteFile(path, []byte(header+good+bad), 0o600))

	var report lead.ImportReport
	w.run("import", path, "--json").ok().into(&report)
	require.Equal(t, int64(4), report.Rows)
	require.Equal(t, int64(1), report.Imported)
	require.Equal(t, int64(3), report.Rejected)
	require.Len(t, report.Problems, 3)
	require.Equal(t, int64(3), report.Problems[0].Line)
	require.NotEmpty(t, report.Problems[0].Reason)

	o := w.run("import", path).ok()
	require.Contains(t, o.stdout, "0 new, 0 updated, 1 unchanged, 3 left out")
	require.Contains(t, o.stderr, "line 3: ")

	ndjson := `{"id":"n1","email":"n@one.test","first_name":"Nia","country":"US"}` + "\n" + `{"id":` + "\n"
	w.feed(ndjson, "import", "-", "--json").ok().into(&report)
	require.Equal(t, int64(1), report.Imported, "NDJSON is noticed by itself")
	require.Equal(t, int64(1), report.Rejected)

	w.run("import", "nowhere.csv").fails(exitFailed, "there is no file nowhere.csv")
	w.run("import", w.dir).fails(exitFailed, "is a folder")
	w.feed(good, "import", "-", "--format", "xml").fails(exitFailed, "xml")
	w.feed("colour,shape\nred,round\n", "import", "-").fails(exitFailed, "id")
	require.Equal(t, 1, strings.Count(w.feed(header, "import", "-").ok().stdout, "0 rows"))
}

func TestVoidAGrant(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme", "--plan", "prepaid-verification").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "500").ok()
	void := []string{"credits", "void", "--org", "acme", "--grant", "1"}
	w.run(void...).fails(exitUsage, "reason")
	w.run(append(void, "--reason", " ")...).fails(exitUsage, "reason")
	w.run(append(void, "--reason", "r", "--amount", "0")...).fails(exitUsage, "at least 1")
	w.run("credits", "void", "--org", "acme", "--grant", "2", "--reason", "r").fails(exitFailed, "no such grant")
	w.run("credits", "void", "--org", "missing", "--grant", "1", "--reason", "r").fails(exitFailed, "missing")

	var voided billing.Voided
	for range 2 {
		w.run(append(void, "--amount", "120", "--reason", "typing error", "--key", "k", "--json")...).ok().into(&voided)
		require.Equal(t, billing.Voided{GrantID: 1, Org: "acme", Type: "email", Voided: 120, Available: 380, Reason: "typing error"}, voided)
	}
	require.Contains(t, w.run(append(void, "--reason", "chargeback")...).ok().stdout, "380 email credits of grant 1 voided")
	require.Zero(t, w.available("--org", "acme")["/email"])
	var grants billing.Grants
	w.run("credits", "grants", "--org", "acme", "--json").ok().into(&grants)
	require.Len(t, grants.Grants, 1)
	require.EqualValues(t, 500, grants.Grants[0].Voided)
	require.Contains(t, w.run("credits", "grants", "--org", "acme").ok().stdout, "500")
	require.Contains(t, w.run("credits", "grants", "--org", "acme", "--live").ok().stdout, "No grants")
	require.Contains(t, w.run("credits", "history", "--org", "acme", "--kind", "void").ok().stdout, "chargeback")
	w.run("audit").ok()
}

func TestEndsOfOrganizationsAndMembers(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "seats", "--plan", "licence-monthly").ok()
	w.run("member", "create", "bob", "--org", "seats").ok()
	w.run("key", "create", "--org", "seats", "--member", "bob").ok()
	w.run("credits", "grant", "--org", "seats", "--type", "email", "--amount", "70").ok()
	w.run("member", "remove", "missing", "--org", "seats").fails(exitFailed, "missing")
	for range 2 {
		var removed billing.Removed
		w.run("member", "remove", "bob", "--org", "seats", "--json").ok().into(&removed)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 1000}, {Type: "phone", Amount: 100}, {Type: "profile", Amount: 100}}, removed.Expired)
		require.NotNil(t, removed.RemovedAt)
	}
	require.Contains(t, w.run("member", "list", "--org", "seats").ok().stdout, "No members")
	require.NotContains(t, w.run("key", "list", "--org", "seats", "--json").ok().stdout, `"revoked_at": null`)
	w.run("key", "create", "--org", "seats", "--member", "bob").fails(exitFailed, "removed")
	w.run("credits", "grant", "--org", "seats", "--member", "bob", "--type", "email", "--amount", "7").fails(exitFailed, "removed")

	w.run("org", "update", "seats").fails(exitUsage, "--name")
	w.run("org", "update", "seats", "--time-zone", "Mars/Base").fails(exitFailed, "Mars/Base")
	require.Contains(t, w.run("org", "update", "seats", "--name", "Seats Ltd", "--time-zone", "Asia/Tokyo").ok().stdout, "Seats Ltd (seats): plan licence-monthly version 1, time zone Asia/Tokyo")
	require.Contains(t, w.run("org", "suspend", "seats").ok().stdout, "It is suspended")
	require.NotContains(t, w.run("org", "resume", "seats").ok().stdout, "suspended")
	w.run("org", "close", "seats").fails(exitUsage, "reason")
	require.Contains(t, w.run("org", "close", "seats", "--reason", "contract ended", "--erase").ok().stdout, "70 email credits expired")
	require.Contains(t, w.run("org", "show", "seats").ok().stdout, "It is closed")
	w.run("org", "close", "seats", "--reason", "again").ok()
	w.run("org", "resume", "seats").fails(exitFailed, "closed")
	w.run("member", "create", "jane", "--org", "seats").fails(exitFailed, "closed")
	w.run("credits", "grant", "--org", "seats", "--type", "email", "--amount", "7").fails(exitFailed, "closed")
	w.run("audit").ok()
}
