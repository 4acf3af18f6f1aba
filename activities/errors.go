package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"holdfast/internal/errcode"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// errWorkerStops ends a batch when its worker is asked to stop; the batch goes
// on elsewhere.
var errWorkerStops = errors.New("the worker is stopping; another one takes the batch over")

// reserving is toTemporal for the step on which the submitter waits: damaged
// credits are answered at once. Later steps wait until they are repaired.
func reserving(err error) error {
	if info := errcode.Of(err); err != nil && info.Kind == errcode.Damaged {
		return nonRetryable(info)
	}
	return toTemporal(err)
}

// toTemporal is the one place where an error of ours becomes one of Temporal's.
// What the caller did wrong, and what would fail again in the same way, is not
// retried and carries its code. Everything else, such as a database that is away,
// is retried. Addresses are taken out of the text, and the error's cause stays
// behind: contact data never enters a history.
func toTemporal(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	info := errcode.Of(err)
	if info.Kind.Passes || info.Kind == errcode.Damaged {
		return temporal.NewApplicationError(verify.WithoutAddresses(err.Error()), "temporary")
	}
	return nonRetryable(info)
}

func nonRetryable(info errcode.Info) error {
	var details []any
	if info.InBody {
		details = append(details, info.Field)
	}
	return temporal.NewNonRetryableApplicationError(verify.WithoutAddresses(info.Text), info.Code, nil, details...)
}

// RefusalError is a refusal as the error that it was made of: Refused reads it back.
func RefusalError(r *order.Refusal) error {
	return temporal.NewNonRetryableApplicationError(r.Message, r.Code, nil, r.Field)
}

func refusalOf(info errcode.Info) *order.Refusal {
	return &order.Refusal{Code: info.Code, Message: info.Text, Field: info.Field}
}

// Refused reads back what toTemporal wrote of an error that would come again in
// the same way; false for any other error, which may pass.
func Refused(err error) (errcode.Info, bool) {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || !app.NonRetryable() {
		return errcode.Info{}, false
	}
	info := errcode.Info{Kind: errcode.KindOf(app.Type()), Code: app.Type(), Text: app.Message(), InBody: app.Type() == errcode.Invalid.Code}
	if app.HasDetails() {
		_ = app.Details(&info.Field) // one without a field is about the whole request
	}
	return info, true
}
