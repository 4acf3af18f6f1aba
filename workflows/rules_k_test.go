package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/order"
)

// K4 for orders: what the credits do not cover is refused before anything is
// spent; the answer has the missing credits.
func TestRule_K4_RefusedBeforeAnythingIsSpent(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 99, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, order.Rejected, o.Status)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, o.Failure.Missing)
	b := w.balance("")
	require.Equal(t, [3]int64{99, 0, 0}, [3]int64{b.Available, b.Held, b.Captured})
}

// K6, N9: a member sees their own pool, the team the shared one, admins what
// every member used; bought credits are usable by all.
func TestRule_K6_N9_WhoUsedWhat(t *testing.T) {
	w, b := ruled(t, "licence-monthly", 500, map[string]int{"valid": 200})
	for _, m := range []string{"bob", "jane"} {
		_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: m, Name: m})
		require.NoError(t, err)
	}
	require.NoError(t, b.CatchUp(t.Context(), "beta", time.Now()))
	w.ordered("bob", "bobs", 40, order.Criteria{})
	w.ordered("jane", "janes", 25, order.Criteria{})
	w.ordered("", "teams", 10, order.Criteria{})
	require.Equal(t, int64(960), w.balance("bob").Available)
	require.Equal(t, int64(975), w.balance("jane").Available)
	require.Equal(t, int64(490), w.balance("").Available)
	usage, err := w.ledger.UsageBetween(t.Context(), "beta", time.Now().Add(-time.Hour), time.Time{})
	require.NoError(t, err)
	used := map[string]int64{}
	for _, u := range usage {
		used[u.Member] += u.Captured
	}
	require.Equal(t, map[string]int64{"bob": 40, "jane": 25, "": 10}, used)
}

// K1, K2 on real servers: a credit of its own type for each field of a lead,
// however many numbers it has.
func TestRule_K1_K2_FourTypesOncePerLead(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "workspace-paid", map[string]int64{"email": 100, "phone": 100, "direct_email": 100, "export": 100})
	ids := s.withVerdict(t, 10, "valid", "phone LIKE '%;%' AND direct_email <> ''")
	o := s.settled(t, reveal(org, "", "all", ids, order.EmailField, order.PhoneField, order.DirectEmailField))
	charged := captured(o)
	require.EqualValues(t, 10, charged["email"])
	require.EqualValues(t, 10, charged["phone"], "two numbers are one credit")
	require.Equal(t, o.Tally.Valid-20, charged["direct_email"])
	again := s.settled(t, reveal(org, "", "again", ids, order.EmailField, order.PhoneField))
	require.Zero(t, captured(again)["email"]+captured(again)["phone"])
	require.EqualValues(t, 20, again.Tally.AlreadyOwned)

	o = s.settled(t, export(org, "", "export", ids))
	require.Equal(t, map[string]int64{"export": 10}, captured(o))
	header, rows := s.rows(t, o.ID)
	require.Len(t, rows, 10)
	require.Contains(t, rows[0][slices.Index(header, "phone")], ";", "what is owned goes out with it")
}

// K3, K4 on real servers: the second export costs as much as the first, and one
// that the credits do not cover is refused before anything is spent.
func TestRule_K3_K4_EveryExportCostsOrIsRefused(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "workspace-paid", map[string]int64{"email": 50, "export": 90})
	ids := s.withVerdict(t, 40, "valid", "true")
	s.settled(t, reveal(org, "", "unlock", ids, order.EmailField))
	for _, key := range []string{"first", "second"} {
		require.Equal(t, map[string]int64{"export": 40}, captured(s.settled(t, export(org, "", key, ids))))
	}
	require.EqualValues(t, 10, s.available(t, org, "", "export"))
	refused, err := s.Intake.Submit(t.Context(), export(org, "", "third", ids))
	require.NoError(t, err)
	require.Equal(t, order.Rejected, refused.Status)
	require.Equal(t, []order.Amount{{Type: "export", Amount: 30}}, refused.Failure.Missing)
	require.EqualValues(t, 10, s.available(t, org, "", "export"))
	require.EqualValues(t, 10, s.available(t, org, "", "email"))
}

// K5 on real servers: on the free plan each member spends and owns for
// themselves, on the paid plan the members share.
func TestRule_K5_PersonalOrShared(t *testing.T) {
	s := realStack(t)
	ids := s.withVerdict(t, 10, "valid", "true")
	for plan, janePays := range map[string]int64{"workspace-free": 10, "workspace-paid": 0} {
		org := s.org(t, plan, nil)
		s.member(t, org, "bob")
		s.member(t, org, "jane")
		pool := func(member string) string {
			if plan == "workspace-free" {
				return member
			}
			return ""
		}
		bobs, janes := s.available(t, org, pool("bob"), "email"), s.available(t, org, pool("jane"), "email")
		require.Positive(t, bobs)
		require.Equal(t, map[string]int64{"email": 10}, captured(s.settled(t, reveal(org, "bob", "bobs", ids, order.EmailField))))
		require.Equal(t, janePays, captured(s.settled(t, reveal(org, "jane", "janes", ids, order.EmailField)))["email"])
		require.Equal(t, bobs-10, s.available(t, org, pool("bob"), "email"))
		if plan == "workspace-free" {
			require.Equal(t, janes-10, s.available(t, org, "jane", "email"))
		}
	}
}
