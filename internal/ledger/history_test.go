package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
)

// A member's history has all that moved in their own pool, by any member, and
// what was done in their name; what each line did to the balance adds up to the
// balance of every account.
func TestHistoryOfAMemberAddsUp(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	bob := ledger.Memo{Member: "bob", OrderID: "ord_1"}
	over := time.Now().Add(-time.Second)
	grant(t, l, ledger.Grant{Key: "shared", Amount: 100})
	grant(t, l, ledger.Grant{Key: "jane", Amount: 9, Pool: "jane"})
	grant(t, l, ledger.Grant{Key: "pack", Amount: 30, Pool: "bob"}) // by an operator
	grant(t, l, ledger.Grant{Key: "over", Amount: 5, Pool: "bob", ExpiresAt: over})
	_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Memo: bob, Lines: []ledger.Line{{Type: "email", Amount: 50, Pools: []string{"bob", ""}}}})
	require.NoError(t, err)
	_, err = l.Capture(ctx, ledger.Capture{Owner: "acme", Key: "c", HoldID: "h", Type: "email", Amount: 20, Memo: bob})
	require.NoError(t, err)
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "r", HoldID: "h", Memo: ledger.Memo{OrderID: "ord_1"}}) // as it was before: without a member
	require.NoError(t, err)
	_, err = l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "charge", Memo: ledger.Memo{Member: "jane"}, Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{"jane", ""}, Amount: 12}}})
	require.NoError(t, err)
	_, err = l.Void(ctx, ledger.Void{Owner: "acme", Key: "v", Grant: 3, Amount: 4})
	require.NoError(t, err)
	_, err = l.Renew(ctx, ledger.Renew{Owner: "acme", Key: "renew", Pool: "bob", Lines: []ledger.Renewal{{Type: "email", Amount: 7, Rollover: true, Cap: -1}}})
	require.NoError(t, err)

	history, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme", Member: "bob"})
	require.NoError(t, err)
	var kinds []string
	var own int64
	for _, line := range slices.Backward(history.Lines) {
		if line.Pool == "bob" {
			own += line.Change
			require.Equal(t, own, line.Balance)
			kinds = append(kinds, line.Kind)
		} else {
			require.Equal(t, "bob", line.Member)
		}
		require.NotEqual(t, "jane", line.Pool)
	}
	require.Equal(t, []string{"grant", "grant", "expire", "hold", "capture", "release", "void", "grant"}, kinds)

	all, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme"})
	require.NoError(t, err)
	sums := map[string]int64{}
	for _, line := range all.Lines {
		sums[line.Pool] += line.Change
	}
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	for _, b := range balances {
		require.Equal(t, b.Available, sums[b.Pool], b.Pool)
	}
	require.Len(t, balances, len(sums))

	// Page by page, and from a cursor in the middle of an entry, it is the same.
	var paged []ledger.HistoryLine
	for f := (ledger.HistoryFilter{Owner: "acme", Member: "bob", Limit: 1}); ; {
		page, err := l.History(ctx, f)
		require.NoError(t, err)
		paged = append(paged, page.Lines...)
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			break
		}
	}
	require.Equal(t, history.Lines, paged)
}

// A lead is counted once however many grants paid for it: 36 leads paid from
// three grants were shown as 106.
func TestHistoryCountsAFactOnce(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	for i, n := range []int64{5, 6, 100} {
		grant(t, l, ledger.Grant{Key: fmt.Sprint("g", i), Amount: n})
	}
	facts := make([]ledger.Fact, 12)
	for i := range facts {
		facts[i].Subject = [16]byte{byte(i + 1)}
	}
	_, err := l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "c", Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Facts: facts, UnitCost: 3}}})
	require.NoError(t, err)
	_, err = l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "one", Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Facts: []ledger.Fact{{Subject: [16]byte{77}}}, UnitCost: 2}}})
	require.NoError(t, err)
	_, err = l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "r", HoldID: "c"})
	require.NoError(t, err)
	counts := func(kind string) (counts []int64) {
		page, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme", Kind: kind})
		require.NoError(t, err)
		for _, line := range page.Lines {
			counts = append(counts, line.Facts)
			require.Equal(t, line.Amount == 2, line.Subject == [16]byte{77})
		}
		return counts
	}
	require.Equal(t, []int64{1, 8, 2, 2}, counts("capture"), "of the three grants, each lead is counted where its first credit came from")
	var back int64
	for _, n := range counts("reverse") {
		back += n
	}
	require.EqualValues(t, 12, back)
}

// I8: a refusal says how much of the missing credits the budget withholds.
func TestRefusalSaysThatItIsTheBudget(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	grant(t, l, ledger.Grant{Key: "g", Amount: 100})
	grant(t, l, ledger.Grant{Key: "own", Amount: 5, Pool: "bob"})
	for n, want := range map[int64]ledger.HoldResult{
		20:  {Missing: []ledger.Amount{{Type: "email", Amount: 10}}, OverBudget: []ledger.Amount{{Type: "email", Amount: 10}}},
		200: {Missing: []ledger.Amount{{Type: "email", Amount: 190}}, OverBudget: []ledger.Amount{{Type: "email", Amount: 95}}},
	} {
		line := ledger.Line{Type: "email", Amount: n, Pools: []string{"bob", ""}, Budget: ledger.Budget{Name: "bob/1", Cap: 5}}
		for range 2 {
			id := time.Duration(n).String()
			held, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: id, HoldID: id, Lines: []ledger.Line{line}})
			require.NoError(t, err)
			require.Equal(t, want, held)
		}
	}
}
