package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/wire"
)

func (a *app) creditsCommand() *cobra.Command {
	var org, member, at string
	cmd := &cobra.Command{
		Use:   "credits",
		Short: "Show an organization's credits: available, held, used",
		Example: examples("holdfast credits --org acme", "holdfast credits --org acme --member bob --json",
			"holdfast credits --org acme --at 2026-11-01T00:00:00Z"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			then, err := parseTime("at", at)
			if err != nil {
				return err
			}
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			view, err := creditsOf(cmd.Context(), rooms, org, member, then)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(view)
			}
			a.showCredits(view)
			return nil
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&member, "member", "", "only this member's and the shared credits")
	cmd.Flags().StringVar(&at, "at", "", "as they were at this past time, as 2026-11-01 or RFC 3339; now when left out")
	cmd.AddCommand(a.creditsGrantCommand(), a.creditsGrantsCommand(), a.creditsVoidCommand(), a.creditsHistoryCommand())
	return cmd
}

func creditsOf(ctx context.Context, rooms *wire.Rooms, orgID, member string, at time.Time) (billing.Credits, error) {
	org, err := rooms.Accounts.Org(ctx, orgID)
	if err != nil {
		return billing.Credits{}, err
	}
	var who account.Member
	if member != "" {
		if who, err = rooms.Accounts.Member(ctx, orgID, member); err != nil {
			return billing.Credits{}, err
		}
	}
	if !at.IsZero() {
		return rooms.Billing.CreditsAt(ctx, org, who, at)
	}
	return rooms.Billing.Credits(ctx, org, who)
}

func (a *app) showCredits(v billing.Credits) {
	switch {
	case v.At != nil:
		a.say("Credits of %s at %s", v.Org, when(*v.At))
	case v.Period != nil:
		a.say("Credits of %s, %s to %s", v.Org, v.Period.Start.Format(time.DateOnly), v.Period.End.Format(time.DateOnly))
	case v.NextReset != nil:
		a.say("Credits of %s; the first credit period begins %s", v.Org, when(*v.NextReset))
	default:
		a.say("Credits of %s", v.Org)
	}
	if v.NextPlan != nil {
		a.say("  Plan %s version %d begins %s.", v.NextPlan.Plan, v.NextPlan.Version, when(v.NextPlan.At))
	}
	for _, b := range v.Budgets {
		a.say("  Budget of %s for shared %s credits: %s of %s used.", v.Member, b.Type, number(b.Used), number(b.Amount))
	}
	var moved int64
	for _, c := range v.Credits {
		moved += c.Available + c.Held + c.UsedTotal
	}
	if moved == 0 {
		a.say("None yet; grant some: %s credits grant --org %s --type email --amount 10000", program(), v.Org)
		return
	}
	t := newTable("type", "pool", ">available", ">held", ">used", ">used in all", "expires")
	t.indent = 2
	for _, c := range v.Credits {
		expires := "never"
		if c.ExpiresAt != nil {
			expires = when(*c.ExpiresAt)
		}
		pool := c.Pool
		if c.Member != "" {
			pool += " " + c.Member
		}
		t.add(c.Type, pool, number(c.Available), number(c.Held), number(c.Used), number(c.UsedTotal), expires)
	}
	a.print(t)
}

func (a *app) creditsGrantCommand() *cobra.Command {
	var g billing.NewGrant
	var org, key, reason, source, starts, expires string
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "Give credits to an organization or a member",
		Long: `Gives credits to an organization's shared pool or, with --member, to a member.
Sent again with the same key, the grant happens once. Without --key a new one
is made and printed.`,
		Example: examples(
			"holdfast credits grant --org acme --type email --amount 10000",
			"holdfast credits grant --org acme --type email --amount 500 --source promotion --expires-at 2027-01-31 --key welcome",
			"holdfast credits grant --org acme --member bob --type email --amount 500 --starts-at 2027-01-01 --priority -1"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g.Source = ledger.Source(source)
			switch {
			case g.Amount <= 0 || g.Amount > ledger.MaxAmount:
				return usagef("the amount is %d; grant at least 1 credit and at most %s", g.Amount, number(ledger.MaxAmount))
			case !slices.Contains(billing.GrantSources, g.Source):
				return usagef("there is no source %q; use %s", source, joinSources())
			}
			var err error
			if g.StartsAt, err = parseTime("starts-at", starts); err != nil {
				return err
			}
			if g.ExpiresAt, err = parseTime("expires-at", expires); err != nil {
				return err
			}
			if key == "" {
				key = newKey()
				a.note("Idempotency key: %s", key)
			}
			return a.grant(cmd.Context(), org, key, g, reason)
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.StringVar(&g.Member, "member", "", "member who gets the credits; empty for the shared pool")
	flags.StringVar(&g.Type, "type", "", "credit type, such as email")
	flags.Int64Var(&g.Amount, "amount", 0, "how many credits")
	flags.StringVar(&source, "source", string(ledger.SourcePack), joinSources())
	flags.Int32Var(&g.Priority, "priority", 0, "credits with a lower priority are spent first")
	flags.StringVar(&starts, "starts-at", "", "when the credits are there, as 2027-01-31 or RFC 3339; at once when left out")
	flags.StringVar(&expires, "expires-at", "", "when they expire, as 2027-01-31 or RFC 3339; never when left out")
	flags.StringVar(&reason, "reason", "", "reason, shown in the history; at most 500 characters")
	flags.StringVar(&key, "key", "", "idempotency key: the same key is the same grant")
	required(cmd, "type", "amount")
	return cmd
}

func joinSources() string {
	s := billing.GrantSources
	return fmt.Sprintf("%s, %s or %s", s[0], s[1], s[2])
}

func (a *app) grant(ctx context.Context, orgID, key string, g billing.NewGrant, reason string) error {
	rooms, err := openDatabase(ctx)
	if err != nil {
		return err
	}
	defer rooms.Close()
	org, err := rooms.Accounts.Org(ctx, orgID)
	if err != nil {
		return err
	}
	id, err := rooms.Billing.Grant(ctx, org, key, g, reason)
	if err != nil {
		return err
	}
	view, err := creditsOf(ctx, rooms, orgID, g.Member, time.Time{})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(view)
	}
	a.say("%s granted.", count(g.Amount, g.Type+" credit"))
	if g.StartsAt.After(org.Time(time.Now())) {
		a.say("They are available from %s on.", when(g.StartsAt))
	}
	a.note("Grant: %d", id)
	a.showCredits(view)
	return nil
}

// newKey makes an idempotency key for a command that was given none.
func newKey() string { return "cli-" + strings.ToLower(rand.Text()) }

// parseTime reads a date or an RFC 3339 time from a flag; empty is the zero
// time.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s %q is no time; write 2027-01-31 or 2027-01-31T12:00:00Z", flag, text)
}
