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

// The catalogue page shows every event with an example that has its shape.
func TestThePageOfEventsIsUpToDate(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Webhook events

What an organization's webhooks are sent, and what ` + "`GET /api/v1/events`" + ` lists. Written from ` + "`internal/outbox`" + ` by ` + "`go test ./internal/outbox -run Page -write`" + `.

Every event is a POST of ` + "`{\"type\", \"timestamp\", \"data\"}`" + `, signed by the [Standard Webhooks](https://www.standardwebhooks.com) specification: check ` + "`webhook-signature`" + ` over ` + "`webhook-id`, `webhook-timestamp`" + ` and the body with the endpoint's secret. After a rotation two signatures are sent for 24 hours; one that fits suffices. ` + "`webhook-id`" + ` is the same for every attempt and replay. Events of one order arrive in order. Test events (` + "`POST /api/v1/webhooks/{id}/test`" + `) say ` + "`\"test\": true`" + `.
`)
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
