package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/dashboard"
	"holdfast/internal/ledger"
	"holdfast/internal/site"
	"holdfast/internal/verdicts"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// mountDashboard serves the dashboard beside the API; / leads to it.
func mountDashboard(mux *http.ServeMux, parts *wire.App, backend *api.API, at addresses, cells *dashboard.Cells) {
	config := site.Dashboard(parts, backend)
	config.Cell, config.Cells = parts.Config.Cell, cells
	config.Outage = func(ctx context.Context) (string, error) {
		outage, _, err := verdicts.Outages(ctx, parts.Pool)
		if err != nil || outage == nil {
			return "", err
		}
		return outage.Message, nil
	}
	config.Ready = parts.Ready
	config.Heads = func(ctx context.Context) ([]ledger.Head, error) { return ledger.Heads(ctx, parts.Pool, "") }
	config.Audit = func(ctx context.Context) (ledger.Report, error) {
		return ledger.Audit(ctx, parts.Pool, ledger.AuditOptions{Also: auditAlso()})
	}
	if ui := strings.TrimSuffix(cmp.Or(at.TemporalUI, parts.Config.TemporalUI), "/"); ui != "" {
		list := ui + "/namespaces/" + cmp.Or(parts.Config.TemporalNamespace, client.DefaultNamespace) + "/workflows"
		config.Workflow = func(id string) string { return list + "/" + id }
		config.Views = func(org string) []dashboard.View {
			queries := workflows.Views
			if org != "" {
				queries = []workflows.View{workflows.ViewOf(org)}
			}
			var views []dashboard.View
			for _, q := range queries {
				views = append(views, dashboard.View{Name: q.Name, URL: list + "?query=" + url.QueryEscape(q.Query)})
			}
			return views
		}
	}
	mux.Handle(dashboard.Prefix+"/", dashboard.New(config))
	mux.Handle("GET /{$}", http.RedirectHandler(dashboard.Prefix+"/", http.StatusSeeOther))
}

func (a *app) loginLinkCommand() *cobra.Command {
	var org, member, server string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "login-link",
		Short: "Make a link that logs a member in to the dashboard, once",
		Long: `Makes a link that logs a member in to the dashboard. It can be used once and
ends after --for. It cannot be shown again: what is stored is its hash.`,
		Example: examples("holdfast login-link --org acme --member jane"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/login-links")
				if err != nil {
					return err
				}
				var made api.LoginLink
				if err := s.Post(ctx, path, nil, api.LoginLinkBody{Member: member, For: life.String()}, &made); err != nil {
					return err
				}
				link := dashboard.LoginLink(strings.TrimSuffix(cmp.Or(server, s.server), "/"), made.Token)
				if a.json {
					return a.printJSON(struct {
						Org    string `json:"org"`
						Member string `json:"member"`
						URL    string `json:"url"`
					}{made.Org, made.Member, link})
				}
				a.note("Logs %s in, once, within %s.", made.Member, life)
				a.say("%s", link)
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&member, "member", "", "who logs in; the organization's only admin when left out")
	cmd.Flags().StringVar(&server, "server", "", "address of the dashboard, such as https://holdfast.example; the server's when left out")
	cmd.Flags().DurationVar(&life, "for", account.LoginLinkLife, "how long the link can be used")
	return cmd
}

// serverAddress is where serve would serve with this configuration.
func serverAddress(cfg config.Config) string { return "http://" + cfg.HTTPAddr }
