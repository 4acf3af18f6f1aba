package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// HistoryFilter selects lines of the history. Empty fields select everything.
type HistoryFilter struct {
	Owner    string
	From, To time.Time // From ≤ at < To
	Type     string
	Pool     *string // "" is the shared pool
	Kind     string
	Member   string
	OrderID  string
	Cursor   string // NextCursor of the page before
	Limit    int    // lines: 100 by default, at most 1,000
}

// HistoryLine is one movement of credits.
type HistoryLine struct {
	Seq     int64 // of the journal entry
	At      time.Time
	Kind    string // grant, hold, capture, release, expire, reverse, rollover or void
	Type    string
	Pool    string
	Amount  int64 // credits moved, always positive
	Balance int64 // available in this pool and type afterwards
	OrderID string
	Action  string
	Member  string
	Reason  string
	Source  Source   // of the grant the credits came from, or of a new grant
	Facts   int64    // facts of this type that the operation charged or reversed
	Subject [16]byte // the fact's subject where Facts is 1
}

// HistoryPage is a part of the history, newest first.
type HistoryPage struct {
	Lines      []HistoryLine
	NextCursor string // empty at the end
}

// historyKind names a move for people.
func historyKind(m move) string {
	switch m {
	case moveCapture, moveCharge:
		return "capture"
	case moveRelease, moveReinstate:
		return "release"
	case moveExpire, moveLapse:
		return "expire"
	case moveReverse, moveRestore:
		return "reverse"
	case moveStart:
		return "grant"
	case moveGrant, moveHold, moveRollover, moveVoid:
		return string(m)
	case moveSchedule, moveWithdraw, moveCarry, moveAlert, moveLine:
	}
	return "" // changes no balance
}

// historyRow is what the history reads of a journal entry.
type historyRow struct {
	Seq      int64
	At       time.Time
	OrderID  string
	Action   string
	Member   string
	Reason   string
	Postings []byte
	Facts    []byte
}

// historyRows is how many journal entries are read at a time.
const historyRows = 500

// History returns a page of an organization's history, newest first. A cursor
// points to a place in the journal: new entries do not shift the pages after it.
func (l *Ledger) History(ctx context.Context, f HistoryFilter) (HistoryPage, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, 1000)
	first, last, err := l.between(ctx, f.Owner, f.From, f.To)
	if err != nil {
		return HistoryPage{}, err
	}
	below := -1 // postings of entry last that are left, -1 = all
	if f.Cursor != "" {
		seq, posting, err := parseCursor(f.Cursor)
		if err != nil {
			return HistoryPage{}, err
		}
		if seq <= last {
			last, below = seq, posting
		}
	}
	var page HistoryPage
	var grants []int64
	for last >= first {
		rows, err := l.pool.Query(ctx, `SELECT seq, at, order_id, action, member, reason, postings::text::bytea AS postings, facts
			FROM credit_entry WHERE owner = $1 AND seq BETWEEN $2 AND $3
			AND ($4 = '' OR member = $4) AND ($5 = '' OR order_id = $5)
			ORDER BY seq DESC LIMIT $6`, f.Owner, first, last, f.Member, f.OrderID, historyRows)
		if err != nil {
			return HistoryPage{}, fmt.Errorf("the history of %q cannot be read: %w", f.Owner, err)
		}
		read, err := pgx.CollectRows(rows, pgx.RowToStructByName[historyRow])
		if err != nil {
			return HistoryPage{}, fmt.Errorf("the history of %q cannot be read: %w", f.Owner, err)
		}
		for i := range read {
			row := &read[i]
			var postings []posting
			if err := json.Unmarshal(row.Postings, &postings); err != nil {
				return HistoryPage{}, fmt.Errorf("entry %d of %q cannot be read, run the audit: %w", row.Seq, f.Owner, err)
			}
			top := len(postings)
			if row.Seq == last && below >= 0 {
				top = min(top, below)
			}
			for j := top - 1; j >= 0; j-- {
				p := &postings[j]
				kind := historyKind(p.Move)
				if kind == "" || f.Kind != "" && f.Kind != kind || f.Type != "" && f.Type != p.Type || f.Pool != nil && *f.Pool != p.Pool {
					continue
				}
				if len(page.Lines) == f.Limit {
					page.NextCursor = cursor(row.Seq, j+1)
					return page, l.nameSources(ctx, f.Owner, page.Lines, grants)
				}
				line, err := row.line(kind, p)
				if err != nil {
					return HistoryPage{}, err
				}
				page.Lines = append(page.Lines, line)
				grants = append(grants, p.Grant)
			}
		}
		if len(read) < historyRows {
			break
		}
		last, below = read[len(read)-1].Seq-1, -1
	}
	return page, l.nameSources(ctx, f.Owner, page.Lines, grants)
}

func (r *historyRow) line(kind string, p *posting) (HistoryLine, error) {
	line := HistoryLine{
		Seq: r.Seq, At: r.At.UTC(), Kind: kind, Type: p.Type, Pool: p.Pool, Amount: p.Amount, Balance: p.Balance,
		OrderID: r.OrderID, Action: r.Action, Member: r.Member, Reason: r.Reason,
	}
	if kind != "capture" && kind != "reverse" {
		return line, nil
	}
	groups, err := parseFacts(r.Facts)
	if err != nil {
		return line, err
	}
	for _, g := range groups {
		if g.kind == p.Type && g.cost > 0 { // what comes with a fact costs nothing
			line.Facts += int64(len(g.subjects))
			line.Subject = g.subjects[0]
		}
	}
	if line.Facts != 1 {
		line.Subject = [16]byte{}
	}
	return line, nil
}

// nameSources fills in where the credits of each line came from.
func (l *Ledger) nameSources(ctx context.Context, owner string, lines []HistoryLine, grants []int64) error {
	rows, err := l.pool.Query(ctx, `SELECT no, source FROM credit_grant WHERE owner = $1 AND no = ANY($2)`, owner, grants)
	if err != nil {
		return fmt.Errorf("the grants of %q cannot be read: %w", owner, err)
	}
	sources := map[int64]Source{}
	var no int64
	var source Source
	if _, err := pgx.ForEachRow(rows, []any{&no, &source}, func() error {
		sources[no] = source
		return nil
	}); err != nil {
		return fmt.Errorf("the grants of %q cannot be read: %w", owner, err)
	}
	for i := range lines {
		lines[i].Source = sources[grants[i]]
	}
	return nil
}

// A cursor is the last entry of a page and how many of its postings are left.
func cursor(seq int64, left int) string {
	return strconv.FormatInt(seq, 10) + "." + strconv.Itoa(left)
}

func parseCursor(s string) (seq int64, left int, err error) {
	a, b, _ := strings.Cut(s, ".")
	seq, err = strconv.ParseInt(a, 10, 64)
	if err == nil {
		left, err = strconv.Atoi(b)
	}
	if err != nil || seq < 1 || left < 0 {
		return 0, 0, invalid("the cursor %q is not one that a history page gave", s)
	}
	return seq, left, nil
}
