// Package api is the JSON API over HTTP: what a backend that sells leads talks
// to. Every request passes the same few gates, in this order: an id and a log
// line (serve.go), the caller and the organization they act for (access.go),
// the rate limit (limits.go), a bounded and clean body (body.go). The handlers
// behind them call the product, and every error they return becomes an answer in
// one place (problem.go). See README.md for the promises.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/erasure"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/metadata"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
	"holdfast/internal/plan"
	"holdfast/internal/suppression"
	"holdfast/internal/testclock"
	"holdfast/internal/webhook"
)

// prefix is where the API begins.
const prefix = "/api/v1"

// answerWithin is what a request gets that is no stream.
const answerWithin = 30 * time.Second

// Config is what the API works with. All parts are required.
type Config struct {
	Accounts     *account.Accounts
	Ledger       *ledger.Ledger
	Billing      *billing.Billing
	Book         *orderbook.Book
	Catalogue    *lead.Catalogue
	Intake       *intake.Intake
	Webhooks     *webhook.Webhooks
	Erasures     *erasure.Erasures
	Log          *slog.Logger
	Suppressions *suppression.List
	Metadata     *metadata.Store
	Payments     *payment.Payments
	TestClocks   *testclock.Clocks
	Metrics      prometheus.Registerer // of requests; nil: they are not counted anywhere

	Sandbox           bool   // there are test clocks
	OperatorKey       string // empty: there is no operator
	RequestsPerMinute int    // per key; 0 = not limited

	BodyWithin             time.Duration // for a body to arrive, or the next part of an uploaded file; 0 = 15 s
	WritesWithin           time.Duration // for a client to take what was written to it; 0 = 30 s
	StreamsPerKey, Streams int           // event streams at the same time, of one key and of this process; 0 = 20 and 1,000

	Heartbeat time.Duration // between two signs of life on an event stream; 0 = 15 s, what proxies between take for silence is longer
}

// API answers requests. It is an http.Handler and safe for concurrent use.
type API struct {
	Config
	huma    huma.API
	handler http.Handler
	keys    *keyring
	limits  *quotas
	streams *slots // by key
	uploads *slots // by organization
	metrics *metrics
	drain   chan struct{} // closed when streams shall end
	drained sync.Once

	docsPage func() ([]byte, error) // rendered once
}

// New returns an API that serves /api/v1, /openapi.json and /docs.
func New(c Config) *API {
	c.BodyWithin = cmp.Or(c.BodyWithin, 15*time.Second)
	c.WritesWithin = cmp.Or(c.WritesWithin, 30*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	a := &API{
		Config: c, keys: newKeyring(c.Accounts, c.OperatorKey), limits: newQuotas(c.Accounts),
		streams: newSlots(cmp.Or(c.StreamsPerKey, 20), cmp.Or(c.Streams, 1000), "event streams", "a key"),
		uploads: newSlots(uploadsAtOnce, maxUploads, "uploads", "an organization"),
		drain:   make(chan struct{}),
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	a.metrics = newMetrics(c.Metrics)
	mux := http.NewServeMux()
	a.huma = humago.New(mux, description())
	a.huma.UseMiddleware(a.enter, a.limit, a.readBody)
	a.me()
	a.orgs()
	a.orgPlans()
	a.orgKeys()
	a.orgList()
	a.ends()
	a.members()
	a.memberChanges()
	a.plans()
	a.credits()
	a.thresholds()
	a.grants()
	a.orders()
	a.orderSteps()
	a.showExamples()
	a.results()
	a.leads()
	a.lists()
	a.suppressions()
	a.webhooks()
	a.webhookLife()
	a.pastEvents()
	a.events()
	a.erasures()
	a.loginLinks()
	a.payments()
	a.testClocks()
	a.finish()

	a.docsPage = sync.OnceValues(a.renderDocs)
	mux.HandleFunc("GET /docs", a.docs)
	mux.HandleFunc(stripeEvents, a.receiveStripe)
	mux.Handle("/", nothing(mux))
	a.handler = a.observe(mux)
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// OpenAPI describes everything that is served.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

// Drain ends all event streams, so that their clients reconnect elsewhere and
// a server that shuts down need not wait for them.
func (a *API) Drain() { a.drained.Do(func() { close(a.drain) }) }

func description() huma.Config {
	c := huma.DefaultConfig("Holdfast", "1.0.0")
	c.Info.Description = "Order contact data; pay for what was delivered valid. Credits are whole numbers, times RFC 3339 in UTC. " +
		"Errors are problem details (RFC 9457); their types are stable."
	c.Info.License = &huma.License{Name: "Apache 2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"}
	c.Info.Contact = &huma.Contact{Name: "The operator of this server"}
	c.Servers = []*huma.Server{{URL: "/", Description: "The server that this description came from."}}
	c.Tags = tags
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":       {Type: "http", Scheme: "bearer", Description: "An API key (hf_…) of a member, or the operator key."},
		"signature": {Type: "apiKey", In: "header", Name: "webhook-signature", Description: "Of what is sent to webhooks, by the Standard Webhooks specification: v1, and HMAC-SHA256 in base64."},
	}
	return c
}

// tags group the operations.
var tags = []*huma.Tag{
	{Name: "Credits", Description: "Balances, the history of credits, bounces."},
	{Name: "Erasures", Description: "Erasure of personal data."},
	{Name: "Events", Description: "What happened, and sending it again."},
	{Name: "Leads", Description: "What the catalogue has, and what the organization has paid for."},
	{Name: "Lists", Description: "Uploaded lists."},
	{Name: "Orders", Description: "Quote, place, follow and stop orders; download what they delivered."},
	{Name: "Organizations", Description: "Organizations, members, API keys, grants."},
	{Name: "Payments", Description: "Buying credits; what was bought."},
	{Name: "Plans", Description: "What credits are allotted and what actions cost."},
	{Name: "Suppressions", Description: "Addresses and domains that are not delivered."},
	{Name: "Test clocks", Description: "Organizations with a time of their own, for rehearsals."},
	{Name: "Verification", Description: "Verify addresses one by one, in batches, or upload a list of them."},
	{Name: "Webhooks", Description: "Endpoints and deliveries."},
}

// schemaName names a type in the description. Packages may use the same word for
// two things; the package tells them apart.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := path.Base(t.PkgPath())
	if pkg == "outbox" {
		pkg = "event" // what those outside call it
	}
	switch t {
	case reflect.TypeFor[plan.Document]():
		return "Plan"
	case reflect.TypeFor[plan.Period](): // PlanPeriod would be the type of a plan's period, too
		return "Period"
	}
	if t.Name() == "" || pkg == "api" || pkg == "." || strings.HasPrefix(name, strings.ToUpper(pkg[:1])+pkg[1:]) {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

// route is an operation and who may call it.
type route struct {
	method, path string // the path below /api/v1
	name         string // operation id
	tag          string
	summary      string
	about        string
	status       int  // of success; 0 = 200, or 204 without a body
	needs        role // the least role that may call it
	anyOrg       bool // the operator need not name an organization
	noOrg        bool // it is about no organization
	stream       bool // takes as long as it takes
	upload       bool // its body is a file, read while it arrives
	maxBody      int64
	produces     *content // of a streamed answer
	tagged       bool     // 304 where If-None-Match names what there is
	errors       []int    // statuses of its own besides those that every route has
}

// add registers a route. The handler's error becomes a problem here, and
// nowhere else.
func add[In, Out any](a *API, r route, handle func(context.Context, *In) (*Out, error)) {
	op := huma.Operation{
		OperationID: r.name, Method: r.method, Path: prefix + r.path, Summary: r.summary, Description: r.about,
		Tags: []string{r.tag}, DefaultStatus: r.status,
		MaxBodyBytes: -1, BodyReadTimeout: -1, // readBody has seen to both
		Security: []map[string][]string{{"key": {}}},
		Errors:   errorsOf(r),
		Metadata: map[string]any{"route": r},
	}
	nameOrg(&op, r)
	describeUpload(&op, r)
	if r.produces != nil {
		mediaType, _, _ := strings.Cut(r.produces.mediaType, ";")
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{mediaType: contentOf(*r.produces)}}}
	}
	if r.tagged {
		op.Responses = map[string]*huma.Response{"304": {Description: "Nothing has changed since the answer with that ETag."}}
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*Out, error) {
		ctx, mark := once(ctx, r, in)
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		mark()
		sealNext(r, out)
		return out, nil
	})
}
