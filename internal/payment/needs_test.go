package payment_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/payment"
)

// An event that is done tries those again that it can help, and no others.
func TestP2_OnlyWhatCanBeHelpedIsTriedAgain(t *testing.T) {
	w := setup(t)
	for i := range 10 {
		w.service.lines[fmt.Sprintf("cs_%d", i)] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_unknown"}}`
		require.Equal(t, payment.Waiting, w.send(fmt.Sprintf("evt_%d", i), "checkout.session.completed", 1_700_000_000, session(fmt.Sprintf("cs_%d", i), fmt.Sprintf("pi_%d", i), "")).Status)
	}
	require.Equal(t, payment.Waiting, w.send("evt_refund", "charge.refunded", 1_700_000_020, refunded("ch_1", "pi_sold", 5000)).Status)
	w.pack("price_pack", 1000)
	w.service.lines["cs_sold"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
	before := len(w.service.asked)
	require.Equal(t, payment.Done, w.send("evt_sold", "checkout.session.completed", 1_700_000_010, session("cs_sold", "pi_sold", "")).Status)
	require.Len(t, w.service.asked, before+1, "the service is asked about this sale, not about those that wait for a price")
	require.Zero(t, w.available("email"), "the refund that waited for the sale was carried out")
	w.pack("price_unknown", 10)
	require.EqualValues(t, 100, w.available("email"), "a mapping carries out what waited for it")
}

// A refund that waits for an invoice is carried out by it, also where the service
// did not say which one.
func TestP2_ARefundWaitsForItsInvoice(t *testing.T) {
	w := setup(t)
	_, err := w.MapPrice(t.Context(), payment.Price{ID: "price_monthly", Type: "email", Credits: 100})
	require.NoError(t, err)
	_, err = w.MapCustomer(t.Context(), "cus_1", org)
	require.NoError(t, err)
	require.Equal(t, payment.Waiting, w.send("evt_1", "charge.refunded", 1_700_000_010, refunded("ch_1", "pi_1", 900)).Status)
	w.service.invoices["pi_1"], w.service.invoices["pi_2"] = "in_1", "in_2"
	require.Equal(t, payment.Waiting, w.send("evt_2", "charge.refunded", 1_700_000_010, refunded("ch_2", "pi_2", 900)).Status)
	for _, in := range []string{"in_1", "in_2"} {
		w.send("evt_"+in, "invoice.paid", 1_700_000_000, invoice(in, "sub_1", "price_monthly", 900))
		require.Zero(t, w.available("email"))
	}
	waiting, err := w.Events(t.Context(), payment.Waiting, time.Time{}, "", 10)
	require.NoError(t, err)
	require.Empty(t, waiting)
}
