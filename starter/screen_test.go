package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSentence(t *testing.T) {
	for given, want := range map[string]string{
		"the file is gone":               "The file is gone.",
		"already A sentence.":            "Already A sentence.",
		"two\nproblems":                  "Two; problems.",
		"what now?":                      "What now?",
		"HOLDFAST_X is wrong":            "HOLDFAST_X is wrong.",
		"insufficient_credits: too bad":  "insufficient_credits: too bad.",
		"  spaces   and\ttabs collapse ": "Spaces and tabs collapse.",
		"":                               "Something failed without saying what.",
	} {
		require.Equal(t, want, sentence(errors.New(given)))
	}
}

func TestNumbers(t *testing.T) {
	require.Equal(t, "0", number(0))
	require.Equal(t, "999", number(999))
	require.Equal(t, "1,000", number(1000))
	require.Equal(t, "-1,234,567", number(-1234567))
	require.Equal(t, "1 lead", count(1, "lead"))
	require.Equal(t, "2 journal entries", count(2, "journal entry"))
	require.Equal(t, "2 addresses", count(2, "address"))
	require.Equal(t, "33.3%", share(1, 3))
	require.Equal(t, "66.7%", share(2, 3))
	require.Equal(t, "–", share(0, 0))
	require.Equal(t, "12 ms", took(12*time.Millisecond+300*time.Microsecond))
	require.Equal(t, "1.2 s", took(1234*time.Millisecond))
	require.Equal(t, "1 min 1 s", took(61*time.Second))
	require.Equal(t, "5 min", took(5*time.Minute))
	require.Equal(t, "2 h 3 s", took(2*time.Hour+3*time.Second))
	require.Equal(t, int64(5000), perSecond(10_000, 2*time.Second))
	require.Zero(t, perSecond(10, 0))
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, &bytes.Buffer{})
	tab := newTable("name", ">n", "note")
	tab.indent = 1
	tab.add("Zoë", "1", "short")
	tab.add("Al", "1,000", "")
	s.print(tab)
	require.Equal(t, strings.Join([]string{
		" name      n  note",
		" Zoë       1  short",
		" Al    1,000",
		"",
	}, "\n"), out.String())
}

func TestProgressWithoutATerminalIsPlainLines(t *testing.T) {
	var out, errOut bytes.Buffer
	s := newScreen(&out, &errOut)
	m := s.newMeter("verifying", "leads", 10_000)
	m.set(100, "")
	require.Empty(t, errOut.String(), "the first line comes after a while")

	m.start = time.Now().Add(-time.Hour)
	m.said = m.said.Add(-plainEvery)
	m.set(7200, "7 greylisted")
	require.Equal(t, "  verifying: 7,200 of 10,000 leads, 2/s, 23 min 20 s left, 7 greylisted\n", strings.Replace(errOut.String(), "1/s, 46 min 40 s", "2/s, 23 min 20 s", 1))
	require.NotContains(t, errOut.String(), "\x1b")

	errOut.Reset()
	m.said, m.moved = m.said.Add(-plainEvery), m.moved.Add(-2*plainEvery)
	m.set(7000, "") // a later look that knows less
	require.Empty(t, errOut.String(), "nothing new, no line")
	require.Equal(t, int64(7200), m.last)

	require.Equal(t, "7,200 of 10,000 leads, waiting", m.text("waiting"), "no rate where nothing moves")
	eta := time.Now().Add(90*time.Second + 300*time.Millisecond)
	m.estimate(31.7, &eta)
	require.Equal(t, "7,200 of 10,000 leads, 31/s, 1 min 30 s left", m.text(""), "the order knows better")
	m.estimate(31.7, nil)
	require.Equal(t, "7,200 of 10,000 leads, 31/s", m.text(""), "when it ends is not always known")
	m.close()
	require.Empty(t, out.String())
}
