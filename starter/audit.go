package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
	"holdfast/internal/wire"
)

func (a *app) auditCommand() *cobra.Command {
	var opts ledger.AuditOptions
	var head bool
	var against string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove the books: recompute every balance from the journal",
		Long: `Recomputes every balance from the append-only journal, follows its hash chain and
compares both with the tables, with the orders and with the organizations. Where
Temporal answers, open orders and holds without a running workflow are findings,
too. Exits with 1 and the offending rows when the books do not balance. Where there
are several cells, all are audited, unless --cell names one.

A person who can write to the database could also rewrite the whole chain. To find
that, keep its heads elsewhere: --head prints one line for each organization
(number of the last entry, its hash, the organization), and --against FILE checks
that the journal still contains them.`,
		Example: examples("holdfast audit", "holdfast audit --org acme --json",
			"holdfast audit --head > heads.txt", "holdfast audit --against heads.txt"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cells, done, err := a.openAll(cmd.Context(), whatAnswers)
			if err != nil {
				return err
			}
			defer done()
			if head {
				return a.printHeads(cmd, cells, opts.Owner)
			}
			if against != "" {
				if opts.Against, err = readHeads(cmd.InOrStdin(), against); err != nil {
					return err
				}
			}
			return a.audit(cmd, cells, opts)
		},
	}
	cmd.Flags().StringVar(&opts.Owner, "org", "", "only this organization")
	cmd.Flags().BoolVar(&head, "head", false, "print where the journals stand, to be kept elsewhere")
	cmd.Flags().StringVar(&against, "against", "", "check that the journal contains the heads in this `FILE` (- for stdin)")
	cmd.MarkFlagsMutuallyExclusive("head", "against")
	return cmd
}

// auditAlso compares the books with what the ledger does not know of.
func auditAlso() []ledger.Check {
	return []ledger.Check{account.CheckLedger, orderbook.CheckLedger, payment.CheckLedger}
}

// audit runs the audit in every cell and shows what it found.
func (a *app) audit(cmd *cobra.Command, cells []*wire.App, opts ledger.AuditOptions) error {
	opts.Also = auditAlso()
	progress := a.newMeter("auditing", "entries", 0)
	defer progress.close()
	start := time.Now()
	var report ledger.Report // of all
	var unasked bool         // Temporal, in some cell
	for _, parts := range cells {
		before, own := report.Entries, opts
		own.Progress = func(entries int64) { progress.set(before+entries, "") }
		if len(cells) > 1 {
			var err error
			if own.Against, err = headsOf(cmd.Context(), cells, parts.Config.Cell, opts.Against); err != nil {
				return err
			}
		}
		found, err := ledger.Audit(cmd.Context(), parts.Pool, own)
		if err != nil {
			return err
		}
		unasked = unasked || parts.Reconcile == nil
		if err := a.findLost(cmd, parts, opts.Owner, &found); err != nil {
			return err
		}
		addReport(&report, found, parts.Config.Cell)
	}
	progress.close()
	if opts.Owner != "" && report.Owners == 0 && report.Clean() {
		if err := haveOrg(cmd.Context(), cells, opts.Owner); err != nil {
			return err // a typing error proves nothing
		}
	}
	if unasked && report.Clean() {
		a.note("Temporal does not answer: open holds were not compared with running orders.")
	}
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
}

// findLost adds the open orders and holds that no workflow is running for, where
// Temporal can be asked.
func (a *app) findLost(cmd *cobra.Command, parts *wire.App, owner string, report *ledger.Report) error {
	if parts.Reconcile == nil {
		return nil
	}
	lost, err := parts.Reconcile.Find(cmd.Context())
	if err != nil {
		return err
	}
	for _, l := range lost {
		if owner != "" && l.Org != owner {
			continue
		}
		problem := fmt.Sprintf("the order is %s and no workflow is running for it; run \"%s order recover %s\"", l.Status, program(), l.OrderID)
		table := "orders"
		if l.Status == "" {
			problem = fmt.Sprintf("the hold is open and belongs to no open order; run \"%s order recover\"", program())
			table = "credit_hold"
		}
		report.Total++
		report.Findings = append(report.Findings, ledger.Finding{Invariant: "N1", Table: table, Key: l.Org + "/" + l.OrderID, Problem: problem})
	}
	return nil
}

// auditHead is where an organization's journal stands.
type auditHead struct {
	Entries int64  `json:"entries"`
	Hash    string `json:"hash"`
	Org     string `json:"org"`
}

func (a *app) printHeads(cmd *cobra.Command, cells []*wire.App, owner string) (err error) {
	var heads []ledger.Head
	for _, parts := range cells {
		own, err := ledger.Heads(cmd.Context(), parts.Pool, owner)
		if err != nil {
			return err
		}
		heads = append(heads, own...)
	}
	if owner != "" && len(heads) == 0 {
		if err := haveOrg(cmd.Context(), cells, owner); err != nil {
			return err
		}
	}
	list := make([]auditHead, 0, len(heads))
	for _, h := range heads {
		list = append(list, auditHead{h.Seq, hex.EncodeToString(h.Hash), h.Owner})
	}
	if a.json {
		return a.printJSON(list)
	}
	for _, h := range list {
		_, err = fmt.Fprintln(a.out, h.Entries, h.Hash, h.Org)
	}
	return err
}

// readHeads reads what audit --head has printed as lines.
func readHeads(stdin io.Reader, name string) (heads []ledger.Head, err error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("the heads cannot be read: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		head, err := parseHead(lines.Text())
		if err != nil {
			return nil, err
		}
		heads = append(heads, head)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the heads cannot be read: %w", err)
	}
	if len(heads) == 0 {
		return nil, errors.New("there are no heads to check against; write them with holdfast audit --head")
	}
	return heads, nil
}

func parseHead(line string) (ledger.Head, error) {
	entries, rest, _ := strings.Cut(line, " ")
	digest, org, _ := strings.Cut(rest, " ")
	seq, err := strconv.ParseInt(entries, 10, 64)
	hash, hexErr := hex.DecodeString(digest)
	if err != nil || hexErr != nil || len(hash) == 0 || org == "" {
		return ledger.Head{}, fmt.Errorf("%q is not a line of holdfast audit --head: number of entries, hash, organization", line)
	}
	return ledger.Head{Owner: org, Seq: seq, Hash: hash}, nil
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
