package ledger

import "context"

type noticeKey struct{}

// notice is used once.
type notice struct {
	used     bool
	repeated func()
}

// Notice returns a context for one request of a caller: repeated is called where
// its first grant, void or reversal was carried out before, under the same key.
func Notice(ctx context.Context, repeated func()) context.Context {
	return context.WithValue(ctx, noticeKey{}, &notice{repeated: repeated})
}

func noticeOf(ctx context.Context, op operation, o outcome) {
	n, ok := ctx.Value(noticeKey{}).(*notice)
	if !ok || n.used {
		return
	}
	switch op.(type) {
	case Grant, Grants, Void, Reverse:
		n.used = true
		if o.replayed != nil {
			n.repeated()
		}
	}
}
