package outbox_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
)

var write = flag.Bool("write", false, "write docs/webhooks.md instead of comparing it")

const catalogue = "../../docs/webhooks.md"

// head begins the page; a test of starter sends its requests. "~" stands for a backtick.
var head = strings.ReplaceAll(`# Webhook events

What an organization's webhooks are sent, and what ~GET /api/v1/events~ lists. Written from ~internal/outbox~ by ~go test ./internal/outbox -run Page -write~.

Every event is a POST of ~{"type", "timestamp", "data"}~, signed by the [Standard Webhooks](https://www.standardwebhooks.com) specification: check ~webhook-signature~ over ~webhook-id~, ~webhook-timestamp~ and the body with the endpoint's secret. ~webhook-id~ is the same for every attempt and replay. Events of one order arrive in order. Anything but a status from 200 to 299 is tried again over a day.

## The life of a webhook

Requests of this page are sent by a test (~TestDev~) with an admin's key, in this order. Create an endpoint; an empty list of events means all. The answer has its ~id~, used as ~WEBHOOK~ below, and its signing ~secret~, which is shown this once:

~~~http
POST /webhooks
{"url": "https://example.com/holdfast", "events": ["order.completed", "credits.low"]}
~~~

Send a test event, which says ~"test": true~. The answer says what the endpoint did:

~~~http
POST /webhooks/WEBHOOK/test
{"event": "order.completed"}
~~~

Change the events or the URL, or pause it. While it is paused its events wait; they are sent, in their order, when it is resumed:

~~~http
PATCH /webhooks/WEBHOOK
{"events": [], "paused": true}
~~~

~~~http
PATCH /webhooks/WEBHOOK
{"paused": false}
~~~

Change the secret. For 24 hours every event has two signatures, so that the receiver can change over without losing one; a signature that fits suffices:

~~~http
POST /webhooks/WEBHOOK/rotate
~~~

See what was sent and what the endpoint answered; send what it has not taken again, or all since a time. The receiver sees the same ~webhook-id~ again:

~~~http
GET /webhooks/WEBHOOK/deliveries?status=failed
~~~

~~~http
POST /webhooks/WEBHOOK/replay
{"failed": true}
~~~

~~~http
POST /webhooks/WEBHOOK/replay
{"since": "2026-03-01"}
~~~

~~~http
GET /events?type=credits.low&from=2026-03-01
~~~

An endpoint that took nothing through all attempts at an event is disabled. This tries it again, from the next event on:

~~~http
POST /webhooks/WEBHOOK/enable
~~~

~~~http
DELETE /webhooks/WEBHOOK
~~~

While you develop, ~holdfast listen --forward http://localhost:3000/holdfast~ sends events to a receiver on your machine.
`, "~", "`")

// The catalogue page shows every event with an example that has its shape.
func TestThePageOfEventsIsUpToDate(t *testing.T) {
	var page strings.Builder
	page.WriteString(head)
	for _, topic := range outbox.Topics {
		example, err := outbox.Example(topic.Name)
		require.NoError(t, err)
		require.NoError(t, outbox.Fits(topic.Name, example))
		var shown bytes.Buffer
		require.NoError(t, json.Indent(&shown, example, "", "  "))
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```json\n%s\n```\n", topic.Name, topic.Says, shown.String())
	}
	if *write {
		require.NoError(t, os.WriteFile(catalogue, []byte(page.String()), 0o644))
	}
	stored, err := os.ReadFile(catalogue)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(stored), "go test ./internal/outbox -run Page -write")
}
