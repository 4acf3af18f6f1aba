package main_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/erasure"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/netguard"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/reconcile"
	"holdfast/internal/webhook"
)

// process is what a process has on a database.
type process struct {
	pool      *pgxpool.Pool
	accounts  *account.Accounts
	ledger    *ledger.Ledger
	billing   *billing.Billing
	catalogue *lead.Catalogue
	book      *orderbook.Book
}

func open(ctx context.Context, database string) (*process, error) {
	pool, err := postgres.Open(ctx, database)
	if err != nil {
		return nil, err
	}
	p := &process{pool: pool, accounts: account.New(pool), ledger: ledger.New(pool), catalogue: lead.New(pool), book: orderbook.New(pool)}
	p.billing = billing.New(p.accounts, p.ledger, p.book)
	return p, nil
}

func (p *process) close() {
	p.ledger.Close()
	p.pool.Close()
}

// gone are workflows of which none is running.
type gone struct{}

func (gone) RunningOrders(context.Context) (map[string]bool, error) { return nil, nil }
func (gone) Runs(context.Context, string) (bool, error)             { return false, nil }
func (gone) TakeUp(context.Context, order.Input) error              { return nil }
func (gone) EndRunning(context.Context, string) error               { return nil }
func (gone) PassCancelOn(context.Context, string) error             { return nil }

// background is what is carried out in the background and repeated until it
// succeeds.
type background struct {
	before func(ctx context.Context, p *process) error
	do     func(ctx context.Context, p *process) error
	left   string // selects what it leaves, without times and identifiers
}

var backgrounds = map[string]background{
	// Three periods that ended, of an organization and its licences, and a change of
	// plan that waited for the end of the first.
	"reset": {
		before: func(ctx context.Context, p *process) error {
			begin := time.Date(2099, 1, 31, 9, 0, 0, 0, time.UTC)
			for _, org := range []account.Org{
				{ID: "acme", Name: "Acme", Plan: "rollover-ignite", Anchor: begin},
				{ID: "team", Name: "Team", Plan: "licence-monthly", Anchor: begin},
			} {
				if _, err := p.accounts.CreateOrg(ctx, org); err != nil {
					return err
				}
			}
			for i, member := range []string{"ann", "bob", "eve"} {
				if _, err := p.accounts.CreateMember(ctx, account.Member{Org: "team", ID: member, Name: member, Anchor: begin.AddDate(0, 0, i)}); err != nil {
					return err
				}
			}
			_, err := p.accounts.ChangePlan(ctx, "team", "workspace-free", begin.AddDate(0, 0, 5))
			return err
		},
		do: func(ctx context.Context, p *process) error {
			by := time.Date(2099, 4, 15, 0, 0, 0, 0, time.UTC)
			if _, err := p.billing.ApplyChanges(ctx, by, account.Pending{}, 100); err != nil {
				return err
			}
			for cursor := (account.Cursor{}); ; {
				page, err := p.billing.Sweep(ctx, by, cursor, 3)
				if err != nil || page.Seen == 0 {
					return err
				}
				if len(page.Failures) > 0 {
					return fmt.Errorf("%v", page.Failures)
				}
				cursor = page.Cursor
			}
		},
		left: `SELECT 'entry', owner, kind, key, reason, (SELECT string_agg(concat_ws(' ', p ->> 'move', p ->> 'pool', p ->> 'type', p ->> 'amount', p ->> 'balance'), ',' ORDER BY n) FROM json_array_elements(postings) WITH ORDINALITY x (p, n)) FROM credit_entry
			UNION ALL SELECT 'subscription', org, member, next_period::text, due_at::text, '' FROM subscription
			UNION ALL SELECT 'account', owner, pool, type, available::text, held::text FROM credit_account
			UNION ALL SELECT 'plan', org, generation::text, plan_id, since::text, '' FROM plan_change
			UNION ALL SELECT 'event', org, topic, count(*)::text, '', '' FROM outbox GROUP BY org, topic`,
	},
	// Two holds whose workflow was lost before there was an order.
	"reconcile": {
		before: func(ctx context.Context, p *process) error {
			if _, err := p.accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"}); err != nil {
				return err
			}
			if _, err := p.ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "start", Type: "email", Amount: 100, Source: ledger.SourcePack}); err != nil {
				return err
			}
			for _, id := range []string{"ord_a", "ord_b"} {
				if _, err := p.ledger.Hold(ctx, ledger.Hold{Owner: "acme", Key: id, HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: 30, Pools: []string{""}}}}); err != nil {
					return err
				}
			}
			return nil
		},
		do: func(ctx context.Context, p *process) error {
			_, err := reconcile.New(p.pool, p.book, p.ledger, gone{}, slog.New(slog.DiscardHandler)).Run(ctx)
			return err
		},
		left: `SELECT 'entry', kind, key, reason FROM credit_entry
			UNION ALL SELECT 'account', type, available::text, held::text FROM credit_account
			UNION ALL SELECT 'hold', id, released::text, closed::text FROM credit_hold`,
	},
	"erasure": {
		before: func(ctx context.Context, p *process) error {
			if _, err := p.accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"}); err != nil {
				return err
			}
			text := "id,email,first_name,last_name,country,phone\n"
			for i := range 40 {
				text += fmt.Sprintf("l%d,p%d@corp.test,Ann,P%d,US,+4930%06d\n", i, i, i, i)
			}
			if _, err := p.catalogue.Import(ctx, strings.NewReader(text), lead.CSV, lead.ImportOptions{}); err != nil {
				return err
			}
			if _, err := p.book.Create(ctx, orderbook.NewOrder{
				ID: "ord_a", Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 40}, PlanID: "verified-leads", PlanVersion: 1,
				Status: order.Reserved, Held: []order.Amount{{Type: "email", Amount: 40}},
			}); err != nil {
				return err
			}
			selected, err := p.catalogue.Select(ctx, lead.Selection{OrderID: "ord_a", Org: "acme", Count: 40, FactType: "email"})
			if err != nil {
				return err
			}
			if err := p.book.Start(ctx, "ord_a", selected.Items); err != nil {
				return err
			}
			_, err = p.catalogue.KeepEmails(ctx, "acme", []string{"p3@corp.test", "p4@corp.test", "x@corp.test"})
			return err
		},
		do: func(ctx context.Context, p *process) error {
			_, err := erasure.New(p.pool, p.catalogue, p.book).Erase(ctx, erasure.Request{Emails: []string{"p3@corp.test", "p4@corp.test"}})
			return err
		},
		left: `SELECT 'lead', id, email FROM lead
			UNION ALL SELECT 'item', concat_ws(' ', n, verdict, reason), value FROM order_item
			UNION ALL SELECT 'row', count(*)::text, cells::text FROM (SELECT to_jsonb(r) - 'list_id' AS cells FROM list_row r) r GROUP BY cells
			UNION ALL SELECT 'suppressed', reason, count(*)::text FROM suppression GROUP BY reason
			UNION ALL SELECT 'tally', 'rows', count(*)::text FROM order_tally`,
	},
	// Events are carried from the outbox to an endpoint; what was delivered long ago is
	// removed, and an endpoint that was deleted then.
	"webhooks": {
		before: func(ctx context.Context, p *process) error {
			if _, err := p.accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"}); err != nil {
				return err
			}
			hooks := hooksOf(p)
			for _, path := range []string{"/taken", "/deleted"} {
				if _, _, err := hooks.Create(ctx, "acme", receiver()+path, nil); err != nil {
					return err
				}
			}
			_, err := p.pool.Exec(ctx, `
				UPDATE webhook_endpoint SET deleted_at = now() - interval '40 days' WHERE url LIKE '%/deleted';
				INSERT INTO outbox (org, topic, key, payload)
				SELECT 'acme', topic, topic || '/' || id, jsonb_build_object('id', id) FROM unnest('{order.reserved,order.completed,order.settled}'::text[]) topic, unnest('{a,b}'::text[]) id;
				WITH old AS (
					INSERT INTO outbox (org, topic, key, payload, created_at, published_at)
					SELECT 'acme', 'order.settled', 'order.settled/old' || n, '{}', now() - interval '40 days', now() - interval '40 days' FROM generate_series(1, 5) n RETURNING id)
				INSERT INTO webhook_delivery (endpoint, event, subject, status, attempts, created_at, attempted_at)
				SELECT e.id, old.id, 'old', 'delivered', 1, now() - interval '40 days', now() - interval '40 days' FROM old, webhook_endpoint e`)
			return err
		},
		do: func(ctx context.Context, p *process) error {
			hooks := hooksOf(p)
			for events := int64(1); events > 0; {
				var err error
				if events, _, err = hooks.Publish(ctx, 4); err != nil {
					return err
				}
				endpoints, err := hooks.Overdue(ctx, 0)
				if err != nil {
					return err
				}
				slices.Sort(endpoints)
				for _, endpoint := range endpoints {
					for next := true; next; {
						round, err := hooks.Deliver(ctx, endpoint, 10)
						if err != nil {
							return err
						}
						next = round.Next != nil
					}
				}
			}
			for removed := int64(1); removed > 0; {
				var err error
				if removed, err = hooks.Remove(ctx, 2); err != nil {
					return err
				}
			}
			return nil
		},
		left: `SELECT 'event', key, (published_at IS NOT NULL)::text, '' FROM outbox
			UNION ALL SELECT 'delivery', o.key, substring(e.url FROM '/[a-z]+$'), status FROM webhook_delivery d JOIN outbox o ON o.id = d.event JOIN webhook_endpoint e ON e.id = d.endpoint
			UNION ALL SELECT 'endpoint', substring(url FROM '/[a-z]+$'), (disabled_at IS NOT NULL)::text, '' FROM webhook_endpoint`,
	},
}

func hooksOf(p *process) *webhook.Webhooks {
	return webhook.New(p.pool, webhook.Config{Allow: netguard.Loopback(), Backoff: []time.Duration{time.Millisecond}})
}

// receiver is where webhooks are taken.
var receiver = sync.OnceValue(func() string {
	return httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).URL
})

// A process dies before or after any of the writes of a reset, of reconciling, of an
// erasure, of webhooks; what is repeated afterwards, in another one, leaves what it leaves where
// nothing happens.
func TestAProcessThatDiesAtAnyWriteInTheBackgroundLeavesTheSame(t *testing.T) {
	for name, b := range backgrounds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, moments := b.undisturbed(t)
			require.NotEmpty(t, want)
			require.GreaterOrEqual(t, len(moments), 4)
			all := len(moments)
			if !*allMoments {
				rand.Shuffle(all, func(i, j int) { moments[i], moments[j] = moments[j], moments[i] })
				moments = moments[:min(all, 2*someMoments)]
			}
			t.Logf("%d of %d moments", len(moments), all)
			var running errgroup.Group
			var died atomic.Int64
			running.SetLimit(3)
			for _, m := range moments {
				running.Go(func() error {
					database := pgtest.NewURL(t)
					struck, err := b.struck(t.Context(), database, m)
					if err != nil {
						return fmt.Errorf("%+v: %w", m, err)
					}
					if struck {
						died.Add(1)
					}
					got, err := b.repeated(t.Context(), database)
					if err != nil {
						return fmt.Errorf("%+v: %w", m, err)
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						return fmt.Errorf("%+v left\n%s\nin place of\n%s", m, strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
					return nil
				})
			}
			require.NoError(t, running.Wait())
			require.Greater(t, 2*died.Load(), int64(len(moments)), "what happens at the same time shares some writes, so that not each moment comes again")
		})
	}
}

// writer are all statements that write, with any first word.
var writer = regexp.MustCompile(`\b(INSERT INTO|UPDATE|DELETE FROM)\b`)

// undisturbed is what is left where nothing happens, and the moments before and after
// each of its writes.
func (b background) undisturbed(t *testing.T) (left []string, list []moment) {
	database := pgtest.NewURL(t)
	require.NoError(t, b.prepare(t.Context(), database))
	behind, via, err := through(database)
	require.NoError(t, err)
	var statements []string
	behind.recordTo(&statements)
	p, err := open(t.Context(), via)
	require.NoError(t, err)
	require.NoError(t, b.do(t.Context(), p))
	p.close()
	behind.recordTo(nil)
	behind.cut()
	left, err = b.found(t.Context(), database)
	require.NoError(t, err)
	nth := map[string]int{}
	for _, s := range statements {
		if !writer.MatchString(s) {
			continue
		}
		begins := s[:min(len(s), 60)]
		nth[begins]++
		list = append(list, moment{begins, nth[begins], false}, moment{begins, nth[begins], true})
	}
	return left, list
}

func (b background) prepare(ctx context.Context, database string) error {
	p, err := open(ctx, database)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	return b.before(ctx, p)
}

// through starts a proxy in front of a database.
func through(database string) (*proxy, string, error) {
	at, err := pgconn.ParseConfig(database)
	if err != nil {
		return nil, "", err
	}
	network, server := pgconn.NetworkAddress(at.Host, at.Port)
	behind, err := startProxyTo(network, server)
	if err != nil {
		return nil, "", err
	}
	via := url.URL{
		Scheme: "postgres", User: url.UserPassword(at.User, at.Password), Host: behind.listener.Addr().String(),
		Path: "/" + at.Database, RawQuery: "sslmode=disable",
	}
	return behind, via.String(), nil
}

// struck lets a process begin that dies at the moment. It says whether the moment
// came before all was done.
func (b background) struck(ctx context.Context, database string, m moment) (died bool, err error) {
	if err := b.prepare(ctx, database); err != nil {
		return false, err
	}
	behind, via, err := through(database)
	if err != nil {
		return false, err
	}
	p, err := open(ctx, via)
	if err != nil {
		return false, err
	}
	ctx, die := context.WithCancel(ctx)
	defer die()
	struck := make(chan struct{})
	behind.await(m, func() { close(struck) })
	ended := make(chan struct{})
	go func() {
		err = b.do(ctx, p)
		close(ended)
	}()
	select {
	case <-struck:
	case <-ended:
		behind.cut()
		p.close()
		select {
		case <-struck: // the last write
			return true, nil
		default:
		}
		return false, err
	}
	behind.cut()
	die()
	<-ended
	p.close()
	return true, forgotten(ctx, database)
}

// forgotten waits until the server has ended all sessions of a process that died:
// until then their locks keep others from what they have begun.
func forgotten(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	for left := -1; left != 0; {
		if err := c.QueryRow(ctx, `
			SELECT count(*), pg_sleep(0.02) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&left, nil); err != nil {
			return fmt.Errorf("%d sessions of a process that died do not end: %w", left, err)
		}
	}
	return nil
}

func (b background) repeated(ctx context.Context, database string) ([]string, error) {
	p, err := open(ctx, database)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := b.do(ctx, p); err != nil {
		return nil, err
	}
	if report, err := ledger.Audit(ctx, p.pool, ledger.AuditOptions{}); err != nil || len(report.Findings) > 0 {
		return nil, fmt.Errorf("the audit finds %v: %w", report.Findings, err)
	}
	return b.found(ctx, database)
}

func (b background) found(ctx context.Context, database string) ([]string, error) {
	p, err := open(ctx, database)
	if err != nil {
		return nil, err
	}
	defer p.close()
	rows, _ := p.pool.Query(ctx, `SELECT q::text FROM (`+b.left+`) q ORDER BY 1`)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
