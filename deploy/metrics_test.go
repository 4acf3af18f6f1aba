package deploy_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// queries are the expressions of all panels and rules, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	boards, err := filepath.Glob("grafana/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, boards)
	for _, path := range boards {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &board))
		for _, panel := range board.Panels {
			require.NotEmpty(t, panel.Targets, panel.Title)
			for _, target := range panel.Targets {
				found[path+": "+panel.Title] = target.Expr
			}
		}
	}
	text, err := os.ReadFile("prometheus/rules.yml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Runbook string }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &rules))
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found["rules.yml: "+rule.Alert] = rule.Expr
			require.NotEmpty(t, rule.Annotations.Summary)
			page, err := os.ReadFile(filepath.Join("..", rule.Annotations.Runbook))
			require.NoError(t, err, "%s has no runbook", rule.Alert)
			require.Contains(t, string(page), "`"+rule.Alert+"`")
		}
	}
	require.Greater(t, len(found), 30)
	return found
}

// Every metric and label that a panel or rule names is there after an order.
func TestPanelsAndRulesNameWhatThereIs(t *testing.T) {
	have := scrape(t)
	for where, query := range queries(t) {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
		require.NoError(t, err, where)
		var grouped []string
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if a, ok := node.(*parser.AggregateExpr); ok {
				grouped = append(grouped, a.Grouping...)
			}
			return nil
		})
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			selector, ok := node.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			labels, known := have[selector.Name]
			require.True(t, known, "%s: there is no metric %s", where, selector.Name)
			for _, matcher := range selector.LabelMatchers {
				require.True(t, matcher.Name == "__name__" || labels[matcher.Name], "%s: %s has no label %s", where, selector.Name, matcher.Name)
			}
			for _, label := range grouped {
				require.True(t, labels[label], "%s: %s has no label %s, only %v", where, selector.Name, label, slices.Collect(maps.Keys(labels)))
			}
			return nil
		})
	}
}

// productionLike starts servers as compose does: Temporal on PostgreSQL with the
// dynamic configuration that is mounted there, each of its services a process, and
// the database's role of the application.
func productionLike(t *testing.T, cfg config.Config) *devstack.Servers {
	t.Helper()
	ctx := t.Context()
	servers, err := devstack.StartServers(ctx, cfg, devstack.ServerOptions{Dir: t.TempDir(), Lab: maillab.Config{Domains: 20}, Cluster: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	owner := servers.Config.DatabaseURL
	require.NoError(t, postgres.Migrate(ctx, owner))
	pool, err := postgres.Open(ctx, owner)
	require.NoError(t, err)
	const user = "shop"
	_, err = pool.Exec(ctx, `CREATE ROLE `+user+` LOGIN PASSWORD 'secret'`)
	require.NoError(t, err)
	pool.Close()
	require.NoError(t, postgres.MakeRoles(ctx, owner, []string{user}))
	app, err := url.Parse(owner)
	require.NoError(t, err)
	app.User = url.UserPassword(user, "secret")
	servers.Config.DatabaseURL = app.String()
	return servers
}

// scrape runs orders on such a stack and returns the labels of a worker's metrics,
// by the names that queries use.
func scrape(t *testing.T) map[string]map[string]bool {
	t.Helper()
	ctx := t.Context()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := listener.Addr().String()
	require.NoError(t, listener.Close())
	servers := productionLike(t, config.Config{SMTPHelo: "verifier.test", WorkerAddr: at, MaxOrderCount: order.MaxCount})
	app, stop, err := wire.StartWorker(ctx, servers.Config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	attributes := map[string]enums.IndexedValueType{}
	for _, key := range workflows.SearchAttributes() {
		attributes[key.GetName()] = key.GetValueType()
	}
	_, err = app.Temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: "default", SearchAttributes: attributes})
	require.NoError(t, err)
	require.NoError(t, app.Accounts.EnsurePresets(ctx))
	_, err = app.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "acme", Plan: "prepaid-verification"})
	require.NoError(t, err)
	_, err = app.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 100, Source: ledger.SourcePack})
	require.NoError(t, err)
	place := func(key string, emails ...string) {
		t.Helper()
		var o order.Order
		require.Eventually(t, func() bool { // Temporal's services see search attributes one after the other
			var err error
			o, err = app.Intake.Submit(ctx, intake.Submission{Org: "acme", Key: key, Request: order.Request{Kind: order.Verify}, Emails: emails})
			return err == nil
		}, time.Minute, time.Second)
		_, err := app.Intake.EnsureReconcile(ctx, time.Hour)
		require.NoError(t, err)
		require.NoError(t, app.Temporal.GetWorkflow(ctx, o.ID, "").Get(ctx, nil))
	}
	place("one", "a@"+servers.Lab.World().Domains()[0], "b@nowhere.invalid")
	report, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	reader := expfmt.NewTextParser(model.UTF8Validation)
	families, err := reader.TextToMetricFamilies(strings.NewReader(string(body)))
	require.NoError(t, err)
	return named(families)
}

// named are labels by the names of series: a histogram has three.
func named(families map[string]*dto.MetricFamily) map[string]map[string]bool {
	have := map[string]map[string]bool{
		// Nothing runs any more, and no poll has failed.
		"holdfast_orders_running":             {"kind": true, "status": true},
		"temporal_long_request_failure_total": {},
	}
	for name, family := range families {
		labels := map[string]bool{}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = true
			}
		}
		have[name] = labels
		if family.GetType() == dto.MetricType_HISTOGRAM {
			have[name+"_sum"], have[name+"_count"] = labels, labels
			have[name+"_bucket"] = maps.Clone(labels)
			have[name+"_bucket"]["le"] = true
		}
	}
	return have
}
