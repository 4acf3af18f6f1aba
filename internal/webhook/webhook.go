// Package webhook tells organizations what happened: it keeps their endpoints,
// takes events from the outbox, signs them by the Standard Webhooks
// specification and sends them to addresses that are not our own. When to try
// again is decided here, waiting is the caller's. See README.md for the
// invariants.
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/netguard"
	"holdfast/internal/outbox"
)

// Errors of this package, to be told apart with errors.Is. The text of an error
// is one sentence for the caller.
var (
	ErrNotFound = errors.New("there is no such webhook or delivery")
	ErrInvalid  = errors.New("the webhook cannot be made like this")
)

// failure is a sentence that is one of the errors above.
type failure struct {
	kind error
	text string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// maxEndpoints is how many endpoints an organization may have.
const maxEndpoints = 20

// Config is how webhooks are sent.
type Config struct {
	// Allow are the networks that may be sent to although they are private, such
	// as 127.0.0.0/8 in development. To these plain http is allowed, too.
	Allow netguard.Allow
	// Backoff are the waits between the attempts. When the last one has failed,
	// the delivery has. Empty means DefaultBackoff.
	Backoff []time.Duration
}

// DefaultBackoff spreads 11 attempts over a day.
var DefaultBackoff = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour,
}

// Webhooks keeps endpoints and delivers to them. It is safe for concurrent use.
type Webhooks struct {
	pool    *pgxpool.Pool
	client  *http.Client
	allow   netguard.Allow
	backoff []time.Duration

	attempts *prometheus.CounterVec
}

// New returns the webhooks of a migrated database.
func New(pool *pgxpool.Pool, c Config) *Webhooks {
	if len(c.Backoff) == 0 {
		c.Backoff = DefaultBackoff
	}
	return &Webhooks{
		pool: pool, client: newClient(c.Allow), allow: c.Allow, backoff: c.Backoff,
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_webhook_attempts_total", Help: "Attempts of this process to deliver an event to a webhook, by result: delivered, retried or failed for good.",
		}, []string{"result"}),
	}
}

// Collectors are the metrics of these webhooks, for the registry of the process.
func (w *Webhooks) Collectors() []prometheus.Collector { return []prometheus.Collector{w.attempts} }

// Endpoint is an address that hears of an organization's events.
type Endpoint struct {
	ID             string     `json:"id"`
	URL            string     `json:"url"`
	Events         []string   `json:"events"` // topics; none = all
	CreatedAt      time.Time  `json:"created_at"`
	FailingSince   *time.Time `json:"failing_since,omitempty"` // first failure since the last success
	DisabledAt     *time.Time `json:"disabled_at,omitempty"`   // not tried any more
	DisabledReason string     `json:"disabled_reason,omitempty"`
}

const endpointColumns = `id, url, events, created_at, failing_since, disabled_at, disabled_reason`

// Create makes an endpoint and returns it with its signing secret, which is not
// shown again. ErrInvalid says what is wrong with the URL or the events.
func (w *Webhooks) Create(ctx context.Context, org, address string, events []string) (Endpoint, string, error) {
	if err := w.checkURL(address); err != nil {
		return Endpoint{}, "", err
	}
	for _, topic := range events {
		if !slices.Contains(outbox.Names(), topic) {
			return Endpoint{}, "", &failure{ErrInvalid, fmt.Sprintf("There is no event %q; use some of %s.", topic, strings.Join(outbox.Names(), ", "))}
		}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: it ends the program rather than return less
	id := make([]byte, 10)
	_, _ = rand.Read(id)
	rows, _ := w.pool.Query(ctx, `
		INSERT INTO webhook_endpoint (id, org, url, events, secret)
		SELECT $1, $2, $3, $4, $5
		WHERE (SELECT count(*) FROM webhook_endpoint WHERE org = $2 AND deleted_at IS NULL) < $6
		RETURNING `+endpointColumns,
		"wh_"+strings.ToLower(base32.StdEncoding.EncodeToString(id)), org, address, append([]string{}, events...), secret, maxEndpoints)
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Endpoint])
	if errors.Is(err, pgx.ErrNoRows) {
		return Endpoint{}, "", &failure{ErrInvalid, fmt.Sprintf("An organization may have %d webhooks; delete one first.", maxEndpoints)}
	}
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("the webhook was not created: %w", err)
	}
	return e, secretText(secret), nil
}

// checkURL looks at what can be told without resolving the name; the address it
// leads to is checked at every connection.
func (w *Webhooks) checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || len(address) > 2000 || u.Hostname() == "":
		return &failure{ErrInvalid, "The URL is not a web address; write it as https://example.com/path."}
	case u.Scheme != "https" && u.Scheme != "http":
		return &failure{ErrInvalid, fmt.Sprintf("The URL begins with %q; use https.", u.Scheme)}
	case u.User != nil:
		return &failure{ErrInvalid, "The URL holds a user name or password; check the signature instead and leave them out."}
	case u.Fragment != "":
		return &failure{ErrInvalid, "The URL ends in a #fragment, which no server gets to see; leave it out."}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err == nil && !w.allow.Permits(ip) {
		return &failure{ErrInvalid, "The URL leads into a private network; use an address that can be reached from the internet."}
	}
	if u.Scheme == "http" && (err != nil || !w.allow.Names(ip)) {
		return &failure{ErrInvalid, "The URL is not encrypted; use https."}
	}
	return nil
}

// Endpoints lists an organization's endpoints, oldest first.
func (w *Webhooks) Endpoints(ctx context.Context, org string) ([]Endpoint, error) {
	rows, _ := w.pool.Query(ctx, `
		SELECT `+endpointColumns+` FROM webhook_endpoint WHERE org = $1 AND deleted_at IS NULL ORDER BY created_at, id`, org)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Endpoint])
	if err != nil {
		return nil, fmt.Errorf("the webhooks cannot be listed: %w", err)
	}
	return list, nil
}

// Delete ends an endpoint; what is pending for it is given up.
func (w *Webhooks) Delete(ctx context.Context, org, id string) error {
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE webhook_endpoint SET deleted_at = now() WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, id)
		if err != nil {
			return fmt.Errorf("the webhook %s was not deleted: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return giveUp(ctx, tx, id, "The webhook was deleted.")
	})
}

// Enable lets a disabled endpoint be tried again, from the next event on. What
// failed meanwhile can be asked for again, delivery by delivery.
func (w *Webhooks) Enable(ctx context.Context, org, id string) error {
	tag, err := w.pool.Exec(ctx, `
		UPDATE webhook_endpoint SET disabled_at = NULL, disabled_reason = '', failing_since = NULL
		WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, id)
	if err != nil {
		return fmt.Errorf("the webhook %s was not enabled: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}

// giveUp ends everything that is pending for an endpoint.
func giveUp(ctx context.Context, tx pgx.Tx, endpoint, reason string) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_delivery SET status = 'failed', error = $2 WHERE endpoint = $1 AND status = 'pending'`, endpoint, reason)
	return err
}
