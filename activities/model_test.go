package activities_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// person is a lead as the model knows it.
type person struct {
	id     string
	values map[order.Field]string
}

// good reports whether a field of the person is delivered when it is asked for.
func (p person) good(f order.Field) bool {
	v := p.values[f]
	if f == order.PhoneField {
		return strings.Contains(v, goodLondon) || strings.Contains(v, goodMountain)
	}
	return f == order.ProfileField || strings.HasPrefix(v, "valid.")
}

// units is what a field counts by a charge, and how many of these are good: each
// number where the contact is charged.
func (p person) units(c plan.Charge, f order.Field) (units, good int64) {
	if f != order.PhoneField || c.Per != plan.PerContact {
		return 1, 1
	}
	for number := range strings.SplitSeq(p.values[f], ";") {
		units++
		if strings.HasPrefix(number, goodLondon) || strings.HasPrefix(number, goodMountain) {
			good++
		}
	}
	return units, good
}

// How numbers begin that can be dialled.
const (
	goodLondon   = "+44 20 7031"
	goodMountain = "+1 650 253"
)

// model says in the plainest way what orders hold, cost and deliver.
type model struct {
	plan  *plan.Plan
	owned map[string]bool // type, scope, lead and field
	sold  []order.Field   // what a reveal is sold for
}

// outcome is what the model expects of an order.
type outcome struct {
	held, captured          map[string]int64
	items, delivered, owned int64
	facts                   []string // that are owned from then on
}

func (m *model) fact(c plan.Charge, member string, p person, f order.Field) string {
	scope := c.FactScope(member, "this order")
	return fmt.Sprintf("%s|%s|%s|%s", c.Type, scope, p.id, f)
}

// owns reports whether a member has a field of a person, by any action.
func (m *model) owns(member string, p person, f order.Field) bool {
	action, ok := m.plan.Action(order.Reveal.Action(f))
	return ok && m.owned[m.fact(action.Charges[0], member, p, f)]
}

// item adds what one field of one lead comes to.
func (m *model) item(o *outcome, action plan.Action, member string, p person, f order.Field, says bool) {
	o.items++
	c := action.Charges[0]
	key := m.fact(c, member, p, f)
	switch {
	case p.values[f] == "", says:
	case m.owned[key]:
		o.delivered++
		o.owned++
		units, good := p.units(c, f)
		o.held[c.Type] += c.Amount * (units - good) // numbers that were not good are not owned
	default:
		units, good := p.units(c, f)
		o.held[c.Type] += c.Amount * units
		if p.good(f) {
			o.delivered++
			o.captured[c.Type] += c.Amount * good
			o.facts = append(o.facts, key)
		}
	}
}

func (m *model) reveal(kind order.Kind, member string, people []person, fields []order.Field, says func(person, order.Field) bool) outcome {
	o := outcome{held: map[string]int64{}, captured: map[string]int64{}}
	for _, f := range fields {
		action, _ := m.plan.Action(kind.Action(f))
		for _, c := range action.Charges {
			o.held[c.Type] += 0 // a line of the hold, empty or not
		}
		for _, p := range people {
			m.item(&o, action, member, p, f, says(p, f))
		}
	}
	return o
}

func (m *model) export(member string, people []person) outcome {
	o := outcome{held: map[string]int64{}, captured: map[string]int64{}}
	action, _ := m.plan.Action("export")
	c := action.Charges[0]
	o.held[c.Type] += 0
	for _, p := range people {
		if len(action.Billable) > 0 {
			m.item(&o, action, member, p, order.EmailField, false)
			continue
		}
		o.items++
		if slices.ContainsFunc(m.sold, func(f order.Field) bool { return m.owns(member, p, f) }) {
			o.held[c.Type] += c.Amount
			o.captured[c.Type] += c.Amount
			o.delivered++
		}
	}
	return o
}

// Orders of every kind at random, by several members, one after the other: what
// they hold, cost and deliver is what a model of a few lines says, and the books
// balance.
func TestOrdersOverFieldsCostWhatAModelSays(t *testing.T) {
	for _, planID := range []string{"workspace-free", "workspace-paid", "licence-monthly", "rollover-boost"} {
		t.Run(planID, func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, 11))
			o := open(t, planID)
			p, err := o.Accounts.Plan(t.Context(), planID, 0)
			require.NoError(t, err)
			m := &model{plan: p, owned: map[string]bool{}}
			for _, f := range []order.Field{order.EmailField, order.PhoneField, order.DirectEmailField, order.ProfileField} {
				if _, ok := p.Action(order.Reveal.Action(f)); ok {
					m.sold = append(m.sold, f)
				}
			}
			for _, creditType := range p.CreditTypes() {
				o.pack(creditType, 1_000_000)
			}
			people := o.strangers(random, 40)

			for i := range 25 {
				member := []string{"", "jane", "bob"}[random.IntN(3)]
				if member == "" && planID == "workspace-free" { // its credits are personal
					member = "jane"
				}
				random.Shuffle(len(people), func(i, j int) { people[i], people[j] = people[j], people[i] })
				some := people[:1+random.IntN(15)]
				body, want := m.random(t, o, random, member, some)
				b, reserved := o.begin(member, fmt.Sprint("order-", i), body)
				require.Equal(t, order.Reserved, reserved.Status, "%+v", reserved.Failure)
				held := map[string]int64{}
				for _, c := range reserved.Credits {
					held[c.Type] = c.Held
				}
				require.Equal(t, want.held, held, "order %d, %s of %s by %q", i, body.Kind, body.Fields, member)
				got := o.finish(b)
				maps.DeleteFunc(want.captured, func(_ string, n int64) bool { return n == 0 })
				require.Equal(t, want.captured, spent(got), "order %d, %s of %s by %q", i, body.Kind, body.Fields, member)
				require.Equal(t, want.items, got.Selected)
				require.Equal(t, want.delivered, got.Tally.Valid)
				require.Equal(t, want.owned, got.Tally.AlreadyOwned)
				for _, fact := range want.facts {
					m.owned[fact] = true
				}
			}
			o.balanced()
		})
	}
}

// random makes an order of any kind for some people, and what the model expects
// of it.
func (m *model) random(t *testing.T, o *office, random *rand.Rand, member string, people []person) (order.Body, outcome) {
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.id
	}
	fields := slices.Clone(m.sold)
	random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	fields = fields[:1+random.IntN(len(fields))]
	switch random.IntN(3) {
	case 0:
		return reveal(ids, fields...), m.reveal(order.Reveal, member, people, fields, func(person, order.Field) bool { return false })
	case 1:
		return export(ids), m.export(member, people)
	}
	fields = slices.DeleteFunc(fields, func(f order.Field) bool {
		_, ok := m.plan.Action(order.Enrich.Action(f))
		return !ok
	})
	if len(fields) == 0 {
		fields = []order.Field{order.EmailField}
	}
	said := map[string]bool{} // people whose row has the number
	file := &strings.Builder{}
	file.WriteString("email,phone\n")
	for _, p := range people {
		phone := ""
		if random.IntN(2) == 0 {
			phone, said[p.id] = p.values[order.PhoneField], true
		}
		fmt.Fprintf(file, "%s,%s\n", p.values[order.EmailField], phone)
	}
	list, err := o.Catalogue.KeepList(t.Context(), "acme", "email", strings.NewReader(file.String()))
	require.NoError(t, err)
	body := order.Body{Request: order.Request{Kind: order.Enrich, ListID: list.ID, Fields: fields}}
	return body, m.reveal(order.Enrich, member, people, fields, func(p person, f order.Field) bool {
		return f == order.EmailField || f == order.PhoneField && said[p.id]
	})
}

// strangers are n leads with any fields known or not.
func (o *office) strangers(random *rand.Rand, n int) []person {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	people, rows := make([]person, n), make([][5]string, n)
	for i := range people {
		id := fmt.Sprintf("lead-%03d", i)
		london, mountain := fmt.Sprintf("%s %04d", goodLondon, 3000+i), fmt.Sprintf("%s %04d", goodMountain, i)
		nowhere := fmt.Sprintf("%s%d", nowhere, 10+i)
		values := map[order.Field]string{
			order.EmailField:       fmt.Sprintf("%s.%d@work%d.test", pick("valid", "valid", "invalid", "catch_all"), i, i%4),
			order.PhoneField:       pick("", london, nowhere, nowhere+";"+mountain, london+";"+mountain, nowhere+";"+nowhere+"1"),
			order.DirectEmailField: pick("", fmt.Sprintf("valid.%d@home.test", i), fmt.Sprintf("invalid.%d@home.test", i)),
			order.ProfileField:     pick("", fmt.Sprint("curious ", i)),
		}
		people[i] = person{id, values}
		rows[i] = [5]string{id, values[order.EmailField], values[order.PhoneField], values[order.DirectEmailField], values[order.ProfileField]}
	}
	o.knows(rows...)
	return people
}
