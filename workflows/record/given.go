package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/intake"
)

// given is what comes with a request: addresses, ids of leads, a list, a webhook.
type given = func(ctx context.Context, r *recorder, sub *intake.Submission) error

func emails(n int) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) (err error) {
		sub.Emails, err = r.column(ctx, "email", n)
		return err
	}
}

func ids(n int) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) (err error) {
		sub.LeadIDs, err = r.column(ctx, "id", n)
		return err
	}
}

// people are rows of names and companies, without an address.
func people(n int) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) error {
		rows, err := r.column(ctx, "concat_ws(',', first_name, last_name, '\"' || company || '\"')", n)
		if err != nil {
			return err
		}
		file := "first_name,last_name,company\n" + strings.Join(rows, "\n")
		list, err := r.Catalogue.KeepList(ctx, sub.Org, "", strings.NewReader(file))
		sub.Request.ListID = list.ID
		return err
	}
}

// webhookAnd adds an endpoint that takes everything, for as long as this
// program runs.
func webhookAnd(more given) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) error {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		receiver := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		go func() { _ = receiver.Serve(listener) }()
		endpoint, _, err := r.Webhooks.Create(ctx, sub.Org, "http://"+listener.Addr().String(), nil)
		if err != nil {
			return err
		}
		sub.Request.WebhookID = endpoint.ID
		return more(ctx, r, sub)
	}
}

// away is longer than a step is tried within a workflow task.
const away = 17 * time.Second

// lockedAnd locks the items of all orders for a while: the database is away for
// an order's steps, and activities take them over.
func lockedAnd(more given) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) error {
		if err := more(ctx, r, sub); err != nil {
			return err
		}
		tx, err := r.Pool.Begin(ctx)
		if err != nil {
			return err
		}
		time.AfterFunc(away, func() { _ = tx.Rollback(ctx) })
		_, err = tx.Exec(ctx, `LOCK TABLE order_item IN ACCESS EXCLUSIVE MODE`)
		return err
	}
}

// fresh gives what no other order was given, so that there is something to verify.
func fresh(what func(n int) given) given {
	const n = 120
	return func(ctx context.Context, r *recorder, sub *intake.Submission) error {
		r.used = max(r.used, usedByOthers) + n
		r.skip = r.used - n
		defer func() { r.skip = 0 }()
		return what(n)(ctx, r, sub)
	}
}

// scattered gives leads of many domains: where only a few mail hosts refuse us, it is
// they who are out of order, and no outage.
func scattered(what func(n int) given) given {
	return func(ctx context.Context, r *recorder, sub *intake.Submission) error {
		r.by = "md5(id)"
		defer func() { r.by = "" }()
		return what(200)(ctx, r, sub)
	}
}

// usedByOthers is more than the leads that any other order is given.
const usedByOthers = 1200

// column is an expression over leads of the catalogue.
func (r *recorder) column(ctx context.Context, expression string, n int) ([]string, error) {
	rows, err := r.Pool.Query(ctx, fmt.Sprintf(`SELECT %s FROM lead ORDER BY %s LIMIT $1 OFFSET $2`, expression, cmp.Or(r.by, "no")), n, r.skip)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
