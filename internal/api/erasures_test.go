package api_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/erasure"
	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/postgres/pgtest"
)

// A person who was ordered, verified, reported as a bounce and named in
// webhooks is erased: neither the database nor any history in Temporal knows
// them, what was charged stays, and later orders pass them over.
func TestA19_ErasedPeopleAreNowhere(t *testing.T) {
	f := setup(t)
	f.fund(1000)
	f.call("POST", "/webhooks", f.admin, `{"url":"https://127.0.0.1:1/"}`).is(201)
	first := f.place("first", 20, "20s")
	var person struct{ ID, Email, Domain string }
	line, _, _ := strings.Cut(string(f.call("GET", "/orders/"+first.ID+"/results.ndjson", f.jane, nil).is(200).body), "\n")
	require.NoError(t, json.Unmarshal([]byte(line), &person))
	_, err := app.Catalogue.Import(t.Context(), strings.NewReader(fmt.Sprintf(
		"id,email,first_name,last_name,company,domain,phone,direct_email\n%s,%s,Zyxquilla,Zyxquill,Zyxquill Ltd,%s,+4917098765432,zyxquill@home.test\n",
		person.ID, person.Email, person.Domain)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	var verified struct{ Order order.Order }
	v := setupWith(t, "prepaid-verification", 0)
	v.fund(10)
	v.call("POST", "/verify/batch", v.jane, map[string]any{"emails": []string{strings.ToUpper(person.Email), "missing@nowhere.test"}}, "Idempotency-Key", "v").is(200).into(&verified)
	f.call("POST", "/bounces", f.admin, map[string]any{"emails": []string{person.Email}}, "Idempotency-Key", "b").is(200)
	w := setupWith(t, "workspace-paid", 0)
	revealed := w.ordered("reveal", map[string]any{"kind": "reveal", "lead_ids": []string{person.ID}, "fields": []string{"email", "phone", "direct_email"}})
	require.Contains(t, string(w.call("GET", "/orders/"+revealed.ID+"/results.csv", w.jane, nil).is(200).body), "+4917098765432")
	named := w.call("POST", "/lists", w.jane, "name,company\nZyxquilla Zyxquill,Zyxquill Ltd\n", "Content-Type", "text/csv").is(201).text("id")
	w.call("POST", "/lists", w.jane, "note,email,mobile\nnever ordered,"+strings.ToUpper(person.Email)+",+49 170 98765432\n", "Content-Type", "text/csv").is(201)
	enriched := w.ordered("enrich", map[string]any{"kind": "enrich", "list_id": named, "fields": []string{"phone"}})
	require.EqualValues(t, 1, enriched.Tally.Valid)
	exported := w.ordered("export", map[string]any{"kind": "export", "lead_ids": []string{person.ID}})
	first, verified.Order = f.settled(first.ID), v.settled(verified.Order.ID)
	traces := []string{strings.ToLower(person.Email), "zyxquill", "4917098765432"}
	dump := pgtest.Dump(t, app.Pool)
	for _, trace := range traces {
		require.Contains(t, dump, trace)
	}

	var report erasure.Report
	f.call("POST", "/erasures", operatorKey, map[string]any{"emails": []string{"Zyxquill@home.test"}, "lead_ids": []string{person.ID}}).is(200).into(&report)
	require.Equal(t, erasure.Report{Leads: 1, Items: 2 + 3 + 1 + 1, ListRows: 4, Verdicts: report.Verdicts, Suppressed: 3}, report)
	f.call("POST", "/erasures", operatorKey, map[string]any{"lead_ids": []string{person.ID}}).is(200).into(&report)
	require.Equal(t, erasure.Report{}, report)
	refused := f.call("POST", "/erasures", operatorKey, map[string]any{"emails": []string{"a@b.test", "zyxquill"}}).problem(422, "invalid_request")
	require.Equal(t, "body.emails[1]", refused.Errors[0].Field)
	f.call("POST", "/erasures", operatorKey, map[string]any{}).problem(422, "invalid_request")

	for file, text := range temporalFiles(t) {
		for _, trace := range traces {
			require.NotContains(t, text, trace, "Temporal's store: %s", file)
		}
	}
	ride, err := app.Book.Line(t.Context(), verified.Order.ID)
	require.NoError(t, err)
	dump, histories := pgtest.Dump(t, app.Pool), dumpTemporal(t, first.ID, ride.RideID, revealed.ID, enriched.ID, exported.ID)
	for _, trace := range traces {
		require.NotContains(t, dump, trace)
		require.NotContains(t, histories, trace)
		require.NotContains(t, strings.ToLower(logLines.String()), trace)
	}
	audited(t)
	require.Equal(t, first, f.order(first.ID))
	require.Equal(t, verified.Order, v.order(verified.Order.ID))
	for _, o := range []order.Order{revealed, enriched, exported} {
		results := string(w.call("GET", "/orders/"+o.ID+"/results.csv", w.jane, nil).is(200).body)
		require.NotContains(t, strings.ToLower(results), "zyxquill")
		require.NotContains(t, results, "4917098765432")
	}
	rows := strings.Count(string(f.call("GET", "/orders/"+first.ID+"/results.ndjson", f.jane, nil).is(200).body), "\n")
	require.EqualValues(t, first.Tally.Valid-1, rows)

	// All leads there are: without the person.
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, map[string]any{"type": "email", "amount": leads, "source": "pack"}, "Idempotency-Key", "more").is(201)
	var all order.Order
	f.call("POST", "/orders?wait=25s", f.jane, map[string]any{"kind": "lead_list", "count": leads, "include_owned": true}, "Idempotency-Key", "all").is(201).into(&all)
	require.NotContains(t, string(f.call("GET", "/orders/"+all.ID+"/results.csv", f.jane, nil).is(200).body), person.ID)
}

// temporalFiles are the bytes of Temporal's database as they are on the disk, in
// lower case: in all that it keeps, visibility and the log ahead of writes included.
func temporalFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	size := 0
	require.NoError(t, filepath.WalkDir(stackDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "temporal") {
			return nil //nolint:nilerr // PostgreSQL's files come and go
		}
		content, err := os.ReadFile(path)
		files[d.Name()] = strings.ToLower(string(content))
		if strings.HasPrefix(d.Name(), "temporal.db") {
			size += len(content)
		}
		return err
	}))
	require.Greater(t, size, 1<<20, "the histories are there")
	return files
}

// dumpTemporal returns the histories of all workflows, in lower case, once those
// that are named are among them.
func dumpTemporal(t *testing.T, named ...string) string {
	t.Helper()
	var ids map[string]bool
	require.Eventually(t, func() bool {
		ids = map[string]bool{}
		for token := []byte(nil); ; {
			page, err := app.Temporal.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: token})
			require.NoError(t, err)
			for _, e := range page.Executions {
				ids[e.Execution.WorkflowId] = true
			}
			if token = page.NextPageToken; len(token) == 0 {
				break
			}
		}
		for _, id := range named {
			if !ids[id] {
				return false
			}
		}
		return true
	}, 20*time.Second, 50*time.Millisecond)
	var dump []byte
	for id := range ids {
		events := app.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			// The wire format carries payloads as they are, JSON would hide them in base64.
			dump, err = proto.MarshalOptions{}.MarshalAppend(dump, event)
			require.NoError(t, err)
		}
	}
	require.Contains(t, string(dump), named[0], "the payloads are readable in the dump")
	return strings.ToLower(string(dump))
}
