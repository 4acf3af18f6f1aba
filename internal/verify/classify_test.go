package verify

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var stages = map[string]stage{"CONNECT": atConnect, "HELLO": atHello, "MAIL": atMail, "RCPT": atRcpt}

func parsedReply(t *testing.T, text string) reply {
	t.Helper()
	wire := strings.ReplaceAll(text, `\n`, "\r\n") + "\r\n"
	r, err := readReply(bufio.NewReader(strings.NewReader(wire)))
	require.NoError(t, err, text)
	return r
}

func providerNamed(t *testing.T, name string) *provider {
	t.Helper()
	if name == "-" {
		return nil
	}
	for i := range providers {
		if providers[i].name == name {
			return &providers[i]
		}
	}
	t.Fatalf("no provider is called %q", name)
	return nil
}

// TestClassify_V2 compares the table with replies as servers send them.
func TestClassify_V2(t *testing.T) {
	for file, least := range map[string]int{"testdata/replies.txt": 90, "testdata/wordings.txt": 140} {
		t.Run(file, func(t *testing.T) { compareReplies(t, file, least) })
	}
}

func compareReplies(t *testing.T, name string, least int) {
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	about := map[bool]Address{
		false: {"ada", "example.test"},
		true:  {"", "example.test"},
	}
	n := 0
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fields := strings.SplitN(line, " | ", 4)
		require.Len(t, fields, 4, line)
		r := parsedReply(t, fields[2])
		f := classify(stages[fields[0]], r, providerNamed(t, fields[1]), about[false])
		if is := fmt.Sprintf("%s %s", f.verdict, f.reason); is != fields[3] {
			t.Errorf("%s is said to be %s, not %s", fields[2], is, fields[3])
		}
		n++
	}
	require.Greater(t, n, least)
}

// TestClassify_V3: the address that a host repeats changes nothing.
func TestClassify_V3(t *testing.T) {
	for _, local := range []string{"user.unknown", "no.such.user", "spamhaus", "blocked", "mailbox.full", "relay", "greylisted", "does-not-exist"} {
		about := Address{local, "example.test"}
		for text, want := range map[string]Reason{
			"550 <%s> rejected":                            Policy,
			"550 5.7.1 %s: refused":                        Policy,
			"550 5.1.1 <%s>: Recipient address rejected":   NoSuchUser,
			"552 5.2.2 <%s> cannot receive":                MailboxFull,
			"450 4.2.0 <%s>: wait":                         Greylisted,
			"550 5.1.1 <%s>... User unknown (in our list)": NoSuchUser,
		} {
			f := classify(atRcpt, parsedReply(t, fmt.Sprintf(text, about)), nil, about)
			require.Equal(t, want, f.reason, "%s for %s", text, about)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(uint8(3), "550 5.1.1 User unknown", "ada")
	f.Add(uint8(3), "250 2.1.5 Ok", "ada")
	f.Add(uint8(3), "550 5.7.1 <spam@example.test> blocked", "spam")
	f.Add(uint8(0), "554 no", "x")
	f.Add(uint8(2), "421 4.3.2 bye", "")
	f.Fuzz(func(t *testing.T, at uint8, text, local string) {
		s := stage(1) << (at % 4)
		r, err := readReply(bufio.NewReader(strings.NewReader(text + "\r\n")))
		if err != nil {
			return
		}
		found := classify(s, r, nil, Address{local, "example.test"})
		require.Equal(t, found, newClassifier("").classify(s, r, nil, Address{local, "example.test"}))
		switch found.verdict {
		case Valid:
			require.Equal(t, 2, r.class())
		case Invalid:
			require.Equal(t, 5, r.class())
			require.Equal(t, atRcpt, s)
		case Risky:
			require.Contains(t, []int{4, 5}, r.class())
			require.Equal(t, atRcpt, s)
		case Unknown:
		case CatchAll, Disposable:
			t.Fatalf("%s is not for a reply to say", found.verdict)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{
		"250 Ok\r\n", "250-a\r\n250-PIPELINING\r\n250 b\r\n", "550 5.1.1 no\n", "250\r\n", "25", "2500 x\r\n", "250-a\r\n550 b\r\n",
		"HTTP/1.1 400\r\n", "421 4.7.0 \xff\xfe\x00\r\n", strings.Repeat("250-x\r\n", 200), "250 " + strings.Repeat("x", 70_000) + "\r\n",
		"550 no (#5.1.1)\r\n", "550 5.1.1.1 x\r\n", "550 5.1111.1 x\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(string(wire)), keptReplyLine))
		if err != nil {
			require.Zero(t, r.code)
			return
		}
		require.GreaterOrEqual(t, r.code, 200)
		require.Less(t, r.code, 600)
		if r.enhanced != (enhanced{}) {
			require.Equal(t, r.class(), r.enhanced.class)
		}
		require.NotContains(t, r.text, "\n")
	})
}

func TestReadReply(t *testing.T) {
	for text, want := range map[string]reply{
		"250":                        {code: 250, lines: []string{""}},
		"550 5.1.1 no":               {code: 550, enhanced: enhanced{5, 1, 1}, text: "no", lines: []string{"no"}},
		"550 no (#5.1.1)":            {code: 550, enhanced: enhanced{5, 1, 1}, text: "no (#5.1.1)", lines: []string{"no (#5.1.1)"}},
		"550 4.1.1 no":               {code: 550, text: "4.1.1 no", lines: []string{"4.1.1 no"}},
		`250-a\n250-b\n250 c`:        {code: 250, text: "a b c", lines: []string{"a", "b", "c"}},
		`550-5.1.1 a\n550 5.1.1 b`:   {code: 550, enhanced: enhanced{5, 1, 1}, text: "a b", lines: []string{"a", "b"}},
		"550 5.1.1.2 no":             {code: 550, text: "5.1.1.2 no", lines: []string{"5.1.1.2 no"}},
		"250\t2.0.0 after a tab":     {code: 250, enhanced: enhanced{2, 0, 0}, text: "after a tab", lines: []string{"after a tab"}},
		"550 5.1.10 long detail":     {code: 550, enhanced: enhanced{5, 1, 10}, text: "long detail", lines: []string{"long detail"}},
		"550 5.7.606 banned":         {code: 550, enhanced: enhanced{5, 7, 606}, text: "banned", lines: []string{"banned"}},
		"550 wrong \x01 and \xff ok": {code: 550, text: "wrong ? and ? ok", lines: []string{"wrong ? and ? ok"}},
	} {
		require.Equal(t, want, parsedReply(t, text), text)
	}
	for _, bad := range []string{"", "25\r\n", "abc\r\n", "150 early\r\n", "650 late\r\n", "2500\r\n", "250-a\r\n", "250-a\r\n550 b\r\n", "250-a\r\nb\r\n"} {
		_, err := readReply(bufio.NewReader(strings.NewReader(bad)))
		require.Error(t, err, "%q", bad)
	}
}

// What a version of the engine reads a refusal by stays as it is: verdicts that
// are remembered name the version. Who changes the words or the rules raises
// Version and puts the line that this test prints into testdata/version.txt.
func TestTheVersionNamesTheWords(t *testing.T) {
	sum := sha256.New()
	for _, means := range slices.Sorted(maps.Keys(lexiconLists)) {
		fmt.Fprintln(sum, means, strings.Fields(lexiconLists[means]))
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		fmt.Fprintln(sum, name, slices.Sorted(slices.Values(classes[name])))
	}
	fmt.Fprintln(sum, slices.Sorted(maps.Keys(smallWords)), slices.Sorted(maps.Keys(turningWords)))
	fmt.Fprintln(sum, slices.Sorted(maps.Keys(placedBy)), slices.Sorted(maps.Keys(thisOne)), slices.Sorted(maps.Keys(oneWord)), slices.Sorted(maps.Keys(heads)), asides)
	fmt.Fprintln(sum, slices.Sorted(maps.Keys(places)), slices.Sorted(maps.Keys(belongsTo)), slices.Sorted(maps.Keys(articles)), slices.Sorted(maps.Keys(genitives)), slices.Sorted(maps.Keys(manyBoxes)))
	fmt.Fprintln(sum, slices.Sorted(maps.Keys(conditions)), slices.Sorted(maps.Keys(technical)), unspacedConditions)
	for _, list := range []map[string]bool{thingsOf, dutch, measures, ownersOf, owners, origins, yours, yoursBehind} {
		fmt.Fprintln(sum, slices.Sorted(maps.Keys(list)))
	}
	fmt.Fprintln(sum, placeStems, messageStems, unspacedTurns, unspacedOf, unspacedPlaces)
	fmt.Fprintf(sum, "%+v\n", rules)
	want, err := os.ReadFile("testdata/version.txt")
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), fmt.Sprintf("%s %x", Version, sum.Sum(nil)))
}
