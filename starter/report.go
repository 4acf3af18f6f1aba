package main

import (
	"context"
	"errors"
	"regexp"

	"github.com/spf13/cobra"
)

var monthPattern = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])$`)

func (a *app) reportCommand() *cobra.Command {
	var org, from, to string
	cmd := &cobra.Command{
		Use:   "report revenue|journal",
		Short: "Print revenue or double entries by month as CSV",
		Long: `Prints, for finance, what became of the money of purchases. revenue has one line
for each month, organization and currency: deferred, sold, used, expired
(breakage), taken back. journal has double entries: the debits and credits of
every month add up to the same. Amounts are in the smallest unit of the currency.
The audit compares purchases with the ledger's journal.`,
		Example:   examples("holdfast report revenue --from 2026-01 --to 2026-12 > revenue.csv", "holdfast report journal --org acme"),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"revenue", "journal"},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, month := range []string{from, to} {
				if month != "" && !monthPattern.MatchString(month) {
					return errors.New("a month is written like 2026-03; correct --from or --to")
				}
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query := set(s.org(org), "from", from, "to", to)
				return s.Download(ctx, "/reports/"+args[0]+".csv", query, a.out)
			})
		},
	}
	cmd.Flags().StringVar(&org, "org", "", "only this organization")
	cmd.Flags().StringVar(&from, "from", "", "first `MONTH`, like 2026-01")
	cmd.Flags().StringVar(&to, "to", "", "last `MONTH`; the present one when left out")
	return cmd
}
