package api

import (
	"context"
	"net/http"
	"time"

	"holdfast/internal/errcode"
	"holdfast/internal/testclock"
)

var errNoSandbox = errcode.New(errcode.NotConfigured, "Test clocks are for development and sandboxes; on a server without real customers, set HOLDFAST_SANDBOX=true.")

// ClockID is the test clock that a route is about.
type ClockID struct {
	ID string `path:"id" maxLength:"100" doc:"The clock." example:"clock_k3n5p7q2"`
}

type clockPage struct {
	Clocks     []testclock.Clock `json:"test_clocks" doc:"The clocks, newest first."`
	NextCursor string            `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) testClocks() {
	addClock(a, route{
		method: http.MethodPost, path: "/test-clocks", name: "createTestClock", status: http.StatusCreated, errors: []int{http.StatusServiceUnavailable},
		summary: "Give an organization a time of its own",
		about: "For rehearsals, in development and sandboxes only. The time stands still between advances. " +
			"An organization that is still to be created begins at that time, also a past one. One that exists has lived until now: its time begins now and, where a later one is given, is advanced to it; orders that are not settled are refused with 409.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			Org string `json:"org" maxLength:"100" doc:"The organization, or the id that it will have." example:"acme"`
			At  Moment `json:"at" doc:"Its time." example:"2028-01-31T09:00:00Z"`
		}
	},
	) (*answer[testclock.Clock], error) {
		clock, err := a.TestClocks.Create(ctx, in.Body.Org, in.Body.At.Time)
		a.keys.forget()
		return body(a.walk(ctx, clock, err))
	})
	addClock(a, route{
		method: http.MethodPost, path: "/test-clocks/{id}/advance", name: "advanceTestClock", stream: true, errors: []int{http.StatusServiceUnavailable},
		summary: "Move an organization's time forward, by at most two years",
		about: "What falls due on the way is carried out moment by moment, in order: periods end, credits start and expire, refunds are given, changes of plan come into force, alerts are raised. " +
			"The clock is advancing until then. Orders that are being carried out are waited for first. Sent again with the same time, it is the same advance. With wait it answers when the clock is ready, or when the time is over.",
	}, func(ctx context.Context, in *struct {
		ClockID
		Wait string `query:"wait" doc:"How long to wait until the clock is ready, such as 30s; at most 1m." example:"30s"`
		Body struct {
			To Moment `json:"to" doc:"Where to; never back." example:"2029-03-31T09:00:00Z"`
		}
	},
	) (*answer[testclock.Clock], error) {
		wait, err := parseWait(in.Wait)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, answerWithin+wait)
		defer cancel()
		clock, err := a.TestClocks.Advance(ctx, in.ID, in.Body.To.Time)
		if clock, err = a.walk(ctx, clock, err); err != nil {
			return nil, err
		}
		return body(a.arrived(ctx, clock, wait))
	})
	addClock(a, route{
		method: http.MethodGet, path: "/test-clocks/{id}", name: "getTestClock", summary: "Show a test clock",
	}, func(ctx context.Context, in *struct{ ClockID }) (*answer[testclock.Clock], error) {
		return body(a.TestClocks.Get(ctx, in.ID))
	})
	addClock(a, route{
		method: http.MethodGet, path: "/test-clocks", name: "listTestClocks", summary: "List the test clocks, newest first",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[clockPage], error) {
		list, next, err := readPage(in.Page, func(before time.Time, id string, limit int) ([]testclock.Clock, error) {
			return a.TestClocks.List(ctx, before, id, limit)
		}, func(c testclock.Clock) (time.Time, string) { return c.CreatedAt, c.ID })
		return body(clockPage{list, next}, err)
	})
	addClock(a, route{
		method: http.MethodDelete, path: "/test-clocks/{id}", name: "deleteTestClock",
		summary: "Delete a test clock and close its organization",
		about:   "The organization has lived by a time that nothing else has: it is closed for good, and its time stands still. While orders are not settled it is suspended alone, and the answer is 409. An organization that was not created yet is free of the clock.",
	}, func(ctx context.Context, in *struct{ ClockID }) (*none, error) {
		defer a.keys.forget()
		return nil, a.TestClocks.Delete(ctx, in.ID)
	})
}

// addClock registers a route of test clocks: they are made and advanced in
// sandboxes alone.
func addClock[In, Out any](a *API, r route, handle func(context.Context, *In) (*Out, error)) {
	r.tag, r.needs, r.noOrg = "Test clocks", operator, true
	if r.method != http.MethodGet {
		r.errors = append(r.errors, http.StatusConflict)
	}
	add(a, r, func(ctx context.Context, in *In) (*Out, error) {
		if r.method == http.MethodPost && !a.Sandbox {
			return nil, errNoSandbox
		}
		return handle(ctx, in)
	})
}

// walk sees to it that a clock that is to move does.
func (a *API) walk(ctx context.Context, clock testclock.Clock, err error) (testclock.Clock, error) {
	if err != nil || clock.Status == testclock.Ready {
		return clock, err
	}
	return clock, a.Intake.AdvanceTestClock(ctx, clock.ID)
}

// arrived returns a clock when it is ready, or as it is after wait.
func (a *API) arrived(ctx context.Context, clock testclock.Clock, wait time.Duration) (testclock.Clock, error) {
	end, pause := time.After(wait), 10*time.Millisecond
	for ; wait > 0 && clock.Status == testclock.Advancing; pause = min(pause*3/2, 200*time.Millisecond) {
		select {
		case <-ctx.Done():
			return clock, ctx.Err()
		case <-a.drain:
			return clock, nil
		case <-end:
			return clock, nil
		case <-time.After(pause):
		}
		var err error
		if clock, err = a.TestClocks.Get(ctx, clock.ID); err != nil {
			return clock, err
		}
	}
	return clock, nil
}
