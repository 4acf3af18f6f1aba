package main

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/api"
	"holdfast/internal/erasure"
)

func (a *app) forgetCommand() *cobra.Command {
	var leads []string
	cmd := &cobra.Command{
		Use:   "forget ADDRESS…",
		Short: "Erase personal data (GDPR)",
		Long: `Erase people from the catalogue, from the items of all orders, from uploaded
lists and remembered verdicts, and put them on everybody's suppression list, so
that no import takes them in and no order delivers them again. What orders have
counted and charged stays as it is. Files that customers have downloaded are out
of reach.

Safe to repeat, and beside running orders. An example of what it cannot find: a
name in an uploaded list without the address; internal/erasure says more.`,
		Example: examples("holdfast forget ann@example.com", "holdfast forget --lead L00000042,L00000043"),
		Args: func(_ *cobra.Command, addresses []string) error {
			if len(addresses)+len(leads) == 0 {
				return usagef("name the person to erase: an address, or --lead with the id of a lead")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, addresses []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				report, err := forget(ctx, s, addresses, leads)
				if err != nil {
					return err
				}
				return answer(a, report, a.showErased)
			})
		},
	}
	cmd.Flags().StringSliceVar(&leads, "lead", nil, "ids of leads")
	return cmd
}

// forget erases people, as many at a time as the API takes.
func forget(ctx context.Context, s *session, addresses, leads []string) (sum erasure.Report, err error) {
	const most = 100
	for len(addresses)+len(leads) > 0 {
		emails, ids := addresses[:min(most, len(addresses))], leads[:min(most, len(leads))]
		addresses, leads = addresses[len(emails):], leads[len(ids):]
		var report erasure.Report
		if err := s.Post(ctx, "/erasures", nil, api.ErasureBody{Emails: emails, LeadIDs: ids}, &report); err != nil {
			return sum, err
		}
		sum.Add(report)
	}
	return sum, nil
}

func (a *app) showErased(report erasure.Report) {
	t := newTable("erased", ">number")
	t.add("leads of the catalogue", number(report.Leads))
	t.add("items of orders", number(report.Items))
	t.add("rows of lists", number(report.ListRows))
	t.add("remembered verdicts", number(report.Verdicts))
	a.print(t)
	a.say("%s added to everybody's suppression list.", count(report.Suppressed, "entry"))
}
