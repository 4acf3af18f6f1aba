package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"holdfast/internal/netguard"
)

// attemptWithin is what an endpoint gets to answer.
const attemptWithin = 15 * time.Second

// secretText is a secret as the Standard Webhooks specification writes it.
func secretText(secret []byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}

// eventID is the same for every attempt and every endpoint, and says nothing
// about how many events there are.
func eventID(org, key string) string {
	sum := sha256.Sum256([]byte(org + "\x00" + key))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// signatures signs with every secret that is in force, as the Standard Webhooks
// specification describes it: receivers take a message that one of them fits.
func signatures(secrets [][]byte, id string, at time.Time, body []byte) (string, error) {
	var list []string
	for _, secret := range secrets {
		if secret == nil {
			continue
		}
		signer, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return "", err
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		list = append(list, signature)
	}
	return strings.Join(list, " "), nil
}

// message is the body of a webhook.
type message struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // when it happened
	Data      json.RawMessage `json:"data"`
	Test      bool            `json:"test,omitempty"` // it did not happen
}

// newClient returns a client that looks at the address it is about to connect
// to, after names have been resolved: a name that changes its mind between a
// check and the connection gains nothing. It follows no redirects and knows no
// proxy.
func newClient(allow netguard.Allow) *http.Client {
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		Control: allow.Control,
	}
	return &http.Client{
		Timeout: attemptWithin,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: attemptWithin,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 32 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came of one attempt.
type answer struct {
	code    int    // HTTP status; 0 = there was none
	problem string // one sentence for the endpoint's owner; empty = it was taken
}

// attempt sends one message. The problem says nothing of what the endpoint
// answered but the status: answers can hold secrets of networks we can see.
func (w *Webhooks) attempt(ctx context.Context, url, id string, secrets [][]byte, body []byte) answer {
	at := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer{problem: "The URL cannot be used."}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Holdfast-Webhooks/1")
	signed, err := signatures(secrets, id, at, body)
	if err != nil {
		return answer{problem: "The message cannot be signed."}
	}
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signed)
	response, err := w.client.Do(request)
	if err != nil {
		return answer{problem: reason(err)}
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return answer{code: code}
	case code >= 300 && code < 400:
		return answer{code, fmt.Sprintf("The endpoint redirects with status %d; give the address it redirects to.", code)}
	default:
		return answer{code, fmt.Sprintf("The endpoint answered with status %d; a status from 200 to 299 says that it took the event.", code)}
	}
}

// reason says why there was no answer.
func reason(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, netguard.ErrNotPublic):
		return "The name leads into a private network; use an address that can be reached from the internet, or allow the network with HOLDFAST_WEBHOOK_ALLOW."
	case errors.As(err, &dns):
		return "The host name cannot be resolved."
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("The endpoint did not answer within %s.", attemptWithin)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The endpoint refused the connection."
	default:
		return "The connection failed before an answer came."
	}
}
