package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/testclock"
)

func (a *app) clockCommand() *cobra.Command {
	return group("clock", "Test clocks: rehearse a year in a minute (dev and sandboxes)",
		a.clockCreateCommand(), a.clockAdvanceCommand(), a.clockShowCommand(), a.clockListCommand(), a.clockDeleteCommand())
}

func (a *app) clockCreateCommand() *cobra.Command {
	var org, at string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Give an organization a time of its own",
		Long: `Gives an organization a time of its own, which stands still until it is advanced.
An organization that is still to be created begins at that time, also a past one.
For one that exists time begins now, or at a later time.`,
		Example: examples("holdfast clock create --org rehearsal --at 2028-01-31T09:00:00Z"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := parseTime("at", at)
			if err != nil {
				return err
			}
			return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
				s.asked = org
				return ask(ctx, a, s, post("/test-clocks", nil, map[string]any{"org": org, "at": t}), a.showClock)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "the organization, or the id that it will have")
	cmd.Flags().StringVar(&at, "at", "", "its time")
	required(cmd, "org", "at")
	return cmd
}

func (a *app) clockAdvanceCommand() *cobra.Command {
	var to string
	var wait bool
	cmd := &cobra.Command{
		Use:   "advance ID",
		Short: "Move an organization's time forward, by at most two years",
		Long: `Moves the time of a test clock's organization forward. What falls due on the way
is carried out moment by moment, in order: periods end, credits start and expire,
refunds are given, changes of plan come into force, alerts are raised.`,
		Example: examples("holdfast clock advance clock_k3n5p7q2 --to 2029-03-31 --wait"),
		Args:    oneArgument("the clock's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := parseTime("to", to)
			if err != nil {
				return err
			}
			return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
				query := url.Values{}
				if wait {
					query.Set("wait", "30s")
				}
				for {
					var clock testclock.Clock
					if err := s.Post(ctx, clockPath(args[0])+"/advance", query, map[string]any{"to": t}, &clock); err != nil {
						return err
					}
					if !wait || clock.Status == testclock.Ready {
						return answer(a, clock, a.showClock)
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the new time")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all is carried out")
	required(cmd, "to")
	return cmd
}

func (a *app) clockShowCommand() *cobra.Command {
	return a.oneClock("show ID", "Show a test clock", func(ctx context.Context, s *session, id string) error {
		return ask(ctx, a, s, fetch(clockPath(id), nil), a.showClock)
	})
}

func (a *app) clockDeleteCommand() *cobra.Command {
	cmd := a.oneClock("delete ID", "Delete a test clock and close its organization", func(ctx context.Context, s *session, id string) error {
		if err := s.Do(ctx, client.Request{Method: http.MethodDelete, Path: clockPath(id)}, nil); err != nil {
			return err
		}
		if !a.json {
			a.say("Clock %s is deleted.", id)
		}
		return nil
	})
	cmd.Long = `Deletes a test clock and closes its organization for good: it has lived by a time
that nothing else has. An organization that was not created yet is free of it.`
	return cmd
}

// oneClock is a command about a clock that is named.
func (a *app) oneClock(use, short string, do func(ctx context.Context, s *session, id string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Example: examples("holdfast clock " + use[:len(use)-len("ID")] + "clock_k3n5p7q2"),
		Args:    oneArgument("the clock's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error { return do(ctx, s, args[0]) })
		},
	}
}

// clockPage is a page of the list of test clocks.
type clockPage struct {
	Clocks     []testclock.Clock `json:"test_clocks"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

func (a *app) clockListCommand() *cobra.Command {
	var limit int
	var cursor string
	cmd := &cobra.Command{
		Use: "list", Short: "List the test clocks, newest first",
		Example: examples("holdfast clock list"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
				return ask(ctx, a, s, fetch("/test-clocks", pageQuery(limit, cursor)), func(page clockPage) {
					t := newTable("clock", "organization", "time", "status")
					for _, c := range page.Clocks {
						t.add(c.ID, c.Org, when(c.At), string(c.Status))
					}
					a.print(t)
					a.more(page.NextCursor)
				})
			})
		},
	}
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

func clockPath(id string) string { return "/test-clocks/" + url.PathEscape(id) }

func (a *app) showClock(c testclock.Clock) {
	a.say("%s: it is %s for %s.", c.ID, when(c.At), c.Org)
	if c.Target != nil {
		a.say("It is advancing to %s.", when(*c.Target))
	}
}
