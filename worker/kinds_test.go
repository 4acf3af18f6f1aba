package main_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

var (
	allMoments  = flag.Bool("moments.all", false, "kill a worker at each write of each kind of order, not at some")
	momentsSeed = flag.Uint64("moments.seed", 0, "chooses the moments; 0: others each time")
)

// someMoments is how many moments are tried where not all are.
const someMoments = 16

// A worker dies by SIGKILL before or after any of the writes that an order of any
// kind makes, as they were seen in an order that nothing happened to; another
// worker takes over. The books afterwards say the same.
func TestAWorkerThatDiesAtAnyWriteOfAnyKindLeavesTheSameBooks(t *testing.T) {
	stack := newStack(t, kindLane(0), maillab.Config{
		Domains: 60, GreylistDelay: 200 * time.Millisecond, Only: []maillab.Kind{maillab.Ordinary, maillab.Shared, maillab.Greylisting},
	})
	stack.seed(t, 200)
	stack.sellEverything(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	stack.cfg.WebhookAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	list := stack.people(t)
	free := make(chan *lane, kindLanes)
	for i := range kindLanes {
		l := newLane(t, stack.cfg, kindLane(i))
		l.list, l.receiver = list, receiver.URL
		free <- l
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()

	type trial struct {
		name string
		kind string
		want outcome
		at   moment
	}
	var cases []trial
	submissions := stack.submissions(t)
	unasked := stack.unasked(t)
	carryOut := func(on *lane, kind, name string, at *moment) (outcome, error) {
		of := submissions[kind]
		if kind != greylisting {
			return on.order(ctx, name, of, at)
		}
		of = unasked(of)
		o, err := on.order(ctx, name, of, at)
		delete(o.Entries, "capture") // a host that was asked before the worker died does not wait again
		return o.numbered(of.Emails), err
	}
	for _, name := range slices.Sorted(maps.Keys(submissions)) { // a seed chooses the same ones again
		quiet := <-free
		var statements []string
		quiet.proxy.recordTo(&statements)
		want, err := carryOut(quiet, name, name+"-undisturbed", nil)
		quiet.proxy.recordTo(nil)
		free <- quiet
		require.NoError(t, err, name)
		require.Equal(t, order.Settled, want.Order.Status, name)
		require.NotEmpty(t, want.Facts, name)
		for i, m := range writes(statements) {
			cases = append(cases, trial{fmt.Sprintf("%s-%d", name, i), name, want, m})
		}
	}
	seed := *momentsSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	t.Logf("%d moments; -moments.seed %d", len(cases), seed)
	if !*allMoments {
		cases = cases[:min(len(cases), someMoments)]
	}
	var mu sync.Mutex
	got := make([]outcome, len(cases))
	missed := 0
	var running errgroup.Group
	for i, c := range cases {
		running.Go(func() error {
			lane := <-free
			defer func() { free <- lane }()
			o, err := carryOut(lane, c.kind, c.name, &c.at)
			mu.Lock()
			defer mu.Unlock()
			got[i] = o
			// How often greylisted items are written depends on when they are asked again; and
			// what an earlier order has found out about an address is not written again.
			if errors.Is(err, errMissed) && (c.kind == greylisting || strings.HasPrefix(c.at.statement, "INSERT INTO verdict ")) {
				missed++
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s, %+v: %w", c.name, c.at, err)
			}
			return nil
		})
	}
	require.NoError(t, running.Wait())
	for i, c := range cases {
		require.Equal(t, c.want, got[i], "%s, %+v", c.name, c.at)
	}
	require.Less(t, missed, max(2, len(cases)/4))
	report, err := ledger.Audit(ctx, stack.app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// greylisting is the kind of order of which some hosts are asked twice.
const greylisting = "greylisting"

// unasked adds existing mailboxes of a greylisting host to an order, others in each
// call: a host does not put off a recipient that it was asked about before.
func (s *stack) unasked(t *testing.T) func(intake.Submission) intake.Submission {
	world := s.lab.World()
	var mailboxes []string
	for _, domain := range world.Domains() {
		if world.KindOf(domain) == maillab.Greylisting {
			mailboxes = slices.DeleteFunc(world.Mailboxes(domain, 4000), func(email string) bool {
				return world.Truth(email).Verdict != "valid"
			})
			break
		}
	}
	require.NotEmpty(t, mailboxes)
	var mu sync.Mutex
	return func(o intake.Submission) intake.Submission {
		mu.Lock()
		defer mu.Unlock()
		o.Emails = slices.Concat(mailboxes[:6], o.Emails)
		mailboxes = mailboxes[6:]
		return o
	}
}

// numbered names addresses, and what was paid for them, by their place among all, as
// items of a list are numbered: so orders of other addresses can be compared.
func (o outcome) numbered(emails []string) outcome {
	place := map[string]string{}
	for i, email := range slices.Sorted(slices.Values(emails)) {
		place[email] = fmt.Sprintf("address %d", i)
		sum := sha256.Sum256([]byte("email:" + email)) // as SelectLists makes the fingerprints of addresses
		place[uuid.UUID(sum[:16]).String()] = place[email]
	}
	for i, item := range o.Items {
		o.Items[i].Value = cmp.Or(place[item.Value], item.Value)
	}
	for i, f := range o.Facts {
		o.Facts[i].Subject = cmp.Or(place[f.Subject], f.Subject)
	}
	slices.SortFunc(o.Facts, func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Subject, b.Subject))
	})
	return o
}

// writing are statements that change an order, its items, its list or credits.
var writing = regexp.MustCompile(`^(INSERT INTO|UPDATE|DELETE FROM|WITH) .*\b(orders|order_\w+|credit_\w+|list_row|verdict\w*)\b`)

// writes are the moments before and after each writing statement.
func writes(statements []string) (list []moment) {
	seen := map[string]int{}
	for _, s := range statements {
		if !writing.MatchString(s) || strings.HasPrefix(s, "INSERT INTO mail_pattern") { // what is learned of names is written now and then
			continue
		}
		begins := s[:min(len(s), 60)]
		seen[begins]++
		list = append(list, moment{begins, seen[begins], false}, moment{begins, seen[begins], true})
	}
	return list
}

// sellEverything adds all actions to the plan that orders run under.
func (s *stack) sellEverything(t *testing.T) {
	ctx, a := t.Context(), s.app.Accounts
	p, err := a.Plan(ctx, "verified-leads", 0)
	require.NoError(t, err)
	all := *p
	for of, actions := range map[string][]string{
		"prepaid-verification": {"verify"},
		"rollover-ignite":      {"reveal_email", "enrich_email", "export"},
	} {
		other, err := a.Plan(ctx, of, 0)
		require.NoError(t, err)
		for _, action := range actions {
			all.Actions[action] = other.Actions[action]
		}
	}
	_, err = a.SavePlan(ctx, &all)
	require.NoError(t, err)
}

// people is a list of people who can be enriched: their names and companies.
func (s *stack) people(t *testing.T) string {
	rows, err := s.app.Pool.Query(t.Context(), `SELECT first_name, last_name, company FROM lead ORDER BY no LIMIT 10`)
	require.NoError(t, err)
	var file strings.Builder
	out := csv.NewWriter(&file)
	require.NoError(t, out.Write([]string{"first_name", "last_name", "company"}))
	var first, last, company string
	_, err = pgx.ForEachRow(rows, []any{&first, &last, &company}, func() error { return out.Write([]string{first, last, company}) })
	require.NoError(t, err)
	out.Flush()
	return file.String()
}

// submissions are orders of all kinds but lead lists.
func (s *stack) submissions(t *testing.T) map[string]intake.Submission {
	ctx := t.Context()
	rows, err := s.app.Pool.Query(ctx, `SELECT id, email FROM lead ORDER BY no`)
	require.NoError(t, err)
	type person struct{ ID, Email string }
	people, err := pgx.CollectRows(rows, pgx.RowToStructByPos[person])
	require.NoError(t, err)
	var ids, steady []string
	for _, p := range people {
		_, domain, _ := strings.Cut(p.Email, "@")
		if len(ids) < 12 && s.lab.World().KindOf(domain) != maillab.Greylisting {
			ids, steady = append(ids, p.ID), append(steady, p.Email)
		}
	}
	email := []order.Field{order.EmailField}
	return map[string]intake.Submission{
		"reveal":    {Request: order.Request{Kind: order.Reveal, Fields: email}, LeadIDs: ids},
		"export":    {Request: order.Request{Kind: order.Export}, LeadIDs: ids},
		"webhook":   {Request: order.Request{Kind: order.Export, Destination: order.ToWebhook}, LeadIDs: ids},
		"enrich":    {Request: order.Request{Kind: order.Enrich, Fields: email}},
		"verify":    {Request: order.Request{Kind: order.Verify}, Emails: steady},
		"together":  {Request: order.Request{Kind: order.Verify}, Emails: steady[:2], Together: true},
		greylisting: {Request: order.Request{Kind: order.Verify}, Emails: steady[:3]}, // and those of unasked
	}
}
