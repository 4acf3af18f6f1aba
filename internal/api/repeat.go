package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/idempotency"
	"holdfast/internal/ledger"
)

// Repeatable is what every request carries that makes something without spending
// or granting.
type Repeatable struct {
	Key string `header:"Idempotency-Key" maxLength:"200" doc:"Makes the request safe to repeat: the same key with the same body makes nothing more and gets the same answer, with another body 422. Without it, every request makes something." example:"4c1f7e0a"`
}

func (r Repeatable) repeats() string { return r.Key }

func (Idempotent) repeats() string { return "" } // what is made has an id that is made of the key

// replayedHeader marks the answer to a request that was carried out before.
const replayedHeader = "Idempotent-Replayed"

// once gives a request that has an idempotency key to make, and
// returns what marks its answer when it is that of an earlier one.
func once(ctx context.Context, r route, in any) (context.Context, func()) {
	keyed, ok := in.(interface{ repeats() string })
	if !ok {
		return ctx, func() {}
	}
	request := &idempotency.Request{Key: keyed.repeats(), Secret: callerOf(ctx).secret}
	var asked any
	if body := reflect.ValueOf(in).Elem().FieldByName("Body"); body.IsValid() {
		asked = body.Interface()
	}
	text, _ := json.Marshal(asked) //nolint:errchkjson // it came as JSON
	request.Hash = sha256.Sum256(append([]byte(r.method+" "+r.path+" "), text...))
	ctx = idempotency.With(ctx, request)
	ctx = ledger.Notice(ctx, func() { idempotency.MarkReplayed(ctx) })
	return ctx, func() {
		if hc, ok := ctx.Value(answerKey{}).(huma.Context); ok && request.Replayed() {
			hc.SetHeader(replayedHeader, "true")
		}
	}
}

// answerKey is under what enter leaves the answer's headers.
type answerKey struct{}

// callersSecret is a secret that only the caller with this API key knows, for
// secrets that are shown to them again.
func callersSecret(key string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte("holdfast: secrets shown again")) // a hash takes everything
	return mac.Sum(nil)
}
