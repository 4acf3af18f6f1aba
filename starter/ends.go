package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/wire"
)

func (a *app) orgUpdateCommand() *cobra.Command {
	var name, zone string
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change the name or the time zone of an organization",
		Long: `Changes the name or the time zone of an organization. A new time zone moves the
beginnings of the credit periods to come: the next one begins where it says, but
not later than it would have.`,
		Example: examples(`holdfast org update acme --name "Acme Inc." --time-zone Europe/Berlin`),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" && zone == "" {
				return usagef("nothing would change; give --name or --time-zone")
			}
			return a.changeOrg(cmd, func(ctx context.Context, rooms *wire.Rooms) (account.Org, error) {
				now, err := rooms.Accounts.Time(ctx, args[0], time.Now())
				if err != nil {
					return account.Org{}, err
				}
				return rooms.Billing.Update(ctx, args[0], name, zone, now)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the new name")
	cmd.Flags().StringVar(&zone, "time-zone", "", "the new IANA time zone, such as Europe/Berlin")
	return cmd
}

func (a *app) orgSuspendCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "suspend ID",
		Short:   "Suspend an organization: it starts no orders, those that run are finished",
		Example: examples("holdfast org suspend acme"),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeOrg(cmd, func(ctx context.Context, rooms *wire.Rooms) (account.Org, error) {
				return rooms.Accounts.Suspend(ctx, args[0])
			})
		},
	}
}

func (a *app) orgResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume ID",
		Short:   "Let a suspended organization order again",
		Example: examples("holdfast org resume acme"),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeOrg(cmd, func(ctx context.Context, rooms *wire.Rooms) (account.Org, error) {
				return rooms.Accounts.Resume(ctx, args[0])
			})
		},
	}
}

// changeOrg changes an organization and shows it.
func (a *app) changeOrg(cmd *cobra.Command, change func(context.Context, *wire.Rooms) (account.Org, error)) error {
	return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
		org, err := change(cmd.Context(), rooms)
		if err != nil {
			return err
		}
		return a.showOrg(org)
	})
}

func (a *app) orgCloseCommand() *cobra.Command {
	var reason string
	var erase bool
	cmd := &cobra.Command{
		Use:   "close ID",
		Short: "Close an organization for good",
		Long: `Closes an organization for good: its keys are revoked, its credits expire and
its periods are not reset any more. Its orders, charges and history stay; with
--erase, the contact data of its orders and lists does not. While orders are not
settled it is only suspended: wait for them or cancel them, then close it.`,
		Example: examples(`holdfast org close acme --reason "contract ended" --erase`),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				closed, err := rooms.Billing.CloseOrg(cmd.Context(), args[0], reason)
				if errors.Is(err, billing.ErrNoReason) {
					return &usageError{err}
				}
				if err != nil {
					return err
				}
				if erase {
					if err := rooms.Erasures.EraseOrg(cmd.Context(), args[0]); err != nil {
						return err
					}
					if err := rooms.Accounts.MarkErased(cmd.Context(), args[0]); err != nil {
						return err
					}
				}
				if a.json {
					return a.printJSON(closed)
				}
				a.say("%s is closed.", closed.Name)
				if len(closed.Expired) > 0 {
					a.say("%s expired.", creditsText(closed.Expired))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	cmd.Flags().BoolVar(&erase, "erase", false, "erase the contact data of its orders and lists")
	required(cmd, "reason")
	return cmd
}

func (a *app) memberRemoveCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a member",
		Long: `Removes a member: the licence ends at once, keys are revoked, and unused credits
of the member's own expire. What the member revealed stays the organization's.`,
		Example: examples("holdfast member remove bob --org acme"),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				removed, err := rooms.Billing.RemoveMember(cmd.Context(), org, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(removed)
				}
				a.say("%s was removed.", removed.Name)
				if len(removed.Expired) > 0 {
					a.say("%s expired.", creditsText(removed.Expired))
				}
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}
