package verify

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestClassify_corpus compares the table with what hosts say: at least 85 of 100
// texts that say that a mailbox does not exist, or is full, have to be understood,
// and no definite verdict may be wrong. corpus.txt has what the rules were made
// from; the others were written down before the rules were measured against them,
// and each says what was found at first.
func TestClassify_corpus(t *testing.T) {
	for _, file := range []string{"corpus", "unseen", "blind", "blind2", "blind3", "blind4", "blind5", "blind6", "blind7", "blind8", "blind9", "blind10", "blind11", "blind12", "blind13", "blind14", "blind15"} {
		t.Run(file, func(t *testing.T) { compareCorpus(t, "testdata/"+file+".txt") })
	}
}

func compareCorpus(t *testing.T, name string) {
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	about := Address{"ada", "example.test"}
	reader := newClassifier("verify@example.com")
	var kind string
	all, found := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(file)) {
		line = strings.Trim(line, "\n")
		if strings.HasPrefix(line, "# ") || line == "" {
			continue
		}
		if line[0] == '[' {
			kind = strings.Trim(line, "[]")
			continue
		}
		if code := strings.SplitN(line, " ", 2)[0]; len(code) < 3 || len(strings.Trim(code[:3], "0123456789")) > 0 {
			line = map[string]string{"user": "550 ", "full": "552 ", "other": "550 "}[kind] + line
		}
		f := reader.classify(atRcpt, parsedReply(t, strings.ReplaceAll(line, `\n554-`, `\n554 `)), nil, about)
		want := map[string]Verdict{"user": Invalid, "full": Risky, "other": Unknown}[kind]
		all[kind]++
		switch f.verdict {
		case want:
			found[kind]++
		case Unknown:
			t.Logf("not understood: %s: %s (%s)", kind, line, f.reason)
		default:
			t.Errorf("wrong: %s: %s is said to be %s/%s", kind, line, f.verdict, f.reason)
		}
	}
	for kind := range all {
		t.Logf("%s: %d of %d", kind, found[kind], all[kind])
		require.GreaterOrEqual(t, 100*found[kind], 85*all[kind], kind)
	}
}
