package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

// column reads one column of a CSV.
func column(t *testing.T, text, name string) (cells []string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err, text)
	at := slices.Index(rows[0], name)
	require.NotEqual(t, -1, at, "%s in %v", name, rows[0])
	for _, row := range rows[1:] {
		cells = append(cells, row[at])
	}
	return cells
}

// otherKinds reveals, enriches and exports on a dev stack.
func otherKinds(t *testing.T, w *world) {
	t.Helper()
	w = &world{t: t, dir: w.dir, env: w.env}
	w.run("org", "create", "crm", "--name", "CRM", "--plan", "workspace-paid").ok()
	var list order.Order
	w.run("order", "lead-list", "--org", "crm", "--count", "40", "--has-phone", "--watch", "--json").ok().into(&list)
	leads := w.run("order", "results", list.ID).ok().stdout
	ids := column(t, leads, "id")
	require.NotEmpty(t, ids)
	id := strings.Join(ids[:3], ",")

	t.Run("reveal", func(t *testing.T) {
		reveal := []string{"order", "reveal", "--org", "crm", "--lead", id, "--lead", "unheard-of", "--field", "email,direct-email", "--field", "phone"}
		quoted := w.run(append(reveal, "--quote")...).ok().stdout
		require.Contains(t, quoted, "The credits cover it")
		require.Contains(t, quoted, "3 owned already", "the addresses")
		got := w.run(append(reveal, "--wait")...).ok()
		require.Equal(t, []string{column(t, leads, "email")[0], "owned"}, []string{column(t, got.stdout, "email")[0], column(t, got.stdout, "email_reason")[0]})
		require.Len(t, column(t, got.stdout, "phone"), 4)
		require.Contains(t, got.stderr, "delivered, charged")
		var first map[string]any
		line, _, _ := strings.Cut(w.run(append(reveal, "--wait", "--json")...).ok().stdout, "\n")
		require.NoError(t, json.Unmarshal([]byte(line), &first))
		require.Contains(t, first, "phone_verdict")
		shown := w.run(append(reveal, "--watch")...).ok().stdout
		require.Contains(t, shown, "12 fields of 4 leads")
		require.Contains(t, shown, "order results ord_")
	})

	t.Run("enrich", func(t *testing.T) {
		file := filepath.Join(w.dir, "people.csv")
		first, last, company := column(t, leads, "first_name"), column(t, leads, "last_name"), column(t, leads, "company")
		var text strings.Builder
		people := csv.NewWriter(&text)
		require.NoError(t, people.WriteAll([][]string{{"Name", "Firm", "Company"}, {first[0] + " " + last[0], "x", company[0]}, {"Missing", "y", ""}}))
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
		got := w.run("order", "enrich", file, "--org", "crm", "--field", "phone", "--wait").ok()
		require.Equal(t, []string{"x", "y"}, column(t, got.stdout, "Firm"))
		require.Equal(t, ids[0], column(t, got.stdout, "lead_id")[0])
		require.Contains(t, got.stderr, "List lst_")
		w.run("order", "enrich", file, "--org", "crm").fails(exitUsage, "field")
	})

	t.Run("export", func(t *testing.T) {
		quoted := w.run("order", "export", "--org", "crm", "--order", list.ID, "--quote").ok().stdout
		require.Contains(t, quoted, "export")
		got := w.run("order", "export", "--org", "crm", "--order", list.ID, "--wait").ok()
		require.ElementsMatch(t, ids, column(t, got.stdout, "id"))
		require.ElementsMatch(t, column(t, leads, "email"), column(t, got.stdout, "email"))
		var o order.Order
		w.run("order", "export", "--org", "crm", "--lead", id, "--watch", "--json").ok().into(&o)
		require.Equal(t, []order.Credit{{Type: "export", Held: 3, Captured: 3}}, o.Credits)
	})

	t.Run("wrong ones", func(t *testing.T) {
		w := &world{t: t, dir: w.dir, env: w.env}
		w.run("order", "reveal", "--org", "crm", "--lead", id, "--field", "shoe-size").fails(exitUsage, "shoe_size")
		w.run("order", "reveal", "--org", "crm", "--lead", id, "--field", "profile").fails(exitUsage, "does not sell")
		w.run("order", "reveal", "--org", "crm", "--field", "email").fails(exitUsage, "lead")
		w.run("order", "reveal", "--org", "crm", "--lead", id, "--field", "email", "--wait", "--watch").fails(exitUsage, "wait")
		w.run("order", "export", "--org", "crm").fails(exitUsage, "say what to export")
		w.run("order", "export", "--org", "crm", "--lead", id, "--order", list.ID).fails(exitUsage, "say what to export")
		w.run("order", "export", "--org", "crm", "--lead", id, "--destination", "webhook").fails(exitUsage, "webhook")
		w.run("order", "export", "--org", "crm", "--lead", id, "--destination", "fax").fails(exitUsage, "fax")
		w.run("order", "export", "--org", "crm", "--order", "ord_nothing").fails(exitUsage, "no order")
	})

	t.Run("forget", func(t *testing.T) {
		require.Contains(t, w.run("forget", "--lead", ids[0]).ok().stdout, "leads of the catalogue")
		require.NotContains(t, w.run("order", "results", list.ID).ok().stdout, ids[0])
		got := w.run("order", "reveal", "--org", "crm", "--lead", ids[0]+","+ids[1], "--field", "email", "--wait").ok()
		require.Equal(t, []string{"not_found", "owned"}, sorted(column(t, got.stdout, "email_reason")))
		var again map[string]int64
		w.run("forget", "--lead", ids[0], "--json").ok().into(&again)
		require.Equal(t, map[string]int64{"leads": 0, "items": 0, "list_rows": 0, "verdicts": 0, "suppressed": 0}, again)
		w.run("forget", "missing").fails(exitFailed, "not an address")
		w.run("forget").fails(exitUsage, "name the person")
	})
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
