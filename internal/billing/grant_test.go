package billing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
)

// give grants as the API and the command line do.
func (w *world) give(t *testing.T, org, key string, g billing.NewGrant, reason string) (int64, error) {
	t.Helper()
	o, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	return w.Grant(t.Context(), o, key, g, reason)
}

// B1: keys that people choose never meet those of the system.
func TestB1_AUsersKeyDoesNotBlockAReset(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "rollover-boost", day("2099-01-31"))
	for _, key := range []string{"reset//0", "reset//1", "topup/1//email", "alert/0//email", "ord_1/hold"} {
		_, err := w.give(t, "acme", key, billing.NewGrant{Type: "email", Amount: 1, Source: ledger.SourcePack}, "")
		require.NoError(t, err)
	}
	require.Equal(t, 2, w.sweep(t, day("2099-02-28")))
	require.Equal(t, int64(5+24_000), w.available(t, "acme", "", "email"))
	_, err := w.ChangePlan(t.Context(), "acme", "rollover-power", day("2099-03-10"))
	require.NoError(t, err)
	require.Greater(t, w.available(t, "acme", "", "email"), int64(5+24_000), "the top-up is there")
}

// A grant that was made stays, even where the plan has changed when it is asked
// for again.
func TestARepeatedGrantAnswersTheSame(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	now := time.Now()
	w.org(t, "acme", "licence-monthly", now.AddDate(0, 0, -1).Truncate(time.Second))
	w.member(t, "acme", "bob", now)
	soon := w.boundary(t, 3*time.Second)
	g := billing.NewGrant{Member: "bob", Type: "profile", Amount: 5, Source: ledger.SourcePromotion, ExpiresAt: soon}
	first, err := w.give(t, "acme", "k", g, "welcome")
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, `INSERT INTO plan_change (org, generation, plan_id, plan_version, since, at_period_end)
		VALUES ('acme', 1, 'prepaid-verification', 1, $1, false)`, now.Add(-time.Second)) // without profiles
	require.NoError(t, err)
	w.await(t, soon)
	again, err := w.give(t, "acme", "k", g, "welcome")
	require.NoError(t, err)
	require.Equal(t, first, again)

	_, err = w.give(t, "acme", "k", g, "goodbye")
	require.ErrorIs(t, err, ledger.ErrKeyReused, "the reason is a part of the request")
	g.Amount = 6
	_, err = w.give(t, "acme", "k", g, "")
	require.ErrorIs(t, err, ledger.ErrKeyReused)
	_, err = w.give(t, "acme", "new", g, "")
	var wrong *billing.GrantError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "type", wrong.Field)
}

func TestGrantsThatCouldNeverBeSpentAreRefused(t *testing.T) {
	w := setup(t)
	now := time.Now()
	w.org(t, "acme", "workspace-free", now)
	w.member(t, "acme", "bob", now)
	good := billing.NewGrant{Member: "bob", Type: "email", Amount: 1, Source: ledger.SourcePack, ExpiresAt: now.Add(time.Hour)}
	for field, spoil := range map[string]func(*billing.NewGrant){
		"type":       func(g *billing.NewGrant) { g.Type = "fax" },
		"source":     func(g *billing.NewGrant) { g.Source = ledger.SourceAllotment },
		"expires_at": func(g *billing.NewGrant) { g.ExpiresAt = now },
		"member":     func(g *billing.NewGrant) { g.Member = "" }, // K5: a personal plan's add-ons are personal
	} {
		g := good
		spoil(&g)
		_, err := w.give(t, "acme", "k", g, "")
		var wrong *billing.GrantError
		require.ErrorAs(t, err, &wrong, field)
		require.Equal(t, field, wrong.Field)
	}
	for want, spoil := range map[error]func(*billing.NewGrant){
		account.ErrNotFound: func(g *billing.NewGrant) { g.Member = "jane" },
		ledger.ErrInvalid:   func(g *billing.NewGrant) { g.Amount = ledger.MaxAmount + 1 },
	} {
		g := good
		spoil(&g)
		_, err := w.give(t, "acme", "k", g, "")
		require.ErrorIs(t, err, want)
	}
	_, err := w.give(t, "acme", "", good, "")
	require.ErrorIs(t, err, billing.ErrNoKey)
	_, err = w.give(t, "acme", "k", good, strings.Repeat("ü", ledger.MaxReason+1))
	require.ErrorIs(t, err, ledger.ErrInvalid)
	require.Equal(t, int64(50), w.available(t, "acme", "bob", "email"), "his licence's alone")
	_, err = w.give(t, "acme", strings.Repeat("ü", 200), good, strings.Repeat("ü", ledger.MaxReason))
	require.NoError(t, err, "characters are counted, not bytes")
}
