package ledger

import (
	"context"
	"slices"
)

// readOldest fills the page from a range of entries, the oldest first. The last
// entries, which no complete block has, are read in any case.
func (r *historyReader) readOldest(ctx context.Context, first, last int64) error {
	t, narrow := r.filter.term()
	full, err := false, error(nil)
	if narrow {
		for from, end := blockOf(first), blockOf(last-historyRows+1); from < end && !full; from += blocksAhead {
			to := min(from+blocksAhead, end) - 1
			if full, err = r.scanBlocksUp(ctx, t, from, to, first); err != nil {
				return err
			}
			first = blockSpan(to).to + 1
		}
	}
	for ; first <= last && !full && err == nil; first += historyRows {
		full, err = r.scan(ctx, span{first, min(first+historyRows-1, last)})
	}
	return err
}

// scanBlocksUp reads what may have lines with a term of some blocks from an entry on,
// the oldest first, and makes their index where it is missing.
func (r *historyReader) scanBlocksUp(ctx context.Context, t term, from, to, first int64) (full bool, err error) {
	known, err := r.blocks(ctx, r.filter.Owner, from, to, t)
	if err != nil {
		return false, err
	}
	if int64(len(known)) < to-from+1 {
		if err := r.makeBlocks(ctx, r.filter.Owner, from, to); err != nil {
			return false, err
		}
		if known, err = r.blocks(ctx, r.filter.Owner, from, to, t); err != nil {
			return false, err
		}
	}
	var some []int64
	for block := to; block >= from; block-- {
		if may, indexed := known[block]; may || !indexed {
			some = append(some, block)
		}
	}
	spans, err := r.spansOf(ctx, r.filter.Owner, some, t, first)
	if err != nil || len(spans) == 0 {
		return false, err
	}
	slices.Reverse(spans)
	for some := range slices.Chunk(spans, maxSpans) {
		if full, err := r.scan(ctx, some...); full || err != nil {
			return full, err
		}
	}
	return false, nil
}

// maxSpans are how many parts of blocks are read at a time where the oldest lines
// come first.
const maxSpans = 64
