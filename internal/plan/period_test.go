package plan_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/internal/plan"
)

var zones = []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"}

func zone(t require.TestingT, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func utc(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRule_N8_JanuaryThirtyFirstComesBack(t *testing.T) {
	anchor := utc("2023-01-31T09:30:00Z")
	starts := make([]string, 0, 15)
	for n := range 15 {
		starts = append(starts, plan.PeriodN(anchor, n, time.UTC).Start.Format("2006-01-02 15:04"))
	}
	require.Equal(t, []string{
		"2023-01-31 09:30", "2023-02-28 09:30", "2023-03-31 09:30", "2023-04-30 09:30", "2023-05-31 09:30",
		"2023-06-30 09:30", "2023-07-31 09:30", "2023-08-31 09:30", "2023-09-30 09:30", "2023-10-31 09:30",
		"2023-11-30 09:30", "2023-12-31 09:30", "2024-01-31 09:30", "2024-02-29 09:30", "2024-03-31 09:30",
	}, starts)
}

// P6: every month end, leap year and change of the clocks over four years.
func TestPeriodsOfLateAnchors(t *testing.T) {
	daysIn := []int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for _, name := range zones {
		loc := zone(t, name)
		for day := 28; day <= 31; day++ {
			for _, hour := range []int{0, 2, 12, 23} {
				anchor := time.Date(2023, time.January, day, hour, 30, 15, 0, loc)
				for n := range 48 {
					year, month := 2023+n/12, n%12
					last := daysIn[month]
					if month == 1 && year == 2024 {
						last = 29
					}
					p := plan.PeriodN(anchor, n, loc)
					require.Equal(t, n, p.N)
					require.Equal(t, p.End, plan.PeriodN(anchor, n+1, loc).Start, "no gap and no overlap")
					require.Equal(t, p, plan.PeriodAt(anchor, p.Start, loc))
					require.Equal(t, p, plan.PeriodAt(anchor, p.End.Add(-1), loc))

					local := p.Start.In(loc)
					want := time.Date(year, time.Month(month+1), min(day, last), hour, 30, 15, 0, time.UTC)
					if local.Hour() != hour { // the clocks skipped it: the first instant after the gap
						_, before := p.Start.Add(-1).In(loc).Zone()
						_, after := local.Zone()
						require.Greater(t, after, before, "%s %s", name, local)
						require.Equal(t, want.Truncate(24*time.Hour).Format("2006-01-02"), local.Format("2006-01-02"))
						continue
					}
					require.Equal(t, want.Format(time.DateTime), local.Format(time.DateTime), name)
				}
			}
		}
	}
}

func TestPeriodsAroundChangesOfTheClocks(t *testing.T) {
	for _, c := range []struct {
		what, zone, anchor string
		n                  int
		start              string
	}{
		{"a time that is skipped begins after the gap", "America/New_York", "2024-02-10T02:30:00-05:00", 1, "2024-03-10T07:00:00Z"},
		{"the month after is back at its time", "America/New_York", "2024-02-10T02:30:00-05:00", 2, "2024-04-10T06:30:00Z"},
		{"a time that occurs twice means the first", "America/New_York", "2024-10-03T01:30:00-04:00", 1, "2024-11-03T05:30:00Z"},
		{"an anchor at the second of the two does not shift the rest", "America/New_York", "2024-11-03T01:30:00-05:00", 1, "2024-12-03T06:30:00Z"},
		{"clamped and skipped at once", "Europe/Berlin", "2024-01-31T02:30:00+01:00", 2, "2024-03-31T01:00:00Z"},
		{"local midnight stays local midnight", "Europe/Berlin", "2024-03-01T00:00:00+01:00", 1, "2024-03-31T22:00:00Z"},
		{"half an hour of summer time", "Australia/Lord_Howe", "2024-09-06T02:10:00+10:30", 1, "2024-10-05T15:30:00Z"},
		{"the same at its end", "Australia/Lord_Howe", "2024-03-07T01:45:00+11:00", 1, "2024-04-06T14:45:00Z"},
		{"a day that was left out", "Pacific/Apia", "2011-11-30T12:00:00-10:00", 1, "2011-12-30T10:00:00Z"},
		{"the day in the zone counts, not in UTC", "Asia/Kathmandu", "2024-01-31T01:00:00+05:45", 1, "2024-02-28T19:15:00Z"},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := plan.PeriodN(utc(c.anchor), c.n, zone(t, c.zone))
			require.Equal(t, c.start, p.Start.UTC().Format(time.RFC3339))
		})
	}
}

func TestPeriodBeforeTheAnchorIsNegative(t *testing.T) {
	p := plan.PeriodAt(utc("2024-03-31T00:00:00Z"), utc("2024-02-28T23:59:59Z"), time.UTC)
	require.Equal(t, plan.Period{N: -2, Start: utc("2024-01-31T00:00:00Z"), End: utc("2024-02-29T00:00:00Z")}, p)
}

func TestPeriodsCoverAllTimeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		anchor := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "anchor"), 0)
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		p := plan.PeriodAt(anchor, at, loc)
		require.True(t, p.Contains(at))
		require.Equal(t, plan.PeriodN(anchor, p.N, loc), p)
		require.False(t, plan.PeriodN(anchor, p.N-1, loc).Contains(at))
		require.False(t, plan.PeriodN(anchor, p.N+1, loc).Contains(at))
		length := p.End.Sub(p.Start)
		require.GreaterOrEqual(t, length, 27*24*time.Hour, "code that pages through due periods relies on it")
		require.LessOrEqual(t, length, 33*24*time.Hour)
	})
}

// The end of a period is the beginning of the next one, and of that one alone.
func TestTheEndOfAPeriod(t *testing.T) {
	anchor := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	for n := range 24 {
		p, next := plan.PeriodN(anchor, n, time.UTC), plan.PeriodN(anchor, n+1, time.UTC)
		require.Equal(t, p.End, next.Start)
		require.False(t, p.Contains(p.End))
		require.True(t, p.Contains(p.End.Add(-time.Nanosecond)))
		require.True(t, next.Contains(p.End))
		require.Equal(t, n+1, plan.PeriodAt(anchor, p.End, time.UTC).N)
		require.Equal(t, n, plan.PeriodAt(anchor, p.End.Add(-time.Nanosecond), time.UTC).N)
	}
}
