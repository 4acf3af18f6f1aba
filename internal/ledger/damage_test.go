package ledger_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// Damage to the rows of one organization, table by table. The neighbour, in the
// same batches, must not notice; the organization itself is answered at once
// with an error that names it and the audit.
var damages = map[string]struct {
	sql  string
	only error // some operation ends in it; ErrDamaged where nil
	none bool  // no operation can notice; the audit does
	rest bool  // refusing keeps the books right: the audit may find nothing
}{
	"owner removed":           {sql: `DELETE FROM credit_owner WHERE owner = 'acme'`},
	"owner ahead":             {sql: `UPDATE credit_owner SET seq = seq + 1 WHERE owner = 'acme'`},
	"owner behind":            {sql: `UPDATE credit_owner SET seq = seq - 1 WHERE owner = 'acme'`},
	"owner at zero":           {sql: `UPDATE credit_owner SET seq = 0, head = '' WHERE owner = 'acme'`},
	"owner's head":            {sql: `UPDATE credit_owner SET head = '\x00' WHERE owner = 'acme'`},
	"owner's grants":          {sql: `UPDATE credit_owner SET grants = 1 WHERE owner = 'acme'`},
	"owner's time":            {sql: `UPDATE credit_owner SET at = 'infinity' WHERE owner = 'acme'`},
	"account removed":         {sql: `DELETE FROM credit_account WHERE owner = 'acme' AND pool = ''`},
	"account raised":          {sql: `UPDATE credit_account SET available = available + 5 WHERE owner = 'acme'`},
	"account without held":    {sql: `UPDATE credit_account SET held = 0 WHERE owner = 'acme'`},
	"alert unreadable":        {sql: `UPDATE credit_account SET alert_at = '{NULL}' WHERE owner = 'acme'`},
	"carry unreadable":        {sql: `UPDATE credit_account SET carry = 1, carry_until = '-infinity' WHERE owner = 'acme'`},
	"grant removed":           {sql: `DELETE FROM credit_grant WHERE owner = 'acme' AND no = 1`},
	"grant refilled":          {sql: `UPDATE credit_grant SET available = available + 1, captured = captured - 1 WHERE owner = 'acme' AND no = 1`},
	"grant unreadable":        {sql: `UPDATE credit_grant SET expires_at = 'infinity' WHERE owner = 'acme' AND no = 1`},
	"grant of another pool":   {sql: `UPDATE credit_grant SET pool = 'eve' WHERE owner = 'acme' AND no = 1`},
	"grant made up":           {sql: `INSERT INTO credit_grant VALUES ('acme', 99, '', 'email', 'pack', 0, NULL, now(), 5, 5, 0, 0, 0, 0, false, true)`},
	"hold removed":            {sql: `DELETE FROM credit_hold WHERE owner = 'acme' AND id = 'o2'`, only: ledger.ErrUnknownHold},
	"hold unreadable":         {sql: `UPDATE credit_hold SET body = '{"lines": "none"}' WHERE owner = 'acme' AND id = 'o2'`},
	"hold without lines":      {sql: `UPDATE credit_hold SET body = '{}' WHERE owner = 'acme' AND id = 'o2'`},
	"hold of a missing grant": {sql: `UPDATE credit_hold SET body = replace(body::text, '"grant":1', '"grant":3')::json WHERE owner = 'acme' AND id = 'o2'`},
	"hold of another pool":    {sql: `UPDATE credit_hold SET body = replace(body::text, '"grant":1', '"grant":1,"pool":"bob"')::json WHERE owner = 'acme' AND id = 'o2'`},
	"hold's captures":         {sql: `UPDATE credit_hold SET body = replace(body::text, '"captures":[', '"captures":[77,')::json WHERE owner = 'acme' AND id = 'o1'`},
	"hold reopened":           {sql: `UPDATE credit_hold SET closed = false, released = released - 1 WHERE owner = 'acme' AND id = 'o1'`},
	"budget removed":          {sql: `DELETE FROM credit_budget WHERE owner = 'acme'`},
	"fact of no hold":         {sql: `UPDATE credit_fact SET seq = 1 WHERE owner = 'acme'`},
	"fact of no entry":        {sql: `UPDATE credit_fact SET seq = 1000 WHERE owner = 'acme'`},
	"fact removed":            {sql: `DELETE FROM credit_fact WHERE owner = 'acme'`, none: true},
	"entry's facts cut off":   {sql: byForce + `UPDATE credit_entry SET facts = substr(facts, 1, 9) WHERE owner = 'acme' AND facts IS NOT NULL`},
	"entry of no hold":        {sql: byForce + `UPDATE credit_entry SET hold_id = '' WHERE owner = 'acme'`},
	"entry of a missing hold": {sql: byForce + `UPDATE credit_entry SET hold_id = 'gone' WHERE owner = 'acme'`},
	"entry's request":         {sql: byForce + `UPDATE credit_entry SET request_hash = '\x00' WHERE owner = 'acme' AND key = 'o1/capture'`},
	"entry's result":          {sql: byForce + `UPDATE credit_entry SET result = '{"charged":"six"}' WHERE owner = 'acme' AND key = 'o1/capture'`},
	"entries removed":         {sql: byForce + `DELETE FROM credit_entry WHERE owner = 'acme'`},
	"last entry removed":      {sql: byForce + `DELETE FROM credit_entry WHERE owner = 'acme' AND seq = (SELECT max(seq) FROM credit_entry WHERE owner = 'acme')`},
	"entry made up": {sql: `INSERT INTO credit_entry SELECT owner, seq + 1, 'grant', 'made up', '\x00', at, '', '', '', '', '', '[]', NULL, '{}', head, '\x00'
		FROM credit_owner WHERE owner = 'acme'`},
	"event made up": {rest: true, sql: `UPDATE credit_account SET alert_at = (SELECT array_agg(n ORDER BY n DESC) FROM generate_series(1, 200) n) WHERE owner = 'acme' AND pool = '';
		INSERT INTO outbox (org, topic, key, payload)
		SELECT 'acme', 'credits.low', format('credits.low/%s//email/%s', e, n), '{}' FROM generate_series(1, 60) e, generate_series(1, 200) n`},
}

const byForce = `SET session_replication_role = replica; `

func TestDamageOfOneOrganizationIsItsOwn(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			keepBooks(t, pool)
			before := ledger.New(pool)
			_, err := before.Grant(t.Context(), ledger.Grant{Owner: "globex", Key: "g", Type: "email", Amount: 1000, Source: ledger.SourcePack})
			require.NoError(t, err)
			before.Close()
			execute(t, pool, damage.sql)

			l := ledger.New(pool, ledger.WithWorkers(1))
			defer l.Close()
			want := damage.only
			if want == nil {
				want = ledger.ErrDamaged
			}
			refused := workBesideDamage(t, l, want)
			require.Equal(t, damage.none, len(refused) == 0, "refused: %v", refused)
			for _, err := range refused {
				if damage.only == nil {
					require.ErrorContains(t, err, "holdfast audit --org acme")
				}
			}
			report, err := ledger.Audit(t.Context(), pool, ledger.AuditOptions{Owner: "globex"})
			require.NoError(t, err)
			require.Empty(t, report.Findings)
			report, err = ledger.Audit(t.Context(), pool, ledger.AuditOptions{})
			require.NoError(t, err)
			require.True(t, damage.rest || !report.Clean())
			for _, f := range report.Findings {
				require.Contains(t, f.Key, "acme", "%+v", f)
			}
		})
	}
}

// workBesideDamage sends every kind of operation for acme, and beside them
// charges for globex, which must all succeed. It returns acme's errors, all of
// which must be the wanted one.
func workBesideDamage(t *testing.T, l *ledger.Ledger, want error) (refused []error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, op := range operationsOnBooks(l) {
		all.Go(func() {
			if err := op(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, err)
			}
		})
	}
	for i := range 40 {
		all.Go(func() {
			r, err := l.Charge(ctx, ledger.Charge{Owner: "globex", Key: fmt.Sprint(i), Lines: []ledger.ChargeLine{{
				Type: "email", Pools: []string{""}, Amount: 1,
			}}})
			if err != nil || !r.Charged {
				t.Errorf("the neighbour's charge failed: %v", err)
			}
		})
	}
	all.Wait()
	for _, err := range refused {
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
	return refused
}

// operationsOnBooks are operations of all kinds on what keepBooks has left. All
// of them succeed, in any order, on books that are in order.
func operationsOnBooks(l *ledger.Ledger) []func(context.Context) error {
	shared := []string{""}
	every := make([]int64, 200) // whichever operation comes after, it falls to one of them
	for n := range every {
		every[n] = int64(n + 1)
	}
	return []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "d/grant", Type: "email", Amount: 5, Source: ledger.SourcePack})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "d/hold", HoldID: "d", Lines: []ledger.Line{{Type: "email", Amount: 1, Pools: shared}}})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "d/charge", Lines: []ledger.ChargeLine{{
				Type: "email", Pools: shared, Facts: []ledger.Fact{{Subject: [16]byte{9}}}, UnitCost: 20,
			}}})
			return err
		},
		func(ctx context.Context) error { // what was carried out before has its result
			_, err := l.Capture(ctx, ledger.Capture{
				Owner: "acme", Key: "o1/capture", HoldID: "o1", Type: "email", UnitCost: 2,
				Facts: []ledger.Fact{{Subject: [16]byte{1}}, {Subject: [16]byte{2}}, {Subject: [16]byte{3}, Scope: "bob"}},
			})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "d/release", HoldID: "o2"})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "d/bounce", Type: "email", Facts: []ledger.Fact{{Subject: [16]byte{4}}}})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "d/reverse", HoldID: "o1"})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Renew(ctx, ledger.Renew{Owner: "acme", Key: "d/renew", Pool: "bob", Lines: []ledger.Renewal{{Type: "email", Amount: 50}}})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Alert(ctx, ledger.Alert{Owner: "acme", Key: "d/alert", Type: "email", Thresholds: every})
			return err
		},
		func(ctx context.Context) error {
			_, err := l.Expire(ctx, ledger.Expire{Owner: "acme"})
			return err
		},
	}
}

// On sound books every one of these operations succeeds: the test above would
// see nothing otherwise.
func TestOperationsOnSoundBooks(t *testing.T) {
	pool := pgtest.New(t)
	keepBooks(t, pool)
	l := ledger.New(pool)
	defer l.Close()
	for _, op := range operationsOnBooks(l) {
		require.NoError(t, op(t.Context()))
	}
	require.Zero(t, l.Stats())
	requireClean(t, pool)
}

// What is damaged is counted, and works again once it is repaired.
func TestRepairedBooksWorkAgain(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	keepBooks(t, pool)
	var log strings.Builder
	l := ledger.New(pool, ledger.WithLog(logTo(&log)))
	defer l.Close()
	execute(t, pool, `ALTER TABLE credit_hold ADD kept json; UPDATE credit_hold SET kept = body, body = '[]' WHERE id = 'o2'`)
	for i := range 3 {
		_, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "release", HoldID: "o2"})
		require.ErrorIs(t, err, ledger.ErrDamaged)
		want := ledger.Stats{Refused: int64(i + 1), Damaged: 1}
		require.Eventually(t, func() bool { return l.Stats() == want }, 10*time.Second, time.Millisecond)
	}
	require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), "once, not for every operation: %s", log.String())
	require.Contains(t, log.String(), "org=acme")
	execute(t, pool, `UPDATE credit_hold SET body = kept WHERE id = 'o2'; ALTER TABLE credit_hold DROP kept`)
	released, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "release", HoldID: "o2"})
	require.NoError(t, err)
	require.Equal(t, []ledger.Amount{{Type: "email", Amount: 60}}, released.Released)
	l.Close()
	require.Equal(t, ledger.Stats{Refused: 3}, l.Stats())
	require.Contains(t, log.String(), "can be used again")
	requireClean(t, pool)
}

// A lane that another transaction keeps locked waits apart: the neighbours do
// not.
func TestLockedLaneDoesNotStopItsNeighbours(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool, ledger.WithWorkers(1))
	defer l.Close()
	for _, owner := range []string{"acme", "globex"} {
		_, err := l.Grant(ctx, ledger.Grant{Owner: owner, Key: "g", Type: "email", Amount: 1000, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `SELECT FROM credit_owner WHERE owner = 'acme' FOR UPDATE`)
	require.NoError(t, err)

	charge := func(owner, key string) error {
		_, err := l.Charge(ctx, ledger.Charge{Owner: owner, Key: key, Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: 1}}})
		return err
	}
	waiting := make(chan error, 20)
	for i := range 20 {
		go func() { waiting <- charge("acme", fmt.Sprint(i)) }()
	}
	for round := range 5 {
		var neighbours sync.WaitGroup
		for i := range 20 {
			neighbours.Go(func() {
				if err := charge("globex", fmt.Sprint(round, i)); err != nil {
					t.Error(err)
				}
			})
		}
		neighbours.Wait()
	}
	require.Empty(t, waiting, "acme is still locked, globex was served")
	require.NoError(t, tx.Rollback(ctx))
	for range 20 {
		if err := <-waiting; err != nil && !strings.Contains(err.Error(), "locked") {
			t.Error(err)
		}
	}
	require.NoError(t, charge("acme", "after"))
	requireClean(t, pool)
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Conn().PgConn().Exec(t.Context(), sql+`; RESET session_replication_role`).ReadAll()
	require.NoError(t, err)
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
