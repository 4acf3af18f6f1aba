package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

// sampleOrg is the organization that demonstrations order for.
const sampleOrg = "acme"

// importSynthetic writes a catalogue of people who live in the mail lab to a
// CSV file in dir and reads it through the importer.
func (a *app) importSynthetic(ctx context.Context, s *stack, dir string, rows int64) (lead.ImportReport, error) {
	path := filepath.Join(dir, "catalogue.csv")
	defer func() { _ = os.Remove(path) }() // served its purpose; not there where writing failed
	if err := writeCatalogue(s, path, rows); err != nil {
		return lead.ImportReport{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return lead.ImportReport{}, err
	}
	defer func() { _ = file.Close() }()
	meter := a.newMeter("importing", "leads", rows)
	defer meter.close()
	return s.parts.Catalogue.Import(ctx, file, lead.CSV, lead.ImportOptions{
		Progress: func(n int64) { meter.set(n, "") },
	})
}

func writeCatalogue(s *stack, path string, rows int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	world := maillab.NewWorld(maillab.Config{})
	if s.Lab != nil {
		world = s.Lab.World()
	}
	out := bufio.NewWriterSize(file, 256<<10)
	return errors.Join(world.WriteCatalogue(out, int(rows), 0), out.Flush(), file.Close())
}

// seed fills a new dev stack with a synthetic catalogue and an organization
// that has credits, where that was asked for, and else says how to begin.
func (d *dev) seed(ctx context.Context, s *stack) error {
	_, err := s.parts.Accounts.Org(ctx, sampleOrg)
	if d.leads == 0 || !errors.Is(err, account.ErrNotFound) {
		return d.hint(ctx, s)
	}
	report, err := d.importSynthetic(ctx, s, d.dir, d.leads)
	if err != nil {
		return err
	}
	if _, err := s.parts.Accounts.CreateOrg(ctx, account.Org{ID: sampleOrg, Name: "Acme Inc.", Plan: "verified-leads"}); err != nil {
		return err
	}
	if _, err := s.parts.Ledger.Grant(ctx, ledger.Grant{
		Owner: sampleOrg, Key: "dev/first-grant", Type: "email", Amount: 100_000, Source: ledger.SourcePromotion,
	}); err != nil {
		return err
	}
	d.note("  %s imported; organization %s has 100,000 email credits.", count(report.Imported, "synthetic lead"), sampleOrg)
	if d.leads < sampleLeads {
		return nil
	}
	if err := seedSample(ctx, s.parts); err != nil {
		return err
	}
	d.note("  Organization %s has a month of history and orders in each state, to look at.", globex)
	return nil
}

// hint says how to fill an empty catalogue.
func (d *dev) hint(ctx context.Context, s *stack) error {
	found, err := s.parts.Catalogue.Count(ctx, lead.Selection{Criteria: order.Criteria{}})
	if err != nil {
		return err
	}
	if found.Leads == 0 {
		d.note("  The catalogue is empty: import a file with \"%s import FILE\", or start with --fresh --leads 10000 for synthetic leads.", program())
	}
	return nil
}

// suggestions are the first things to try with a dev stack; dir is its data
// directory where commands do not find it by themselves.
func suggestions(dir string) string {
	where := ""
	if dir != "" {
		where = " --data-dir " + quoted(dir)
	}
	return examples(
		fmt.Sprintf("holdfast order lead-list --org %s --count 1000 --watch%s", sampleOrg, where),
		fmt.Sprintf("holdfast credits --org %s%s", sampleOrg, where),
		"holdfast audit"+where)
}

// quoted writes a path so that a shell takes it for one word.
func quoted(path string) string {
	if strings.IndexFunc(path, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-", r)
	}) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
