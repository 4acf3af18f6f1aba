package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

func (a *app) orderShowCommand() *cobra.Command {
	var watch string
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show an order, or follow it while it runs",
		Example: examples("holdfast order show ord_4k2n…", "holdfast order show ord_4k2n… --watch"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				o, err := getOrder(ctx, s, args[0])
				if err == nil && watch != "" {
					o, err = a.watch(ctx, s, o, watch)
				}
				if err != nil {
					return err
				}
				return answer(a, o, func(o order.Order) {
					a.showOrder(o)
					a.showDoing(o)
				})
			})
		},
	}
	addWatchFlag(cmd, &watch)
	return cmd
}

// movedOrder is an order after a step.
type movedOrder struct {
	order.Order
	Note string `json:"note"`
}

// moveOrder lets the API carry out a step of an order, such as pause.
func (a *app) moveOrder(ctx context.Context, s *session, id, step string) (order.Order, error) {
	if _, err := getOrder(ctx, s, id); err != nil {
		return order.Order{}, err
	}
	var moved movedOrder
	if err := s.Post(ctx, "/orders/"+url.PathEscape(id)+"/"+step, nil, nil, &moved); err != nil {
		return order.Order{}, err
	}
	if moved.Note != "" {
		a.note("%s", moved.Note)
	}
	return moved.Order, nil
}

func (a *app) orderCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel ID",
		Short:   "Stop an order; what was delivered stays, the rest of its credits comes back at once",
		Example: examples("holdfast order cancel ord_4k2n…"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
				o, err := a.moveOrder(ctx, s, args[0], "cancel")
				for err == nil && !o.Status.Over() {
					if err = pause(ctx, lookEvery); err == nil {
						o, err = getOrder(ctx, s, args[0])
					}
				}
				if err != nil {
					return err
				}
				return answer(a, o, a.showOrder)
			})
		},
	}
}

// orderPage is a page of orders.
type orderPage struct {
	Orders     []order.Order `json:"orders"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

func (a *app) orderListCommand() *cobra.Command {
	var org, member, from, to, cursor string
	var limit int
	status := oneOf("", "reserved", "verifying", "completed", "settled", "rejected", "cancelled", "failed")
	kind := oneOf("", order.KindNames()...)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List orders, newest first",
		Example: examples("holdfast order list --org acme --status verifying", "holdfast order list --kind verify --from 2026-11-01"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query := set(inPage(s.org(org), limit, cursor), "status", status.String(), "kind", kind.String(), "member", member, "from", from, "to", to)
				return ask(ctx, a, s, fetch("/orders", query), a.showOrders)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&org, "org", "", "only this organization's")
	flags.StringVar(&member, "member", "", "only this member's")
	flags.Var(status, "status", "only those in this `status`: "+status.choices())
	flags.Var(kind, "kind", "only those of this `kind`: "+kind.choices())
	addSpanFlags(cmd, &from, &to)
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

func (a *app) showOrders(page orderPage) {
	if len(page.Orders) == 0 {
		a.say("No orders.")
		return
	}
	t := newTable("order", "organization", "kind", "status", ">leads", ">valid", ">charged", "created")
	for _, o := range page.Orders {
		t.add(o.ID, o.Org, string(o.Kind), string(o.Status), number(o.Requested), number(o.Tally.Valid), capturedText(o.Credits), when(o.CreatedAt))
	}
	a.print(t)
	a.more(page.NextCursor)
}

func (a *app) orderResultsCommand() *cobra.Command {
	format := oneOf(lead.CSV, lead.CSV, lead.NDJSON)
	var file string
	var all, wait bool
	cmd := &cobra.Command{
		Use:   "results ID",
		Short: "Write the delivered leads, also while the order runs",
		Example: examples(
			"holdfast order results ord_4k2n… --output leads.csv",
			"holdfast order results ord_4k2n… --wait > leads.csv",
			"holdfast order results ord_4k2n… --all --json"),
		Args: oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				o, err := getOrder(ctx, s, args[0])
				if err == nil && wait {
					o, err = a.beside().watch(ctx, s, o, untilDelivered)
				}
				if err != nil {
					return err
				}
				write := func(w io.Writer) error { return writeResults(ctx, s, o.ID, a.format(format.String()), all, w) }
				if file == "" {
					return write(a.out)
				}
				return writeFile(file, write)
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(format, "format", "csv or ndjson")
	flags.StringVarP(&file, "output", "o", "", "file to write; the standard output when left out")
	flags.BoolVar(&all, "all", false, "every lead of the order with its verdict, not the delivered ones alone")
	addWaitFlag(cmd, &wait)
	return cmd
}

// format is the one of results: NDJSON with --json.
func (a *app) format(chosen string) string {
	if a.json {
		return lead.NDJSON
	}
	return chosen
}

// writeResults writes what an order has delivered.
func writeResults(ctx context.Context, s *session, id, format string, all bool, w io.Writer) error {
	query := url.Values{}
	if all {
		query.Set("all", "true")
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	if err := s.Download(ctx, "/orders/"+url.PathEscape(id)+"/results."+format, query, buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

// beside is the command with the standard output kept for results.
func (a *app) beside() *app {
	screen := *a.screen
	screen.out = a.err
	return &app{screen: &screen, stdin: a.stdin, at: a.at}
}

// deliver follows an order, beside the standard output, and writes its results
// there.
func (a *app) deliver(ctx context.Context, s *session, o order.Order) error {
	o, err := a.beside().watch(ctx, s, o, untilDelivered)
	if err != nil {
		return err
	}
	if o.Failure != nil {
		return fmt.Errorf("order %s was not carried out: %s", o.ID, o.Failure.Message)
	}
	if err := writeResults(ctx, s, o.ID, a.format(lead.CSV), false, a.out); err != nil {
		return err
	}
	a.note("Order %s: %s delivered, charged %s.", o.ID, count(o.Tally.Valid, o.Kind.Spec().Item), chargedText(o.Credits))
	return nil
}

// writeFile writes a file whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".holdfast-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when all went well
	if err := errors.Join(write(temp), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func (a *app) orderReverseCommand() *cobra.Command {
	var reason, kind, key string
	var leads []string
	var amount int64
	cmd := &cobra.Command{
		Use:   "reverse ID",
		Short: "Credit back what an order charged, or a part of it",
		Long: `Credits back what an order that is not running any more has charged: all of it,
with --lead what those leads cost, or with --type and --amount a number of
credits. The reason goes into the journal. Leads that are credited back are no
longer paid for: ordered again, they cost again.`,
		Example: examples(
			`holdfast order reverse ord_4k2n… --reason "exported by mistake"`,
			`holdfast order reverse ord_4k2n… --lead lead-17,lead-21 --reason "wrong person"`,
			`holdfast order reverse ord_4k2n… --type email --amount 100 --reason "goodwill"`),
		Args: oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReversal(reason, kind, amount, leads); err != nil {
				return err
			}
			key := a.idempotencyKey(key)
			return a.api(cmd, func(ctx context.Context, s *session) error {
				if _, err := getOrder(ctx, s, args[0]); err != nil {
					return err
				}
				r := post("/orders/"+url.PathEscape(args[0])+"/reverse", nil, struct {
					Reason string   `json:"reason"`
					Leads  []string `json:"lead_ids,omitempty"`
					Type   string   `json:"type,omitempty"`
					Amount int64    `json:"amount,omitempty"`
				}{reason, leads, kind, amount})
				r.Key, r.Method = key, http.MethodPost
				return ask(ctx, a, s, r, a.showReversed)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&reason, "reason", "", "reason, for the journal")
	flags.StringSliceVar(&leads, "lead", nil, "only what these leads cost, by id")
	flags.StringVar(&kind, "type", "", "only credits of this type")
	flags.Int64Var(&amount, "amount", 0, "only so many credits of the type")
	addKeyFlag(cmd, &key, "reversal")
	required(cmd, "reason")
	return cmd
}
