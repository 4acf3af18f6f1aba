package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/client"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Create, list and revoke API keys",
		a.keyCreateCommand(), a.keyListCommand(), a.keyRevokeCommand())
}

func (a *app) keyCreateCommand() *cobra.Command {
	var org, member string
	role := oneOf("", string(account.RoleAdmin), string(account.RoleMember))
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an API key for a member",
		Long: `Creates an API key for a member and prints it. It cannot be shown again: what is
stored is its hash.`,
		Example: examples("holdfast key create --org acme --member bob"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/keys")
				if err != nil {
					return err
				}
				return ask(ctx, a, s, post(path, nil, given("member", member, "role", role.String())), func(made newKeyOf) {
					a.note("Key %s of %s, role %s. Keep it: it cannot be shown again.", made.ID, made.Member, made.Role)
					a.say("%s", made.Secret)
				})
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&member, "member", "", "the member that uses the key")
	cmd.Flags().Var(role, "role", role.choices()+"; the member's own when left out")
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
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/keys")
				if err != nil {
					return err
				}
				type page struct {
					Keys       []account.Key `json:"keys"`
					NextCursor string        `json:"next_cursor"`
				}
				return showAll(ctx, a, s, path, nil, func(p page) ([]account.Key, string) { return p.Keys, p.NextCursor },
					func(keys []account.Key) { a.showKeys(s.asked, keys) })
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
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/keys/"+url.PathEscape(args[0]))
				if err != nil {
					return err
				}
				if err := s.Do(ctx, client.Request{Method: http.MethodDelete, Path: path}, nil); err != nil {
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

// newKeyOf is a key that was just made.
type newKeyOf struct {
	account.Key
	Secret string `json:"key"`
}

func (a *app) showKeys(org string, keys []account.Key) {
	if len(keys) == 0 {
		a.say("No keys yet; create one: %s key create --org %s --member bob", program(), org)
		return
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
}
