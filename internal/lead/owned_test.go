package lead_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/value"
)

// TestC5_OwnedLeadsAreCountedExactly charges and credits back through the
// ledger, imports and deletes leads at random, in steps small and large. A
// catalogue that remembers what it counted before says the same as plain SQL,
// and as a catalogue that has never counted.
func TestC5_OwnedLeadsAreCountedExactly(t *testing.T) {
	f := setup(t)
	const org = "acme"
	random := rand.New(rand.NewPCG(11, 1))
	next := 21_000 // enough leads for a count to read all facts
	_, err := f.Import(f.ctx, file(t, people(next, 9)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	books := ledger.New(f.pool)
	defer books.Close()
	steps := 0
	key := func() string {
		steps++
		return fmt.Sprintf("step %d", steps)
	}
	for _, kind := range []string{"email", "phone"} {
		_, err := books.Grant(f.ctx, ledger.Grant{Owner: org, Key: key(), Type: kind, Amount: 1_000_000, Source: ledger.SourcePack})
		require.NoError(t, err)
	}

	type fact struct {
		kind string
		ledger.Fact
	}
	var charged []fact
	some := func(n int) []string { // ids of leads, also of those that are deleted or yet to come
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("L%07d", random.IntN(next+50))
		}
		return ids
	}
	charge := func(n int) {
		kind, scope := []string{"email", "email", "phone"}[random.IntN(3)], []string{"", "", "jane"}[random.IntN(3)]
		var facts []ledger.Fact
		for _, id := range some(n) {
			subject := lead.Fingerprint(id)
			if random.IntN(2) == 0 { // the value, in any field
				subject, _ = value.Address(id + "@new.test")
			}
			facts = append(facts, ledger.Fact{Scope: scope, Subject: subject})
			charged = append(charged, fact{kind, facts[len(facts)-1]})
		}
		result, err := books.Charge(f.ctx, ledger.Charge{Owner: org, Key: key(), Lines: []ledger.ChargeLine{{Type: kind, Pools: []string{""}, Facts: facts, UnitCost: 1}}})
		require.NoError(t, err)
		require.True(t, result.Charged)
	}
	reverse := func(n int) {
		var facts []ledger.Fact
		kind := charged[random.IntN(len(charged))].kind
		for range n {
			if c := charged[random.IntN(len(charged))]; c.kind == kind {
				facts = append(facts, c.Fact)
			}
		}
		if len(facts) == 0 {
			return
		}
		_, err := books.Reverse(f.ctx, ledger.Reverse{Owner: org, Key: key(), Type: kind, Facts: facts})
		require.NoError(t, err)
	}
	bring := func(ids []string) {
		rows := "id,email,country\n"
		for _, id := range ids {
			rows += id + "," + id + "@new.test,US\n"
		}
		f.importCSV(rows)
	}
	erase := func(n int) {
		err := pgx.BeginFunc(f.ctx, f.pool, func(tx pgx.Tx) error {
			var numbers []int64
			rows, _ := tx.Query(f.ctx, `SELECT no FROM lead WHERE id = ANY ($1) OR no = (SELECT max(no) FROM lead)`, some(n))
			numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err == nil {
				_, err = f.EraseLeads(f.ctx, tx, numbers)
			}
			return err
		})
		require.NoError(t, err)
		require.NoError(t, f.Reindex(f.ctx))
	}
	plain := func(where string, s lead.Selection) (counted lead.Counted) {
		require.NoError(t, f.pool.QueryRow(f.ctx, `
			SELECT count(*), count(*) FILTER (WHERE
				EXISTS (SELECT FROM credit_fact c WHERE c.owner = $1 AND c.type = $2 AND c.scope = $3 AND c.subject = l.email_key AND NOT c.reversed)
				OR $4 AND EXISTS (SELECT FROM credit_fact c WHERE c.owner = $1 AND c.type = $2 AND c.scope = $3 AND c.subject = l.fingerprint AND NOT c.reversed))
			FROM lead l WHERE `+where, s.Org, s.FactType, s.FactScope, s.PerLead).Scan(&counted.Leads, &counted.AlreadyOwned))
		return counted
	}

	charge(6000)
	charge(6000)
	for step := range 24 {
		var did []string
		for range 1 + random.IntN(3) {
			n := []int{1, 1, 30, 400, 3000}[random.IntN(5)]
			switch random.IntN(6) {
			case 0, 1:
				did = append(did, fmt.Sprint("charge ", n))
				charge(n)
			case 2:
				did = append(did, fmt.Sprint("reverse ", n))
				reverse(n)
			case 3:
				n = min(n, 400)
				did = append(did, fmt.Sprint("import ", n))
				ids := some(n / 2) // some are known, some were deleted and are owned still
				for range n - n/2 {
					ids = append(ids, fmt.Sprintf("L%07d", next))
					next++
				}
				bring(ids)
			case 4:
				n = min(n, 30)
				did = append(did, fmt.Sprint("erase ", n))
				erase(n)
			case 5:
				did = append(did, "nothing")
			}
		}
		if harm := map[int]string{ // to what was stored: lost, unreadable, of another journal
			3: `DELETE FROM owned_set`,
			5: `UPDATE owned_set SET leads = 'nonsense'`,
			7: `UPDATE owned_set SET seq = seq + 1000000, head = 'x', leads = (SELECT leads FROM owned_set ORDER BY leads LIMIT 1)`,
		}[step%8]; harm != "" {
			_, err := f.pool.Exec(f.ctx, harm)
			require.NoError(t, err)
		}
		fresh := lead.New(f.pool)
		for _, of := range []struct{ kind, scope string }{{"email", ""}, {"email", "jane"}, {"phone", ""}, {"phone", "missing"}} {
			for where, criteria := range map[string]order.Criteria{"true": {}, "country = 'US'": {Country: []string{"US"}}} {
				s := lead.Selection{Org: org, Criteria: criteria, FactType: of.kind, FactScope: of.scope, PerLead: step%2 == 0}
				want := plain(where, s)
				for name, catalogue := range map[string]*lead.Catalogue{"remembering": f.Catalogue, "fresh": fresh} {
					got, err := catalogue.Count(f.ctx, s)
					require.NoError(t, err)
					require.Equal(t, want, got, "%s catalogue, step %d: %s; %v where %s", name, step, strings.Join(did, ", "), of, where)
				}
			}
		}
	}
}

// C5: whether the leads are looked at one by one, or what the organization owns is
// read, follows from which is less; the count is the same.
func TestC5_OwnedLeadsOfFewAreCountedExactly(t *testing.T) {
	f := setup(t)
	_, err := f.Import(f.ctx, file(t, people(200, 5)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	for _, owned := range []int{0, 1, 30, 120} { // fewer than all leads, more than those of most countries
		org := fmt.Sprintf("org%d", owned)
		_, err := f.pool.Exec(f.ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost, reversed)
			SELECT $1, 'email', '', email_key, 1, 1, no % 3 = 0 FROM lead WHERE no % 2 = 0 GROUP BY email_key, no % 3 = 0 ORDER BY email_key LIMIT $2
			ON CONFLICT DO NOTHING`, org, owned)
		require.NoError(t, err)
		for _, country := range []string{"", "US", "DE", "JP"} {
			criteria := order.Criteria{}
			if country != "" {
				criteria.Country = []string{country}
			}
			counted, err := f.Count(f.ctx, lead.Selection{Org: org, FactType: "email", Criteria: criteria})
			require.NoError(t, err)
			var want int64
			require.NoError(t, f.pool.QueryRow(f.ctx, `
				SELECT count(*) FROM lead l JOIN credit_fact f ON f.subject = l.email_key AND f.owner = $1 AND NOT f.reversed
				WHERE $2 = '' OR l.country = $2`, org, country).Scan(&want))
			require.Equal(t, want, counted.AlreadyOwned, "%s in %q", org, country)
		}
	}
}

// A process that has not counted yet begins from what another one has stored.
func TestOwnedLeadsAreStored(t *testing.T) {
	f := setup(t)
	_, err := f.Import(f.ctx, file(t, people(3000, 9)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT DISTINCT 'acme', 'email', '', email_key, 1, 1 FROM lead WHERE email_key IS NOT NULL`)
	require.NoError(t, err)
	all := lead.Selection{Org: "acme", FactType: "email"}
	first, err := f.Count(f.ctx, all)
	require.NoError(t, err)
	require.GreaterOrEqual(t, first.AlreadyOwned, int64(1000))
	_, err = f.pool.Exec(f.ctx, `UPDATE owned_set SET leads = 'nonsense'`)
	require.NoError(t, err)
	damaged, err := lead.New(f.pool).Count(f.ctx, all)
	require.NoError(t, err)
	require.Equal(t, first, damaged, "what cannot be read is made again, and stored")
	// No journal entry tells of this: who reads the facts would see it.
	_, err = f.pool.Exec(f.ctx, `DELETE FROM credit_fact`)
	require.NoError(t, err)
	other, err := lead.New(f.pool).Count(f.ctx, all)
	require.NoError(t, err)
	require.Equal(t, first, other)
	// In the journal of a database that was restored the entry is another one.
	_, err = f.pool.Exec(f.ctx, `UPDATE owned_set SET head = 'x'`)
	require.NoError(t, err)
	restored, err := lead.New(f.pool).Count(f.ctx, all)
	require.NoError(t, err)
	require.Equal(t, lead.Counted{Leads: first.Leads}, restored, "what was stored is of another journal")
}

// C5: who remembers what an organization owned finds leads that were imported since,
// as a fact may be older than its lead, and addresses that were charged or credited
// back since, and keeps what it knew of the others.
func TestC5_OwnedLeadsAreBroughtUpToDateByTheirAddress(t *testing.T) {
	f := setup(t)
	_, err := f.Import(f.ctx, file(t, people(3000, 9)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	known, ok := value.Address("known@new.test")
	require.True(t, ok)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT DISTINCT 'acme', 'email', '', email_key, 1, 1 FROM lead WHERE email_key IS NOT NULL
		UNION ALL SELECT 'acme', 'email', '', $1, 1, 1`, known)
	require.NoError(t, err)
	all := lead.Selection{Org: "acme", FactType: "email"}
	before, err := f.Count(f.ctx, all)
	require.NoError(t, err)
	require.GreaterOrEqual(t, before.AlreadyOwned, int64(1000))
	// No journal entry tells of this: who reads all facts again would see it.
	_, err = f.pool.Exec(f.ctx, `DELETE FROM credit_fact WHERE subject <> $1`, known)
	require.NoError(t, err)
	f.importCSV("id,email,country\nN1,known@new.test,US\nN2,other@new.test,US\n")
	stored := lead.New(f.pool)
	expect := func(what string, owned int64) {
		t.Helper()
		for name, catalogue := range map[string]*lead.Catalogue{"remembering": f.Catalogue, "of a process that began since": stored} {
			after, err := catalogue.Count(f.ctx, all)
			require.NoError(t, err)
			require.Equal(t, lead.Counted{Leads: before.Leads + 2, AlreadyOwned: before.AlreadyOwned + owned}, after, "%s, catalogue %s", what, name)
		}
	}
	expect("imported", 1)

	books := ledger.New(f.pool)
	defer books.Close()
	other, _ := value.Address("other@new.test")
	facts := []ledger.Fact{{Subject: other}}
	_, err = books.Grant(f.ctx, ledger.Grant{Owner: "acme", Key: "grant", Type: "email", Amount: 5, Source: ledger.SourcePack})
	require.NoError(t, err)
	_, err = books.Charge(f.ctx, ledger.Charge{Owner: "acme", Key: "charge", Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Facts: facts, UnitCost: 1}}})
	require.NoError(t, err)
	expect("charged", 2)
	_, err = books.Reverse(f.ctx, ledger.Reverse{Owner: "acme", Key: "reverse", Type: "email", Facts: facts})
	require.NoError(t, err)
	expect("credited back", 1)
}
