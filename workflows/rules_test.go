package workflows_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// The rules of the credit systems, driven through orders, a file for each
// system: the scenarios with their numbers through intake on real servers, see
// stack_test.go, the rest in the test environment with verdicts as ordered. What
// no order touches is tested where plans meet the ledger (internal/plan), and
// what time does to credits in reset_test.go and internal/billing.

// Every numbered rule has a test that bears its number, here or elsewhere.
func TestEveryRuleHasATest(t *testing.T) {
	have := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func TestRule((?:_[LAEKNX]\d+)+)_`)
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range name.FindAllStringSubmatch(string(source), -1) {
			for rule := range strings.SplitSeq(strings.Trim(found[1], "_"), "_") {
				have[rule] = true
			}
		}
		return err
	}))
	for system, last := range map[string]int{"L": 8, "A": 9, "E": 7, "K": 6, "N": 12} {
		for n := 1; n <= last; n++ {
			require.True(t, have[fmt.Sprint(system, n)], "no test is named TestRule_%s%d_…", system, n)
		}
	}
	for _, rule := range []string{"X4", "X5", "X6"} {
		require.True(t, have[rule], "no test is named TestRule_%s_…", rule)
	}
}

// byWord is a verifier that reads the verdict from the first word of the
// address: valid.1@example.test is valid, catch_all.2@… is not.
type byWord struct{}

func (byWord) Preflight(context.Context) error { return nil }

func (byWord) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	reasons := map[string]verify.Reason{"valid": verify.Accepted, "invalid": verify.NoSuchUser, "catch_all": verify.DomainAcceptsAll}
	for i, email := range emails {
		word, _, _ := strings.Cut(email, ".")
		reason, known := reasons[word]
		if !known {
			reason = verify.Policy
		}
		each(i, verify.Result{Email: email, Verdict: verify.Verdict(word), Reason: reason, CheckedAt: time.Now()})
	}
	return nil
}

// people is a catalogue with so many addresses of each verdict.
func people(country string, verdicts map[string]int) *strings.Reader {
	var b strings.Builder
	b.WriteString("id,email,first_name,last_name,country\n")
	for verdict, n := range verdicts {
		for i := range n {
			fmt.Fprintf(&b, "%s-%s-%d,%s.%s.%d@domain%d.test,Ada,Lovelace,%s\n", country, verdict, i, verdict, country, i, i%7, country)
		}
	}
	return strings.NewReader(b.String())
}

// ruled is a world with a catalogue made of verdicts, with an organization on
// a plan and a pack of its credits in the shared pool.
func ruled(t *testing.T, planID string, credits int64, verdicts map[string]int) (*world, *billing.Billing) {
	w := newWorld(t, 0, 0)
	w.acts.Verifier = byWord{}
	_, err := w.catalogue.Import(t.Context(), people("US", verdicts), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	_, err = w.accounts.CreateOrg(t.Context(), account.Org{ID: "beta", Name: "Beta", Plan: planID, Anchor: notYet()})
	require.NoError(t, err)
	w.pack("", credits)
	return w, billing.New(w.accounts, w.ledger, w.book)
}

func (w *world) pack(pool string, credits int64) {
	_, err := w.ledger.Grant(w.t.Context(), ledger.Grant{
		Owner: "beta", Key: "pack/" + pool, Pool: pool, Type: "email", Amount: credits, Source: ledger.SourcePack,
	})
	require.NoError(w.t, err)
}

// ordered runs an order of beta to its end.
func (w *world) ordered(member, key string, count int64, criteria order.Criteria) order.Order {
	env := w.env()
	in := order.Input{
		ID: order.ID("beta", key), Org: "beta", Member: member,
		Request: order.Request{Kind: order.LeadList, Count: count, Criteria: criteria},
	}
	run(env, in)
	require.NoError(w.t, env.GetWorkflowError())
	o, err := w.book.Get(w.t.Context(), "beta", in.ID)
	require.NoError(w.t, err)
	return o
}

// rows are an order's result file without its header.
func (w *world) rows(o order.Order) (header []string, rows [][]string) {
	var file bytes.Buffer
	require.NoError(w.t, w.catalogue.WriteResults(w.t.Context(), &file, o.ID, lead.CSV, lead.ResultOptions{}))
	all, err := csv.NewReader(&file).ReadAll()
	require.NoError(w.t, err)
	return all[0], all[1:]
}

func (w *world) balance(pool string) ledger.Balance {
	balances, err := w.ledger.Balances(w.t.Context(), "beta")
	require.NoError(w.t, err)
	for _, b := range balances {
		if b.Pool == pool && b.Type == "email" {
			return b
		}
	}
	return ledger.Balance{}
}

var everyVerdict = map[string]int{"valid": 60, "invalid": 20, "catch_all": 8, "risky": 5, "disposable": 3, "unknown": 4}
