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
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/netguard"
	"holdfast/internal/outbox"
)

// Errors of this package, for errors.Is. The text of an error is one sentence for
// the caller.
var (
	ErrNotFound = errcode.Narrow(errcode.WebhookNotFound, "there is no such webhook or delivery")
	ErrInvalid  = errcode.New(errcode.Invalid, "the webhook cannot be made like this")
)

// maxEndpoints is how many endpoints an organization may have.
const maxEndpoints = 20

// Config is how webhooks are sent.
type Config struct {
	// Allow are the networks that may be sent to although they are private, such
	// as 127.0.0.0/8 in development. To these plain http is allowed, too.
	Allow netguard.Allow
	// Backoff are the waits between the attempts at an event or a message. When the
	// last one has failed, it is given up. Empty means DefaultBackoff.
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
			Name: "holdfast_webhook_attempts_total", Help: "Attempts of this process to deliver an event or a part of an export to a webhook, by result: delivered, retried or failed for good.",
		}, []string{"result"}),
	}
}

// Collectors are the metrics of these webhooks, for the registry of the process.
func (w *Webhooks) Collectors() []prometheus.Collector { return []prometheus.Collector{w.attempts} }

// Endpoint is an address that gets an organization's events.
type Endpoint struct {
	ID             string     `json:"id"`
	URL            string     `json:"url"`
	Events         []string   `json:"events"` // topics; none = all
	CreatedAt      time.Time  `json:"created_at"`
	FailingSince   *time.Time `json:"failing_since,omitempty"` // first failure since the last success
	DisabledAt     *time.Time `json:"disabled_at,omitempty"`   // not tried any more
	DisabledReason string     `json:"disabled_reason,omitempty"`
	PausedAt       *time.Time `json:"paused_at,omitempty" doc:"Events wait until it is resumed."`
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty" doc:"Until then events are signed with the secret before, too."`
}

const endpointColumns = `id, url, events, created_at, failing_since, disabled_at, disabled_reason, paused_at,
	CASE WHEN old_secret_until > now() THEN old_secret_until END AS old_secret_until`

// Create makes an endpoint and returns it with its signing secret, which is not
// shown again. ErrInvalid says what is wrong with the URL or the events.
func (w *Webhooks) Create(ctx context.Context, org, address string, events []string) (Endpoint, string, error) {
	if err := w.checkURL(address); err != nil {
		return Endpoint{}, "", err
	}
	if err := checkEvents(events); err != nil {
		return Endpoint{}, "", err
	}
	secret := newSecret()
	id := make([]byte, 10)
	_, _ = rand.Read(id) // never fails: it ends the program rather than return less
	made := idempotency.Made{ID: "wh_" + strings.ToLower(base32.StdEncoding.EncodeToString(id))}
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var again bool
		var err error
		if made, again, err = idempotency.Claim(ctx, tx, org, "webhook", made); err != nil {
			return err
		}
		if again { // its secret is the one of today
			return tx.QueryRow(ctx, `SELECT secret FROM webhook_endpoint WHERE org = $1 AND id = $2`, org, made.ID).Scan(&secret)
		}
		// Endpoints of one organization are made one after the other: what is counted is true.
		if _, err := tx.Exec(ctx, `SELECT FROM organization WHERE id = $1 FOR NO KEY UPDATE`, org); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO webhook_endpoint (id, org, url, events, secret)
			SELECT $1, $2, $3, $4, $5
			WHERE (SELECT count(*) FROM webhook_endpoint WHERE org = $2 AND deleted_at IS NULL) < $6`,
			made.ID, org, address, append([]string{}, events...), secret, maxEndpoints)
		if err == nil && tag.RowsAffected() == 0 {
			return errcode.Say(ErrInvalid, "An organization may have %d webhooks; delete one first.", maxEndpoints)
		}
		return err
	})
	if errors.Is(err, ErrInvalid) || errors.Is(err, idempotency.ErrReused) {
		return Endpoint{}, "", err
	}
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("the webhook was not created: %w", err)
	}
	e, err := w.Endpoint(ctx, org, made.ID)
	return e, secretText(secret), err
}

func newSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: it ends the program rather than return less
	return secret
}

func checkEvents(events []string) error {
	for _, topic := range events {
		if !slices.Contains(outbox.Names(), topic) {
			return errcode.Say(ErrInvalid, "There is no event %q; use some of %s.", topic, strings.Join(outbox.Names(), ", "))
		}
	}
	return nil
}

// checkURL checks what needs no resolving of the name; the address it
// leads to is checked at every connection.
func (w *Webhooks) checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || len(address) > 2000 || u.Hostname() == "":
		return errcode.Say(ErrInvalid, "The URL is not a web address; write it as https://example.com/path.")
	case u.Scheme != "https" && u.Scheme != "http":
		return errcode.Say(ErrInvalid, "The URL begins with %q; use https.", u.Scheme)
	case u.User != nil:
		return errcode.Say(ErrInvalid, "The URL holds a user name or password; check the signature instead and leave them out.")
	case u.Fragment != "":
		return errcode.Say(ErrInvalid, "The URL ends in a #fragment, which no server gets to see; leave it out.")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errcode.Say(ErrInvalid, "The URL has the port %s; use one from 1 to 65535, or leave it out.", port)
		}
	}
	host := u.Hostname()
	if loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1}); strings.EqualFold(host, "localhost") && w.allow.Names(loopback) {
		host = loopback.String() // under development, a receiver on this machine
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && !w.allow.Permits(ip) {
		return errcode.Say(ErrInvalid, "The URL leads into a private network; use an address that can be reached from the internet, or allow the network with HOLDFAST_WEBHOOK_ALLOW.")
	}
	if u.Scheme == "http" && (err != nil || !w.allow.Names(ip)) {
		return errcode.Say(ErrInvalid, "The URL is not encrypted; use https, or for development an address in a network that HOLDFAST_WEBHOOK_ALLOW names.")
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

// Endpoint returns one endpoint, or ErrNotFound.
func (w *Webhooks) Endpoint(ctx context.Context, org, id string) (Endpoint, error) {
	rows, _ := w.pool.Query(ctx, `SELECT `+endpointColumns+` FROM webhook_endpoint WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, id)
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Endpoint])
	if errors.Is(err, pgx.ErrNoRows) {
		return Endpoint{}, ErrNotFound
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("the webhook %s cannot be read: %w", id, err)
	}
	return e, nil
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
// failed before can be asked for again, delivery by delivery.
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
