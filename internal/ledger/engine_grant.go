package ledger

func (op Grant) header() header  { return header{kindGrant, op.Owner, op.Key, op.Memo} }
func (op Grants) header() header { return header{kindGrants, op.Owner, op.Key, op.Memo} }

// line is the grant as one of several.
func (op Grant) line() GrantLine {
	return GrantLine{
		Pool: op.Pool, Type: op.Type, Amount: op.Amount, Source: op.Source,
		Priority: op.Priority, StartsAt: op.StartsAt, ExpiresAt: op.ExpiresAt, BurnBy: op.BurnBy,
	}
}

func (op Grant) identify(d *digest) {
	op.line().identify(d)
}

func (op Grants) identify(d *digest) {
	d.num(int64(len(op.Lines)))
	for _, l := range op.Lines {
		l.identify(d)
	}
}

func (l GrantLine) identify(d *digest) {
	d.str(l.Pool)
	d.str(l.Type)
	d.num(l.Amount)
	d.str(string(l.Source))
	d.num(int64(l.Priority))
	d.time(l.ExpiresAt)
	if !l.StartsAt.IsZero() { // keys from before grants could start later stay what they are
		d.str("from")
		d.time(l.StartsAt)
	}
}

func (op Grant) check() error { return op.line().check() }

func (op Grants) check() error {
	if n := len(op.Lines); n < 1 || n > maxGrants {
		return invalid("grants at once must be from 1 to %d, they are %d", maxGrants, n)
	}
	for _, l := range op.Lines {
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}

func (l GrantLine) check() error {
	switch l.Source {
	case SourceAllotment, SourcePack, SourcePromotion, SourceAdjustment, SourceRollover, SourceReinstated:
	default:
		return invalid("a grant cannot have the source %q", l.Source)
	}
	if !l.StartsAt.IsZero() && !l.ExpiresAt.IsZero() && !l.StartsAt.Before(l.ExpiresAt) {
		return invalid("the grant would expire before it starts")
	}
	return firstError(required("credit type", l.Type), texts("pool", l.Pool),
		amount("grant", l.Amount, 1), expiry(l.ExpiresAt), expiry(l.StartsAt), expiry(l.BurnBy))
}

func (op Grant) need(b *books, n *needs) { n.pool(b, op.Pool) }

func (op Grants) need(b *books, n *needs) {
	for _, l := range op.Lines {
		n.pool(b, l.Pool)
	}
}

func (op Grant) touches(*books) []accountID { return []accountID{{op.Pool, op.Type}} }

func (op Grants) touches(*books) (ids []accountID) {
	for _, l := range op.Lines {
		ids = append(ids, accountID{l.Pool, l.Type})
	}
	return ids
}

func (op Grant) run(b *books, e *entry) (any, error) {
	nos, err := b.grantLines(e, []GrantLine{op.line()})
	if err != nil {
		return nil, err
	}
	return GrantResult{GrantID: nos[0]}, nil
}

func (op Grants) run(b *books, e *entry) (any, error) {
	nos, err := b.grantLines(e, op.Lines)
	if err != nil {
		return nil, err
	}
	return GrantsResult{GrantIDs: nos}, nil
}

// grantLines issues all grants, or none where an account has no room for them.
func (b *books) grantLines(e *entry, lines []GrantLine) ([]int64, error) {
	sums := map[accountID]int64{}
	for _, l := range lines {
		id := accountID{l.Pool, l.Type}
		sums[id] += l.Amount // at most maxGrants times maxAmount: no overflow
		if !b.account(id).room(sums[id]) {
			return nil, invalid("the pool has no room for %d more credits", sums[id])
		}
	}
	nos := make([]int64, len(lines))
	for i, l := range lines {
		nos[i] = b.grantLater(e, l).no
	}
	return nos, nil
}

// grantLater issues a lot whose credits are there at once or, where it starts
// later, wait until then.
func (b *books) grantLater(e *entry, l GrantLine) *lot {
	id := accountID{l.Pool, l.Type}
	starts := micro(l.StartsAt)
	if !starts.After(e.at) {
		return b.grant(e, id, terms{Source: l.Source, Priority: l.Priority, ExpiresAt: l.ExpiresAt, BurnBy: l.BurnBy}, l.Amount)
	}
	issued := b.issue(id, terms{Source: l.Source, Priority: l.Priority, ExpiresAt: l.ExpiresAt, BurnBy: l.BurnBy}, e.at)
	issued.amount, issued.startsAt = l.Amount, starts
	b.move(e, moveSchedule, issued, l.Amount).Terms = issued.terms()
	return issued
}

// grant issues a lot with n credits in it.
func (b *books) grant(e *entry, id accountID, t terms, n int64) *lot {
	l := b.issue(id, t, e.at)
	l.amount = n
	b.move(e, moveGrant, l, n).Terms = l.terms()
	return l
}
