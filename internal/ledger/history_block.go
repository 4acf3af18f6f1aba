package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/jackc/pgx/v5"
)

// A block is so many consecutive entries of a journal, a part of it so many. Table
// credit_history_block has a Bloom filter of what the lines of a complete block can
// be selected by, credit_history_part one of that in each of its parts, so that a
// filtered history reads only parts that may have such lines. They are made by the
// first reader who needs them: writing the journal costs nothing more. An entry is
// never left out because of them: blocks without a row are read, and a Bloom filter
// errs on the other side only.
const (
	blockEntries = 256
	partEntries  = 16
)

// A Bloom filter has so many bits for each term, of which each term sets so many:
// one block of some 400 is read without a hit, and one part of some 40 is read.
const (
	bitsPerTerm = 16
	bitsInPart  = 8
	bloomHashes = 4
	minBloom    = 64       // bytes
	maxBloom    = 1 << 15  // bytes; fuller beyond, so more is read
	blocksAhead = 64       // blocks made at a time
	maxBlocks   = 256      // blocks read at a time
	maxWindow   = 8 * 1024 // blocks looked at at a time
)

// blockOf is the block that an entry is in.
func blockOf(seq int64) int64 { return (seq - 1) / blockEntries }

// span is a range of entries.
type span struct{ from, to int64 }

func blockSpan(block int64) span { return span{block*blockEntries + 1, (block + 1) * blockEntries} }

// term is one thing that a history can be filtered by: an order, or any
// combination of kind, type, pool and member.
type term uint64

func orderTerm(id string) term { return term(xxhash.Sum64String("order\x00" + id)) }

// lineTerm leaves out what is empty; pool is nil for any.
func lineTerm(kind, creditType string, pool *string, member string) term {
	b := make([]byte, 0, 128)
	b = append(append(b, "line\x00"...), kind...)
	b = append(append(b, 0), creditType...)
	b = append(append(b, 0), member...)
	if pool != nil {
		b = append(append(b, 0), *pool...)
	}
	return term(xxhash.Sum64(b))
}

// in is the term of the same lines where they are in one part of a block.
func (t term) in(part int64) term {
	x := uint64(t) + uint64(part+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	return term(x ^ x>>32)
}

// term is what a filter asks for; not narrow where it selects every line.
func (f *HistoryFilter) term() (t term, narrow bool) {
	if f.OrderID != "" { // few entries, with any other filter
		return orderTerm(f.OrderID), true
	}
	return lineTerm(f.Kind, f.Type, f.Pool, f.Member), f.Kind != "" || f.Type != "" || f.Pool != nil || f.Member != ""
}

// blockTerms is everything that selects a line of a block, and of each of its parts.
type blockTerms struct {
	block, parts map[term]struct{}
	entries      int // that could be read
}

// add notes everything that selects a line of an entry.
func (b *blockTerms) add(r *historyRow) error {
	var postings []struct {
		Move move   `json:"move"`
		Type string `json:"type"`
		Pool string `json:"pool"`
	}
	if err := json.Unmarshal(r.Postings, &postings); err != nil {
		return err
	}
	if b.block == nil {
		b.block, b.parts = make(map[term]struct{}, 1024), make(map[term]struct{}, 4096)
	}
	part := (r.Seq - 1) % blockEntries / partEntries
	note := func(t term) { b.block[t], b.parts[t.in(part)] = struct{}{}, struct{}{} }
	if r.OrderID != "" {
		note(orderTerm(r.OrderID))
	}
	for i := range postings {
		p := &postings[i]
		kind := historyKind(p.Move)
		if kind == "" {
			continue
		}
		for _, k := range []string{"", kind} {
			for _, t := range []string{"", p.Type} {
				for _, pool := range []*string{nil, &p.Pool} {
					note(lineTerm(k, t, pool, ""))
					note(lineTerm(k, t, pool, r.Member))
					note(lineTerm(k, t, pool, p.Pool))
				}
			}
		}
	}
	b.entries++
	return nil
}

// positions are the bits of a term in a filter of any size, before they are
// taken modulo its bits.
func (t term) positions() []int64 {
	at := make([]int64, bloomHashes)
	h, step := uint32(t), uint32(t>>32)|1
	for i := range at {
		at[i] = int64(h)
		h += step
	}
	return at
}

// bloom is a filter of terms, its bits numbered as PostgreSQL's get_bit does.
func bloom(terms map[term]struct{}, bitsPerTerm int) []byte {
	size := minBloom
	for size < maxBloom && size*8 < len(terms)*bitsPerTerm {
		size *= 2
	}
	filter := make([]byte, size)
	for t := range terms {
		for _, at := range t.positions() {
			at %= int64(size) * 8
			filter[at/8] |= 1 << (at % 8)
		}
	}
	return filter
}

// mayHave is whether a filter may have a term.
func mayHave(filter []byte, t term) bool {
	for _, at := range t.positions() {
		if at %= int64(len(filter)) * 8; filter[at/8]>>(at%8)&1 == 0 {
			return false
		}
	}
	return true
}

// blocks returns which blocks of a range have a row, and whether they may have
// lines with the term.
func (l *Ledger) blocks(ctx context.Context, owner string, from, to int64, t term) (map[int64]bool, error) {
	at := t.positions()
	rows, _ := l.pool.Query(ctx, `
		SELECT block, bits = 0 OR get_bit(bloom, $4 % bits) + get_bit(bloom, $5 % bits) + get_bit(bloom, $6 % bits) + get_bit(bloom, $7 % bits) = 4
		FROM credit_history_block, LATERAL (SELECT 8::bigint * octet_length(bloom) AS bits) size
		WHERE owner = $1 AND block BETWEEN $2 AND $3`, owner, from, to, at[0], at[1], at[2], at[3])
	known := map[int64]bool{}
	var block int64
	var may bool
	_, err := pgx.ForEachRow(rows, []any{&block, &may}, func() error {
		known[block] = may
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the index of the history of %q cannot be read: %w", owner, err)
	}
	return known, nil
}

// spansOf returns the parts of some blocks, newest first, that may have lines with
// a term, down to an entry.
func (l *Ledger) spansOf(ctx context.Context, owner string, blocks []int64, t term, first int64) ([]span, error) {
	rows, _ := l.pool.Query(ctx, `SELECT block, bloom FROM credit_history_part WHERE owner = $1 AND block = ANY ($2)`, owner, blocks)
	filters := map[int64][]byte{}
	var block int64
	var filter []byte
	if _, err := pgx.ForEachRow(rows, []any{&block, &filter}, func() error {
		filters[block] = slices.Clone(filter)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the index of the history of %q cannot be read: %w", owner, err)
	}
	var spans []span
	for _, block := range blocks {
		filter, whole := filters[block], blockSpan(block)
		for part := int64(blockEntries/partEntries - 1); part >= 0; part-- {
			if len(filter) > 0 && !mayHave(filter, t.in(part)) {
				continue
			}
			s := span{max(first, whole.from+part*partEntries), whole.from + (part+1)*partEntries - 1}
			if n := len(spans); n > 0 && spans[n-1].from == s.to+1 {
				spans[n-1].from = s.from
			} else if s.from <= s.to {
				spans = append(spans, s)
			}
		}
	}
	return spans, nil
}

// makeBlocks makes the rows of complete blocks. One with an entry that cannot be
// read has none, so that reading it says so.
func (l *Ledger) makeBlocks(ctx context.Context, owner string, from, to int64) error {
	rows, _ := l.pool.Query(ctx, `SELECT seq, order_id, member, convert_to(postings::text, 'UTF8') FROM credit_entry
		WHERE owner = $1 AND seq BETWEEN $2 AND $3`, owner, blockSpan(from).from, blockSpan(to).to)
	terms := make([]blockTerms, to-from+1)
	var row historyRow
	_, err := pgx.ForEachRow(rows, []any{&row.Seq, &row.OrderID, &row.Member, &row.Postings}, func() error {
		_ = terms[blockOf(row.Seq)-from].add(&row) // the block has no row then
		return nil
	})
	if err != nil {
		return fmt.Errorf("the history of %q cannot be read: %w", owner, err)
	}
	var made []int64
	var blocks, parts [][]byte
	for i := range terms {
		if b := &terms[i]; b.entries == blockEntries {
			made = append(made, from+int64(i))
			blocks, parts = append(blocks, bloom(b.block, bitsPerTerm)), append(parts, bloom(b.parts, bitsInPart))
		}
	}
	if _, err := l.pool.Exec(ctx, `
		WITH part AS (
			INSERT INTO credit_history_part (owner, block, bloom)
			SELECT $1, * FROM unnest($2::bigint[], $4::bytea[]) ON CONFLICT DO NOTHING
		) INSERT INTO credit_history_block (owner, block, bloom)
		SELECT $1, * FROM unnest($2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING`, owner, made, blocks, parts); err != nil {
		return fmt.Errorf("the index of the history of %q cannot be written: %w", owner, err)
	}
	return nil
}
