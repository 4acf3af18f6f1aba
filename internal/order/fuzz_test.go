package order

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is sent as an order is taken or refused with a sentence, and is the same
// request when it is written out and read again.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"kind":"lead_list","count":10,"criteria":{"country":["US"],"headcount_min":5}}`))
	f.Add([]byte(`{"kind":"verify","emails":["a@b.test"]}`))
	f.Add([]byte(`{"kind":"export","lead_ids":["x"],"destination":"webhook"}`))
	f.Add([]byte(`{"kind":"enrich","list_id":"l","fields":["email","email"]}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := ParseRequest(data)
		if err != nil {
			require.ErrorAs(t, err, new(*InvalidError))
			return
		}
		if err := body.Validate(0); err != nil {
			require.ErrorAs(t, err, new(*InvalidError))
			return
		}
		require.Positive(t, body.Count)
		require.LessOrEqual(t, body.Count, int64(MaxCount))
		text, err := json.Marshal(body)
		require.NoError(t, err)
		again, err := ParseRequest(text)
		require.NoError(t, err)
		require.Equal(t, body.Hash(), again.Hash())
	})
}
