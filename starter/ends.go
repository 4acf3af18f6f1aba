package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/client"
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
			return a.changeOrg(cmd, args[0], "", http.MethodPatch, given("name", name, "time_zone", zone))
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
			return a.changeOrg(cmd, args[0], "/suspend", http.MethodPost, nil)
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
			return a.changeOrg(cmd, args[0], "/resume", http.MethodPost, nil)
		},
	}
}

// changeOrg changes an organization and shows it.
func (a *app) changeOrg(cmd *cobra.Command, id, step, method string, body any) error {
	return a.api(cmd, func(ctx context.Context, s *session) error {
		path, err := s.inOrg(ctx, id, step)
		if err != nil {
			return err
		}
		return ask(ctx, a, s, client.Request{Method: method, Path: path, Body: body}, a.showOrg)
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
			if strings.TrimSpace(reason) == "" {
				return &usageError{billing.ErrNoReason}
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, args[0], "/close")
				if err != nil {
					return err
				}
				body := struct {
					Reason string `json:"reason"`
					Erase  bool   `json:"erase,omitempty"`
				}{reason, erase}
				return ask(ctx, a, s, post(path, nil, body), func(closed billing.Closed) {
					a.say("%s is closed.", closed.Name)
					if len(closed.Expired) > 0 {
						a.say("%s expired.", creditsText(closed.Expired))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	cmd.Flags().BoolVar(&erase, "erase", false, "erase the contact data of its orders and lists")
	required(cmd, "reason")
	return cmd
}
