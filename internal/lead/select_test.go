package lead_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// matches is what criteria mean, said as plainly as possible.
func matches(c order.Criteria, p person) bool {
	anyOf := func(column string, values []string) bool {
		return len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(strings.TrimSpace(v), p.value(column)) })
	}
	split := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	}
	for _, word := range split(c.Title) {
		if !slices.Contains(split(p.value("title")), word) {
			return false
		}
	}
	if c.HeadcountMin > 0 || c.HeadcountMax > 0 {
		n, err := strconv.ParseInt(p.value("headcount"), 10, 64)
		if err != nil || n < c.HeadcountMin || (c.HeadcountMax > 0 && n > c.HeadcountMax) {
			return false
		}
	}
	return anyOf("country", c.Country) && anyOf("region", c.Region) && anyOf("city", c.City) &&
		anyOf("industry", c.Industry) && anyOf("seniority", c.Seniority) && anyOf("department", c.Department) &&
		anyOf("company", c.Company) && anyOf("domain", c.Domain) &&
		(!c.HasPhone || p.value("phone") != "") && (!c.HasDirectEmail || p.value("direct_email") != "")
}

// someCriteria draws criteria that bite on people's leads, two or three at once.
func someCriteria(random *rand.Rand, list []person) order.Criteria {
	var c order.Criteria
	some := func(column string) []string {
		var values []string
		for range 1 + random.IntN(3) {
			if v := list[random.IntN(len(list))].value(column); v != "" {
				values = append(values, []string{v, strings.ToUpper(v), " " + strings.ToLower(v)}[random.IntN(3)])
			}
		}
		return values
	}
	for range random.IntN(4) {
		switch random.IntN(11) {
		case 0:
			c.Country = []string{"us", "DE"}[:1+random.IntN(2)]
		case 1:
			c.Region = some("region")
		case 2:
			c.City = some("city")
		case 3:
			c.Industry = some("industry")
		case 4:
			c.Title = []string{"engineer", "SOFTWARE engineer", "engineer, senior", "r&d", "sales vp", "missing"}[random.IntN(6)]
		case 5:
			c.Seniority = some("seniority")
		case 6:
			c.Department = some("department")
		case 7:
			c.Company = some("company")
		case 8:
			c.Domain = some("domain")
		case 9:
			c.HeadcountMin = int64([]int{0, 1, 2, 49, 50, 51, 64, 99, 5000}[random.IntN(9)])
			c.HeadcountMax = int64([]int{0, 99, 100, 128, 50_000, 1 << 40}[random.IntN(6)])
			if c.HeadcountMax > 0 && c.HeadcountMax < c.HeadcountMin {
				c.HeadcountMin = 0
			}
		case 10:
			c.HasPhone, c.HasDirectEmail = random.IntN(2) == 0, random.IntN(2) == 0
		}
	}
	return c
}

// item is a row of order_item as a test looks at it.
type item struct {
	N            int64
	LeadID       string
	Email        string
	EmailDomain  string
	AlreadyOwned bool
}

func (f fixture) items(orderID string) []item {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `
		SELECT i.n, l.id AS lead_id, i.value AS email, l.email_domain, i.already_owned
		FROM order_item i JOIN lead l ON l.no = i.lead_no AND l.fingerprint = i.fingerprint
		WHERE i.order_id = $1 ORDER BY i.n`, orderID)
	require.NoError(f.t, err)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[item])
	require.NoError(f.t, err)
	return items
}

// own makes facts: acme has paid for these leads.
func (f fixture) own(factType, scope string, ids ...string) {
	f.t.Helper()
	subjects := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		subjects[i] = lead.Fingerprint(id)
	}
	_, err := f.pool.Exec(f.ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT 'acme', $1, $2, subject, 1, 1 FROM unnest($3::uuid[]) AS subject`, factType, scope, subjects)
	require.NoError(f.t, err)
}

func selection(id string, count int64) lead.Selection {
	return lead.Selection{OrderID: id, Org: "acme", Count: count, FactType: "email", PerLead: true}
}

// TestC4_CriteriaMeanWhatTheySay compares the facet index with a plain reading
// of 300 random criteria, before and after the catalogue has changed.
func TestC4_CriteriaMeanWhatTheySay(t *testing.T) {
	f := setup(t)
	list := people(70_000, 3) // two chunks
	_, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 3))
	check := func(rounds int) {
		t.Helper()
		for range rounds {
			c := someCriteria(random, list)
			want := int64(0)
			for _, p := range list {
				if matches(c, p) {
					want++
				}
			}
			got, err := f.Count(f.ctx, lead.Selection{Criteria: c})
			require.NoError(t, err)
			require.Equal(t, want, got.Leads, "%+v", c)
		}
	}
	check(200)
	changed := people(3000, 4)
	copy(list[65_000:], changed)
	for i, p := range changed {
		p[0] = fmt.Sprintf("L%07d", 65_000+i)
	}
	_, err = f.Import(f.ctx, file(t, changed), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	check(100)

	var owned []string
	for _, p := range list[:1000] {
		owned = append(owned, p.value("id"))
	}
	f.own("email", "", owned...)
	broad, err := f.Count(f.ctx, selection("", 0))
	require.NoError(t, err)
	require.Equal(t, lead.Counted{Leads: 70_000, AlreadyOwned: 1000}, broad)

	empty, err := f.Count(f.ctx, lead.Selection{Criteria: order.Criteria{Title: "++"}})
	require.NoError(t, err)
	require.Zero(t, empty.Leads, "a title without a word selects none, not all")
}

func TestC3_SelectionIsFrozen(t *testing.T) {
	f := setup(t)
	list := people(20_000, 5)
	_, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	s := selection("ord_1", 3000)
	s.Criteria = order.Criteria{Country: []string{"us"}, Title: "engineer", HasPhone: true}
	byID := map[string]person{}
	for _, p := range list {
		byID[p.value("id")] = p
	}

	// The same order, asked for several times at once.
	var wg sync.WaitGroup
	answers, errs := make([]lead.Selected, 6), make([]error, 6)
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = f.Select(f.ctx, s) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, answer := range answers {
		require.Equal(t, answers[0], answer)
	}
	items := f.items("ord_1")
	require.Len(t, items, int(answers[0].Items))
	addresses := map[string]bool{}
	domain := ""
	for i, item := range items {
		require.Equal(t, int64(i+1), item.N)
		require.True(t, matches(s.Criteria, byID[item.LeadID]), item.LeadID)
		require.Equal(t, byID[item.LeadID].value("email"), item.Email)
		require.False(t, addresses[strings.ToLower(item.Email)], "%s is in the order twice", item.Email)
		addresses[strings.ToLower(item.Email)] = true
		require.GreaterOrEqual(t, item.EmailDomain, domain, "one mail host's addresses stand together")
		domain = item.EmailDomain
	}

	// A retry answers the same although the catalogue has changed.
	for _, p := range list {
		p[4], p[1] = "Pilot", "new-"+p[1]
	}
	_, err = f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	again, err := f.Select(f.ctx, s)
	require.NoError(t, err)
	require.Equal(t, answers[0], again)
	require.Equal(t, items, f.items("ord_1"))
	s.OrderID = "ord_2"
	none, err := f.Select(f.ctx, s)
	require.NoError(t, err)
	require.Equal(t, lead.Selected{}, none)

	s.Count = 0
	_, err = f.Select(f.ctx, s)
	require.ErrorContains(t, err, "at least 1")
}

// TestC3_SelectionIsDeterministic: the same order over the same catalogue
// selects the same leads, another order others.
func TestC3_SelectionIsDeterministic(t *testing.T) {
	list := people(5000, 6)
	selected := func(f fixture, id string) []item {
		_, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
		require.NoError(t, err)
		_, err = f.Select(f.ctx, selection(id, 500))
		require.NoError(t, err)
		return f.items(id)
	}
	f, g := setup(t), setup(t)
	first := selected(f, "ord_1")
	require.Len(t, first, 500)
	require.Equal(t, first, selected(g, "ord_1"))
	common := 0
	for _, other := range selected(g, "ord_2") {
		if slices.ContainsFunc(first, func(i item) bool { return i.LeadID == other.LeadID }) {
			common++
		}
	}
	require.Less(t, common, 150, "a sample of 500 of 5000 shares about 50 with another")
}

// TestSelectionIsFair: a lead's chance does not depend on when it came.
func TestSelectionIsFair(t *testing.T) {
	f := setup(t)
	const leads, orders, count = 2000, 20, 400
	_, err := f.Import(f.ctx, file(t, people(leads, 10)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	for i := range orders {
		_, err := f.Select(f.ctx, selection(fmt.Sprintf("ord_%d", i), count))
		require.NoError(t, err)
	}
	for part := range 20 { // of a hundred leads, expected to be drawn 20 times each
		var drawn int
		require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT count(*) FROM order_item WHERE (lead_no - 1) * 20 / 2000 = $1`, part).Scan(&drawn))
		require.InDelta(t, orders*count/20, drawn, 80, "leads %d to %d", part*100, part*100+99)
	}
}

// TestC5_OwnedLeads: what the organization owns is left out, or marked.
func TestC5_OwnedLeads(t *testing.T) {
	f := setup(t)
	list := people(2000, 7)
	for i := range list { // every address once, to make the numbers plain
		list[i][1] = fmt.Sprintf("p%d@mail%d.test", i, i%7)
	}
	_, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	var owned []string
	for i := range 1500 {
		owned = append(owned, list[i].value("id"))
	}
	f.own("email", "", owned...)
	f.own("phone", "", list[1900].value("id"))     // another type
	f.own("email", "jane", list[1901].value("id")) // another scope
	_, err = f.pool.Exec(f.ctx, `UPDATE credit_fact SET reversed = true WHERE subject = $1`, lead.Fingerprint(owned[0]))
	require.NoError(t, err)

	counted, err := f.Count(f.ctx, selection("", 0))
	require.NoError(t, err)
	require.Equal(t, lead.Counted{Leads: 2000, AlreadyOwned: 1499}, counted)

	// Order after order brings leads that the organization does not have yet,
	// until there are no more.
	seen := map[string]bool{}
	for i, want := range []int{200, 200, 101, 0} {
		id := fmt.Sprintf("ord_%d", i)
		selected, err := f.Select(f.ctx, selection(id, 200))
		require.NoError(t, err)
		require.Equal(t, lead.Selected{Items: int64(want)}, selected)
		var bought []string
		for _, item := range f.items(id) {
			require.False(t, seen[item.LeadID])
			require.False(t, item.AlreadyOwned)
			require.False(t, slices.Contains(owned[1:], item.LeadID))
			seen[item.LeadID] = true
			if item.LeadID != owned[0] { // its reversed fact is there
				bought = append(bought, item.LeadID)
			}
		}
		if seen[owned[0]] {
			_, err := f.pool.Exec(f.ctx, `UPDATE credit_fact SET reversed = false WHERE subject = $1`, lead.Fingerprint(owned[0]))
			require.NoError(t, err)
		}
		f.own("email", "", bought...)
	}

	// Included, they are marked.
	s := selection("ord_all", 3000)
	s.IncludeOwned, s.Org = true, "other"
	selected, err := f.Select(f.ctx, s)
	require.NoError(t, err)
	require.Equal(t, lead.Selected{Items: 2000}, selected)
	s.OrderID, s.Org = "ord_marked", "acme"
	selected, err = f.Select(f.ctx, s)
	require.NoError(t, err)
	require.Equal(t, lead.Selected{Items: 2000, AlreadyOwned: 2000}, selected)
	require.True(t, f.items("ord_marked")[17].AlreadyOwned)
}

func TestSelectSelectsNoLeadTwice(t *testing.T) {
	f := setup(t)
	f.importCSV("id,email\n1,ann@b.test\n2,ANN@b.test\n3,ann@B.TEST\n4,bob@b.test\n")
	selected, err := f.Select(f.ctx, selection("ord_1", 10))
	require.NoError(t, err)
	require.Equal(t, lead.Selected{Items: 2}, selected)
}

func TestSelectSkipsTheDeleted(t *testing.T) {
	f := setup(t)
	_, err := f.Import(f.ctx, file(t, people(1000, 8)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `DELETE FROM lead WHERE no % 2 = 0`) // the index does not know yet
	require.NoError(t, err)
	selected, err := f.Select(f.ctx, selection("ord_1", 300))
	require.NoError(t, err)
	require.Equal(t, int64(300), selected.Items)
}
