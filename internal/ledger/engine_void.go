package ledger

import "fmt"

func (op Void) header() header { return header{kindVoid, op.Owner, op.Key, op.Memo} }

func (op Void) identify(d *digest) {
	d.num(op.Grant)
	d.num(op.Amount)
}

func (op Void) check() error {
	if op.Grant < 1 {
		return invalid("a void must name a grant by its number, from 1 on; %d is none", op.Grant)
	}
	return amount("void", op.Amount, 0)
}

// need asks for the grant and for the pool it is in. Grants count from 1, so a
// number beyond the last one needs no look-up.
func (op Void) need(b *books, n *needs) {
	if op.Grant > b.grants {
		return
	}
	l := b.lots[op.Grant]
	if l == nil {
		add(&n.lots, op.Grant)
		return
	}
	n.pool(b, l.pool)
}

func (op Void) touches(b *books) []accountID {
	if l := b.lots[op.Grant]; l != nil {
		return []accountID{l.accountID}
	}
	return nil
}

func (op Void) run(b *books, e *entry) (any, error) {
	l := b.lots[op.Grant]
	if l == nil {
		return nil, fmt.Errorf("%w: %d", ErrUnknownGrant, op.Grant)
	}
	from, m := available, moveVoid
	if l.bucket[waiting] > 0 { // a grant waits as a whole: nothing of it is available
		from, m = waiting, moveWithdraw
	}
	n := l.bucket[from]
	if op.Amount > 0 {
		n = min(n, op.Amount)
	}
	if n > 0 {
		b.move(e, m, l, n)
	}
	return VoidResult{
		Pool: l.pool, Type: l.kind, Voided: n,
		Available: l.bucket[available], Waiting: l.bucket[waiting], Held: l.bucket[held], Spent: l.bucket[captured], Expired: l.bucket[expired],
	}, nil
}
