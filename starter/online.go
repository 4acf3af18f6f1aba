package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/build"
	"holdfast/internal/client"
	"holdfast/internal/config"
	"holdfast/internal/site"
	"holdfast/internal/wire"
)

// location is what the flags of every command say about where it works.
type location struct {
	url     string
	key     string // an API key; see idempotencyKey
	dataDir string
	cell    string // one of HOLDFAST_CELLS
}

// session is a command's connection to the API: over the network or, where only
// the database is configured, within this process. Commands cannot tell the
// two apart, so that each is written once.
type session struct {
	*client.Client
	close  func()
	dev    bool   // it is a dev stack's
	asked  string // the organization that was named
	server string // where its dashboard is
}

// endpoint is an API that is configured.
type endpoint struct {
	url, key string
	dev      bool
}

// server is the address without the API's path.
func (e endpoint) server() string {
	return strings.TrimSuffix(strings.TrimSuffix(e.url, "/"), client.Prefix)
}

// api lets a command work with the API. In this process, it needs the database
// alone.
func (a *app) api(cmd *cobra.Command, do func(context.Context, *session) error) error {
	return a.work(cmd, wire.OpenDatabase, do)
}

// apiWithOrders is api for commands that move orders or webhooks: in this process
// they need Temporal, too.
func (a *app) apiWithOrders(cmd *cobra.Command, do func(context.Context, *session) error) error {
	return a.work(cmd, wire.Open, do)
}

func (a *app) work(cmd *cobra.Command, open opening, do func(context.Context, *session) error) error {
	ctx := cmd.Context()
	s, err := a.connect(ctx, open)
	if err != nil {
		return err
	}
	defer s.close()
	err = do(ctx, s)
	var p *client.Problem
	switch {
	case s.dev && errors.Is(err, client.ErrUnreachable):
		return devGone(err)
	case errors.As(err, &p) && p.Detail == "There is no such organization." && s.asked != "":
		p.Detail = fmt.Sprintf("There is no organization %q, or it is not this key's.", s.asked)
	}
	return err
}

// connect finds the API that a command shall use.
func (a *app) connect(ctx context.Context, open opening) (*session, error) {
	cfg, err := config.Load(ctx)
	if err != nil {
		return nil, err
	}
	at, err := a.findAPI(cfg)
	if err != nil {
		return nil, err
	}
	of := client.Config{URL: at.url, Key: at.key, Cell: a.at.cell, Agent: "holdfast/" + build.Read().ID()}
	if at.url != "" {
		c, err := client.New(of)
		return &session{Client: c, close: func() {}, dev: at.dev, server: at.server()}, err
	}
	operatorKey := "op_" + rand.Text() // for this command alone
	handler, done, err := a.localAPI(ctx, cfg, open, operatorKey)
	if err != nil {
		return nil, err
	}
	transport, stop := client.Local(handler)
	of.URL, of.Key, of.Transport = "http://holdfast.local", cmp.Or(at.key, operatorKey), transport
	c, err := client.New(of)
	return &session{Client: c, close: func() { stop(); done() }, server: serverAddress(cfg)}, err
}

// localAPI is the API in this process; of all cells, where there are several.
func (a *app) localAPI(ctx context.Context, cfg config.Config, open opening, operatorKey string) (handler http.Handler, done func(), err error) {
	of := func(parts *wire.App) http.Handler {
		served := site.API(parts)
		served.OperatorKey = operatorKey
		return api.New(served)
	}
	cells, err := cfg.EachCell()
	if err != nil {
		return nil, nil, err
	}
	if cells != nil && cfg.Cell == "" {
		return a.localCells(ctx, cells, open, operatorKey, of)
	}
	parts, err := a.open(ctx, open)
	if err != nil {
		return nil, nil, err
	}
	return of(parts), parts.Close, nil
}

// findAPI says which API is configured: --url or HOLDFAST_URL; else the database
// of HOLDFAST_DATABASE_URL, which has no address; else the dev stack that runs
// here; else where "login" was used.
func (a *app) findAPI(cfg config.Config) (endpoint, error) {
	at := endpoint{url: cmp.Or(a.at.url, cfg.URL), key: cmp.Or(a.at.key, cfg.APIKey)}
	if at.url == "" && cfg.DatabaseURL+cfg.Cells != "" {
		return at, nil
	}
	if at.url == "" {
		dev, err := a.findDev(cfg)
		if err == nil {
			return endpoint{dev.API, cmp.Or(at.key, dev.OperatorKey), true}, nil
		}
		if !errors.Is(err, errNoStack) {
			return at, err
		}
	}
	profile, err := readProfile()
	if err != nil {
		return at, err
	}
	at.url = cmp.Or(at.url, profile.URL)
	if at.url == "" {
		return at, fmt.Errorf("%w: log in with \"%s login\", or set HOLDFAST_URL and HOLDFAST_API_KEY (--url and --key), or start a stack with \"%s dev\" in another terminal, or set HOLDFAST_DATABASE_URL",
			errNoStack, program(), program())
	}
	if at.key == "" && serverOf(at.url) == serverOf(profile.URL) {
		at.key = profile.Key
	}
	if at.key == "" {
		return at, fmt.Errorf("there is no API key for %s; set HOLDFAST_API_KEY, give --key, or log in with \"%s login --url %s\"", at.url, program(), at.url)
	}
	return at, nil
}

// serverOf is an address of the API without what may be left out.
func serverOf(address string) string {
	return strings.TrimSuffix(strings.TrimSuffix(address, "/"), client.Prefix)
}

// org names an organization in a query; with an organization's key it may be left
// out.
func (s *session) org(id string) url.Values {
	s.asked = id
	if id == "" {
		return url.Values{}
	}
	return url.Values{"org": {id}}
}

// inOrg is a path below an organization: the one that is named, or the key's own.
func (s *session) inOrg(ctx context.Context, id, path string) (string, error) {
	if id == "" {
		var me struct {
			Org *account.Org `json:"org"`
		}
		if err := s.Get(ctx, "/me", nil, &me); err != nil {
			return "", err
		}
		if me.Org == nil {
			return "", errNoOrg
		}
		id = me.Org.ID
	}
	s.asked = id
	return "/orgs/" + url.PathEscape(id) + path, nil
}

// errNoOrg says that a command of an operator names no organization.
var errNoOrg = usagef(`required flag(s) "org" not set; an operator's key stands for no organization`)

// needOrg demands --org where the key stands for no organization, before anything
// is done.
func (s *session) needOrg(ctx context.Context, id string) (url.Values, error) {
	if id == "" {
		if _, err := s.inOrg(ctx, id, ""); err != nil {
			return nil, err
		}
	}
	return s.org(id), nil
}

// all reads every page of a list.
func all[T, P any](ctx context.Context, s *session, path string, query url.Values, page func(P) (entries []T, next string)) ([]T, error) {
	list := []T{}
	for query = clone(query); ; {
		var got P
		if err := s.Get(ctx, path, query, &got); err != nil {
			return nil, err
		}
		entries, next := page(got)
		list = append(list, entries...)
		if next == "" {
			return list, nil
		}
		query.Set("cursor", next)
	}
}

// showAll shows all entries of a list, which are read page by page.
func showAll[T, P any](ctx context.Context, a *app, s *session, path string, query url.Values, page func(P) (entries []T, next string), show func([]T)) error {
	list, err := all(ctx, s, path, query, page)
	if err != nil {
		return err
	}
	return answer(a, list, show)
}

func clone(query url.Values) url.Values {
	own := url.Values{}
	for name, values := range query {
		own[name] = values
	}
	return own
}

// set sets those of a query's parameters that have a value.
func set(query url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}

// ask sends a request, shows the answer as JSON or lets show print it.
func ask[T any](ctx context.Context, a *app, s *session, r client.Request, show func(T)) error {
	var got T
	if err := s.Do(ctx, r, &got); err != nil {
		return err
	}
	return answer(a, got, show)
}

// inOrganization lets a command send one request about an organization, which
// --org names, over a connection such as a.api, and show the answer.
func inOrganization[T any](connected func(*cobra.Command, func(context.Context, *session) error) error,
	a *app, cmd *cobra.Command, request func(args []string) client.Request, show func(T),
) *cobra.Command {
	var org string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return connected(cmd, func(ctx context.Context, s *session) error {
			query, err := s.needOrg(ctx, org)
			if err != nil {
				return err
			}
			r := request(args)
			maps.Copy(query, r.Query)
			r.Query = query
			return ask(ctx, a, s, r, show)
		})
	}
	addOrgFlag(cmd, &org)
	return cmd
}

// answer shows a result.
func answer[T any](a *app, got T, show func(T)) error {
	if a.json {
		return a.printJSON(got)
	}
	show(got)
	return nil
}

// idempotencyKey is the key of a request that shall happen once. --key is an API
// key; from before there was --idempotency-key, it may be an idempotency key of
// these commands, too: where it does not look like an API key and another one is
// configured.
func (a *app) idempotencyKey(given string) string {
	if given == "" && a.at.key != "" && a.at.url == "" && !strings.HasPrefix(a.at.key, "hf_") && !strings.HasPrefix(a.at.key, "op_") && a.otherKey() {
		given, a.at.key = a.at.key, ""
	}
	if given == "" {
		given = newKey()
		a.note("Idempotency key: %s", given)
	}
	return given
}

// otherKey reports whether commands have a key without --key.
func (a *app) otherKey() bool {
	if os.Getenv("HOLDFAST_URL") == "" && os.Getenv("HOLDFAST_DATABASE_URL") != "" {
		return true
	}
	without := *a
	without.at.key = ""
	cfg, err := config.Load(context.Background())
	if err != nil {
		return true
	}
	_, err = without.findAPI(cfg)
	return err == nil
}

// addKeyFlag adds the flag that makes a request happen once.
func addKeyFlag(cmd *cobra.Command, key *string, what string) {
	cmd.Flags().StringVar(key, "idempotency-key", "", "the same key is the same "+what+"; a new one is made and printed when left out")
}

// newKey makes an idempotency key for a command that was given none.
func newKey() string { return "cli-" + strings.ToLower(rand.Text()) }

// post is a request with a body.
func post(path string, query url.Values, body any) client.Request {
	return client.Request{Method: http.MethodPost, Path: path, Query: query, Body: body}
}

// fetch is a request without one.
func fetch(path string, query url.Values) client.Request {
	return client.Request{Method: http.MethodGet, Path: path, Query: query}
}
