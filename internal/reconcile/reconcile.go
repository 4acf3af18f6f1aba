// Package reconcile finds orders that are open in the database while no
// workflow of theirs is running, and takes them up again. See README.md.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const (
	page       = 1000             // open orders read at a time
	named      = 100              // lost orders that a result names; all are counted and logged
	cancelLate = 10 * time.Second // a cancellation that is older is passed on again, and one of a clock that was ahead
)

// Book is what the order book knows of open orders.
type Book interface {
	Open(ctx context.Context, after int64, limit int) ([]orderbook.OpenOrder, error)
	OpenOrder(ctx context.Context, id string) (orderbook.OpenOrder, error)
}

// Holds is what the ledger knows of holds.
type Holds interface {
	OpenHolds(ctx context.Context, known []ledger.HoldRef) ([]ledger.HoldRef, error)
	HoldState(ctx context.Context, owner, holdID string) ([]ledger.HoldLine, error)
	Release(ctx context.Context, r ledger.Release) (ledger.ReleaseResult, error)
}

// Workflows is what Temporal knows of orders. It is intake, which imports the
// workflows, which import the activities that use this package.
type Workflows interface {
	// RunningOrders lists the orders whose workflow is running, perhaps without
	// those of the last seconds.
	RunningOrders(ctx context.Context) (map[string]bool, error)
	// Runs says for sure whether the workflow of an order is running.
	Runs(ctx context.Context, id string) (bool, error)
	// TakeUp starts the workflow of an order again; one that runs stays.
	TakeUp(ctx context.Context, in order.Input) error
	// EndRunning terminates the workflows of all orders.
	EndRunning(ctx context.Context, reason string) error
	// PassCancelOn cancels the workflow of an order, if it is running.
	PassCancelOn(ctx context.Context, id string) error
}

// Lost is an open order, or a hold without an order, that no workflow is
// running for.
type Lost struct {
	OrderID   string       `json:"order_id"`
	Org       string       `json:"org"`
	Status    order.Status `json:"status,omitempty"` // empty: a hold without an open order
	Cancelled bool         `json:"cancelled,omitempty"`
}

// Result is what a run has found and done.
type Result struct {
	Open      int64  `json:"open"`      // open orders
	Recovered int64  `json:"recovered"` // of these, taken up again
	Released  int64  `json:"released"`  // holds without an open order, released
	Failed    int64  `json:"failed"`    // could not be helped; the next run tries again
	Lost      []Lost `json:"lost"`      // the first of them
}

// Reconciler compares the books with Temporal.
type Reconciler struct {
	pool      *pgxpool.Pool
	book      Book
	ledger    Holds
	workflows Workflows
	log       *slog.Logger
}

// New returns a reconciler.
func New(pool *pgxpool.Pool, book Book, l Holds, w Workflows, log *slog.Logger) *Reconciler {
	return &Reconciler{pool: pool, book: book, ledger: l, workflows: w, log: log}
}

// Run is Repair, and counts what it did.
func (r *Reconciler) Run(ctx context.Context) (Result, error) {
	res, err := r.Repair(ctx, time.Now())
	if err != nil {
		return res, err
	}
	return res, r.note(ctx, res)
}

// Repair takes up every open order whose workflow is not running, releases open
// holds that no open order has, and passes on cancellations that did not reach
// their workflow. An order that cannot be helped keeps no other from being
// helped.
func (r *Reconciler) Repair(ctx context.Context, now time.Time) (Result, error) {
	res := Result{Lost: []Lost{}}
	open, err := r.look(ctx, now, func(l Lost, in order.Input) error {
		if err := r.repair(ctx, l, in); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.log.Error("An order without a running workflow cannot be helped; the next run tries again.", "order", l.OrderID, "org", l.Org, "error", err)
			res.Failed++
		} else if l.Status == "" {
			res.Released++
		} else {
			res.Recovered++
		}
		if len(res.Lost) < named {
			res.Lost = append(res.Lost, l)
		}
		return nil
	}, func(id string) error { return r.workflows.PassCancelOn(ctx, id) })
	res.Open = open
	return res, err
}

// AfterRestore does what Run does after the database was restored from a backup:
// workflows that Temporal still has of orders are terminated first, as they may
// have done what the database does not know.
func (r *Reconciler) AfterRestore(ctx context.Context) (Result, error) {
	if err := r.workflows.EndRunning(ctx, "The database was restored from a backup."); err != nil {
		return Result{Lost: []Lost{}}, err
	}
	return r.Run(ctx)
}

// Find lists what Run would repair, without repairing it.
func (r *Reconciler) Find(ctx context.Context) ([]Lost, error) {
	var lost []Lost
	_, err := r.look(ctx, time.Now(), func(l Lost, _ order.Input) error {
		lost = append(lost, l)
		return nil
	}, func(string) error { return nil })
	return lost, err
}

// Recover takes up one order. It says whether there was anything to do: not for
// an order that is running. The error is orderbook.ErrOver for one that is over.
func (r *Reconciler) Recover(ctx context.Context, id string) (recovered bool, err error) {
	o, err := r.book.OpenOrder(ctx, id)
	if err != nil {
		return false, err
	}
	lost, err := r.isLost(ctx, id)
	if err != nil || !lost {
		return false, err
	}
	if err := r.repair(ctx, lostOrder(o), o.Input()); err != nil {
		return false, err
	}
	return true, r.count(ctx, `recovered = reconciliation.recovered + 1`)
}

func lostOrder(o orderbook.OpenOrder) Lost {
	return Lost{OrderID: o.ID, Org: o.Org, Status: o.Status, Cancelled: o.CancelRequestedAt != nil}
}

// look compares the open orders with the running workflows, then the open holds
// with the open orders. It reports each that is lost, and each cancelled order
// that is still running.
func (r *Reconciler) look(ctx context.Context, now time.Time, report func(Lost, order.Input) error, stillRuns func(id string) error) (open int64, err error) {
	running, err := r.workflows.RunningOrders(ctx)
	if err != nil {
		return 0, fmt.Errorf("Temporal does not list the running orders: %w", err)
	}
	var known []ledger.HoldRef
	for after := int64(0); ; {
		orders, err := r.book.Open(ctx, after, page)
		if err != nil {
			return open, err
		}
		for _, o := range orders {
			after = o.Seq
			open++
			known = append(known, ledger.HoldRef{Owner: o.Org, ID: o.ID})
			if running[o.ID] {
				if at := o.CancelRequestedAt; at != nil && now.Sub(*at).Abs() > cancelLate {
					if err := stillRuns(o.ID); err != nil {
						return open, err
					}
				}
				continue
			}
			lost, err := r.isLost(ctx, o.ID)
			if err == nil && lost {
				err = report(lostOrder(o), o.Input())
			}
			if err != nil {
				return open, err
			}
		}
		if len(orders) < page {
			return open, r.lookAtHolds(ctx, known, report)
		}
	}
}

// isLost says for sure whether an order is open and not running. The book is
// read last: a workflow ends its order before it ends itself.
func (r *Reconciler) isLost(ctx context.Context, id string) (bool, error) {
	runs, err := r.workflows.Runs(ctx, id)
	if err != nil {
		return false, fmt.Errorf("Temporal does not say whether order %s is running: %w", id, err)
	}
	if runs {
		return false, nil
	}
	_, err = r.book.OpenOrder(ctx, id)
	if errors.Is(err, orderbook.ErrOver) {
		return false, nil
	}
	return err == nil, err
}

// lookAtHolds reports open holds that belong to no open order. A workflow that
// is lost between its hold and its order leaves one.
func (r *Reconciler) lookAtHolds(ctx context.Context, known []ledger.HoldRef, report func(Lost, order.Input) error) error {
	holds, err := r.ledger.OpenHolds(ctx, known)
	if err != nil {
		return err
	}
	for _, h := range holds {
		runs, err := r.workflows.Runs(ctx, h.ID)
		if err != nil {
			return fmt.Errorf("Temporal does not say whether order %s is running: %w", h.ID, err)
		}
		if runs {
			continue
		}
		if _, err := r.book.OpenOrder(ctx, h.ID); err == nil {
			continue // entered since the open orders were listed
		} else if !errors.Is(err, orderbook.ErrOver) && !errors.Is(err, orderbook.ErrNotFound) {
			return err
		}
		lines, err := r.ledger.HoldState(ctx, h.Owner, h.ID)
		if err != nil {
			return err
		}
		if !held(lines) {
			continue // released since
		}
		if err := report(Lost{OrderID: h.ID, Org: h.Owner}, order.Input{}); err != nil {
			return err
		}
	}
	return nil
}

func held(lines []ledger.HoldLine) bool {
	for _, l := range lines {
		if l.Amount > l.Captured+l.Released {
			return true
		}
	}
	return false
}

// repair takes an order up again, or releases a hold that has none. A workflow
// that starts again goes on where the book says that the order stands, and ends
// it where a cancellation was requested.
func (r *Reconciler) repair(ctx context.Context, l Lost, in order.Input) error {
	if l.Status != "" {
		r.log.Warn("An order was open without a running workflow; it is taken up again.", "order", l.OrderID, "org", l.Org, "status", l.Status, "cancelled", l.Cancelled)
		return r.workflows.TakeUp(ctx, in)
	}
	r.log.Warn("A hold had neither an open order nor a running workflow; it is released.", "order", l.OrderID, "org", l.Org)
	_, err := r.ledger.Release(ctx, ledger.Release{
		Owner: l.Org, Key: l.OrderID + "/release", HoldID: l.OrderID,
		Memo: ledger.Memo{OrderID: l.OrderID, Reason: "lost"},
	})
	return err
}
