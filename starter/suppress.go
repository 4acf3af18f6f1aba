package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/suppression"
)

func (a *app) suppressionCommand() *cobra.Command {
	cmd := group("suppression", "People and domains that no order may deliver",
		a.suppressChangeCommand("add", "Put addresses or domains on a suppression list"),
		a.suppressChangeCommand("remove", "Take addresses or domains off a suppression list"),
		a.suppressCheckCommand(), a.suppressUploadCommand(), a.suppressListCommand())
	cmd.Aliases = []string{"suppress"}
	return cmd
}

// addSuppressionOrg adds the flag that names a suppression list.
func addSuppressionOrg(cmd *cobra.Command, org *string) {
	cmd.Flags().StringVar(org, "org", "", "the organization's list; when left out, the key's own or, with an operator's key, the list for all organizations")
}

// changed is how many entries a request has added or removed.
type changed struct {
	Added   int64 `json:"added"`
	Removed int64 `json:"removed"`
	Entries int64 `json:"entries"`
}

func (a *app) suppressChangeCommand(use, short string) *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:     use + " ADDRESS|DOMAIN…",
		Short:   short,
		Example: examples("holdfast suppression "+use+" --org acme ann@example.com partner.example", "holdfast suppression "+use+" bob@example.com"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, entries []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path := "/suppressions"
				if use == "remove" {
					path += "/remove"
				}
				body := struct {
					Entries []string `json:"entries"`
					Reason  string   `json:"reason,omitempty"`
				}{entries, reason}
				return ask(ctx, a, s, post(path, s.org(org), body), a.showChanged)
			})
		},
	}
	addSuppressionOrg(cmd, &org)
	if use == "add" {
		cmd.Flags().StringVar(&reason, "reason", "", "reason, without contact data")
	}
	return cmd
}

func (a *app) showChanged(c changed) {
	word, n := "added", c.Added
	if c.Removed > 0 {
		word, n = "removed", c.Removed
	}
	a.say("%s %s; the list has %s.", count(n, "entry"), word, count(c.Entries, "entry"))
}

func (a *app) suppressCheckCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "check ADDRESS|DOMAIN…",
		Short:   "Say whether addresses or domains are suppressed",
		Example: examples("holdfast suppression check --org acme ann@example.com"),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, entries []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				var checked struct {
					Results []struct {
						Entry      string `json:"entry"`
						Suppressed bool   `json:"suppressed"`
					} `json:"results"`
				}
				body := map[string][]string{"entries": entries}
				if err := s.Post(ctx, "/suppressions/check", s.org(org), body, &checked); err != nil {
					return err
				}
				suppressed := make(map[string]bool, len(entries))
				t := newTable("entry", "suppressed")
				for _, r := range checked.Results {
					suppressed[r.Entry] = r.Suppressed
					t.add(r.Entry, map[bool]string{true: "yes", false: "no"}[r.Suppressed])
				}
				return answer(a, suppressed, func(map[string]bool) { a.print(t) })
			})
		},
	}
	addSuppressionOrg(cmd, &org)
	return cmd
}

func (a *app) suppressUploadCommand() *cobra.Command {
	var org, reason string
	cmd := &cobra.Command{
		Use:   "upload FILE|-",
		Short: "Put a file of addresses and domains on a suppression list",
		Long: `Adds an address or a domain a line; of a CSV, the first column. A bad line is
reported with its number; the lines before it are kept, so that the upload can be
repeated.`,
		Example: examples("holdfast suppression upload unsubscribed.csv --org acme"),
		Args:    oneArgument("the file (- for the standard input)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, closeSource, err := a.input(args[0])
			if err != nil {
				return err
			}
			defer closeSource()
			return a.api(cmd, func(ctx context.Context, s *session) error {
				return ask(ctx, a, s, client.Request{
					Method: http.MethodPost, Path: "/suppressions/upload", Query: set(s.org(org), "reason", reason), File: source, ContentType: "text/csv",
				}, a.showChanged)
			})
		},
	}
	addSuppressionOrg(cmd, &org)
	cmd.Flags().StringVar(&reason, "reason", "", "reason, without contact data")
	return cmd
}

func (a *app) suppressListCommand() *cobra.Command {
	var org, cursor string
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the entries of a suppression list, newest first, as hashes",
		Example: examples("holdfast suppression list --org acme"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				type page struct {
					Suppressions []suppression.Entry `json:"suppressions"`
					NextCursor   string              `json:"next_cursor,omitempty"`
				}
				return ask(ctx, a, s, fetch("/suppressions", inPage(s.org(org), limit, cursor)), func(p page) {
					t := newTable("sha256", "reason", "added")
					for _, e := range p.Suppressions {
						t.add(e.Hash, e.Reason, when(e.AddedAt))
					}
					a.print(t)
					a.more(p.NextCursor)
				})
			})
		},
	}
	addSuppressionOrg(cmd, &org)
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}
