package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// HistoryFilter selects lines of the history. Empty fields select everything.
type HistoryFilter struct {
	Owner    string
	From, To time.Time // From ≤ booked < To
	Type     string
	Pool     *string // "" is the shared pool
	Kind     string
	Member   string // what was done in this member's name, and what moved in their own pool
	OrderID  string
	Oldest   bool   // the oldest first
	Charged  bool   // with what each line charged
	Cursor   string // NextCursor of the page before, in the same order
	Limit    int    // lines: 100 by default, at most 1,000
}

// maxCharged ends a page of lines with what they charged: it has a line more where
// these are fewer facts.
const maxCharged = 5000

// HistoryLine is one movement of credits.
type HistoryLine struct {
	Seq     int64     // of the journal entry
	At      time.Time // when it happened
	Booked  time.Time // when the entry was made; later only for what time did to an account that nothing had touched since
	Kind    string    // grant, hold, capture, release, expire, reverse, rollover or void
	Type    string
	Pool    string
	Amount  int64 // credits moved, always positive
	Change  int64 // what the movement did to the balance
	Balance int64 // available in this pool and type afterwards
	OrderID string
	Action  string
	Member  string
	Reason  string
	Source  Source   // of the grant the credits came from, or of a new grant
	Facts   int64    // facts that this movement charged or reversed; of an operation each is in one line
	Subject [16]byte // the fact's subject where the operation had one of this type
}

// ChargedFact is what a movement has to do with one fact: credits that it charged for
// it or gave back. Of a line these add up to its amount, as far as it is about facts.
type ChargedFact struct {
	Subject [16]byte
	Credits int64
}

// HistoryPage is a part of the history.
type HistoryPage struct {
	Lines      []HistoryLine
	Charged    [][]ChargedFact // of each line, where the filter asks for it
	NextCursor string          // empty at the end
}

// HistoryKinds are what the history shows movements as.
func HistoryKinds() []string {
	var kinds []string
	for _, m := range moves {
		if kind := historyKind(m); kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
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
	Kind     kind
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

// History returns a page of an organization's history, newest first unless the filter
// says otherwise. A cursor
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
	r := historyReader{Ledger: l, filter: f}
	if f.Cursor != "" {
		seq, posting, err := parseCursor(f.Cursor)
		if err != nil {
			return HistoryPage{}, err
		}
		switch {
		case f.Oldest && seq >= first:
			first, r.cut, r.below = seq, seq, posting
		case !f.Oldest && seq <= last:
			last, r.cut, r.below = seq, seq, posting
		}
	}
	read := r.read
	if f.Oldest {
		read = r.readOldest
	}
	if err := read(ctx, first, last); err != nil {
		return HistoryPage{}, err
	}
	return r.page, l.nameSources(ctx, f.Owner, r.page.Lines, r.grants)
}

// historyReader puts a page together.
type historyReader struct {
	*Ledger

	filter HistoryFilter
	cut    int64 // the entry that the cursor is in
	below  int   // of its postings, those that are left: the ones before it or, oldest first, from it on
	page   HistoryPage
	grants []lineGrant // of the lines
	facts  int         // charged by the lines
}

// read fills the page from a range of entries: the newest in any case, then the
// blocks that may have lines which the filter selects.
func (r *historyReader) read(ctx context.Context, first, last int64) error {
	t, narrow := r.filter.term()
	from := last - historyRows + 1
	if narrow {
		from = blockSpan(blockOf(from)).from
	}
	full, err := r.scan(ctx, span{max(first, from), last})
	if narrow && from > first && !full && err == nil {
		return r.scanBelow(ctx, t, first, from-1)
	}
	for ; from > first && !full && err == nil; from -= historyRows {
		full, err = r.scan(ctx, span{max(first, from-historyRows), from - 1})
	}
	return err
}

// scanBelow fills the page from complete blocks, down to an entry. It looks at more
// and more of them at a time.
func (r *historyReader) scanBelow(ctx context.Context, t term, first, last int64) error {
	least, window := blockOf(first), int64(16)
	for to := blockOf(last); to >= least; window = min(8*window, maxWindow) {
		from := max(least, to-window+1)
		if full, err := r.scanBlocks(ctx, t, from, to, first); full || err != nil {
			return err
		}
		to = from - 1
	}
	return nil
}

// scanBlocks reads what may have lines with a term of some blocks, and makes their
// index where it is missing.
func (r *historyReader) scanBlocks(ctx context.Context, t term, from, to, first int64) (full bool, err error) {
	known, err := r.blocks(ctx, r.filter.Owner, from, to, t)
	if err != nil {
		return false, err
	}
	var some []int64
	for block, atOnce := to, 2; block >= from; block-- {
		may, ok := known[block]
		if !ok {
			start := max(from, block-blocksAhead+1)
			if err := r.makeBlocks(ctx, r.filter.Owner, start, block); err != nil {
				return false, err
			}
			made, err := r.blocks(ctx, r.filter.Owner, start, block, t)
			if err != nil {
				return false, err
			}
			maps.Copy(known, made)
			if may, ok = known[block]; !ok {
				may, known[block] = true, true // it cannot be indexed: it is read
			}
		}
		if may {
			some = append(some, block)
		}
		if len(some) >= atOnce || block == from && len(some) > 0 {
			spans, err := r.spansOf(ctx, r.filter.Owner, some, t, first)
			if err != nil {
				return false, err
			}
			if full, err := r.scan(ctx, spans...); full || err != nil {
				return full, err
			}
			some, atOnce = nil, min(4*atOnce, maxBlocks)
		}
	}
	return false, nil
}

// scan adds the lines of some ranges of entries, in their order, until the page is
// full.
func (r *historyReader) scan(ctx context.Context, spans ...span) (full bool, err error) {
	from, to := make([]int64, len(spans)), make([]int64, len(spans))
	for i, s := range spans {
		from[i], to[i] = s.from, s.to
	}
	f, direction := &r.filter, "DESC"
	if f.Oldest {
		direction = "ASC"
	}
	rows, _ := r.pool.Query(ctx, `
		SELECT e.* FROM unnest($2::bigint[], $3::bigint[]) span (a, b)
		CROSS JOIN LATERAL (
			SELECT seq, kind, at, order_id, action, member, reason, convert_to(postings::text, 'UTF8') AS postings, facts
			FROM credit_entry WHERE owner = $1 AND seq BETWEEN span.a AND span.b
				AND ($4 = '' OR member = $4 OR position($5 IN postings::text) > 0) AND ($6 = '' OR order_id = $6)
				AND ($7::text[] IS NULL OR postings::text LIKE ANY ($7)) AND ($8 = '' OR position($8 IN postings::text) > 0)
			ORDER BY seq `+direction+` LIMIT 1 + span.b - span.a -- by the index, also where the planner expects more
		) e ORDER BY e.seq `+direction,
		f.Owner, from, to, f.Member, inJournal("pool", f.Member), f.OrderID, movesInJournal(f.Kind), inJournal("type", f.Type))
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[historyRow])
	if err != nil {
		return false, fmt.Errorf("the history of %q cannot be read: %w", f.Owner, err)
	}
	for i := range read {
		row := &read[i]
		lines, grants, err := row.lines(*f)
		if err != nil {
			return false, err
		}
		inOrder := slices.Backward(lines)
		if f.Oldest {
			inOrder = slices.All(lines)
		}
		for j, line := range inOrder {
			if row.Seq == r.cut && (line.posting >= r.below) != f.Oldest {
				continue
			}
			if len(r.page.Lines) == f.Limit || r.facts >= maxCharged {
				r.page.NextCursor = cursor(row.Seq, line.posting+1)
				if f.Oldest {
					r.page.NextCursor = cursor(row.Seq, line.posting)
				}
				return true, nil
			}
			if f.Charged {
				r.page.Charged, r.facts = append(r.page.Charged, line.charged), r.facts+len(line.charged)
			}
			r.page.Lines = append(r.page.Lines, line.HistoryLine)
			r.grants = append(r.grants, lineGrant{grants[j], row.Kind == kindExpired})
		}
	}
	return false, nil
}

// inJournal is how a member of a posting stands in the journal.
func inJournal(name, value string) string {
	return string(appendStringField(nil, `"`+name+`":`, value))
}

// movesInJournal are patterns for the postings that the history shows as a kind.
func movesInJournal(kind string) []string {
	if kind == "" {
		return nil
	}
	patterns := []string{}
	for _, m := range moves {
		if historyKind(m) == kind {
			patterns = append(patterns, `%"move":"`+string(m)+`"%`)
		}
	}
	return patterns
}

// placedLine is a line and the posting it is of.
type placedLine struct {
	HistoryLine

	posting int
	charged []ChargedFact
}

// lines are the lines of an entry that a filter selects, in the order of its
// postings, with the grants they are of.
func (r *historyRow) lines(f HistoryFilter) (lines []placedLine, grants []int64, err error) {
	var postings []posting
	if err := json.Unmarshal(r.Postings, &postings); err != nil {
		return nil, nil, fmt.Errorf("entry %d of %q cannot be read, run the audit: %w", r.Seq, f.Owner, err)
	}
	groups, err := parseFacts(r.Facts)
	if err != nil {
		return nil, nil, fmt.Errorf("entry %d of %q cannot be read, run the audit: %w", r.Seq, f.Owner, err)
	}
	charged := chargedFacts(groups)
	for i := range postings {
		p := &postings[i]
		kind := historyKind(p.Move)
		if kind == "" {
			continue
		}
		var parts []ChargedFact
		line := HistoryLine{
			Seq: r.Seq, At: r.At.UTC(), Booked: r.At.UTC(), Kind: kind, Type: p.Type, Pool: p.Pool, Amount: p.Amount, Change: p.change(), Balance: p.Balance,
			OrderID: r.OrderID, Action: r.Action, Member: r.Member, Reason: r.Reason,
		}
		if paid := charged[p.Type]; paid != nil && (kind == "capture" || kind == "reverse") {
			line.Facts, parts = paid.take(p.Amount)
			line.Subject = paid.only
		}
		if f.selects(&line) {
			lines, grants = append(lines, placedLine{line, i, parts}), append(grants, p.Grant)
		}
	}
	return lines, grants, nil
}

func (f *HistoryFilter) selects(l *HistoryLine) bool {
	return (f.Kind == "" || f.Kind == l.Kind) && (f.Type == "" || f.Type == l.Type) &&
		(f.Pool == nil || *f.Pool == l.Pool) && (f.Member == "" || f.Member == l.Member || f.Member == l.Pool)
}

// change is what a posting did to its account's balance.
func (p *posting) change() int64 {
	n := change(available, p.Move.from(), p.Move.to(), p.Amount)
	if p.Into != 0 {
		n += p.Amount
	}
	return n
}

// lineGrant is the grant that the credits of a line are of.
type lineGrant struct {
	no     int64
	byTime bool // it started or expired; nothing else happened
}

// nameSources fills in where the credits of each line came from, and when what
// time did to them happened. A lane's time never runs backwards: where other
// accounts moved before anything touched this one, the entry came later.
func (l *Ledger) nameSources(ctx context.Context, owner string, lines []HistoryLine, grants []lineGrant) error {
	nos := make([]int64, len(grants))
	for i, g := range grants {
		nos[i] = g.no
	}
	rows, _ := l.pool.Query(ctx, `SELECT no, source, coalesce(starts_at, '0001-01-01Z') AS starts_at,
		CASE WHEN expires_at IS NULL THEN '0001-01-01Z' ELSE greatest(expires_at, granted_at) END AS expires_at
		FROM credit_grant WHERE owner = $1 AND no = ANY($2)`, owner, nos)
	type grant struct {
		No                  int64
		Source              Source
		StartsAt, ExpiresAt time.Time
	}
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[grant])
	if err != nil {
		return fmt.Errorf("the grants of %q cannot be read: %w", owner, err)
	}
	known := make(map[int64]*grant, len(read))
	for i := range read {
		known[read[i].No] = &read[i]
	}
	for i := range lines {
		line, g := &lines[i], known[grants[i].no]
		if g == nil {
			continue
		}
		line.Source = g.Source
		at := g.ExpiresAt
		if line.Kind == "grant" {
			at = g.StartsAt
		}
		// Credits of a period that was missed moved until its end was booked.
		missed := line.Kind == "expire" && (g.Source == SourceAllotment || g.Source == SourceRollover)
		if grants[i].byTime && !missed && !at.IsZero() && at.Before(line.At) {
			line.At = at.UTC()
		}
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
