package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/wire"
)

// addPageFlags adds the flags that say which page of a list a command shows.
func addPageFlags(cmd *cobra.Command, limit *int, cursor *string, most int) {
	cmd.Flags().IntVar(limit, "limit", 50, fmt.Sprintf("how many, at most %d", most))
	cmd.Flags().StringVar(cursor, "cursor", "", "continue after the page before")
}

// more says how to continue after a page.
func (a *app) more(cursor string) {
	if cursor != "" {
		a.note("More: --cursor %s", cursor)
	}
}

// showOf gets something of an organization, which must exist, and shows it.
func showOf[T any](a *app, cmd *cobra.Command, org string, get func(context.Context, *wire.Rooms) (T, error), show func(T)) error {
	return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
		if _, err := rooms.Accounts.Org(cmd.Context(), org); err != nil {
			return err
		}
		got, err := get(cmd.Context(), rooms)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(got)
		}
		show(got)
		return nil
	})
}
