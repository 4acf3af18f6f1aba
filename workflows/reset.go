package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

const (
	resetPage    = 500 // subscriptions that one activity resets
	pagesPerRun  = 100 // pages until the workflow continues as a new run
	failuresKept = 20  // failed subscriptions that are named; all are counted and logged
)

// ResetInput starts MonthlyReset. The schedule leaves it empty; a run passes to
// the next one where it is.
type ResetInput struct {
	At       time.Time              `json:"at,omitzero"`         // reset what fell due by then; zero = the scheduled time
	After    activities.ResetCursor `json:"after,omitzero"`      // the place in the sweep
	PageSize int                    `json:"page_size,omitempty"` // subscriptions a page; 0 = 500
	Tally    ResetTally             `json:"tally,omitzero"`      // of the runs before
}

// ResetTally is what a reset has done: its progress and its result.
type ResetTally struct {
	Pages    int                       `json:"pages"`
	Changes  int                       `json:"changes"` // plan changes completed
	Reset    int                       `json:"reset"`   // subscriptions and periods
	Failed   int                       `json:"failed"`
	Credits  []activities.ResetCredit  `json:"credits,omitempty"`  // by type
	Failures []activities.ResetFailure `json:"failures,omitempty"` // the first of them
}

// MonthlyReset gives every subscription whose credit period has begun its new
// period: what is left rolls over or expires, the allotment is granted, exactly
// once each, every missed period in order. It is started by a schedule and
// resets what fell due up to the scheduled time, whenever it really runs. The
// query "progress" answers what it has done so far.
func MonthlyReset(ctx workflow.Context, in ResetInput) (ResetTally, error) {
	r := &resetRun{in: in, tally: in.Tally}
	if r.in.At.IsZero() {
		r.in.At = scheduledTime(ctx)
	}
	if err := workflow.SetQueryHandler(ctx, QueryProgress, func() (ResetTally, error) { return r.tally, nil }); err != nil {
		return ResetTally{}, err
	}
	r.describe(ctx, "beginning")
	if r.in.After == (activities.ResetCursor{}) {
		if err := r.applyPlanChanges(ctx); err != nil {
			return ResetTally{}, err
		}
	}
	for range pagesPerRun {
		more, err := r.resetPage(ctx)
		if err != nil {
			return ResetTally{}, err
		}
		if !more {
			r.describe(ctx, "done")
			return r.tally, nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			break
		}
	}
	r.in.Tally = r.tally
	return ResetTally{}, workflow.NewContinueAsNewError(ctx, MonthlyReset, r.in)
}

// scheduledTime is the time for which the schedule started this workflow, or
// when it began where nothing but a person did.
func scheduledTime(ctx workflow.Context) time.Time {
	if at, ok := workflow.GetTypedSearchAttributes(ctx).GetTime(AttrScheduledStart); ok {
		return at.UTC()
	}
	return workflow.GetInfo(ctx).WorkflowStartTime.UTC()
}

// resetRun is the state of one run of the reset.
type resetRun struct {
	in    ResetInput
	tally ResetTally
}

// applyPlanChanges completes plan changes that waited for their time, so that
// alerts and top-ups are those of the plans now in force.
func (r *resetRun) applyPlanChanges(ctx workflow.Context) error {
	in := activities.ApplyChangesInput{Before: r.in.At, Limit: r.pageSize()}
	for {
		var applied activities.AppliedChanges
		if err := workflow.ExecuteActivity(bookkeeping(ctx, resetFairness, "complete plan changes"), a.ApplyPlanChanges, in).Get(ctx, &applied); err != nil {
			return err
		}
		if applied.Seen == 0 {
			return nil
		}
		r.tally.Changes += applied.Seen - len(applied.Failures)
		r.failed(applied.Failures)
		in.After = applied.Cursor
	}
}

// resetPage resets the next page and says whether there may be another one.
// One page is done before the next is read: a subscription that missed several
// periods comes again behind the page it was on.
func (r *resetRun) resetPage(ctx workflow.Context) (more bool, err error) {
	in := activities.ResetPageInput{Before: r.in.At, After: r.in.After, Limit: r.pageSize()}
	summary := fmt.Sprintf("reset page %d", r.tally.Pages+1)
	if !r.in.After.DueAt.IsZero() {
		summary += ", due after " + r.in.After.DueAt.UTC().Format(time.DateTime)
	}
	var page activities.ResetPage
	if err := workflow.ExecuteActivity(bookkeeping(ctx, resetFairness, summary), a.ResetPage, in).Get(ctx, &page); err != nil {
		return false, err
	}
	if page.Seen == 0 {
		return false, nil
	}
	r.in.After = page.Cursor
	r.tally.Pages++
	r.tally.Reset += page.Reset
	for _, c := range page.Credits {
		r.count(c)
	}
	r.failed(page.Failures)
	r.describe(ctx, "running")
	return true, nil
}

func (r *resetRun) pageSize() int { return cmp.Or(r.in.PageSize, resetPage) }

// count adds what a page did to the credits of one type.
func (r *resetRun) count(c activities.ResetCredit) {
	sum := r.tally.Credits
	i, found := slices.BinarySearchFunc(sum, c.Type, func(s activities.ResetCredit, t string) int { return cmp.Compare(s.Type, t) })
	if !found {
		sum = slices.Insert(sum, i, activities.ResetCredit{Type: c.Type})
	}
	sum[i].Granted += c.Granted
	sum[i].RolledOver += c.RolledOver
	sum[i].Expired += c.Expired
	r.tally.Credits = sum
}

func (r *resetRun) failed(failures []activities.ResetFailure) {
	r.tally.Failed += len(failures)
	room := failuresKept - len(r.tally.Failures)
	r.tally.Failures = append(r.tally.Failures, failures[:max(0, min(room, len(failures)))]...)
}

// describe puts what a support engineer wants to know on the workflow's page in
// the Temporal UI.
func (r *resetRun) describe(ctx workflow.Context, stands string) {
	t := r.tally
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: what fell due by %s\n\n%d subscriptions reset in %d pages, %d failed, %d plan changes completed",
		stands, r.in.At.UTC().Format("2006-01-02 15:04:05 MST"), t.Reset, t.Pages, t.Failed, t.Changes)
	for _, c := range t.Credits {
		fmt.Fprintf(&b, "\n\n%s credits: %d granted, %d rolled over, %d expired", c.Type, c.Granted, c.RolledOver, c.Expired)
	}
	for _, f := range t.Failures {
		who := f.Org
		if f.Member != "" {
			who += "/" + f.Member
		}
		fmt.Fprintf(&b, "\n\n- %s, period %d: %s", who, f.Period, f.Reason)
	}
	workflow.SetCurrentDetails(ctx, b.String())
}
