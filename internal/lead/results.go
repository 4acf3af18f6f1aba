package lead

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ResultOptions steer what WriteResults writes.
type ResultOptions struct {
	All         bool // every item that has a verdict, not the delivered ones alone; what was not delivered comes without its email
	Phone       bool // with the phone column: only where phones were paid for
	DirectEmail bool // with the direct_email column: only where personal addresses were paid for
}

// result is a row of a result file. Its JSON names are the CSV's columns.
type result struct {
	ID           string     `json:"id"`
	Email        string     `json:"email"`
	FirstName    string     `json:"first_name"`
	LastName     string     `json:"last_name"`
	Title        string     `json:"title"`
	Seniority    string     `json:"seniority"`
	Department   string     `json:"department"`
	Company      string     `json:"company"`
	Domain       string     `json:"domain"`
	Industry     string     `json:"industry"`
	Headcount    *int64     `json:"headcount"`
	Country      string     `json:"country"`
	Region       string     `json:"region"`
	City         string     `json:"city"`
	Phone        *string    `json:"phone,omitempty"`
	DirectEmail  *string    `json:"direct_email,omitempty"`
	Verdict      string     `json:"verdict"`
	Reason       string     `json:"reason"`
	MXHost       string     `json:"mx_host"`
	SMTPCode     *int64     `json:"smtp_code"`
	SMTPEnhanced string     `json:"smtp_enhanced"`
	CheckedAt    *time.Time `json:"checked_at"`
}

// WriteResults streams what an order has delivered so far to w, in the order
// of its items, while the order runs as well as afterwards. It keeps a few
// rows in memory, however many there are.
//
// CSV follows RFC 4180: UTF-8, a header, CRLF, the columns in a fixed order
// (those of the catalogue, then verdict, reason and evidence). Cells are safe
// to open in a spreadsheet (see guard), and Import reads the file back.
//
// The results of an order over a list are the rows of that list, in its order
// and with all of its columns, options aside.
func (c *Catalogue) WriteResults(ctx context.Context, w io.Writer, orderID, format string, opts ResultOptions) error {
	if format != CSV && format != NDJSON {
		return fmt.Errorf("there is no result format %q; use csv or ndjson", format)
	}
	list, err := c.listOf(ctx, orderID)
	if err != nil {
		return err
	}
	if list != "" {
		if err := c.writeListResults(ctx, w, orderID, list, format); err != nil {
			return fmt.Errorf("writing the results of order %s: %w", orderID, err)
		}
		return nil
	}
	rows, err := c.pool.Query(ctx, `
		SELECT l.id, CASE WHEN i.delivered_at IS NULL THEN '' ELSE i.value END, l.first_name, l.last_name,
			l.title, l.seniority, l.department, l.company, l.domain, l.industry, l.headcount::bigint,
			l.country, l.region, l.city,
			CASE WHEN $3 THEN CASE WHEN i.delivered_at IS NULL THEN '' ELSE l.phone END END,
			CASE WHEN $4 THEN CASE WHEN i.delivered_at IS NULL THEN '' ELSE l.direct_email END END,
			i.verdict, i.reason, coalesce(i.mx_host, ''), i.smtp_code::bigint, coalesce(i.smtp_enhanced, ''), i.checked_at
		FROM order_item i JOIN lead l ON l.no = i.lead_no AND l.fingerprint = i.fingerprint
		WHERE i.order_id = $1 AND (i.delivered_at IS NOT NULL OR ($2 AND i.verdict IS NOT NULL))
		ORDER BY i.n`, orderID, opts.All, opts.Phone, opts.DirectEmail)
	if err != nil {
		return fmt.Errorf("reading the results of order %s: %w", orderID, err)
	}
	defer rows.Close()

	out := bufio.NewWriterSize(w, 64<<10)
	write := writeNDJSON(out)
	if format == CSV {
		write, err = writeCSV(out, opts)
		if err != nil {
			return fmt.Errorf("writing the results of order %s: %w", orderID, err)
		}
	}
	for rows.Next() {
		var r result
		if err := rows.Scan(&r.ID, &r.Email, &r.FirstName, &r.LastName, &r.Title, &r.Seniority,
			&r.Department, &r.Company, &r.Domain, &r.Industry, &r.Headcount, &r.Country, &r.Region,
			&r.City, &r.Phone, &r.DirectEmail, &r.Verdict, &r.Reason, &r.MXHost, &r.SMTPCode,
			&r.SMTPEnhanced, &r.CheckedAt); err != nil {
			return fmt.Errorf("reading the results of order %s: %w", orderID, err)
		}
		if err := write(r); err != nil {
			return fmt.Errorf("writing the results of order %s: %w", orderID, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the results of order %s: %w", orderID, err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the results of order %s: %w", orderID, err)
	}
	return nil
}

func writeNDJSON(w io.Writer) func(result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(r result) error { return enc.Encode(r) }
}

func writeCSV(w io.Writer, opts ResultOptions) (func(result) error, error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	header := []string{
		"id", "email", "first_name", "last_name", "title", "seniority", "department", "company",
		"domain", "industry", "headcount", "country", "region", "city",
	}
	if opts.Phone {
		header = append(header, "phone")
	}
	if opts.DirectEmail {
		header = append(header, "direct_email")
	}
	header = append(header, "verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at")
	if err := out.Write(header); err != nil {
		return nil, err
	}
	out.Flush() // an order without results is a file with a header
	cells := make([]string, 0, len(header))
	return func(r result) error {
		cells = append(cells[:0], r.ID, r.Email, r.FirstName, r.LastName, r.Title, r.Seniority, r.Department,
			r.Company, r.Domain, r.Industry, number(r.Headcount), r.Country, r.Region, r.City)
		if r.Phone != nil {
			cells = append(cells, *r.Phone)
		}
		if r.DirectEmail != nil {
			cells = append(cells, *r.DirectEmail)
		}
		cells = append(cells, r.Verdict, r.Reason, r.MXHost, number(r.SMTPCode), r.SMTPEnhanced)
		for i := range cells {
			cells[i] = guard(cells[i])
		}
		checked := ""
		if r.CheckedAt != nil {
			checked = r.CheckedAt.UTC().Format(time.RFC3339)
		}
		if err := out.Write(append(cells, checked)); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}, nil
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// guard makes a cell safe to open in a spreadsheet, which would take a text
// that begins with = + - @, a tab or a carriage return for a formula: such a
// cell gets an apostrophe in front, as does one that begins with an apostrophe
// and one of these, so that unguard knows which is ours. A telephone number, a
// plus with nothing but digits and spaces after it, can do nothing and stays
// as it is: programs that read the file want it unchanged.
func guard(cell string) string {
	if needsGuard(strings.TrimLeft(cell, "'")) && !isPhoneNumber(cell) {
		return "'" + cell
	}
	return cell
}

// unguard takes the apostrophe off that guard put in front.
func unguard(cell string) string {
	if rest, found := strings.CutPrefix(cell, "'"); found && needsGuard(strings.TrimLeft(rest, "'")) {
		return rest
	}
	return cell
}

func needsGuard(cell string) bool { return cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 }

func isPhoneNumber(cell string) bool {
	digits := 0
	for i := range len(cell) {
		switch c := cell[i]; {
		case i == 0 && c == '+':
		case c >= '0' && c <= '9' && i > 0:
			digits++
		case c == ' ' && i > 1:
		default:
			return false
		}
	}
	return digits >= 5
}
