package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/workflows"
)

// X4: the audit proves the books after orders and a reversal, and names a row
// that was tampered with. Every table in turn is the ledger's own test.
func TestRule_X4_TheBooksCanBeProven(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "rollover-boost", "UTC", day("2026-01-31"))
	m.reset(day("2026-05-31"), workflows.ResetInput{})
	report, err := ledger.Audit(t.Context(), m.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.True(t, report.Clean(), "%v", report.Findings)
	_, err = m.pool.Exec(t.Context(), `
		UPDATE credit_grant SET amount = amount + 1, available = available + 1 WHERE owner = 'acme' AND type = 'email' AND live`)
	require.NoError(t, err)
	report, err = ledger.Audit(t.Context(), m.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.False(t, report.Clean())
}

// X5: an admin's budget caps what a member draws from the shared pool in a
// month; the member's own credits and the other members are not touched by it.
func TestRule_X5_ABudgetCapsWhatAMemberSpends(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 1_000, map[string]int{"valid": 300})
	for _, m := range []string{"bob", "jane"} {
		_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: m, Name: m})
		require.NoError(t, err)
	}
	require.NoError(t, w.accounts.SetBudget(t.Context(), "beta", "bob", plan.Amount{Type: "email", Amount: 100}))
	require.Equal(t, order.Settled, w.ordered("bob", "within", 80, order.Criteria{}).Status)
	refused := w.ordered("bob", "beyond", 30, order.Criteria{})
	require.Equal(t, order.Rejected, refused.Status)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 10}}, refused.Failure.Missing)
	require.Equal(t, order.Settled, w.ordered("bob", "the rest", 20, order.Criteria{}).Status)
	require.Equal(t, order.Settled, w.ordered("jane", "unlimited", 100, order.Criteria{}).Status)
	w.pack("bob", 30)
	require.Equal(t, order.Settled, w.ordered("bob", "his own", 30, order.Criteria{}).Status)
	require.Zero(t, w.balance("bob").Available)
	require.Equal(t, int64(1_000-200), w.balance("").Available)
}
