package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"holdfast/internal/client"
	"holdfast/internal/webhook"
)

const (
	listenEvery  = 500 * time.Millisecond // between two looks at the events
	listenAgain  = 5 * time.Second        // the longest wait for a server or a receiver that is away
	answerWithin = 30 * time.Second       // what a receiver gets for one event

	// overlap is how far back is looked again: an event has the time at which its
	// transaction began, and appears when that is committed.
	overlap = 2 * time.Minute
)

// listener prints events and forwards them to a receiver on this machine.
type listener struct {
	*app
	session *session
	org     url.Values
	types   []string
	forward string
	signer  *standardwebhooks.Webhook

	newest time.Time            // of the events that were seen
	seen   map[string]time.Time // events of the last while, by id
	last   time.Time            // of the event that was taken last
}

func (a *app) listenCommand() *cobra.Command {
	var org, secret, since string
	l := &listener{app: a, seen: map[string]time.Time{}}
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Print events as they happen, and forward them to a local receiver",
		Long: `Prints the events of an organization as they happen and, with --forward, sends
each to a URL, in order and signed by the Standard Webhooks specification as a
webhook is: for receivers under development that the server cannot reach. The
signing secret is printed at the beginning; --secret sets it.

When the connection to the server breaks, it waits and goes on with the next event
after the last one that was seen, however long that takes. An event that the
receiver does not take a connection for is sent again until it does. When it ends
it says which --since goes on there: the last event comes again.`,
		Example: examples(
			"holdfast listen --org acme",
			"holdfast listen --org acme --forward http://localhost:3000/holdfast",
			"holdfast listen --org acme --event order.completed --json"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := parseTime("since", since)
			if err != nil {
				return err
			}
			if err := l.sign(secret); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				l.session = s
				if l.org, err = s.needOrg(ctx, org); err != nil {
					return err
				}
				err = l.run(ctx, from)
				if err == nil && !l.last.IsZero() {
					l.note("To go on from here: --since %s", l.last.UTC().Format(time.RFC3339Nano))
				}
				return err
			})
		},
	}
	addOrgFlag(cmd, &org)
	flags := cmd.Flags()
	flags.StringVar(&l.forward, "forward", "", "`URL` that events are sent to, such as http://localhost:3000/holdfast")
	flags.StringSliceVar(&l.types, "event", nil, "only these events, such as order.completed")
	flags.StringVar(&secret, "secret", "", "signing secret, whsec_…; a new one is made and printed when left out")
	flags.StringVar(&since, "since", "", "begin with the events from this time on; with those that come when left out")
	return cmd
}

// sign prepares what signs the events that are forwarded.
func (l *listener) sign(secret string) error {
	if l.forward == "" {
		return nil
	}
	to, err := url.Parse(l.forward)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return usagef("--forward %q is not a web address; write it as http://localhost:3000/path", l.forward)
	}
	if secret == "" {
		random := make([]byte, 32)
		_, _ = rand.Read(random) // never fails: it ends the program rather than return less
		secret = "whsec_" + base64.StdEncoding.EncodeToString(random)
		l.note("Events are signed with %s", secret)
	}
	if l.signer, err = standardwebhooks.NewWebhook(secret); err != nil {
		return usagef("--secret is not a signing secret; write whsec_ and base64")
	}
	return nil
}

// run prints and forwards events until ctx is done.
func (l *listener) run(ctx context.Context, from time.Time) error {
	if from.IsZero() {
		now, err := l.mark(ctx)
		if err != nil {
			return err
		}
		from = now
	}
	l.newest = from.Add(overlap) // begin exactly there
	l.note("Listening; Ctrl-C stops.")
	for away := listenEvery; ; {
		events, err := l.fresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Ctrl-C is how it ends
		case passes(err):
			if away == listenEvery {
				l.note("%s Trying again.", sentence(err))
			}
			away = min(2*away, listenAgain)
		case err != nil:
			return err
		default:
			if away > listenEvery {
				l.note("The server answers again.")
			}
			away = listenEvery
		}
		for _, e := range events {
			if err := l.take(ctx, e); err != nil {
				return err
			}
		}
		if pause(ctx, away) != nil {
			return nil //nolint:nilerr // interrupted, which is how it ends
		}
	}
}

// passes reports whether an error ends by itself: a server that is restarted, or
// has too much to do.
func passes(err error) bool {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests
	}
	return err != nil
}

// mark notes the events that are there already, and returns the time from which
// on there are others.
func (l *listener) mark(ctx context.Context) (time.Time, error) {
	var page eventPage
	if err := l.session.Get(ctx, "/events", l.query("", time.Time{}, 1), &page); err != nil {
		return time.Time{}, err
	}
	if len(page.Events) == 0 {
		return time.Time{}, nil
	}
	l.newest = page.Events[0].Timestamp
	_, err := l.fresh(ctx)
	return l.newest.Add(-overlap), err
}

// fresh reads the events that were not seen before, oldest first.
func (l *listener) fresh(ctx context.Context) ([]webhook.Event, error) {
	var from time.Time
	if !l.newest.IsZero() {
		from = l.newest.Add(-overlap)
	}
	var events []webhook.Event
	for cursor := ""; ; {
		var page eventPage
		if err := l.session.Get(ctx, "/events", l.query(cursor, from, 100), &page); err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if _, known := l.seen[e.ID]; !known {
				events = append(events, e)
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	slices.Reverse(events)
	for _, e := range events {
		l.seen[e.ID] = e.Timestamp
		if e.Timestamp.After(l.newest) {
			l.newest = e.Timestamp
		}
	}
	for id, at := range l.seen {
		if at.Before(l.newest.Add(-overlap)) {
			delete(l.seen, id)
		}
	}
	return events, nil
}

func (l *listener) query(cursor string, from time.Time, limit int) url.Values {
	query := clone(l.org)
	query["type"] = l.types
	if !from.IsZero() {
		query.Set("from", from.UTC().Format(time.RFC3339Nano))
	}
	return inPage(query, limit, cursor)
}

// take prints an event and forwards it.
func (l *listener) take(ctx context.Context, e webhook.Event) error {
	l.last = e.Timestamp
	if l.forward == "" {
		if l.json {
			return json.NewEncoder(l.out).Encode(e)
		}
		l.say("%s  %s  %s", when(e.Timestamp), e.Type, l.paint(dim, e.ID))
		return nil
	}
	status, err := l.send(ctx, e)
	if err != nil {
		return nil //nolint:nilerr // ctx is done: it is how it ends
	}
	if l.json {
		return json.NewEncoder(l.out).Encode(struct {
			webhook.Event
			Status int `json:"status"`
		}{e, status})
	}
	color := green
	if status < 200 || status > 299 {
		color = red
	}
	l.say("%s  %s  %s  %s", when(e.Timestamp), l.paint(color, strconv.Itoa(status)), e.Type, l.paint(dim, e.ID))
	return nil
}

// send sends an event until the receiver answers, with any status.
func (l *listener) send(ctx context.Context, e webhook.Event) (status int, err error) {
	body, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{e.Type, e.Timestamp, e.Data})
	if err != nil {
		return 0, err
	}
	for again := listenEvery; ; again = min(2*again, listenAgain) {
		status, err := l.attempt(ctx, e.ID, body)
		if err == nil || ctx.Err() != nil {
			return status, ctx.Err()
		}
		if again == listenEvery {
			l.note("%s cannot be reached, the event %s waits: %s", l.forward, e.Type, sentence(err))
		}
		if err := pause(ctx, again); err != nil {
			return 0, err
		}
	}
}

func (l *listener) attempt(ctx context.Context, id string, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.forward, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	now := time.Now()
	signature, err := l.signer.Sign(id, now, body)
	if err != nil {
		return 0, fmt.Errorf("the event cannot be signed: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Holdfast-Listen/1")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	return response.StatusCode, nil
}
