package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Every call of an activity uses one of the named options below. What they
// share: a database or network that is away is waited for, a domain error is
// not retried (activities/errors.go decides), and a worker that dies is noticed
// by its missing heartbeats within heartbeatTimeout.
const (
	heartbeatTimeout = 10 * time.Second
	restart          = 30 * time.Second // in which a worker that was stopped is back
	outage           = 6 * time.Hour    // how long an outage may last before an order gives up
	unpushed         = 48 * time.Hour   // how long a part of an export is tried; its attempts take 24
	workflowLookup   = time.Hour        // how long reconciling may be tried before the next run takes over

	// How long a step of a small order is tried within a workflow task before it is
	// given to an activity.
	localAttempt  = 10 * time.Second
	localAttempts = 15 * time.Second

	// How long one is carried out within its first task, behind others.
	atOnceAttempt  = 20 * time.Second
	atOnceAttempts = 30 * time.Second
)

// reserving is the local activity on which the submitter waits: it runs in the
// first workflow task, without a round trip through the task queue.
func reserving(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		Summary:                "hold the credits",
		StartToCloseTimeout:    2 * time.Minute, // an export of a million leads looks them all up
		ScheduleToCloseTimeout: 10 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second,
		},
	})
}

// noting is what is only shown: a database that is away is not waited for.
func noting(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		Summary:                "show what it waits for",
		StartToCloseTimeout:    2 * time.Second,
		ScheduleToCloseTimeout: 4 * time.Second,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2},
	})
}

// bookkeeping is a step on our own database: see book, which carries it out as an
// activity, or, for a small order, within the workflow task.
func bookkeeping(ctx workflow.Context, org, summary string) workflow.Context {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		Summary:                summary,
		StartToCloseTimeout:    localAttempt,
		ScheduleToCloseTimeout: localAttempts,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 2, MaximumAttempts: 3,
		},
	})
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Summary:                summary,
		TaskQueue:              TaskQueue,
		StartToCloseTimeout:    10 * time.Minute,
		ScheduleToCloseTimeout: outage,
		HeartbeatTimeout:       heartbeatTimeout,
		WaitForCancellation:    true, // what it did must be known before credits are released
		RetryPolicy:            patient(),
		Priority:               temporal.Priority{FairnessKey: org},
	})
}

// carryingOut is bookkeeping with a little verification, for which the orders that
// are reserved at that time are waited for, and those of its organization before it.
func carryingOut(ctx workflow.Context, org, summary string) workflow.Context {
	ctx = bookkeeping(ctx, org, summary)
	options := workflow.GetLocalActivityOptions(ctx)
	options.StartToCloseTimeout, options.ScheduleToCloseTimeout = atOnceAttempt, atOnceAttempts
	return workflow.WithLocalActivityOptions(ctx, options)
}

// givingBack is the release of a hold. It never gives up: as long as it has
// not succeeded, a customer's credits are tied up.
func givingBack(ctx workflow.Context, org, summary string) workflow.Context {
	return workflow.WithScheduleToCloseTimeout(bookkeeping(ctx, org, summary), 0)
}

// verifying is one batch of conversations with mail servers.
func verifying(ctx workflow.Context, org, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Summary:                summary,
		TaskQueue:              VerifyTaskQueue,
		StartToCloseTimeout:    time.Hour,
		ScheduleToCloseTimeout: outage,
		HeartbeatTimeout:       heartbeatTimeout,
		WaitForCancellation:    true,
		RetryPolicy:            patient(),
		Priority:               temporal.Priority{FairnessKey: org},
	})
}

// verifyingAgain asks again on the task queue of workers that mail hosts know. Its
// workers may be gone for good, or be started again: they have as long as that
// takes.
func verifyingAgain(ctx workflow.Context, org, summary, queue string) workflow.Context {
	ctx = verifying(ctx, org, summary)
	options := workflow.GetActivityOptions(ctx)
	options.TaskQueue, options.ScheduleToStartTimeout = queue, restart
	return workflow.WithActivityOptions(ctx, options)
}

// sending is one batch of conversations with an endpoint. That the endpoint
// fails is a result; only our own failures are retried here.
func sending(ctx workflow.Context, endpoint string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Summary:             "send to " + endpoint,
		TaskQueue:           WebhookTaskQueue,
		StartToCloseTimeout: 15 * time.Minute,
		HeartbeatTimeout:    heartbeatTimeout,
		WaitForCancellation: true,
		RetryPolicy:         patient(),
		Priority:            temporal.Priority{FairnessKey: endpoint},
	})
}

// pushing sends a part of an export to an endpoint, until that takes it or is
// given up. The waits between the attempts are those of events: the activity says
// them.
func pushing(ctx workflow.Context, endpoint, summary string) workflow.Context {
	ctx = sending(ctx, endpoint)
	options := workflow.GetActivityOptions(ctx)
	options.Summary, options.ScheduleToCloseTimeout = summary, unpushed
	return workflow.WithActivityOptions(ctx, options)
}

func patient() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{
		InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
	}
}
