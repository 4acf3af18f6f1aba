package intake_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
)

// Orders that reveal, enrich and export, from the submission to the file and the
// webhook, on real parts. gamma is on workspace-paid.
func TestOrdersOverFieldsOnRealParts(t *testing.T) {
	s := start(t)
	ids := s.column(t, `SELECT min(id) FROM lead WHERE phone <> '' GROUP BY phone_keys ORDER BY md5(min(id)) LIMIT 60`) // a number each
	var revealed order.Order

	t.Run("reveal", func(t *testing.T) {
		sub := intake.Submission{Org: "gamma", Key: "reveal", LeadIDs: append([]string{"unheard-of"}, ids...), Request: order.Request{
			Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField},
		}}
		q, err := s.Intake.Quote(t.Context(), sub)
		require.NoError(t, err)
		require.True(t, q.Covered)
		require.EqualValues(t, 120, q.Candidates)
		require.Empty(t, s.column(t, `SELECT id FROM list`), "a quote stores nothing")

		o := s.settled(t, sub)
		require.EqualValues(t, 61, o.Requested)
		require.EqualValues(t, 122, o.Selected)
		require.Equal(t, order.Credit{Type: "phone", Held: 60, Captured: o.Credits[1].Captured, Released: 60 - o.Credits[1].Captured}, o.Credits[1])
		require.Equal(t, o.Tally.Valid, o.Credits[0].Captured+o.Credits[1].Captured)
		header, rows := s.table(t, o)
		require.Len(t, rows, 61)
		good := 0
		for _, row := range rows {
			if email := row[slices.Index(header, "email")]; email != "" {
				require.Equal(t, "valid", s.lab.Truth(email).Verdict)
				good++
			}
		}
		require.EqualValues(t, good, o.Credits[0].Captured)
		s.requireUntold(t, o.ID)
		revealed = o

		again, err := s.Intake.Submit(t.Context(), sub)
		require.NoError(t, err)
		require.Equal(t, o.ID, again.ID)
		sub.LeadIDs = ids
		_, err = s.Intake.Submit(t.Context(), sub)
		require.ErrorIs(t, err, intake.ErrKeyReused)
	})

	t.Run("enrich", func(t *testing.T) {
		emails := s.column(t, `SELECT email FROM lead WHERE id IN
			(SELECT min(id) FROM lead WHERE phone <> '' GROUP BY phone_keys ORDER BY md5(min(id)) LIMIT 10)`)
		list, err := s.Catalogue.KeepList(t.Context(), "gamma", "", strings.NewReader("Remark,E-Mail\n"+
			"x,"+strings.Join(emails, "\nx,")+"\nmissing,missing@there-is-none.test\n"))
		require.NoError(t, err)
		o := s.settled(t, intake.Submission{Org: "gamma", Key: "enrich", Request: order.Request{
			Kind: order.Enrich, ListID: list.ID, Fields: []order.Field{order.PhoneField},
		}})
		require.Zero(t, o.Credits[0].Captured, "all of them were revealed before, or cannot be dialled")
		require.Equal(t, o.Tally.Valid, o.Tally.AlreadyOwned)
		require.Positive(t, o.Tally.Valid)
		_, rows := s.table(t, o)
		require.Len(t, rows, 11, "the rows of the list")
		s.requireUntold(t, o.ID)
	})

	t.Run("export to a webhook, and to a file", func(t *testing.T) {
		got := map[string]int{}
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var m struct {
				Type string
				Data struct{ Rows []json.RawMessage }
			}
			if json.NewDecoder(r.Body).Decode(&m) == nil && m.Type == "export.batch" {
				got[r.Header.Get("webhook-id")] = len(m.Data.Rows)
			}
		}))
		t.Cleanup(receiver.Close)
		sub := intake.Submission{Org: "gamma", Key: "push", Request: order.Request{
			Kind: order.Export, OrderID: revealed.ID, Destination: order.ToWebhook,
		}}
		refused := func(field string) {
			t.Helper()
			for _, try := range []func() error{
				func() error { _, err := s.Intake.Submit(t.Context(), sub); return err },
				func() error { _, err := s.Intake.Quote(t.Context(), sub); return err },
			} {
				var invalid *order.InvalidError
				require.ErrorAs(t, try(), &invalid)
				require.Equal(t, field, invalid.Field, invalid.Message)
			}
		}
		refused("destination") // there is none
		_, _, err := s.Webhooks.Create(t.Context(), "gamma", receiver.URL, nil)
		require.NoError(t, err)
		sub.Request.WebhookID = "wh_other"
		refused("webhook_id")
		sub.Request.WebhookID = ""

		o := s.settled(t, sub)
		leads := len(s.column(t, `SELECT DISTINCT lead_no::text FROM order_item WHERE order_id = $1 AND delivered_at IS NOT NULL`, revealed.ID))
		require.Equal(t, map[string]int{o.ID + "/1": leads}, got)
		require.Equal(t, []order.Credit{{Type: "export", Held: int64(leads), Captured: int64(leads)}}, o.Credits)
		s.requireUntold(t, o.ID)

		_, _, err = s.Webhooks.Create(t.Context(), "gamma", receiver.URL+"/second", nil)
		require.NoError(t, err)
		sub.Key = "which"
		refused("webhook_id")

		sub.Request.Destination = ""
		o = s.settled(t, sub)
		require.EqualValues(t, leads, o.Credits[0].Captured, "every export costs")
		header, rows := s.table(t, o)
		require.Len(t, rows, leads)
		require.Contains(t, header, "phone")
	})

	t.Run("what a plan does not sell", func(t *testing.T) {
		for _, org := range []string{"acme", "beta", "gamma"} {
			_, err := s.Intake.Submit(t.Context(), intake.Submission{Org: org, Key: "no", LeadIDs: ids, Request: order.Request{
				Kind: order.Reveal, Fields: []order.Field{order.ProfileField},
			}})
			var invalid *order.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, "fields", invalid.Field)
		}
	})

	report, err := ledger.Audit(t.Context(), s.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings, "the books balance")
}

func (s stack) column(t *testing.T, sql string, args ...any) (list []string) {
	t.Helper()
	rows, err := s.Pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		list = append(list, text)
	}
	require.NoError(t, rows.Err())
	return list
}

func (s stack) table(t *testing.T, o order.Order) (header []string, rows [][]string) {
	t.Helper()
	all := s.rows(t, o)
	require.NotEmpty(t, all)
	return all[0], all[1:]
}

// requireUntold demands that no value of the order's items is in its history,
// nor in what the Temporal UI shows of it.
func (s stack) requireUntold(t *testing.T, id string) {
	t.Helper()
	s.requireNoAddress(t, id)
	var kept strings.Builder
	events := s.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		raw, err := proto.Marshal(event)
		require.NoError(t, err)
		kept.Write(raw)
	}
	shown, err := s.Temporal.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	fmt.Fprint(&kept, shown)
	for _, value := range s.column(t, `SELECT value FROM order_item WHERE order_id = $1 AND value <> ''`, id) {
		require.NotContains(t, kept.String(), value)
	}
}
