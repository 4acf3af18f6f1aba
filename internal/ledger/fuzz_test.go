package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What the journal's columns hold is read or refused, never a panic: a person who changes
// a row must not stop the audit that would find it.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`[{"move":"hold","type":"email","grant":1,"amount":5,"balance":2}]`), encodeFacts([]factGroup{{kind: "email", scope: "x", cost: 1, subjects: [][16]byte{{1}}}}), "7-2")
	f.Add([]byte(`[{"move":"carry","type":"email","amount":0,"balance":0,"carry":{"left":-1}}]`), []byte{0xff}, "")
	f.Fuzz(func(t *testing.T, postings, facts []byte, cursorText string) {
		e := entry{postingsJSON: postings, facts: facts}
		if e.parsePostings() == nil {
			again := entry{postingsJSON: encodePostings(e.postings)}
			require.NoError(t, again.parsePostings())
			require.Equal(t, encodePostings(e.postings), encodePostings(again.postings))
		}
		if groups, err := parseFacts(facts); err == nil {
			again, err := parseFacts(encodeFacts(groups))
			require.NoError(t, err)
			require.Equal(t, groups, again)
		}
		if seq, left, err := parseCursor(cursorText); err == nil && cursorText != "" {
			s, l, err := parseCursor(cursor(seq, left))
			require.NoError(t, err)
			require.Equal(t, []int64{seq, int64(left)}, []int64{s, int64(l)})
		}
		e.sum("acme")
		r := newReplay("acme", func(string, string, string, string) {})
		e.seq, e.hash, e.prevHash = 1, e.sum("acme"), []byte{}
		r.follow(&e)
	})
}
