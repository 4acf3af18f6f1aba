package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/order"
)

func (a *app) orderCommand() *cobra.Command {
	return group("order", "Start and follow orders",
		a.orderLeadListCommand(), a.orderVerifyCommand(), a.orderRevealCommand(), a.orderEnrichCommand(), a.orderExportCommand(),
		a.orderShowCommand(), a.orderListCommand(),
		a.orderCancelCommand(), a.orderPauseCommand(), a.orderResumeCommand(), a.orderReverseCommand(), a.orderRecoverCommand(), a.orderResultsCommand())
}

func (a *app) orderLeadListCommand() *cobra.Command {
	run := orderRun{body: order.Body{Request: order.Request{Kind: order.LeadList}}}
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

--idempotency-key makes the order happen once: sent again with the same key, the
same order answers. Without it a new one is made and printed.`,
		Example: examples(
			"holdfast order lead-list --org acme --count 1000 --watch",
			"holdfast order lead-list --org acme --count 1000 --quote",
			"holdfast order lead-list --org acme --count 500 --fill --include-owned",
			"holdfast order lead-list --org acme --count 500 --country US,CA --title engineer --headcount-min 50 --idempotency-key spring-campaign"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := run.body.Validate(0); err != nil {
				return err
			}
			return a.submit(cmd, run)
		},
	}
	addOrderFlags(cmd, &run)
	flags := cmd.Flags()
	flags.Int64Var(&run.body.Count, "count", 0, "how many leads to verify")
	flags.BoolVar(&run.body.Fill, "fill", false, "continue until --count valid leads are delivered")
	flags.BoolVar(&run.body.IncludeOwned, "include-owned", false, "deliver what the organization owns already too, free")
	flags.BoolVar(&run.body.IncludeKnownBad, "include-known-bad", false, "also select leads with an address that is known to be bad")
	required(cmd, "count")

	addCriteriaFlags(cmd, &run.body.Criteria)
	return cmd
}

// addCriteriaFlags adds the flags that choose leads.
func addCriteriaFlags(cmd *cobra.Command, c *order.Criteria) {
	flags := cmd.Flags()
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
}

// orderRun is an order and what to do with it besides placing it.
type orderRun struct {
	org   string
	key   string // idempotency key
	body  order.Body
	watch string
	quote bool
	wait  bool // for the results, which are written instead of the order
}

// addOrderFlags adds the flags that orders of every kind have.
func addOrderFlags(cmd *cobra.Command, run *orderRun) {
	flags := cmd.Flags()
	addOrgFlag(cmd, &run.org)
	flags.StringVar(&run.body.Member, "member", "", "member who orders; the key's own, or the organization itself, when left out")
	addKeyFlag(cmd, &run.key, "order")
	flags.BoolVar(&run.quote, "quote", false, "only say what the order would find and cost; order nothing")
	addWatchFlag(cmd, &run.watch)
	addWaitFlag(cmd, &run.wait)
	cmd.MarkFlagsMutuallyExclusive("wait", "watch")
	cmd.MarkFlagsMutuallyExclusive("wait", "quote")
}

// submit places an order, or asks what it would cost.
func (a *app) submit(cmd *cobra.Command, run orderRun) error {
	return a.submitWith(cmd, run, func(context.Context, *session, *orderRun) error { return nil })
}

// submitWith completes an order with what the API has to say, and submits it.
func (a *app) submitWith(cmd *cobra.Command, run orderRun, complete func(context.Context, *session, *orderRun) error) error {
	key := run.key
	if !run.quote {
		key = a.idempotencyKey(run.key)
	}
	return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
		query, err := s.needOrg(ctx, run.org)
		if err != nil {
			return err
		}
		if err := complete(ctx, s, &run); err != nil {
			return err
		}
		if run.quote {
			return asUsage(ask(ctx, a, s, post("/quotes", query, run.body), func(q order.Quote) { a.showQuote(run.body.Kind, q) }))
		}
		o, err := place(ctx, s, query, key, run.body)
		if err != nil {
			return asUsage(err)
		}
		if run.wait && o.Status != order.Rejected {
			return a.deliver(ctx, s, o)
		}
		if run.watch != "" && !o.Status.Over() {
			a.note("Order %s holds %s.", o.ID, heldText(o.Credits))
			if o, err = a.watch(ctx, s, o, run.watch); err != nil {
				return err
			}
		}
		return a.answer(o)
	})
}

// asUsage makes wrong usage of an order that is refused as it was written.
func asUsage(err error) error {
	var p *client.Problem
	if errors.As(err, &p) && p.Refused() {
		return &usageError{err}
	}
	return err
}

// place places an order. One that the credits do not cover is an order, too.
func place(ctx context.Context, s *session, query url.Values, key string, body order.Body) (order.Order, error) {
	var o order.Order
	err := s.Do(ctx, client.Request{Method: http.MethodPost, Path: "/orders", Query: query, Body: body, Key: key}, &o)
	var p *client.Problem
	if errors.As(err, &p) && p.Status == http.StatusPaymentRequired && p.OrderID != "" {
		return getOrder(ctx, s, p.OrderID)
	}
	return o, err
}

// watch follows an order and returns what it then is. A person who interrupts it
// reads that the order goes on.
func (a *app) watch(ctx context.Context, s *session, o order.Order, until string) (order.Order, error) {
	if o.Status.Over() {
		return o, nil
	}
	last, stages := o, []order.StageTime{{Stage: order.StageSelecting, At: o.CreatedAt}}
	watcher := &orderWatcher{screen: a.screen, kind: o.Kind, look: func(ctx context.Context) (order.Progress, error) {
		var err error
		if last, err = getOrder(ctx, s, o.ID); err != nil {
			return order.Progress{}, err
		}
		stages = stagesOf(stages, last)
		p := last.Look()
		p.Stages = stages
		return p, nil
	}}
	if _, err := watcher.follow(ctx, until); err != nil {
		if ctx.Err() != nil {
			a.note("\nOrder %s goes on; look at it with: %s order show %s --watch", o.ID, program(), o.ID)
		}
		return o, err
	}
	return last, nil
}

// answer prints an order; one that was rejected or failed is an error.
func (a *app) answer(o order.Order) error {
	if err := answer(a, o, a.showOrder); err != nil {
		return err
	}
	if o.Failure != nil {
		return errors.New(o.Failure.Message)
	}
	return nil
}

// getOrder finds an order by its id.
func getOrder(ctx context.Context, s *session, id string) (o order.Order, err error) {
	err = s.Get(ctx, "/orders/"+url.PathEscape(id), nil, &o)
	var p *client.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		err = fmt.Errorf("there is no order %q; \"%s order list\" shows those there are", id, program())
	}
	return o, err
}
