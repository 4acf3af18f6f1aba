package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

var (
	somePools = []string{"", "ann", "bob", "eve"}
	someTypes = []string{"email", "phone", "tel \"œ\""}
	someKinds = []string{"grant", "hold", "capture", "release", "expire", "reverse", "rollover", "void"}
)

// write carries out one operation of some kind in the journal of acme; some kinds
// are rare, and so is a member.
func write(ctx context.Context, l *ledger.Ledger, key string, r *rand.Rand) error {
	member, kind := somePools[r.IntN(3)], someTypes[r.IntN(2)]
	if r.IntN(400) == 0 {
		member, kind = "eve", someTypes[2]
	}
	memo := ledger.Memo{Member: member, OrderID: fmt.Sprint("ord_", r.IntN(300))}
	pools := []string{member, ""}[min(r.IntN(3), 1):]
	if member == "" {
		pools = []string{""}
	}
	switch r.IntN(300) {
	case 0:
		_, err := l.Renew(ctx, ledger.Renew{Owner: "acme", Key: key, Pool: member, Memo: memo, Lines: []ledger.Renewal{{Type: kind, Amount: 500, Rollover: true, Cap: 100}}})
		return err
	case 1:
		_, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: key, Grant: 1 + r.Int64N(6), Amount: 1, Memo: memo})
		return err
	case 5, 6: // it expires by itself
		_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: key, Pool: pools[0], Type: kind, Amount: 7, Source: ledger.SourcePromotion, ExpiresAt: time.Now().Add(30 * time.Millisecond), Memo: memo})
		return err
	case 2, 3, 4:
		_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: key, Pool: pools[0], Type: kind, Amount: 50, Source: ledger.SourcePack, Memo: memo})
		return err
	}
	line := ledger.Line{Type: kind, Pools: pools, Amount: 1 + r.Int64N(3)}
	held, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: key, HoldID: key, Lines: []ledger.Line{line}, Memo: memo})
	if err != nil || !held.Held || r.IntN(3) == 0 {
		return err
	}
	if _, err = l.Capture(ctx, ledger.Capture{Owner: "acme", Key: key + "/c", HoldID: key, Type: kind, Amount: 1, Memo: memo}); err != nil {
		return err
	}
	if r.IntN(50) == 0 {
		_, err = l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: key + "/v", HoldID: key, Type: kind, Amount: 1, Memo: memo})
		return err
	}
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: key + "/r", HoldID: key, Memo: ledger.Memo{OrderID: memo.OrderID}})
	return err
}

// openAccounts gives every pool credits of every type.
func openAccounts(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	for _, pool := range somePools {
		for _, kind := range someTypes {
			_, err := l.Grant(t.Context(), ledger.Grant{Owner: "acme", Key: pool + kind, Pool: pool, Type: kind, Amount: 100_000, Source: ledger.SourcePack})
			require.NoError(t, err)
		}
	}
}

// someFilter asks for some of the things that a history can be filtered by.
func someFilter(r *rand.Rand) (f ledger.HistoryFilter) {
	if r.IntN(2) == 0 {
		f.Kind = someKinds[r.IntN(len(someKinds))]
	}
	if r.IntN(3) == 0 {
		f.Type = append(someTypes, "none")[r.IntN(len(someTypes)+1)]
	}
	if r.IntN(3) == 0 {
		f.Member = append(somePools, "missing")[r.IntN(len(somePools)+1)]
	}
	if r.IntN(3) == 0 {
		f.Pool = &somePools[r.IntN(len(somePools))]
	}
	if r.IntN(5) == 0 {
		f.OrderID = fmt.Sprint("ord_", r.IntN(310))
	}
	f.Limit = []int{1000, 1000, 100, 37}[r.IntN(4)]
	return f
}

func selected(f ledger.HistoryFilter, lines []ledger.HistoryLine) (kept []ledger.HistoryLine) {
	for _, l := range lines {
		if (f.Kind == "" || l.Kind == f.Kind) && (f.Type == "" || l.Type == f.Type) && (f.Pool == nil || l.Pool == *f.Pool) &&
			(f.Member == "" || l.Member == f.Member || l.Pool == f.Member) && (f.OrderID == "" || l.OrderID == f.OrderID) &&
			!l.Booked.Before(f.From) && (f.To.IsZero() || l.Booked.Before(f.To)) {
			kept = append(kept, l)
		}
	}
	return kept
}

func pages(ctx context.Context, l *ledger.Ledger, f ledger.HistoryFilter) (lines []ledger.HistoryLine, err error) {
	for f.Owner = "acme"; ; {
		page, err := l.History(ctx, f)
		if err != nil {
			return nil, err
		}
		lines = append(lines, page.Lines...)
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			return lines, nil
		}
	}
}

// addsUp checks that what the lines did to each account adds up to its balance, at
// every line.
func addsUp(lines []ledger.HistoryLine) error {
	sums := map[ledger.Account]int64{}
	for _, line := range slices.Backward(lines) {
		account := ledger.Account{Pool: line.Pool, Type: line.Type}
		if sums[account] += line.Change; sums[account] != line.Balance {
			return fmt.Errorf("%+v: the lines add up to %d", line, sums[account])
		}
	}
	return nil
}

// A filtered history is the whole one, filtered, while others write and whichever
// reader makes the index.
func TestFilteredHistoryIsTheHistoryFiltered(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l, reader := ledger.New(pool), ledger.New(pool)
	defer l.Close()
	defer reader.Close()
	openAccounts(t, l)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 64 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 18 {
				if err := write(ctx, l, fmt.Sprintf("%d/%d", w, i), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	check := func(r *rand.Rand) error {
		newest, err := reader.History(ctx, ledger.HistoryFilter{Owner: "acme", Limit: 1})
		if err != nil || len(newest.Lines) == 0 {
			return err
		}
		start := fmt.Sprintf("%d.1000", newest.Lines[0].Seq) // new entries do not shift what is compared
		all, err := pages(ctx, reader, ledger.HistoryFilter{Cursor: start, Limit: 1000})
		if err != nil {
			return err
		}
		if err := addsUp(all); err != nil {
			return err
		}
		for range 6 {
			f := someFilter(r)
			f.Cursor = start
			if r.IntN(4) == 0 {
				f.From, f.To = all[len(all)*3/4].Booked, all[len(all)/4].Booked
			}
			if f.Oldest = r.IntN(3) == 0; f.Oldest {
				f.Cursor = ""
			}
			got, err := pages(ctx, reader, f)
			if err != nil {
				return err
			}
			if f.Oldest { // what is new comes last
				got = slices.DeleteFunc(got, func(line ledger.HistoryLine) bool { return line.Seq > newest.Lines[0].Seq })
				slices.Reverse(got)
			}
			if want := selected(f, all); !slices.Equal(want, got) {
				return fmt.Errorf("%+v: %d lines instead of %d", f, len(got), len(want))
			}
		}
		return nil
	}
	for w := range 2 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 2))
			for last := false; ; {
				if err := check(r); err != nil {
					t.Error(err)
					return
				}
				if last {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	for seed := range uint64(5) {
		require.NoError(t, check(rand.New(rand.NewPCG(seed, 3))))
	}
	// At any time the lines of each member's history add up to what they have.
	_, err := l.Expire(ctx, ledger.Expire{Owner: "acme"})
	require.NoError(t, err)
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	for _, pool := range somePools {
		lines, err := pages(ctx, reader, ledger.HistoryFilter{Member: pool, Limit: 1000})
		require.NoError(t, err)
		own := slices.DeleteFunc(lines, func(line ledger.HistoryLine) bool { return line.Pool != pool })
		require.NoError(t, addsUp(own))
		for _, b := range balances {
			if i := slices.IndexFunc(own, func(line ledger.HistoryLine) bool { return line.Type == b.Type }); b.Pool == pool {
				require.Equal(t, b.Available, own[i].Balance, "%s %s", pool, b.Type)
			}
		}
	}
	var head, blocks, highest int64
	require.NoError(t, pool.QueryRow(ctx, `SELECT seq, (SELECT count(*) FROM credit_history_block), (SELECT max(block) FROM credit_history_block) FROM credit_owner`).Scan(&head, &blocks, &highest))
	require.Greater(t, blocks, int64(6), "of %d entries", head)
	require.LessOrEqual(t, 256*(highest+1), head, "only complete blocks have a row")
	// A type or pool may have characters that JSON escapes.
	report, err := ledger.Audit(ctx, pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	_, err = reader.BalancesAt(ctx, "acme", time.Now().Add(-time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, write(ctx, reader, "follows", rand.New(rand.NewPCG(7, 7))))
}

// Blocks that have nothing for a filter are passed over; those that cannot be
// read are never, and say so as before.
func TestFilteredHistoryPassesOverBlocks(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	defer l.Close()
	openAccounts(t, l)
	_, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: "v", Grant: 1, Amount: 5})
	require.NoError(t, err)
	fill(t, l, 1500)
	voids := ledger.HistoryFilter{Owner: "acme", Kind: "void"}
	for range 2 { // without the index, and with it
		page, err := l.History(ctx, voids)
		require.NoError(t, err)
		require.Len(t, page.Lines, 1)
	}
	execute(t, pool, byForce+`UPDATE credit_entry SET postings = '[{"move":"charge","type":7}]' WHERE owner = 'acme' AND seq = 600`)
	page, err := l.History(ctx, voids)
	require.NoError(t, err, "block 2 has no void: it is not read")
	require.Len(t, page.Lines, 1)
	execute(t, pool, `DELETE FROM credit_history_block WHERE block = 2`)
	_, err = l.History(ctx, ledger.HistoryFilter{Owner: "acme", Kind: "capture", Limit: 1000, Cursor: "601.0"})
	require.ErrorContains(t, err, "entry 600")
	execute(t, pool, `UPDATE credit_history_block SET bloom = '\x0000000000000000' WHERE block = 0`)
	page, err = l.History(ctx, voids)
	require.NoError(t, err)
	require.Empty(t, page.Lines, "the index decides")

	// Of a block that has lines, only its parts that may have some are read.
	voided, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: "v2", Grant: 1, Amount: 5})
	require.NoError(t, err)
	require.EqualValues(t, 5, voided.Voided)
	var head int64
	require.NoError(t, pool.QueryRow(ctx, `SELECT seq FROM credit_owner`).Scan(&head))
	fill(t, l, int(1500+256-head%256)) // beyond the newest entries, which are always read
	newest := ledger.HistoryFilter{Owner: "acme", Kind: "void", Limit: 1}
	for range 2 {
		page, err = l.History(ctx, newest)
		require.NoError(t, err)
		require.Equal(t, head, page.Lines[0].Seq)
	}
	first := (head-1)/256*256 + 1
	execute(t, pool, byForce+fmt.Sprintf(`UPDATE credit_entry SET postings = '[{"move":"void","type":7}]' WHERE seq BETWEEN %d AND %d AND (seq - %d) / 16 <> %d`,
		first, first+255, first, (head-first)/16))
	page, err = l.History(ctx, newest)
	require.NoError(t, err, "15 of 16 parts have no void: they are not read")
	require.Equal(t, head, page.Lines[0].Seq)
	for _, lost := range []string{`UPDATE credit_history_part SET bloom = ''`, `DELETE FROM credit_history_part`, `UPDATE credit_history_block SET bloom = ''`} {
		execute(t, pool, lost)
		_, err = l.History(ctx, newest)
		require.ErrorContains(t, err, "cannot be read, run the audit", "without an index everything is read")
	}
}

// fill appends so many entries to the journal of acme.
func fill(t *testing.T, l *ledger.Ledger, entries int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range entries {
		all.Go(func() {
			if _, err := l.Charge(t.Context(), ledger.Charge{Owner: "acme", Key: fmt.Sprint(t.Name(), entries, i), Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: 1}}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
