package plan

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast/internal/order"
)

var (
	planID     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	creditType = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)
)

// checker turns a document into a plan and notes what is wrong with it.
type checker struct {
	file     string
	lines    map[string]int
	problems []*FieldError
}

func (c *checker) fail(field, format string, args ...any) {
	e := &FieldError{File: c.file, Line: 1, Field: field, Message: fmt.Sprintf(format, args...)}
	for at := field; at != ""; { // the line of the field or of what should hold it
		if line, ok := c.lines[at]; ok {
			e.Line = line
			break
		}
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	c.problems = append(c.problems, e)
}

// oneOf fills in a default and checks that value is one of the choices.
func oneOf[T ~string](c *checker, field string, value *T, byDefault T, choices ...T) {
	if *value == "" {
		*value = byDefault
	}
	if slices.Contains(choices, *value) {
		return
	}
	names := make([]string, len(choices))
	for i, s := range choices {
		names[i] = string(s)
	}
	if *value == "" {
		c.fail(field, "This field is missing; give one of %s.", strings.Join(names, ", "))
		return
	}
	c.fail(field, "%q is not known; give one of %s.", *value, strings.Join(names, ", "))
}

func (c *checker) amount(field string, value, least int64) {
	if value < least || value > MaxAmount {
		c.fail(field, "%d credits are not possible; give a whole number from %d to %d.", value, least, MaxAmount)
	}
}

func (c *checker) duration(field, value string, byDefault time.Duration) time.Duration {
	if value == "" {
		return byDefault
	}
	d, ok := parseDuration(value)
	if !ok {
		c.fail(field, "%q is not a duration; write it like 90s, 1h30m or 30d.", value)
	}
	return d
}

func (c *checker) plan(d *Document) *Plan {
	if !planID.MatchString(d.ID) {
		c.fail("id", "%q is not a plan id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.", d.ID)
	}
	if strings.TrimSpace(d.Name) == "" {
		c.fail("name", "The name is missing; give the one that customers see.")
	}
	oneOf(c, "period", &d.Period, "", Month, NoPeriod)
	if len(d.Credits) == 0 {
		c.fail("credits", "No credit type is named; name at least one.")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Credits)) {
		d.Credits[name] = c.credit(d, name)
	}
	if len(d.Actions) == 0 {
		c.fail("actions", "No action is named; name at least one.")
	}
	for _, name := range slices.Sorted(maps.Keys(d.Actions)) {
		c.action(d, name)
	}
	oneOf(c, "refund.late_release", &d.Refund.LateRelease, Reinstate, Reinstate, ExpireOnLate)
	oneOf(c, "plan_change", &d.PlanChange, Prorated, Prorated, AtPeriodEnd)
	p := &Plan{
		ID: d.ID, Name: d.Name, Description: d.Description, Notes: d.Notes, Version: d.Version,
		Period: d.Period, Credits: d.Credits, Actions: d.Actions,
		RefundDelay:  c.duration("refund.delay", d.Refund.Delay, 5*time.Minute),
		LateRelease:  d.Refund.LateRelease,
		ReinstateFor: c.duration("refund.reinstate_for", d.Refund.ReinstateFor, 7*day),
		BounceWindow: c.duration("bounce_window", d.BounceWindow, 0),
		PlanChange:   d.PlanChange,
	}
	if d.Bounces != nil {
		p.Bounces = *d.Bounces
		if p.Bounces.Most < 0 || p.Bounces.Most > MaxAmount {
			c.fail("bounces.most", "%d addresses are not possible; give a number from 1 to %d.", p.Bounces.Most, MaxAmount)
		}
		if p.BounceWindow == 0 {
			c.fail("bounces", "Bounces are never credited back without a window; give bounce_window or leave this out.")
		}
	}
	if p.LateRelease == Reinstate && p.ReinstateFor == 0 {
		c.fail("refund.reinstate_for", "Reinstated credits would expire at once; give a duration above zero or set refund.late_release to expire.")
	}
	return p
}

func (c *checker) credit(d *Document, name string) Credit {
	at := "credits." + name
	credit := d.Credits[name]
	if !creditType.MatchString(name) {
		c.fail(at, "%q is not a credit type; use up to 31 lower-case letters, digits and _, beginning with a letter.", name)
	}
	c.amount(at+".allotment", credit.Allotment, 0)
	if credit.Allotment > 0 && d.Period == NoPeriod {
		c.fail(at+".allotment", "The plan has no period in which to allot %d credits; set period to month or leave the allotment out.", credit.Allotment)
	}
	oneOf(c, at+".owner", &credit.Owner, Organization, Organization, Member)
	whenUnset := NeverExpires
	if credit.Allotment > 0 {
		whenUnset = "" // what becomes of allotted credits is never implied
	}
	oneOf(c, at+".at_period_end", &credit.AtPeriodEnd, whenUnset, Expire, RollOver, NeverExpires)
	if limit := credit.RollOverCap; limit != nil {
		c.amount(at+".roll_over_cap", *limit, 0)
		if credit.AtPeriodEnd != RollOver {
			c.fail(at+".roll_over_cap", "A cap has no meaning where at_period_end is %s; leave it out or set at_period_end to roll_over.", credit.AtPeriodEnd)
		}
	}
	if len(credit.Burn) == 0 {
		credit.Burn = []Owner{Member, Organization}
	}
	for i := range credit.Burn {
		oneOf(c, fmt.Sprintf("%s.burn[%d]", at, i), &credit.Burn[i], "", Member, Organization)
		if slices.Contains(credit.Burn[:i], credit.Burn[i]) {
			c.fail(fmt.Sprintf("%s.burn[%d]", at, i), "The %s's pool is named twice; name it once.", credit.Burn[i])
		}
	}
	if !slices.Contains(credit.Burn, credit.Owner) {
		c.fail(at+".burn", "The %s's pool gets the allotment but is never spent; add it to the burn order.", credit.Owner)
	}
	for i, threshold := range credit.LowBalance {
		c.amount(fmt.Sprintf("%s.low_balance[%d]", at, i), threshold, 1)
	}
	slices.SortFunc(credit.LowBalance, func(a, b int64) int { return cmp.Compare(b, a) })
	credit.LowBalance = slices.Compact(credit.LowBalance)
	c.amount(at+".member_budget", credit.MemberBudget, 0)
	return credit
}

func (c *checker) action(d *Document, name string) {
	at := "actions." + name
	if sold := order.Actions(); !slices.Contains(sold, name) {
		c.fail(at, "There is no action %q; use one of %s.", name, strings.Join(sold, ", "))
	}
	a := d.Actions[name]
	if len(a.Charges) == 0 {
		c.fail(at+".charges", "The action charges nothing; name what it costs or leave the action out.")
	}
	for i := range a.Charges {
		c.charge(d, fmt.Sprintf("%s.charges[%d]", at, i), &a.Charges[i])
		if a.Charges[i].Per != PerLead && len(a.Billable) == 0 {
			c.fail(at+".billable", "A charge per %s depends on the verdict; list the billable ones.", a.Charges[i].Per)
		}
		for _, other := range a.Charges[:i] {
			if other.Type == a.Charges[i].Type {
				c.fail(fmt.Sprintf("%s.charges[%d].type", at, i), "Credits of type %q are charged twice; put both amounts into one charge.", other.Type)
			}
		}
	}
	for i := range a.Billable {
		oneOf(c, fmt.Sprintf("%s.billable[%d]", at, i), &a.Billable[i], "", Verdicts...)
		if slices.Contains(a.Billable[:i], a.Billable[i]) {
			c.fail(fmt.Sprintf("%s.billable[%d]", at, i), "%q is listed twice; list it once.", a.Billable[i])
		}
	}
	d.Actions[name] = a
}

func (c *checker) charge(d *Document, at string, charge *Charge) {
	if _, ok := d.Credits[charge.Type]; !ok {
		c.fail(at+".type", "The plan has no credits of type %q; use one of %s.", charge.Type, strings.Join(slices.Sorted(maps.Keys(d.Credits)), ", "))
	}
	c.amount(at+".amount", charge.Amount, 1)
	oneOf(c, at+".per", &charge.Per, "", PerContact, PerVerification, PerLead)
	oneOf(c, at+".scope", &charge.Once, "", OncePerOrganization, OncePerMember, EveryTime)
}
