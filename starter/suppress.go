package main

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/suppression"
)

func (a *app) suppressCommand() *cobra.Command {
	return group("suppress", "People and domains that no order may deliver",
		a.suppressChangeCommand("add", "Put addresses or domains on a suppression list", "added", func(ctx context.Context, l *suppression.List, org, reason string, entries []string) (int64, error) {
			return l.Add(ctx, org, reason, entries)
		}),
		a.suppressChangeCommand("remove", "Take addresses or domains off a suppression list", "removed", func(ctx context.Context, l *suppression.List, org, _ string, entries []string) (int64, error) {
			return l.Remove(ctx, org, entries)
		}),
		a.suppressCheckCommand())
}

func (a *app) suppressChangeCommand(use, short, done string, change func(ctx context.Context, l *suppression.List, org, reason string, entries []string) (int64, error)) *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:     use + " ADDRESS|DOMAIN…",
		Short:   short,
		Example: examples("holdfast suppress "+use+" --org acme ann@example.com partner.example", "holdfast suppress "+use+" bob@example.com"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, entries []string) error {
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			if org != suppression.Everybody {
				if _, err := rooms.Accounts.Org(cmd.Context(), org); err != nil {
					return err
				}
			}
			n, err := change(cmd.Context(), suppression.New(rooms.Pool), org, reason, entries)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]int64{done: n})
			}
			a.say("%s %s.", count(n, "entry"), done)
			return nil
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "whose list; everybody's when left out")
	if use == "add" {
		cmd.Flags().StringVar(&reason, "reason", "", "why, without contact data")
	}
	return cmd
}

func (a *app) suppressCheckCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "check ADDRESS|DOMAIN…",
		Short:   "Say whether addresses or domains are suppressed",
		Example: examples("holdfast suppress check --org acme ann@example.com"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, entries []string) error {
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			suppressed, err := suppression.New(rooms.Pool).Suppressed(cmd.Context(), org, entries)
			if err != nil {
				return err
			}
			if a.json {
				answer := make(map[string]bool, len(entries))
				for i, entry := range entries {
					answer[entry] = suppressed[i]
				}
				return a.printJSON(answer)
			}
			t := newTable("entry", "suppressed")
			for i, entry := range entries {
				t.add(entry, map[bool]string{true: "yes", false: "no"}[suppressed[i]])
			}
			a.print(t)
			return nil
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "by whose list besides everybody's")
	return cmd
}
