package main

import (
	"github.com/spf13/cobra"

	"holdfast/internal/verdicts"
)

func (a *app) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget ADDRESS…",
		Short: "Erase what is remembered of addresses, as their owners may demand",
		Long: `Erase the verdicts that are remembered of addresses from earlier orders, so that
the next order asks their mail hosts anew. What was delivered to customers is
not touched; "suppress add" keeps an address out of later orders.`,
		Example: examples("holdfast forget ann@example.com"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, addresses []string) error {
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			memory := verdicts.New(rooms.Pool, nil) // it only forgets
			var erased int64
			for _, address := range addresses {
				gone, err := memory.Erase(cmd.Context(), address)
				if err != nil {
					return err
				}
				if gone {
					erased++
				}
			}
			if a.json {
				return a.printJSON(map[string]int64{"erased": erased})
			}
			a.say("%s of %s forgotten; of the others nothing was remembered.", number(erased), number(int64(len(addresses))))
			return nil
		},
	}
}
