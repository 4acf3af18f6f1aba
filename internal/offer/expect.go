package offer

import (
	"context"
	"math"
	"slices"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/verify"
)

// How far a quote trusts earlier orders.
const (
	ownContacts = 200  // fewer contacts of the organization's own, and a quote looks at all organizations'
	ownSpread   = 0.02 // how far valid rates of one organization's orders lie apart, until there are several
	allSpread   = 0.05 // the same of all organizations' orders
	spreadTrust = 3    // how many orders such an assumption is worth
	outside     = 0.03 // share of orders that may cost less than the range, and more
)

// past is what one earlier order came to: of n verified items, so many would
// have been charged.
type past struct{ n, charged float64 }

// rate is what is known about the share of items that will be charged: a beta
// distribution. Without any earlier order it is uniform.
type rate struct {
	alpha, beta float64
	known       int64 // contacts it follows from
}

// rate looks at what came of earlier orders of the same kind and field: at the
// organization's own where these are enough, else at those of all.
func (d *Pricer) rate(ctx context.Context, in order.Input, c order.Charge, billable []string) (rate, error) {
	field := c.Field
	if field == "" {
		field = order.EmailField
	}
	if len(c.Billable) > 0 {
		billable = c.Billable
	}
	for _, level := range []struct {
		org    string
		enough int64
		spread float64
	}{{in.Org, ownContacts, ownSpread}, {"", 1, allSpread}} {
		outcomes, err := d.book.Outcomes(ctx, level.org, in.Request.Kind, field)
		if err != nil {
			return rate{}, err
		}
		if r := estimate(perOrder(outcomes, billable), level.spread); r.known >= level.enough {
			return r, nil
		}
	}
	return estimate(nil, 0), nil
}

// perOrder sums outcomes up by order.
func perOrder(outcomes []orderbook.Outcome, billable []string) (orders []past) {
	price := plan.Price{Per: plan.PerVerification, Billable: billable}
	var last int64
	for _, o := range outcomes {
		if len(orders) == 0 || o.Order != last {
			orders, last = append(orders, past{}), o.Order
		}
		p := &orders[len(orders)-1]
		p.n += float64(o.Items)
		free := o.Verdict == string(verify.Unknown) && verify.Reason(o.Reason).Ours()
		if len(price.Due(plan.Item{Verdict: o.Verdict, Free: free}, nil)) > 0 {
			p.charged += float64(o.Items)
		}
	}
	return orders
}

// estimate makes a rate of earlier orders. Orders differ more from each other
// than chance within one order explains: a list may be old, a selection narrow.
// How much more is the spread (the intra-class correlation of a beta-binomial
// model), estimated by analysis of variance and drawn towards an assumption as
// long as there are few orders.
func estimate(orders []past, assumed float64) rate {
	spread := (spreadTrust*assumed + float64(max(0, len(orders)-1))*correlation(orders)) / float64(spreadTrust+max(0, len(orders)-1))
	weight, charged, known := 2.0, 1.0, 0.0 // as two contacts would weigh, one of them charged
	for _, o := range orders {
		w := o.n / (1 + (o.n-1)*spread)
		weight += w
		charged += w * o.charged / o.n
		known += o.n
	}
	if known == 0 {
		return rate{alpha: 1, beta: 1}
	}
	mean := charged / weight
	concentration := 1/(spread+1/weight) - 1
	return rate{alpha: mean * concentration, beta: (1 - mean) * concentration, known: int64(known)}
}

// correlation is the ANOVA estimate of the intra-class correlation: 0 where
// orders differ by chance alone, 1 where each is all or nothing.
func correlation(orders []past) float64 {
	var n, charged, squares, within float64
	for _, o := range orders {
		n, charged, squares = n+o.n, charged+o.charged, squares+o.n*o.n
		within += o.charged * (o.n - o.charged) / o.n
	}
	k := float64(len(orders))
	if k < 2 || n <= k {
		return 0
	}
	var between float64
	for _, o := range orders {
		off := o.charged/o.n - charged/n
		between += o.n * off * off
	}
	between /= k - 1
	within /= n - k
	size := (n - squares/n) / (k - 1)
	if between <= within {
		return 0
	}
	return min(0.9, (between-within)/(between+(size-1)*within))
}

// of is for how many of the items that may fall due a charge will probably be
// made; anything between none and all where nothing is known.
func (r rate) of(d due) (low, high int64) {
	if r.known == 0 {
		return 0, d.most
	}
	low, _ = r.between(d.least)
	_, high = r.between(d.most)
	return low, high
}

// between is the range in which the number of charged items of n lies in all but
// a few orders: the outer quantiles of the beta-binomial distribution. It is
// never a point, for no number of earlier orders makes the next one certain.
func (r rate) between(n int64) (low, high int64) {
	if n <= 0 {
		return 0, 0
	}
	// Weights relative to the mode's, downwards and upwards from it, until they
	// no longer count.
	mode := int64(min(max(0, math.Round((r.alpha-1)/max(r.alpha+r.beta-2, 1e-9)*float64(n))), float64(n)))
	if r.alpha <= 1 && r.beta <= 1 {
		mode = n / 2
	}
	first, weights := mode, []float64{1}
	for k := mode; k > 0; k-- {
		w := weights[len(weights)-1] / r.step(n, k-1)
		if w < 1e-9 {
			break
		}
		weights, first = append(weights, w), k-1
	}
	slices.Reverse(weights)
	for k := mode; k < n; k++ {
		w := weights[len(weights)-1] * r.step(n, k)
		if w < 1e-9 {
			break
		}
		weights = append(weights, w)
	}
	var total float64
	for _, w := range weights {
		total += w
	}
	low, high = first, first+int64(len(weights))-1
	for sum := weights[low-first]; sum < outside*total; sum += weights[low-first] {
		low++
	}
	for sum := weights[high-first]; sum < outside*total; sum += weights[high-first] {
		high--
	}
	switch {
	case low < high:
	case low > 0:
		low--
	default:
		high++
	}
	return low, high
}

// step is how much more likely k+1 charged items of n are than k.
func (r rate) step(n, k int64) float64 {
	return float64(n-k) / float64(k+1) * (float64(k) + r.alpha) / (float64(n-k-1) + r.beta)
}
