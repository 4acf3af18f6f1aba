package ledger

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
)

// keepJournal writes five entries for acme: two grants, a hold, a capture and a
// release.
func keepJournal(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	l := New(pool)
	defer l.Close()
	for _, key := range []string{"g1", "g2"} {
		_, err := l.Grant(ctx, Grant{Owner: "acme", Key: key, Type: "email", Amount: 10, Source: SourcePack})
		require.NoError(t, err)
	}
	_, err := l.Hold(ctx, Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []Line{{Type: "email", Amount: 6, Pools: []string{""}}}})
	require.NoError(t, err)
	_, err = l.Capture(ctx, Capture{Owner: "acme", Key: "c", HoldID: "h", Type: "email", Amount: 4})
	require.NoError(t, err)
	_, err = l.Release(ctx, Release{Owner: "acme", Key: "r", HoldID: "h"})
	require.NoError(t, err)
}

// reseal changes the journal's entries and computes all hashes and the head
// again, like an attacker who can write to the database and knows the code.
func reseal(t *testing.T, pool *pgxpool.Pool, change func(e *entry)) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		entries, err := readEntries(ctx, tx)
		if err != nil {
			return err
		}
		head := []byte{}
		for _, e := range entries {
			e.prevHash = head
			was := e.seq
			change(e)
			e.hash = e.sum("acme")
			head = e.hash
			if _, err := tx.Exec(ctx, `UPDATE credit_entry SET at = $2, member = $3, postings = $4::text::json, prev_hash = $5, hash = $6, seq = $7
				WHERE owner = 'acme' AND seq = $1`, was, e.at, e.memo.Member, string(e.postingsJSON), e.prevHash, e.hash, e.seq); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE credit_owner SET head = $1, at = $2 WHERE owner = 'acme'`, head, entries[len(entries)-1].at)
		return err
	}))
}

func readEntries(ctx context.Context, tx pgx.Tx) (entries []*entry, err error) {
	rows, err := tx.Query(ctx, `SELECT seq, kind, key, request_hash, at, hold_id, order_id, action, member, reason,
		convert_to(postings::text, 'UTF8'), facts, convert_to(result::text, 'UTF8') FROM credit_entry WHERE owner = 'acme' ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*entry, error) {
		e := &entry{}
		var request []byte
		err := row.Scan(&e.seq, &e.kind, &e.key, &request, &e.at, &e.holdID, &e.memo.OrderID, &e.memo.Action,
			&e.memo.Member, &e.memo.Reason, &e.postingsJSON, &e.facts, &e.result)
		copy(e.requestHash[:], request)
		return e, err
	})
}

func replaceIn(seq int64, from, to string) func(*entry) {
	return func(e *entry) {
		if e.seq == seq {
			e.postingsJSON = bytes.Replace(e.postingsJSON, []byte(from), []byte(to), 1)
		}
	}
}

// Hashes that were computed again prove nothing by themselves: each of the
// audit's other checks finds its own kind of lie.
func TestAuditFindsTamperingUnderNewHashes(t *testing.T) {
	later := func(seq int64, by time.Duration) func(*entry) {
		return func(e *entry) {
			if e.seq == seq {
				e.at = e.at.Add(by)
			}
		}
	}
	for name, c := range map[string]struct {
		change       func(*entry)
		key, problem string
	}{
		"nothing":         {change: func(*entry) {}},
		"balance":         {replaceIn(3, `"balance":14`, `"balance":15`), "acme/3", "credits are available in pool"},
		"amount":          {replaceIn(3, `"amount":6`, `"amount":5`), "acme/3", "credits are available in pool"},
		"time backwards":  {later(3, -time.Hour), "acme/3", "older than the entry before"},
		"from the future": {later(5, 365*24*time.Hour), "acme/5", "from the future"},
		"chain": {func(e *entry) {
			if e.seq == 3 {
				e.prevHash = []byte("another")
			}
		}, "acme/3", "not chained"},
		"gap": {func(e *entry) {
			if e.seq == 5 {
				e.seq = 6
			}
		}, "acme/6", "entries in between are missing"},
		"grant overdrawn": {func(e *entry) {
			replaceIn(3, `"amount":6`, `"amount":26`)(e)
			replaceIn(3, `"balance":14`, `"balance":-6`)(e)
		}, "acme/3", "credits more from grant"},
		"spent after its end": {replaceIn(1, `"source":"pack"`, `"source":"pack","expires_at":"2020-01-01T00:00:00Z"`), "acme/3", "after they have expired"},
		"overdrawn":           {replaceIn(4, `"amount":4`, `"amount":7`), "acme/4", "more credits of hold"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := pgtest.New(t)
			keepJournal(t, pool)
			reseal(t, pool, c.change)
			report, err := Audit(t.Context(), pool, AuditOptions{})
			require.NoError(t, err)
			if c.key == "" {
				require.Empty(t, report.Findings)
				return
			}
			found := false
			for _, f := range report.Findings {
				require.NotContains(t, f.Problem, "does not match its hash")
				found = found || f.Key == c.key && bytes.Contains([]byte(f.Problem), []byte(c.problem))
			}
			require.True(t, found, "%+v", report.Findings)
		})
	}
}

// A chain that was rewritten as a whole is found by a head that was kept.
func TestKeptHeadsFindARewrittenJournal(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	keepJournal(t, pool)
	kept, err := Heads(ctx, pool, "")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.EqualValues(t, 5, kept[0].Seq)
	l := New(pool)
	defer l.Close()
	_, err = l.Grant(ctx, Grant{Owner: "acme", Key: "later", Type: "email", Amount: 1, Source: SourcePack})
	require.NoError(t, err)
	audit := func(against ...Head) []Finding {
		report, err := Audit(ctx, pool, AuditOptions{Against: against})
		require.NoError(t, err)
		return report.Findings
	}
	require.Empty(t, audit(kept...), "the journal was only appended to")

	reseal(t, pool, func(e *entry) { e.memo.Member = "eve" })
	require.Empty(t, audit(), "the chain alone does not show it")
	findings := audit(kept...)
	require.Len(t, findings, 1)
	require.Equal(t, "acme/5", findings[0].Key)
	require.Contains(t, findings[0].Problem, "rewritten")

	findings = audit(Head{"acme", 99, kept[0].Hash}, Head{"globex", 3, kept[0].Hash})
	require.Len(t, findings, 2)
	require.Equal(t, "acme/99", findings[0].Key)
	require.Contains(t, findings[0].Problem, "ends with entry 6")
	require.Equal(t, "globex/3", findings[1].Key)
	require.Contains(t, findings[1].Problem, "gone")
}

// What is kept in memory belongs to a head, not to a number: a database that was
// restored and has gone another way is read again.
func TestBooksInMemoryBelongToAHead(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	before, after := New(pool), New(pool)
	defer before.Close()
	defer after.Close()
	grant := func(l *Ledger, n int64) {
		_, err := l.Grant(ctx, Grant{Owner: "acme", Key: "g", Type: "email", Amount: n, Source: SourcePack})
		require.NoError(t, err)
	}
	grant(before, 100)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	_, err = conn.Conn().PgConn().Exec(ctx, `SET session_replication_role = replica; DELETE FROM credit_entry; DELETE FROM outbox;
		DELETE FROM credit_owner; DELETE FROM credit_account; DELETE FROM credit_grant; RESET session_replication_role`).ReadAll()
	conn.Release()
	require.NoError(t, err)
	grant(after, 5)

	r, err := before.Hold(ctx, Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []Line{{Type: "email", Amount: 50, Pools: []string{""}}}})
	require.NoError(t, err)
	require.Equal(t, HoldResult{Missing: []Amount{{"email", 45}}}, r)
	report, err := Audit(ctx, pool, AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// A batch that was not committed leaves nothing behind in memory, and does not
// take its neighbours with it.
func TestFailedBatchIsForgotten(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := New(pool)
	defer l.Close()
	_, err := l.Grant(ctx, Grant{Owner: "acme", Key: "g", Type: "email", Amount: 10, Source: SourcePack})
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.reason = 'fail' THEN RAISE 'no'; END IF; RETURN NEW; END $$`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `CREATE TRIGGER fail BEFORE INSERT ON credit_entry FOR EACH ROW EXECUTE FUNCTION fail()`)
	require.NoError(t, err)
	hold := func(id, reason string) (HoldResult, error) {
		return l.Hold(ctx, Hold{
			Owner: "acme", Key: id, HoldID: id, Lines: []Line{{Type: "email", Amount: 10, Pools: []string{""}}}, Memo: Memo{Reason: reason},
		})
	}
	_, err = hold("first", "fail")
	require.ErrorContains(t, err, "no")
	_, err = hold("again", "fail")
	require.ErrorContains(t, err, "no")
	_, err = hold("again", "")
	require.NoError(t, err)
	_, err = l.Release(ctx, Release{Owner: "acme", Key: "again/r", HoldID: "again"})
	require.NoError(t, err, "the repeated hold happened; it did not find a result that was never stored")
	r, err := hold("second", "")
	require.NoError(t, err)
	require.True(t, r.Held, "the first hold took nothing")
	_, err = l.Capture(ctx, Capture{Owner: "acme", Key: "c", HoldID: "first", Type: "email", Amount: 1})
	require.ErrorIs(t, err, ErrUnknownHold)
	report, err := Audit(ctx, pool, AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// I4: a hold's id is used once, in the same batch, in memory, read again, open
// or closed, by holds and by charges.
func TestHoldIDsAreUsedOnce(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	line, charged := []Line{{Type: "email", Amount: 1, Pools: []string{""}}}, []ChargeLine{{Type: "email", Amount: 1, Pools: []string{""}}}
	warm := New(pool)
	defer warm.Close()
	_, err := warm.Grant(ctx, Grant{Owner: "acme", Key: "g", Type: "email", Amount: 100, Source: SourcePack})
	require.NoError(t, err)
	_, err = warm.Hold(ctx, Hold{Owner: "acme", Key: "open", HoldID: "open", Lines: line})
	require.NoError(t, err)
	_, err = warm.Charge(ctx, Charge{Owner: "acme", Key: "closed", Lines: charged})
	require.NoError(t, err)
	cold := New(pool)
	defer cold.Close()
	for i, l := range []*Ledger{warm, cold} {
		for _, id := range []string{"open", "closed"} {
			_, err = l.Hold(ctx, Hold{Owner: "acme", Key: fmt.Sprint("h", i, id), HoldID: id, Lines: line})
			require.ErrorIs(t, err, ErrInvalid)
			_, err = l.Charge(ctx, Charge{Owner: "acme", Key: fmt.Sprint("c", i, id), HoldID: id, Lines: charged})
			require.ErrorIs(t, err, ErrInvalid)
		}
	}
	balances, err := warm.Balances(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 98, balances[0].Available)
}

// An account has room for so many credits that no sum of them overflows.
func TestAccountsHaveNoRoomBeyondTheirLimit(t *testing.T) {
	const most = maxBalance
	for name, full := range map[string]account{
		"available": {available: most - 5}, "held": {held: most - 5}, "both": {available: most / 2, held: most - most/2 - 5},
		"waiting":          {lots: []*lot{{bucket: [buckets]int64{waiting: most - 5}}}},
		"waiting and more": {available: 3, held: 4, lots: []*lot{{bucket: [buckets]int64{waiting: 5}}, {bucket: [buckets]int64{waiting: most - 17}}}},
	} {
		run := func(op operation) error {
			b := newBooks("acme")
			a := b.account(accountID{"", "email"})
			a.available, a.held, a.lots = full.available, full.held, full.lots
			spent := b.issue(a.accountID, terms{Source: SourcePack}, time.Now())
			spent.amount, spent.bucket[captured] = MaxAmount, MaxAmount
			for id, n := range map[string]int64{"five": 5, "six": 6, "all": MaxAmount} {
				b.holds[id] = &hold{id: id, closed: true, lines: []holdLine{{Type: "email", Slices: []slice{{Grant: spent.no, Amount: n, Captured: n}}}}}
			}
			return b.perform([]operation{op}, time.Now())[0].err
		}
		for n, want := range map[int64]error{5: nil, 6: ErrInvalid, MaxAmount: ErrInvalid} {
			require.ErrorIs(t, run(Grant{Owner: "acme", Key: "g", Type: "email", Amount: n, Source: SourcePack}), want, "%s %d", name, n)
			require.ErrorIs(t, run(Grants{Owner: "acme", Key: "g", Lines: []GrantLine{{Type: "email", Amount: n - 1, Source: SourcePack}, {Type: "email", Amount: 1, Source: SourcePack}}}), want, "%s %d", name, n)
			later := GrantLine{Type: "email", Amount: n, Source: SourcePack, StartsAt: time.Now().Add(time.Hour)}
			require.ErrorIs(t, run(Grants{Owner: "acme", Key: "g", Lines: []GrantLine{later}}), want, "%s %d", name, n)
			require.ErrorIs(t, run(Renew{Owner: "acme", Key: "r", Lines: []Renewal{{Type: "email", Amount: n}}}), want, "%s %d", name, n)
			id := map[int64]string{5: "five", 6: "six", MaxAmount: "all"}[n]
			require.ErrorIs(t, run(Reverse{Owner: "acme", Key: "v", HoldID: id}), want, "%s %d", name, n)
		}
	}
}

// What is said to be missing is what a hold would miss, budgets included.
func TestLackingSaysWhatAHoldMisses(t *testing.T) {
	ctx := t.Context()
	l := New(pgtest.New(t))
	defer l.Close()
	for _, g := range []Grant{{Key: "shared", Amount: 100}, {Key: "own", Pool: "bob", Amount: 10}} {
		g.Owner, g.Type, g.Source = "acme", "email", SourcePack
		_, err := l.Grant(ctx, g)
		require.NoError(t, err)
	}
	budget := Budget{Name: "bob/1", Cap: 30}
	_, err := l.Hold(ctx, Hold{Owner: "acme", Key: "used", HoldID: "used", Lines: []Line{{Type: "email", Amount: 12, Pools: []string{""}, Budget: budget}}})
	require.NoError(t, err)
	for n, missing := range map[int64]int64{28: 0, 29: 1, 98: 70, 120: 92} { // of 120, the budget withholds only what is there
		for name, b := range map[string]Budget{"capped": budget, "free": {}, "lowered": {Name: "bob/1", Cap: 5}} {
			line := Line{Type: "email", Amount: n, Pools: []string{"bob", ""}, Budget: b}
			said, over, err := l.Lacking(ctx, "acme", []Line{line})
			require.NoError(t, err)
			if name == "capped" && missing > 0 {
				require.Equal(t, []Amount{{"email", missing}}, said)
			}
			id := fmt.Sprint(name, n)
			held, err := l.Hold(ctx, Hold{Owner: "acme", Key: id, HoldID: id, Lines: []Line{line}})
			require.NoError(t, err)
			require.Equal(t, held.Missing, said, id)
			require.Equal(t, held.OverBudget, over, id)
			if held.Held {
				_, err = l.Release(ctx, Release{Owner: "acme", Key: id + "/r", HoldID: id})
				require.NoError(t, err)
			}
		}
	}
}
