package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/wire"
)

func (a *app) orderCommand() *cobra.Command {
	return group("order", "Start and follow orders",
		a.orderLeadListCommand(), a.orderVerifyCommand(), a.orderRevealCommand(), a.orderEnrichCommand(), a.orderExportCommand(),
		a.orderShowCommand(), a.orderListCommand(),
		a.orderCancelCommand(), a.orderPauseCommand(), a.orderResumeCommand(), a.orderReverseCommand(), a.orderRecoverCommand(), a.orderResultsCommand())
}

func (a *app) orderLeadListCommand() *cobra.Command {
	sub := intake.Submission{Request: order.Request{Kind: order.LeadList}}
	var run orderRun
	cmd := &cobra.Command{
		Use:   "lead-list",
		Short: "Order a list of leads that match criteria",
		Long: `Orders leads from the catalogue. The credits for all of them are held at once;
each lead is verified, the valid ones are delivered and charged, and what was
held for the others is given back after the plan's refund delay.

Criteria are combined with AND, the values of one criterion with OR:
--country US,CA --seniority director means directors in the US or in Canada.

With --fill the count is of valid leads: the order looks for candidates until so
many are delivered, or until the catalogue has no more.

The key makes the order happen once: sent again with the same key, the same
order answers. Without --key a new one is made and printed.`,
		Example: examples(
			"holdfast order lead-list --org acme --count 1000 --watch",
			"holdfast order lead-list --org acme --count 1000 --quote",
			"holdfast order lead-list --org acme --count 500 --fill --include-owned",
			"holdfast order lead-list --org acme --count 500 --country US,CA --title engineer --headcount-min 50 --key spring-campaign"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.submit(cmd.Context(), sub, run)
		},
	}
	addOrderFlags(cmd, &sub, &run)
	flags := cmd.Flags()
	flags.Int64Var(&sub.Request.Count, "count", 0, "how many leads to verify")
	flags.BoolVar(&sub.Request.Fill, "fill", false, "go on until so many valid leads are delivered")
	flags.BoolVar(&sub.Request.IncludeOwned, "include-owned", false, "deliver what the organization owns already too, free")
	flags.BoolVar(&sub.Request.IncludeKnownBad, "include-known-bad", false, "select leads too whose address is known to be bad")
	required(cmd, "count")

	c := &sub.Request.Criteria
	flags.StringSliceVar(&c.Country, "country", nil, "country codes, such as US,CA")
	flags.StringSliceVar(&c.Region, "region", nil, "regions or states")
	flags.StringSliceVar(&c.City, "city", nil, "cities")
	flags.StringSliceVar(&c.Industry, "industry", nil, "industries")
	flags.StringVar(&c.Title, "title", "", "words that must all occur in the job title")
	flags.StringSliceVar(&c.Seniority, "seniority", nil, "seniorities")
	flags.StringSliceVar(&c.Department, "department", nil, "departments")
	flags.StringSliceVar(&c.Company, "company", nil, "company names")
	flags.StringSliceVar(&c.Domain, "domain", nil, "company domains")
	flags.Int64Var(&c.HeadcountMin, "headcount-min", 0, "smallest number of employees")
	flags.Int64Var(&c.HeadcountMax, "headcount-max", 0, "largest number of employees; 0 for no limit")
	flags.BoolVar(&c.HasPhone, "has-phone", false, "only leads with a phone number")
	flags.BoolVar(&c.HasDirectEmail, "has-direct-email", false, "only leads with a personal address")
	return cmd
}

// orderRun is what to do with an order besides placing it.
type orderRun struct {
	watch string
	quote bool
	wait  bool // for the results, which are written instead of the order
}

// addOrderFlags adds the flags that orders of every kind have.
func addOrderFlags(cmd *cobra.Command, sub *intake.Submission, run *orderRun) {
	flags := cmd.Flags()
	flags.StringVar(&sub.Org, "org", "", "organization that orders and pays")
	flags.StringVar(&sub.Member, "member", "", "member who orders; empty for the organization itself")
	flags.StringVar(&sub.Key, "key", "", "idempotency key: the same key is the same order")
	flags.BoolVar(&run.quote, "quote", false, "only say what the order would find and cost; order nothing")
	addWatchFlag(cmd, &run.watch)
	required(cmd, "org")
}

// submit places an order, or asks what it would cost.
func (a *app) submit(ctx context.Context, sub intake.Submission, run orderRun) error {
	return a.submitWith(ctx, sub, run, func(context.Context, *wire.Rooms, *intake.Submission) error { return nil })
}

// submitWith completes an order with what needs the rooms, and submits it.
func (a *app) submitWith(ctx context.Context, sub intake.Submission, run orderRun, complete func(context.Context, *wire.Rooms, *intake.Submission) error) error {
	rooms, err := openRooms(ctx)
	if err != nil {
		return err
	}
	defer rooms.Close()
	if err := complete(ctx, rooms, &sub); err != nil {
		return err
	}
	if run.quote {
		q, err := rooms.Intake.Quote(ctx, sub)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(q)
		}
		a.showQuote(sub.Request.Kind, q)
		return nil
	}
	if sub.Key == "" {
		sub.Key = newKey()
		a.note("Idempotency key: %s", sub.Key)
	}
	o, err := rooms.Intake.Submit(ctx, sub)
	if err != nil {
		return err
	}
	if run.wait && o.Status != order.Rejected {
		return a.deliver(ctx, rooms, o)
	}
	if run.watch != "" && !o.Status.Over() {
		a.note("Order %s holds %s.", o.ID, heldText(o.Credits))
		if o, err = a.watch(ctx, rooms, o, run.watch); err != nil {
			return err
		}
	}
	return a.answer(o)
}

// watch follows an order and returns what it then is. Who leaves is told that
// the order goes on.
func (a *app) watch(ctx context.Context, rooms *wire.Rooms, o order.Order, until string) (order.Order, error) {
	if o.Status.Over() {
		return o, nil
	}
	watcher := &orderWatcher{screen: a.screen, rooms: rooms, id: o.ID, kind: o.Kind}
	if _, err := watcher.follow(ctx, until); err != nil {
		if ctx.Err() != nil {
			a.note("\nOrder %s goes on; look at it with: %s order show %s --watch", o.ID, program(), o.ID)
		}
		return o, err
	}
	return rooms.Book.Get(ctx, o.Org, o.ID)
}

// answer prints an order; one that was rejected or failed is an error.
func (a *app) answer(o order.Order) error {
	if a.json {
		if err := a.printJSON(o); err != nil {
			return err
		}
	} else {
		a.showOrder(o)
	}
	if o.Failure != nil {
		return errors.New(o.Failure.Message)
	}
	return nil
}

func (a *app) orderShowCommand() *cobra.Command {
	var watch string
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show an order, or follow it while it runs",
		Example: examples("holdfast order show ord_4k2n… --watch"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			open := openDatabase
			if watch != "" {
				open = openRooms
			}
			return a.withOrder(cmd.Context(), args[0], open, func(rooms *wire.Rooms, o order.Order) error {
				if watch != "" {
					var err error
					if o, err = a.watch(cmd.Context(), rooms, o, watch); err != nil {
						return err
					}
				}
				if a.json {
					return a.printJSON(o)
				}
				a.showOrder(o)
				a.showDoing(o)
				return nil
			})
		},
	}
	addWatchFlag(cmd, &watch)
	return cmd
}

func (a *app) orderCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel ID",
		Short:   "Stop an order; what was delivered stays, the rest of its credits comes back at once",
		Example: examples("holdfast order cancel ord_4k2n…"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withOrder(ctx, args[0], openRooms, func(rooms *wire.Rooms, o order.Order) error {
				first, err := rooms.Intake.Cancel(ctx, o.Org, o.ID)
				if err != nil {
					return err
				}
				if !first {
					a.note("The order was cancelled before; nothing was changed.")
				}
				o, err = awaitOver(ctx, rooms, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(o)
				}
				a.showOrder(o)
				return nil
			})
		},
	}
}

func (a *app) orderListCommand() *cobra.Command {
	var f orderbook.Filter
	var status string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List orders, newest first",
		Example: examples("holdfast order list --org acme --status verifying"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Status = order.Status(status)
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			orders, next, err := rooms.Book.List(cmd.Context(), f)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Orders     []order.Order `json:"orders"`
					NextCursor string        `json:"next_cursor,omitempty"`
				}{append([]order.Order{}, orders...), next})
			}
			if len(orders) == 0 {
				a.say("No orders.")
				return nil
			}
			t := newTable("order", "organization", "kind", "status", ">leads", ">valid", ">charged", "created")
			for _, o := range orders {
				t.add(o.ID, o.Org, string(o.Kind), string(o.Status), number(o.Requested), number(o.Tally.Valid), capturedText(o.Credits), when(o.CreatedAt))
			}
			a.print(t)
			a.more(next)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Org, "org", "", "only this organization's")
	flags.StringVar(&status, "status", "", "only those in this status: reserved, verifying, completed, settled, rejected, cancelled, failed")
	addPageFlags(cmd, &f.Limit, &f.Cursor, 500)
	return cmd
}

func (a *app) orderResultsCommand() *cobra.Command {
	var format, file string
	var all bool
	cmd := &cobra.Command{
		Use:   "results ID",
		Short: "Write the delivered leads, also while the order runs",
		Example: examples(
			"holdfast order results ord_4k2n… --output leads.csv",
			"holdfast order results ord_4k2n… --all --json"),
		Args: oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.json {
				format = lead.NDJSON
			}
			return a.withOrder(cmd.Context(), args[0], openDatabase, func(rooms *wire.Rooms, o order.Order) error {
				write := func(w io.Writer) error {
					buffered := bufio.NewWriterSize(w, 64<<10)
					if err := rooms.Catalogue.WriteResults(cmd.Context(), buffered, o.ID, format, lead.ResultOptions{All: all}); err != nil {
						return err
					}
					return buffered.Flush()
				}
				if file == "" {
					return write(a.out)
				}
				return writeFile(file, write)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", lead.CSV, "csv or ndjson")
	flags.StringVarP(&file, "output", "o", "", "file to write; the standard output when left out")
	flags.BoolVar(&all, "all", false, "every lead of the order with its verdict, not the delivered ones alone")
	return cmd
}

// withOrder finds an order and hands it to do, with the rooms that open opens.
func (a *app) withOrder(ctx context.Context, id string, open opener, do func(*wire.Rooms, order.Order) error) error {
	rooms, err := open(ctx)
	if err != nil {
		return err
	}
	defer rooms.Close()
	o, err := rooms.Book.Get(ctx, "", id)
	if errors.Is(err, orderbook.ErrNotFound) {
		return fmt.Errorf("there is no order %q; \"%s order list\" shows those there are", id, program())
	}
	if err != nil {
		return err
	}
	return do(rooms, o)
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
