// Package codec encrypts what Temporal stores: inputs, results, failures,
// summaries, memos. Search attributes stay readable, or Temporal could not search.
// See README.md.
package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// Metadata of an encrypted payload.
const (
	encoding      = "binary/encrypted"
	keyOfEncoding = "encoding"
	keyOfKey      = "encryption-key-id"
)

const keyBytes = 32 // AES-256

// Codec encrypts with one key, and decrypts with any that it knows.
type Codec struct {
	first string
	keys  map[string]cipher.AEAD
}

// New reads keys as HOLDFAST_CODEC_KEYS has them: id:base64 of 32 bytes, separated
// by commas. The first encrypts.
func New(keys string) (*Codec, error) {
	c := &Codec{keys: map[string]cipher.AEAD{}}
	for part := range strings.SplitSeq(keys, ",") {
		id, text, _ := strings.Cut(strings.TrimSpace(part), ":")
		key, err := base64.StdEncoding.DecodeString(text)
		if id == "" || err != nil || len(key) != keyBytes { // the key itself is not shown
			return nil, fmt.Errorf("HOLDFAST_CODEC_KEYS: key %q is not id:base64 of %d bytes; make one with: openssl rand -base64 %d", id, keyBytes, keyBytes)
		}
		if c.keys[id] != nil {
			return nil, fmt.Errorf("HOLDFAST_CODEC_KEYS has key %q twice", id)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if c.keys[id], err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
		if c.first == "" {
			c.first = id
		}
	}
	return c, nil
}

// Encode encrypts payloads.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		aead := c.keys[c.first]
		nonce := make([]byte, aead.NonceSize())
		_, _ = rand.Read(nonce) // it never fails
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{keyOfEncoding: []byte(encoding), keyOfKey: []byte(c.first)},
			Data:     aead.Seal(nonce, nonce, plain, []byte(c.first)),
		}
	}
	return out, nil
}

var errDamaged = errors.New("an encrypted payload is damaged, or was encrypted with another key of the same name")

// Decode decrypts payloads. What is not encrypted, as everything from before the
// keys were set, stays as it is.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[keyOfEncoding]) != encoding {
			out[i] = p
			continue
		}
		id := string(p.GetMetadata()[keyOfKey])
		aead := c.keys[id]
		if aead == nil {
			return nil, fmt.Errorf("a payload is encrypted with key %q, which is not in HOLDFAST_CODEC_KEYS", id)
		}
		size := aead.NonceSize()
		if len(p.GetData()) < size {
			return nil, errDamaged
		}
		plain, err := aead.Open(nil, p.GetData()[:size], p.GetData()[size:], []byte(id))
		if err != nil {
			return nil, errDamaged
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, errDamaged
		}
	}
	return out, nil
}

// Converter is the data converter of clients and workers: the codec's where keys
// are configured, else Temporal's own.
func Converter(keys string) (converter.DataConverter, error) {
	if keys == "" {
		return converter.GetDefaultDataConverter(), nil
	}
	c, err := New(keys)
	if err != nil {
		return nil, err
	}
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c), nil
}

// Use makes a client encrypt, where keys are configured: messages and stack traces
// of failures, too.
func Use(options *client.Options, keys string) error {
	if keys == "" {
		return nil
	}
	data, err := Converter(keys)
	if err != nil {
		return err
	}
	options.DataConverter = data
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: data, EncodeCommonAttributes: true,
	})
	return nil
}
