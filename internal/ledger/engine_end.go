package ledger

import "slices"

func (op End) header() header { return header{kindEnd, op.Owner, op.Key, op.Memo} }

func (op End) identify(d *digest) {
	d.str(op.Pool)
	d.bool(op.All)
}

func (op End) check() error {
	if op.All == (op.Pool != "") {
		return invalid("an end must name one member's pool, or all pools")
	}
	return texts("pool", op.Pool)
}

func (op End) need(b *books, n *needs) {
	if op.All {
		n.allPools = n.allPools || !b.allPools
		return
	}
	n.pool(b, op.Pool)
}

// touches are the accounts that end.
func (op End) touches(b *books) []accountID {
	ids := make([]accountID, 0, len(b.accounts))
	for id := range b.accounts {
		if op.All || id.pool == op.Pool {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, accountID.compare)
	return ids
}

func (op End) run(b *books, e *entry) (any, error) {
	var result EndResult
	for _, id := range op.touches(b) {
		if n := b.endAccount(e, b.accounts[id]); n > 0 {
			result.Expired = addAmount(result.Expired, id.kind, n)
		}
	}
	return result, nil
}

// endAccount writes off all that an account has, and says how many credits that
// were. What orders hold of it stays theirs; what they give back expires, as
// after a period of which nothing rolls over.
func (b *books) endAccount(e *entry, a *account) (written int64) {
	a.carry = &carry{}
	b.changedAccount(a)
	for _, l := range slices.Clone(a.lots) {
		if !l.live() {
			continue
		}
		l.renewed = true
		b.changedLot(l)
		if n := l.bucket[waiting]; n > 0 {
			b.move(e, moveWithdraw, l, n)
			written += n
		}
		if n := l.bucket[available]; n > 0 {
			b.move(e, moveExpire, l, n)
			written += n
		}
	}
	left := *a.carry
	e.postings = append(e.postings, posting{Move: moveCarry, Type: a.kind, Pool: a.pool, Balance: a.available, Carry: &left})
	return written
}
