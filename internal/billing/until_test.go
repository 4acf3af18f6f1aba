package billing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
)

// Credits that come back late live as long as the period of the pool they came
// from: a licence's as long as that licence's month.
func TestLateCreditsEndWithThePeriodOfTheirPool(t *testing.T) {
	ctx := t.Context()
	w := setup(t)
	w.org(t, "acme", "licence-monthly", day("2099-01-01"))
	w.member(t, "acme", "bob", day("2099-01-15"))
	p, err := w.accounts.Plan(ctx, "licence-monthly", 0)
	require.NoError(t, err)
	at := day("2099-01-20")

	until, err := w.Until(ctx, p, "acme", "bob", "", at)
	require.NoError(t, err)
	require.Equal(t, ledger.Until{Shared: day("2099-02-01"), Own: day("2099-02-15")}, utc(until))
	until, err = w.Until(ctx, p, "acme", "", "email", at)
	require.NoError(t, err)
	require.Equal(t, ledger.Until{Shared: day("2099-02-01"), Own: day("2099-02-01")}, utc(until))

	w.org(t, "kept", "rollover-boost", day("2099-01-01"))
	p, err = w.accounts.Plan(ctx, "rollover-boost", 0)
	require.NoError(t, err)
	until, err = w.Until(ctx, p, "kept", "", "email", at)
	require.NoError(t, err)
	require.Equal(t, ledger.Until{}, until, "what rolls over does not expire")
}

func utc(u ledger.Until) ledger.Until {
	return ledger.Until{Shared: u.Shared.In(time.UTC), Own: u.Own.In(time.UTC)}
}
