package order

import "slices"

// ways says from which status an order may come to another.
var ways = map[Status][]Status{
	Verifying: {Reserved},
	Completed: {Verifying},
	Settled:   {Completed},
	Cancelled: {Reserved, Verifying},
	Failed:    {Reserved, Verifying},
}

// Move says how an order that stands at now stands after it was asked to go to
// another status. An order that is at that status, or beyond it on the same way,
// stays as it is. What is delivered is settled, for any cause of its end, and what
// has ended stays as it ended. ok is false where the order has gone another way.
func Move(now, to Status) (next Status, ok bool) {
	if to.Over() {
		switch {
		case now.Over():
			return now, true
		case now == Completed:
			to = Settled
		}
	}
	switch {
	case passed(now, to):
		return now, true
	case slices.Contains(ways[to], now):
		return to, true
	}
	return now, false
}

// passed says whether an order that stands at now has been at the status, so
// that the change was made before. Only a finished way proves that: an order
// that was cancelled may have been verifying or not.
func passed(now, status Status) bool {
	if now == status {
		return true
	}
	way := []Status{Reserved, Verifying, Completed, Settled}
	at, wanted := slices.Index(way, now), slices.Index(way, status)
	return at >= 0 && wanted >= 0 && at > wanted
}
