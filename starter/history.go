package main

import (
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
)

// historyEntry is one movement of credits for machines.
type historyEntry struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Type    string    `json:"type"`
	Pool    string    `json:"pool"`
	Amount  int64     `json:"amount"`
	Balance int64     `json:"balance"`
	OrderID string    `json:"order_id,omitempty"`
	Action  string    `json:"action,omitempty"`
	Member  string    `json:"member,omitempty"`
	Source  string    `json:"source,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

func (a *app) creditsHistoryCommand() *cobra.Command {
	var f ledger.HistoryFilter
	var from, to string
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "Show every movement of credits, newest first",
		Example: examples("holdfast credits history --org acme --from 2026-11-01 --kind capture"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.From, err = parseTime("from", from); err != nil {
				return err
			}
			if f.To, err = parseTime("to", to); err != nil {
				return err
			}
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			if _, err := rooms.Accounts.Org(cmd.Context(), f.Owner); err != nil {
				return err
			}
			page, err := rooms.Ledger.History(cmd.Context(), f)
			if err != nil {
				return err
			}
			return a.showHistory(page)
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &f.Owner)
	flags.StringVar(&f.Type, "type", "", "only credits of this type")
	flags.StringVar(&f.Kind, "kind", "", "only grant, hold, capture, release, expire, reverse or rollover")
	flags.StringVar(&f.Member, "member", "", "only this member's doings")
	flags.StringVar(&f.OrderID, "order", "", "only this order's")
	flags.StringVar(&from, "from", "", "from this date or time on")
	flags.StringVar(&to, "to", "", "before this date or time")
	flags.IntVar(&f.Limit, "limit", 50, "how many, at most 1000")
	flags.StringVar(&f.Cursor, "cursor", "", "go on where the last page ended")
	return cmd
}

func (a *app) showHistory(page ledger.HistoryPage) error {
	entries := []historyEntry{}
	for _, l := range page.Lines {
		entries = append(entries, historyEntry{
			At: l.At.UTC(), Kind: l.Kind, Type: l.Type, Pool: billing.PoolName(l.Pool), Amount: l.Amount, Balance: l.Balance,
			OrderID: l.OrderID, Action: l.Action, Member: l.Member, Source: string(l.Source), Reason: l.Reason,
		})
	}
	if a.json {
		return a.printJSON(struct {
			Entries    []historyEntry `json:"entries"`
			NextCursor string         `json:"next_cursor,omitempty"`
		}{entries, page.NextCursor})
	}
	if len(entries) == 0 {
		a.say("No movements.")
		return nil
	}
	t := newTable("at", "kind", "type", "pool", ">credits", ">balance", "order", "what")
	for _, e := range entries {
		what := e.Action
		if e.Kind == "grant" {
			what = e.Source
		}
		if e.Reason != "" {
			what += " (" + e.Reason + ")"
		}
		t.add(when(e.At), e.Kind, e.Type, e.Pool, number(e.Amount), number(e.Balance), e.OrderID, what)
	}
	a.print(t)
	if page.NextCursor != "" {
		a.note("More: --cursor %s", page.NextCursor)
	}
	return nil
}
