package payment

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82/webhook"
)

// An event that is signed, but holds anything, is read or refused, and what was read
// can be kept: never a panic.
func FuzzEvent(f *testing.F) {
	for _, object := range []string{
		`{"id":"cs_1","client_reference_id":"acme","payment_intent":"pi_1","amount_total":5000,"currency":"eur","metadata":{"holdfast_price":"p","holdfast_quantity":"2"}}`,
		`{"id":"in_1","customer":"cus_1","lines":{"data":[null,{"quantity":1,"pricing":{"price_details":{"price":"price_1"}},"period":{"end":1}}]},"payments":{"data":[null]}}`,
		`{"id":"sub_1","customer":{"id":"cus_1"},"status":"active","items":{"data":[null,{"price":null}]}}`,
		`{"id":"ch_1","payment_intent":null,"amount":1,"amount_refunded":2}`, `{"id":"dp_1","charge":null,"status":"lost"}`, `null`, `[]`, `{"lines":null}`,
	} {
		for _, of := range []string{"checkout.session.completed", "payment_intent.succeeded", "invoice.paid", "customer.subscription.updated", "charge.refunded", "charge.dispute.closed", "other"} {
			f.Add(of, object)
		}
	}
	f.Fuzz(func(t *testing.T, of, object string) {
		body, err := json.Marshal(map[string]any{"id": "evt_1", "object": "event", "created": 1, "type": of, "data": map[string]any{"object": json.RawMessage(object)}})
		if err != nil {
			body = []byte(`{"id":"evt_1","type":"` + of + `","data":{"object":` + object + `}}`)
		}
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: "whsec", Timestamp: time.Now()})
		_, facts, err := readEvent(signed.Payload, signed.Header, "whsec")
		if err == nil {
			_, err = json.Marshal(facts)
			require.NoError(t, err)
		}
		_, _, err = readEvent(signed.Payload, signed.Header, "another")
		require.Error(t, err)
	})
}
