// Package outbox keeps the events that customers see: code that changes something
// writes the event in the same transaction, and one process at a time
// carries events on. See README.md for the invariants.
package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// Event is one thing that happened to an organization.
type Event struct {
	Org   string
	Topic string
	Key   string // the same event is written once per organization; see Key
	Data  []byte // JSON
}

// New returns an event whose key is made of what tells it apart from the others
// of its topic.
func New(org, topic string, data any, apart ...any) (Event, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("the event %s cannot be written: %w", topic, err)
	}
	return Event{Org: org, Topic: topic, Key: Key(topic, apart...), Data: body}, nil
}

// Key is the key of an event: its topic and what tells it apart from the others
// of the topic, divided by "/".
func Key(topic string, apart ...any) string {
	key := []byte(topic)
	for _, part := range apart {
		key = fmt.Append(append(key, '/'), part)
	}
	return string(key)
}

const insert = `
	INSERT INTO outbox (org, topic, key, payload)
	SELECT e.org, e.topic, e.key, e.data::jsonb
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS e (org, topic, key, data, n)
	ORDER BY e.n`

// Write puts events into the outbox, in this order, in the transaction that
// makes them true. What is there already stays as it is.
func Write(ctx context.Context, tx pgx.Tx, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, insert+` ON CONFLICT (org, key) DO NOTHING`, columns(events)...); err != nil {
		return fmt.Errorf("the event %s was not written: %w", events[0].Topic, err)
	}
	return nil
}

// Queue is Write for a batch of statements. It fails where one of the events is
// there already: the journal's entries are written once, so their events are.
func Queue(b *pgx.Batch, events []Event) {
	if len(events) > 0 {
		b.Queue(insert, columns(events)...)
	}
}

func columns(events []Event) []any {
	orgs, topics, keys, data := make([]string, len(events)), make([]string, len(events)), make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		orgs[i], topics[i], keys[i], data[i] = e.Org, e.Topic, e.Key, string(e.Data)
	}
	return []any{orgs, topics, keys, data}
}

// Names are the names of all topics.
func Names() []string {
	names := make([]string, len(Topics))
	for i, t := range Topics {
		names[i] = t.Name
	}
	return names
}

// Fits says whether data have the shape that the catalogue promises for a topic,
// and nothing beyond it.
func Fits(topic string, data []byte) error {
	for _, t := range Topics {
		if t.Name != topic {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(reflect.New(reflect.TypeOf(t.Data)).Interface()); err != nil {
			return fmt.Errorf("the data of %s have another shape: %w", topic, err)
		}
		return nil
	}
	return fmt.Errorf("there is no topic %s", topic)
}
