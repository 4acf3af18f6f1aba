package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/plan"
)

func (a *app) orderReverseCommand() *cobra.Command {
	var r billing.Reversal
	cmd := &cobra.Command{
		Use:   "reverse ID",
		Short: "Credit back what an order charged, or a part of it",
		Long: `Credits back what an order that is not running any more has charged: all of it,
with --lead what those leads cost, or with --type and --amount a number of
credits. The reason goes into the journal. Leads that are credited back are no
longer paid for: ordered again, they cost again.

Sent again with the same key, the reversal happens once. Without --key a new one
is made and printed.`,
		Example: examples(
			`holdfast order reverse ord_4k2n… --reason "exported by mistake"`,
			`holdfast order reverse ord_4k2n… --lead lead-17,lead-21 --reason "wrong person"`,
			`holdfast order reverse ord_4k2n… --type email --amount 100 --reason "goodwill"`),
		Args: oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.OrderID = args[0]
			if r.Key == "" {
				r.Key = newKey()
				a.note("Idempotency key: %s", r.Key)
			}
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			reversed, err := rooms.Billing.Reverse(cmd.Context(), r, time.Now())
			if errors.Is(err, billing.ErrPart) || errors.Is(err, billing.ErrNoReason) {
				return &usageError{err}
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(reversed)
			}
			a.say("%s credited back for order %s: %s.", creditsText(reversed.Credits), r.OrderID, r.Reason)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.Reason, "reason", "", "why, for the journal")
	flags.StringSliceVar(&r.Leads, "lead", nil, "only what these leads cost, by id")
	flags.StringVar(&r.Type, "type", "", "only credits of this type")
	flags.Int64Var(&r.Amount, "amount", 0, "only so many credits of the type")
	flags.StringVar(&r.Key, "key", "", "idempotency key: the same key is the same reversal")
	required(cmd, "reason")
	return cmd
}

// creditsText lists amounts for people.
func creditsText(credits []plan.Amount) string {
	var words []string
	for _, c := range credits {
		words = append(words, count(c.Amount, c.Type+" credit"))
	}
	if len(words) == 0 {
		return "Nothing was left to be"
	}
	return strings.Join(words, " and ")
}
