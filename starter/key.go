package main

import (
	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/wire"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Create, list and revoke API keys",
		a.keyCreateCommand(), a.keyListCommand(), a.keyRevokeCommand())
}

func (a *app) keyCreateCommand() *cobra.Command {
	var org, member, role string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an API key for a member",
		Long: `Creates an API key for a member and prints it. It cannot be shown again: what is
stored is its hash.`,
		Example: examples("holdfast key create --org acme --member bob"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				key, secret, err := rooms.Accounts.CreateKey(cmd.Context(), org, member, account.Role(role))
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						account.Key
						Secret string `json:"key"`
					}{key, secret})
				}
				a.note("Key %s of %s, role %s. Keep it: it cannot be shown again.", key.ID, key.Member, key.Role)
				a.say("%s", secret)
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&member, "member", "", "whose key it is")
	cmd.Flags().StringVar(&role, "role", "", "admin or member; the member's own when left out")
	required(cmd, "member")
	return cmd
}

func (a *app) keyListCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List an organization's API keys, the revoked ones too",
		Example: examples("holdfast key list --org acme"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				keys, err := rooms.Accounts.Keys(cmd.Context(), org)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(append([]account.Key{}, keys...))
				}
				if len(keys) == 0 {
					a.say("No keys yet; create one: %s key create --org %s --member bob", program(), org)
					return nil
				}
				t := newTable("id", "member", "role", "begins", "created", "last used", "revoked")
				for _, k := range keys {
					used, revoked := "never", ""
					if k.LastUsedAt != nil {
						used = when(*k.LastUsedAt)
					}
					if k.RevokedAt != nil {
						revoked = when(*k.RevokedAt)
					}
					t.add(k.ID, k.Member, string(k.Role), k.Prefix+"…", when(k.CreatedAt), used, revoked)
				}
				a.print(t)
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

func (a *app) keyRevokeCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke an API key for good",
		Example: examples("holdfast key revoke key_4k2n6v --org acme"),
		Args:    oneArgument("the key's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				if err := rooms.Accounts.RevokeKey(cmd.Context(), org, args[0]); err != nil {
					return err
				}
				a.say("Key %s is revoked.", args[0])
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}
