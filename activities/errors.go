package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
)

// errWorkerStops ends a batch when its worker is asked to stop; the batch goes
// on elsewhere.
var errWorkerStops = errors.New("the worker is stopping; another one takes the batch over")

// codeDamaged says that the organization's rows in the ledger are damaged.
const codeDamaged = "credits_damaged"

// reserving is border for the step on which the submitter waits: damaged credits
// are answered at once. Later steps wait until they are repaired.
func reserving(err error) error {
	if errors.Is(err, ledger.ErrDamaged) {
		return temporal.NewNonRetryableApplicationError(verify.WithoutAddresses(err.Error()), codeDamaged, nil)
	}
	return border(err)
}

// border is the one place where an error of ours becomes one of Temporal's.
// What the caller did wrong, and what would fail again in the same way, is not
// retried and carries a code. Everything else, such as a database that is away,
// is retried. Whatever looks like an address is taken out of the text, and the
// error's cause stays behind: contact data never enters a history.
func border(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	var invalid *order.InvalidError
	if errors.As(err, &invalid) {
		return temporal.NewNonRetryableApplicationError(verify.WithoutAddresses(invalid.Message), "invalid_request", nil, invalid.Field)
	}
	for _, known := range []struct {
		err  error
		code string
	}{
		{account.ErrNotFound, "not_found"},
		{orderbook.ErrNotFound, "not_found"},
		{orderbook.ErrRequestDiffers, "idempotency_key_reused"},
		{ledger.ErrKeyReused, "idempotency_key_reused"},
		{orderbook.ErrOver, "order_over"},
		{ledger.ErrHoldClosed, "hold_closed"},
		{ledger.ErrHoldExhausted, "hold_exhausted"},
		{ledger.ErrInvalid, "invalid_ledger_operation"},
		{webhook.ErrNotFound, "webhook_not_found"},
		{webhook.ErrDisabled, "webhook_disabled"},
	} {
		if errors.Is(err, known.err) {
			return temporal.NewNonRetryableApplicationError(verify.WithoutAddresses(err.Error()), known.code, nil)
		}
	}
	return temporal.NewApplicationError(verify.WithoutAddresses(err.Error()), "temporary")
}
