package activities

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/account"
	"holdfast/internal/errcode"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/webhook"
)

// The codes are those that failures of orders have had since there are orders.
func TestErrorsCrossTemporal(t *testing.T) {
	for code, err := range map[string]error{
		"not_found":                account.ErrNotFound,
		"idempotency_key_reused":   ledger.ErrKeyReused,
		"order_over":               orderbook.ErrOver,
		"hold_closed":              ledger.ErrHoldClosed,
		"hold_exhausted":           ledger.ErrHoldExhausted,
		"invalid_ledger_operation": ledger.ErrInvalid,
		"webhook_not_found":        webhook.ErrNotFound,
		"webhook_disabled":         webhook.ErrDisabled,
		"invalid_request":          &order.InvalidError{Field: "count", Message: "The count is 0; ask for at least 1 lead."},
	} {
		t.Run(code, func(t *testing.T) {
			info, refused := Refused(toTemporal(fmt.Errorf("order 7: %w", err)))
			require.True(t, refused, "it is not retried")
			require.Equal(t, code, info.Code)
			require.Equal(t, errcode.Of(err).Kind, info.Kind)
			require.Equal(t, errcode.Of(err).Field, info.Field)
		})
	}
	// Without a list that is gone an order would have asked for it for ever.
	_, refused := Refused(toTemporal(lead.ErrNoList))
	require.True(t, refused)
}

func TestWhatMayPassIsRetried(t *testing.T) {
	for name, err := range map[string]error{"the database is away": errors.New("connection refused"), "damaged credits": ledger.ErrDamaged} {
		t.Run(name, func(t *testing.T) {
			var app *temporal.ApplicationError
			require.ErrorAs(t, toTemporal(err), &app)
			require.False(t, app.NonRetryable())
			require.Equal(t, "temporary", app.Type())
		})
	}
	require.ErrorIs(t, toTemporal(fmt.Errorf("query: %w", context.Canceled)), context.Canceled)
	require.NoError(t, toTemporal(nil))

	info, refused := Refused(reserving(ledger.ErrDamaged))
	require.True(t, refused, "the submitter is answered")
	require.Equal(t, errcode.Damaged, info.Kind)
}

func TestAFailureHasNoAddress(t *testing.T) {
	err := toTemporal(&order.InvalidError{Field: "emails", Message: "ann@example.com is there twice."})
	require.NotContains(t, err.Error(), "ann@example.com")
	require.NotContains(t, toTemporal(errors.New("row ann@example.com is locked")).Error(), "ann@example.com")
}
