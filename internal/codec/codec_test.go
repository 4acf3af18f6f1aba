package codec_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/codec"
)

// key is a key with this id, made of one letter.
func key(id, letter string) string {
	return id + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

func open(t *testing.T, keys ...string) *codec.Codec {
	t.Helper()
	c, err := codec.New(strings.Join(keys, ","))
	require.NoError(t, err)
	return c
}

func secret(t *testing.T) *commonpb.Payload {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload("for acme only")
	require.NoError(t, err)
	return p
}

func TestC1PayloadsAreEncrypted(t *testing.T) {
	c := open(t, key("one", "a"))
	plain := secret(t)
	encoded, err := c.Encode([]*commonpb.Payload{plain, plain})
	require.NoError(t, err)
	require.NotContains(t, encoded[0].String(), "acme")
	require.NotEqual(t, encoded[0].GetData(), encoded[1].GetData(), "each has a nonce of its own")
	decoded, err := c.Decode(encoded)
	require.NoError(t, err)
	require.True(t, proto.Equal(plain, decoded[1]))

	encoded[0].Data[20] ^= 1
	_, err = c.Decode(encoded)
	require.ErrorContains(t, err, "damaged")
	encoded[0].Data = encoded[0].GetData()[:3]
	_, err = c.Decode(encoded)
	require.ErrorContains(t, err, "damaged")
}

func TestC2KeysRotate(t *testing.T) {
	before, during, after := open(t, key("one", "a")), open(t, key("two", "b"), key("one", "a")), open(t, key("two", "b"))
	plain := secret(t)
	old, err := before.Encode([]*commonpb.Payload{plain})
	require.NoError(t, err)
	read, err := during.Decode([]*commonpb.Payload{plain, old[0]})
	require.NoError(t, err)
	require.True(t, proto.Equal(plain, read[0]), "from before the first key")
	require.True(t, proto.Equal(plain, read[1]))
	fresh, err := during.Encode([]*commonpb.Payload{plain})
	require.NoError(t, err)
	_, err = after.Decode(fresh)
	require.NoError(t, err, "the first key encrypts")
	_, err = after.Decode(old)
	require.ErrorContains(t, err, `key "one", which is not in HOLDFAST_CODEC_KEYS`)
	_, err = open(t, key("one", "z")).Decode(old)
	require.ErrorContains(t, err, "another key of the same name")

	for _, bad := range []string{"x", ":" + key("", "a"), "a:" + base64.StdEncoding.EncodeToString([]byte("short")), key("a", "a") + "," + key("a", "b")} {
		_, err := codec.New(bad)
		require.ErrorContains(t, err, "HOLDFAST_CODEC_KEYS")
		require.NotContains(t, err.Error(), "c2hvcnQ", "a key is not shown")
	}
}

func TestC3OnlyCallersWithTheTokenDecode(t *testing.T) {
	c := open(t, key("one", "a"))
	encoded, err := c.Encode([]*commonpb.Payload{secret(t)})
	require.NoError(t, err)
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: encoded})
	require.NoError(t, err)
	handler := c.Handler("token", []string{"https://temporal.example.com"})
	ask := func(method, origin, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "/decode", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", origin)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	allowed := func(w *httptest.ResponseRecorder) string { return w.Header().Get("Access-Control-Allow-Origin") }
	asked := ask(http.MethodOptions, "https://temporal.example.com", "")
	require.Equal(t, http.StatusNoContent, asked.Code)
	require.Equal(t, "https://temporal.example.com", allowed(asked))
	require.Contains(t, asked.Header().Get("Access-Control-Allow-Headers"), "Authorization")
	require.Empty(t, allowed(ask(http.MethodOptions, "https://evil.example.com", "")))

	for _, authorization := range []string{"", "Bearer ", "Bearer wrong", "token"} {
		w := ask(http.MethodPost, "https://temporal.example.com", authorization)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.NotContains(t, w.Body.String(), base64.StdEncoding.EncodeToString([]byte(`"for acme only"`)))
	}
	w := ask(http.MethodPost, "https://temporal.example.com", "Bearer token")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), base64.StdEncoding.EncodeToString([]byte(`"for acme only"`)))

	unset := httptest.NewRecorder()
	c.Handler("", nil).ServeHTTP(unset, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/decode", bytes.NewReader(body)))
	require.Equal(t, http.StatusUnauthorized, unset.Code, "without a token there is no access")
}

func TestC1FailuresAreEncrypted(t *testing.T) {
	var options client.Options
	require.NoError(t, codec.Use(&options, key("one", "a")))
	failure := options.FailureConverter.ErrorToFailure(temporal.NewApplicationError("for acme only", "Refused", "a detail of acme"))
	require.NotContains(t, failure.String(), "acme")
	require.ErrorContains(t, options.FailureConverter.FailureToError(failure), "for acme only")

	var plain client.Options
	require.NoError(t, codec.Use(&plain, ""))
	require.Nil(t, plain.DataConverter, "without keys all stays as it was")
}
