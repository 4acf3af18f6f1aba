package activities

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/commit"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
)

// PushInput is the input of PushExport.
type PushInput struct {
	OrderID   string `json:"order_id"`
	Org       string `json:"org"`
	WebhookID string `json:"webhook_id"`
	From      int64  `json:"from"` // first item, from 1
	To        int64  `json:"to"`   // last item, inclusive
	Part      int    `json:"part"` // from 1
	Parts     int    `json:"parts"`
}

// exportBatch is the data of the message that carries a part of an export.
type exportBatch struct {
	OrderID string `json:"order_id"`
	Part    int    `json:"part"`
	Parts   int    `json:"parts"`
	Rows    any    `json:"rows"`
}

// PushExport sends the rows of a range that go out and have not yet to the
// endpoint an export is for, and returns when that has taken them. A repeated
// call sends them again under the same id until they are marked as delivered;
// where nothing is left nothing is sent. The webhooks say when to repeat it; how
// often the endpoint was tried is in the heartbeat.
//
// An attempt is seen through, cancelled or not, for a minute at most: what the
// endpoint took is charged, so it must be known.
func (a *WebhookActivities) PushExport(ctx context.Context, in PushInput) error {
	var tried atomic.Int64
	tried.Store(triedBefore(ctx))
	through, cancel := commit.Through(ctx)
	defer cancel()
	defer heartbeat(through, func() any { return tried.Load() })()
	if err := a.Book.Withhold(ctx, in.OrderID, in.From, in.To, []string{string(verify.Valid)}); err != nil {
		return toTemporal(err)
	}
	rows, err := a.Catalogue.ExportBatch(ctx, in.OrderID, in.From, in.To)
	if err != nil || len(rows) == 0 {
		return toTemporal(err)
	}
	err = a.Webhooks.Send(through, in.Org, in.WebhookID, webhook.Message{
		ID: fmt.Sprintf("%s/%d", in.OrderID, in.Part), Type: "export.batch",
		Data: exportBatch{OrderID: in.OrderID, Part: in.Part, Parts: in.Parts, Rows: rows},
	}, int(tried.Load()))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	var later *webhook.NotTakenError
	if !errors.As(err, &later) {
		return toTemporal(err)
	}
	if later.Counted {
		activity.RecordHeartbeat(through, tried.Add(1))
	}
	return temporal.NewApplicationErrorWithOptions(later.Reason, "temporary", temporal.ApplicationErrorOptions{NextRetryDelay: later.Again})
}

// triedBefore is how often the endpoint was tried by the attempts before.
func triedBefore(ctx context.Context) (tried int64) {
	if activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &tried) != nil {
		return 0 // a heartbeat without the number, of an earlier build
	}
	return tried
}
