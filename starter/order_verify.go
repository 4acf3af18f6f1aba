package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/lead"
	"holdfast/internal/order"
)

func (a *app) orderVerifyCommand() *cobra.Command {
	run := orderRun{body: order.Body{Request: order.Request{Kind: order.Verify}}}
	var column string
	cmd := &cobra.Command{
		Use:   "verify FILE|-|EMAIL…",
		Short: "Order the verification of a list or of some addresses",
		Long: `Orders the verification of addresses: those named, or those of a file, CSV with
any columns or plain text with an address a line. Every address is verified
once, however often the list has it. The results are the list itself, in its
order and with all of its columns, and the verdicts beside them.

What it costs is the plan's to say; an address that could not be verified
because of our own system costs nothing.`,
		Example: examples(
			"holdfast order verify customers.csv --org acme --watch",
			"holdfast order verify customers.csv --org acme --column Mail --quote",
			"holdfast order verify ann@example.com bob@example.com --org acme --watch"),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.submitWith(cmd, run, func(ctx context.Context, s *session, run *orderRun) error {
				if isEmails(args) {
					run.body.Emails = args
					return nil
				}
				if len(args) > 1 {
					return fmt.Errorf("%q is no address; name one file, or addresses alone", args[1])
				}
				list, err := a.upload(ctx, s, run.org, column, args[0])
				run.body.ListID = list.ID
				return err
			})
		},
	}
	addOrderFlags(cmd, &run)
	cmd.Flags().StringVar(&column, "column", "", "the column that has the addresses; found by itself when left out")
	return cmd
}

// isEmails reports whether all arguments are addresses and not files.
func isEmails(args []string) bool {
	for _, arg := range args {
		if _, err := os.Stat(arg); err == nil || !strings.Contains(arg, "@") {
			return false
		}
	}
	return true
}

// upload stores a file as a list.
func (a *app) upload(ctx context.Context, s *session, org, column, path string) (list lead.List, err error) {
	source, closeSource, err := a.input(path)
	if err != nil {
		return list, err
	}
	defer closeSource()
	err = s.Do(ctx, client.Request{
		Method: http.MethodPost, Path: "/lists", Query: set(s.org(org), "column", column), File: source, ContentType: "text/csv",
	}, &list)
	if err == nil {
		a.note("List %s: %s, %s, %s without an address that may be matched by name, %s malformed.",
			list.ID, count(list.Rows, "row"), count(list.Unique, "address"), number(list.Matchable), number(list.Malformed))
	}
	return list, err
}
