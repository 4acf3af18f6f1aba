package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
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
			if _, err := parseTime("at", at); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				return ask(ctx, a, s, fetch("/credits", set(query, "member", member, "at", at)), a.showCredits)
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&member, "member", "", "only this member's and the shared credits")
	cmd.Flags().StringVar(&at, "at", "", "as they were at this past time, as 2026-11-01 or RFC 3339; now when left out")
	cmd.AddCommand(a.creditsGrantCommand(), a.creditsGrantsCommand(), a.creditsVoidCommand(), a.creditsHistoryCommand())
	return cmd
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

// newGrant is a grant as it is asked for.
type newGrant struct {
	Member    string `json:"member,omitempty"`
	Type      string `json:"type"`
	Amount    int64  `json:"amount"`
	Source    string `json:"source"`
	Priority  int32  `json:"priority,omitempty"`
	StartsAt  string `json:"starts_at,omitempty"`
	ExpiresAt string `json:"expires_at,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

func (a *app) creditsGrantCommand() *cobra.Command {
	var g newGrant
	var org, key string
	var sources []string
	for _, s := range billing.GrantSources {
		sources = append(sources, string(s))
	}
	source := oneOf(string(ledger.SourcePack), sources...)
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "Give credits to an organization or a member",
		Long: `Gives credits to an organization's shared pool or, with --member, to a member.
Sent again with the same --idempotency-key, the grant happens once. Without it a
new one is made and printed.`,
		Example: examples(
			"holdfast credits grant --org acme --type email --amount 10000",
			"holdfast credits grant --org acme --type email --amount 500 --source promotion --expires-at 2027-01-31 --idempotency-key welcome",
			"holdfast credits grant --org acme --member bob --type email --amount 500 --starts-at 2027-01-01 --priority -1"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.Source = source.String(); g.Amount <= 0 || g.Amount > ledger.MaxAmount {
				return usagef("the amount is %d; grant at least 1 credit and at most %s", g.Amount, number(ledger.MaxAmount))
			}
			_, startErr := parseTime("starts-at", g.StartsAt)
			_, endErr := parseTime("expires-at", g.ExpiresAt)
			if err := cmp.Or(startErr, endErr); err != nil {
				return err
			}
			key := a.idempotencyKey(key)
			return a.api(cmd, func(ctx context.Context, s *session) error { return a.grant(ctx, s, org, key, g) })
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.StringVar(&g.Member, "member", "", "member who gets the credits; empty for the shared pool")
	flags.StringVar(&g.Type, "type", "", "credit type, such as email")
	flags.Int64Var(&g.Amount, "amount", 0, "how many credits")
	flags.Var(source, "source", source.choices())
	flags.Int32Var(&g.Priority, "priority", 0, "credits with a lower priority are spent first")
	flags.StringVar(&g.StartsAt, "starts-at", "", "when the credits are there, as 2027-01-31 or RFC 3339; at once when left out")
	flags.StringVar(&g.ExpiresAt, "expires-at", "", "when they expire, as 2027-01-31 or RFC 3339; never when left out")
	flags.StringVar(&g.Reason, "reason", "", "reason, shown in the history; at most 500 characters")
	addKeyFlag(cmd, &key, "grant")
	required(cmd, "type", "amount")
	return cmd
}

// grant gives credits and shows what there is then.
func (a *app) grant(ctx context.Context, s *session, org, key string, g newGrant) error {
	path, err := s.inOrg(ctx, org, "/grants")
	if err != nil {
		return err
	}
	r := post(path, nil, g)
	r.Key = key
	var granted struct {
		ID int64 `json:"grant_id"`
	}
	if err := s.Do(ctx, r, &granted); err != nil {
		return err
	}
	return ask(ctx, a, s, fetch("/credits", set(s.org(s.asked), "member", g.Member)), func(view billing.Credits) {
		a.say("%s granted.", count(g.Amount, g.Type+" credit"))
		if starts, err := parseTime("starts-at", g.StartsAt); err == nil && starts.After(time.Now()) {
			a.say("They are available from %s on.", when(starts))
		}
		a.note("Grant: %d", granted.ID)
		a.showCredits(view)
	})
}

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
