package main

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/intake"
	"holdfast/workflows"
)

const (
	resetEvery     = time.Hour       // how often due subscriptions are looked for
	reconcileEvery = 5 * time.Minute // how often orders without a workflow are looked for
)

func (a *app) scheduleCommand() *cobra.Command {
	return group("schedule", "The schedules of the monthly reset and of recovering orders",
		a.scheduleEnsureCommand(), a.scheduleShowCommand(), a.scheduleTriggerCommand(),
		a.schedulePauseCommand(), a.scheduleUnpauseCommand(), a.scheduleBackfillCommand(), a.schedulePreviewCommand())
}

func (a *app) scheduleEnsureCommand() *cobra.Command {
	var every, reconcile time.Duration
	cmd := &cobra.Command{
		Use:   "ensure",
		Short: "Make the schedules, or bring them up to date",
		Long: `Makes the schedule that resets credits and the one that takes up orders whose
workflow is gone, or brings them up to date. It may run any number of times, after
every deployment for example; a schedule that is paused stays paused.`,
		Example: examples("holdfast schedule ensure", "holdfast schedule ensure --every 10m"),
		Args:    cobra.NoArgs,
		RunE: a.onSchedule(func(cmd *cobra.Command, in *intake.Intake) error {
			created, err := in.EnsureSchedule(cmd.Context(), every)
			if errors.Is(err, intake.ErrInterval) {
				return usagef("--every %s is not possible: %w", every, err)
			}
			if err != nil {
				return err
			}
			also, err := in.EnsureReconcile(cmd.Context(), reconcile)
			if errors.Is(err, intake.ErrInterval) {
				return usagef("--reconcile-every %s is not possible: %w", reconcile, err)
			}
			if err == nil && (created || also) {
				a.note("The schedules were made.")
			}
			return err
		}),
	}
	cmd.Flags().DurationVar(&every, "every", resetEvery, "how often due subscriptions are looked for")
	cmd.Flags().DurationVar(&reconcile, "reconcile-every", reconcileEvery, "how often orders without a workflow are looked for")
	return cmd
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show when the reset runs and has run",
		Example: examples("holdfast schedule show"),
		Args:    cobra.NoArgs,
		RunE:    a.onSchedule(func(*cobra.Command, *intake.Intake) error { return nil }),
	}
}

func (a *app) scheduleTriggerCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "trigger",
		Short:   "Reset now what is due",
		Example: examples("holdfast schedule trigger"),
		Args:    cobra.NoArgs,
		RunE: a.onSchedule(func(cmd *cobra.Command, in *intake.Intake) error {
			return in.TriggerReset(cmd.Context())
		}),
	}
}

func (a *app) schedulePauseCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Stop resetting credits for a while",
		Long: `Stops the schedule. What falls due while it is paused is not lost: the first run after
"schedule unpause" resets every missed period, in order, once each.`,
		Example: examples(`holdfast schedule pause --reason "prices are being changed"`),
		Args:    cobra.NoArgs,
		RunE: a.onSchedule(func(cmd *cobra.Command, in *intake.Intake) error {
			return in.PauseReset(cmd.Context(), reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "paused by an operator", "reason, shown with the schedule")
	return cmd
}

func (a *app) scheduleUnpauseCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "unpause",
		Short:   "Go on resetting credits",
		Example: examples("holdfast schedule unpause"),
		Args:    cobra.NoArgs,
		RunE: a.onSchedule(func(cmd *cobra.Command, in *intake.Intake) error {
			return in.UnpauseReset(cmd.Context(), reason)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "unpaused by an operator", "reason, shown with the schedule")
	return cmd
}

func (a *app) scheduleBackfillCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Run missed resets",
		Long: `Starts the runs that the schedule would have started between two times, one
after the other. What was reset already is not reset again.`,
		Example: examples("holdfast schedule backfill --from 2026-11-01 --to 2026-11-02T12:00:00Z"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			begin, err := parseTime("from", from)
			if err != nil {
				return err
			}
			end, err := parseTime("to", to)
			if err != nil {
				return err
			}
			if end.IsZero() {
				end = time.Now()
			}
			return a.onSchedule(func(cmd *cobra.Command, in *intake.Intake) error {
				return in.BackfillReset(cmd.Context(), begin, end)
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "begin of the time to make up for")
	cmd.Flags().StringVar(&to, "to", "", "its end; now when left out")
	required(cmd, "from")
	return cmd
}

func (a *app) schedulePreviewCommand() *cobra.Command {
	var org, at string
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show what a reset would do to an organization, without doing it",
		Long: `Rehearses every reset of an organization and its licences that will have fallen
due by a time: what would expire, roll over and be granted, with the credits and
plans there are now. It changes nothing.`,
		Example: examples("holdfast schedule preview --org acme --at 2026-12-01", "holdfast schedule preview --org acme --at 2026-12-01T12:00:00Z --json"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := parseTime("at", at); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/reset-preview")
				if err != nil {
					return err
				}
				return ask(ctx, a, s, fetch(path, set(url.Values{}, "at", at)), a.showPreview)
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&at, "at", "", "periods that begin up to this date or time; now when left out")
	return cmd
}

func (a *app) showPreview(p billing.Preview) {
	if len(p.Resets) == 0 {
		a.say("No period of %s begins by %s that has not been reset already.", p.Org, when(p.At))
		return
	}
	a.say("Resets of %s up to %s; nothing was changed.", p.Org, when(p.At))
	t := newTable("period from", "for", "plan", "credits", ">expire", ">roll over", ">granted")
	t.indent = 2
	for _, r := range p.Resets {
		whose := cmp.Or(r.Member, "organization")
		for _, c := range r.Credits {
			t.add(when(r.Period.Start), whose, r.Plan, c.Type, number(c.Expired), number(c.RolledOver), number(c.Granted))
		}
		if len(r.Credits) == 0 {
			t.add(when(r.Period.Start), whose, r.Plan, "none", "0", "0", "0")
		}
	}
	a.print(t)
}

// onSchedule connects a command to Temporal, lets it do its work and shows how
// the schedules stand then.
func (a *app) onSchedule(do func(*cobra.Command, *intake.Intake) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		parts, err := a.openApp(cmd.Context())
		if err != nil {
			return err
		}
		defer parts.Close()
		if err := do(cmd, parts.Intake); err != nil {
			return err
		}
		reset, err := parts.Intake.Schedule(cmd.Context(), workflows.ResetSchedule)
		if err != nil {
			return err
		}
		other, err := parts.Intake.Schedule(cmd.Context(), workflows.ReconcileSchedule)
		if err != nil && !errors.Is(err, intake.ErrNoSchedule) {
			return err
		}
		if a.json {
			return a.printJSON(struct {
				intake.Schedule
				Reconcile intake.Schedule `json:"reconcile,omitzero"`
			}{reset, other})
		}
		a.showSchedule(reset)
		if other.ID != "" {
			a.showSchedule(other)
		}
		return nil
	}
}

func (a *app) showSchedule(s intake.Schedule) {
	state := "runs every " + s.Every
	if s.Paused {
		state = "is paused"
	}
	if s.Note != "" {
		state += " (" + s.Note + ")"
	}
	a.say("The schedule %s %s.", s.ID, state)
	if len(s.Next) > 0 && !s.Paused {
		a.say("  next run      %s", when(s.Next[0]))
	}
	for _, id := range s.Running {
		a.say("  running       %s", id)
	}
	if len(s.Recent) == 0 {
		return
	}
	t := newTable("run", "for", "started")
	t.indent = 2
	for _, r := range s.Recent {
		t.add(r.WorkflowID, when(r.ScheduledAt), when(r.StartedAt))
	}
	a.print(t)
}
