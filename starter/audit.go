package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/ledger"
)

func (a *app) auditCommand() *cobra.Command {
	var opts ledger.AuditOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove the books: recompute every balance from the journal",
		Long: `Recomputes every balance from the append-only journal, follows its hash chain and
compares both with the tables. Exits with 1 and the offending rows when the
books do not balance.`,
		Example: examples("holdfast audit", "holdfast audit --org acme --json"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			progress := a.newMeter("auditing", "entries", 0)
			defer progress.close()
			opts.Progress = func(entries int64) { progress.set(entries, "") }
			start := time.Now()
			report, err := ledger.Audit(cmd.Context(), rooms.Pool, opts)
			if err != nil {
				return err
			}
			progress.close()
			if a.json {
				if err := a.printJSON(auditJSON(report)); err != nil {
					return err
				}
			} else {
				a.showAudit(report, time.Since(start))
			}
			if !report.Clean() {
				return fmt.Errorf("the books do not balance: %s", count(report.Total, "finding"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&opts.Owner, "org", "", "only this organization")
	return cmd
}

func (a *app) showAudit(r ledger.Report, elapsed time.Duration) {
	if r.Clean() {
		a.say("%s The books balance: %s, %s, %s, %s, %s; checked in %s.", a.paint(green, "✓"),
			count(r.Owners, "organization"), count(r.Entries, "journal entry"),
			count(r.Grants, "grant"), count(r.Holds, "hold"), count(r.Facts, "charged fact"), took(elapsed))
		return
	}
	t := newTable("invariant", "table", "row", "problem")
	for _, f := range r.Findings {
		t.add(f.Invariant, f.Table, f.Key, f.Problem)
	}
	a.print(t)
}

// auditReport is the machine-readable outcome of an audit.
type auditReport struct {
	Balanced bool           `json:"balanced"`
	Owners   int64          `json:"organizations"`
	Entries  int64          `json:"entries"`
	Grants   int64          `json:"grants"`
	Holds    int64          `json:"holds"`
	Facts    int64          `json:"facts"`
	Total    int64          `json:"total_findings"`
	Findings []auditFinding `json:"findings"`
}

type auditFinding struct {
	Invariant string `json:"invariant"`
	Table     string `json:"table"`
	Row       string `json:"row"`
	Problem   string `json:"problem"`
}

func auditJSON(r ledger.Report) auditReport {
	out := auditReport{
		Balanced: r.Clean(), Owners: r.Owners, Entries: r.Entries, Grants: r.Grants,
		Holds: r.Holds, Facts: r.Facts, Total: r.Total, Findings: []auditFinding{},
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, auditFinding{f.Invariant, f.Table, f.Key, f.Problem})
	}
	return out
}
