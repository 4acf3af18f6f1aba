package order

// Tally counts an order's items by outcome. Every selected item is counted
// once: by its verdict once it has one, or as a duplicate when it was left out.
// AlreadyOwned counts the valid items that the organization had paid for
// before and therefore got free; they are part of Valid.
type Tally struct {
	Valid        int64 `json:"valid"`
	Invalid      int64 `json:"invalid"`
	CatchAll     int64 `json:"catch_all"`
	Risky        int64 `json:"risky"`
	Disposable   int64 `json:"disposable"`
	Unknown      int64 `json:"unknown"`
	AlreadyOwned int64 `json:"already_owned"`
	Duplicate    int64 `json:"duplicate"`
}

// Count adds n items with the given verdict for a reason. An item that another
// one stands for has no verdict of its own: it is a duplicate. A verdict that has
// no line counts as unknown, so that the sum always matches the items.
func (t *Tally) Count(verdict, reason string, n int64) {
	if reason == ReasonDuplicate {
		t.Duplicate += n
		return
	}
	switch verdict {
	case "valid":
		t.Valid += n
	case "invalid":
		t.Invalid += n
	case "catch_all":
		t.CatchAll += n
	case "risky":
		t.Risky += n
	case "disposable":
		t.Disposable += n
	default:
		t.Unknown += n
	}
}

// Add adds another tally to this one.
func (t *Tally) Add(o Tally) {
	t.Valid += o.Valid
	t.Invalid += o.Invalid
	t.CatchAll += o.CatchAll
	t.Risky += o.Risky
	t.Disposable += o.Disposable
	t.Unknown += o.Unknown
	t.AlreadyOwned += o.AlreadyOwned
	t.Duplicate += o.Duplicate
}

// Done is how many of the selected items need no more work: those that have a
// verdict, and those that others stand for. Rows that an uploaded list says twice
// are duplicates, too, and were never selected.
func (t Tally) Done(selected int64) int64 { return min(selected, t.Verified()+t.Duplicate) }

// Verified is the number of items that have a verdict of their own.
func (t Tally) Verified() int64 {
	return t.Valid + t.Invalid + t.CatchAll + t.Risky + t.Disposable + t.Unknown
}

// Reason counts the items that share a verdict and the reason for it.
type Reason struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	Count   int64  `json:"count"`
}

// Of counts the items with one of the verdicts.
func (t Tally) Of(verdicts []string) int64 {
	var n int64
	for _, v := range verdicts {
		switch v {
		case "valid":
			n += t.Valid
		case "invalid":
			n += t.Invalid
		case "catch_all":
			n += t.CatchAll
		case "risky":
			n += t.Risky
		case "disposable":
			n += t.Disposable
		case "unknown":
			n += t.Unknown
		}
	}
	return n
}
