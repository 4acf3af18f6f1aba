package plan

import "time"

// Period is one credit period, from Start up to but not including End.
type Period struct {
	N     int       `json:"n"` // 0 is the period that begins at the anchor
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Contains reports whether t lies in the period.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start) && t.Before(p.End) }

// PeriodN is the n-th monthly period of an anchor. It begins n months after
// the anchor's date and time of day in loc, on the last day of the month where
// the month is too short. Every period is counted from the anchor itself:
// Jan 31 gives Feb 28 and then Mar 31 again.
//
// Where a change of the clocks skips that time of day, the period begins with
// the first instant after the gap; where it occurs twice, with the first one.
func PeriodN(anchor time.Time, n int, loc *time.Location) Period {
	return Period{N: n, Start: boundary(anchor, n, loc), End: boundary(anchor, n+1, loc)}
}

// PeriodAt is the monthly period of an anchor that contains t. A time before
// the anchor lies in a period with a negative number.
func PeriodAt(anchor, t time.Time, loc *time.Location) Period {
	a, b := anchor.In(loc), t.In(loc)
	p := PeriodN(anchor, (b.Year()-a.Year())*12+int(b.Month()-a.Month()), loc)
	for t.Before(p.Start) {
		p = PeriodN(anchor, p.N-1, loc)
	}
	for !t.Before(p.End) {
		p = PeriodN(anchor, p.N+1, loc)
	}
	return p
}

func boundary(anchor time.Time, n int, loc *time.Location) time.Time {
	a := anchor.In(loc)
	first := time.Date(a.Year(), a.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	lastDay := first.AddDate(0, 1, -1).Day()
	wall := time.Date(first.Year(), first.Month(), min(a.Day(), lastDay),
		a.Hour(), a.Minute(), a.Second(), a.Nanosecond(), time.UTC)
	return atWallClock(wall, loc)
}

// atWallClock is the instant at which the clocks in loc show what wall shows in
// UTC. time.Date leaves open what it does around a change of the clocks.
func atWallClock(wall time.Time, loc *time.Location) time.Time {
	const span = 36 * time.Hour // more than any two UTC offsets are apart
	_, before := wall.Add(-span).In(loc).Zone()
	_, after := wall.Add(span).In(loc).Zone()
	// Of two instants that show the same time, the one with the larger offset is earlier.
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		if _, actual := t.Zone(); actual == offset {
			return t
		}
	}
	// The clocks skip this time: read with the old offset it falls behind the
	// change, and the change is where that zone began.
	t := wall.Add(-time.Duration(before) * time.Second).In(loc)
	change, _ := t.ZoneBounds()
	return change
}
