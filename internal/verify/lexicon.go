package verify

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// pattern is a phrase of the lexicon.
type pattern struct {
	parts []part
	means meaning
}

// part is a word of a pattern.
type part struct {
	words []string // any of these; one that ends in * may go on
	gap   gap      // what may stand before it
}

type gap uint8

const (
	nothing   gap = iota
	fillers       // up to four small words
	anything      // up to six words, except those that change what it is about
	mostWords = 6
	mostSmall = 4
)

// lexicon finds the meanings of a text.
type lexicon struct {
	byWord map[string][]*pattern // by the word that the pattern begins with
	open   []*pattern            // those that begin with an open word
	all    []*pattern
	run    []runPattern // of scripts without spaces
}

// runPattern is a phrase of a script without spaces: all pieces, in order.
type runPattern struct {
	pieces []string
	means  meaning
}

// newLexicon compiles the lists of phrases, see lexiconLists.
func newLexicon(lists map[meaning]string) *lexicon {
	l := &lexicon{byWord: make(map[string][]*pattern)}
	for means, list := range lists {
		for line := range strings.SplitSeq(list, "\n") {
			for text := range strings.SplitSeq(line, ",") {
				if text = strings.TrimSpace(fold(text)); text != "" {
					l.add(text, means)
				}
			}
		}
	}
	return l
}

func (l *lexicon) add(text string, means meaning) {
	if strings.ContainsFunc(text, isUnspaced) {
		l.run = append(l.run, runPattern{strings.Split(text, "&"), means})
		return
	}
	p := &pattern{means: means}
	next := nothing
	for word := range strings.FieldsSeq(text) {
		switch word {
		case "~":
			next = fillers
		case "..":
			next = anything
		default:
			var words []string
			for alternative := range strings.SplitSeq(word, "|") {
				if class, ok := classes[alternative]; ok {
					words = append(words, class...)
				} else if alternative == "{any}" {
					words = slices.AppendSeq(words, maps.Keys(boxes))
				} else {
					words = append(words, alternative)
				}
			}
			p.parts = append(p.parts, part{words, next})
			next = nothing
		}
	}
	l.all = append(l.all, p)
	for _, word := range p.parts[0].words {
		if strings.HasSuffix(word, "*") {
			l.open = append(l.open, p)
		} else {
			l.byWord[word] = append(l.byWord[word], p)
		}
	}
}

// isUnspaced reports a character of a script that puts no spaces between words,
// or builds them so long that whole words say little.
func isUnspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
}

// read returns all that the text says.
func (l *lexicon) read(text phrases) (means meaning) {
	words := withoutCompounds(strings.Fields(string(text)))
	joker := strings.Contains(string(text), "?")
	for i, word := range words {
		list := l.byWord[word]
		if joker {
			list = l.all
		}
		known := means
		if isSupposed(words[:i]) {
			known |= aboutMailbox
		}
		for _, some := range [...][]*pattern{list, l.open} {
			for _, p := range some {
				if (known|means)&p.means == 0 && p.match(words[i:], 0) {
					means |= p.means
				}
			}
		}
	}
	if isNamed(words) {
		means |= named
	}
	if namesOurs(words) {
		means |= aboutOthers
	}
	if many := slices.ContainsFunc(words, isMany); many && !slices.ContainsFunc(words, isOne) {
		means |= aboutOthers
	}
	if strings.ContainsFunc(string(text), isUnspaced) {
		means |= l.readRun(strings.Join(words, ""))
	}
	return means
}

// isNamed reports whether the words are about a mailbox as far as they name
// anything: the asked address stands there, or a word for a mailbox and no other
// thing's. Words of scripts without spaces are one long word.
func isNamed(words []string) bool {
	other, box := false, len(words) == 0
	for i := 0; i < len(words); i++ {
		if place := placeAt(words[i:]); place > 0 {
			i += place - 1
			continue
		}
		if words[i] == asked {
			return true
		}
		other = other || turningWords[words[i]]
		box = box || boxes[words[i]] || words[i] == "maildir" || strings.ContainsFunc(words[i], isUnspaced)
	}
	return box && !other
}

func (l *lexicon) readRun(text string) (means meaning) {
	for _, p := range l.run {
		before, _, ok := strings.Cut(text, p.pieces[0])
		if ok && p.means&aboutMailbox != 0 && slices.ContainsFunc(unspacedConditions, func(c string) bool { return strings.HasSuffix(before, c) }) {
			continue
		}
		if ok && p.means&aboutMailbox != 0 && endsInTurn(before, len(p.pieces) == 1) {
			continue
		}
		if ok && piecesInOrder(text, p.pieces, p.means&aboutMailbox != 0) {
			means |= p.means
		}
	}
	return means
}

// endsInTurn reports whether another thing stands right before a mailbox (or, for
// a phrase without one, anywhere before): プロバイダのアカウント is a provider's.
func endsInTurn(before string, anywhere bool) bool {
	for _, of := range unspacedOf {
		before = strings.TrimSuffix(before, of)
	}
	for _, place := range unspacedPlaces {
		before = strings.ReplaceAll(before, place, "")
	}
	return slices.ContainsFunc(unspacedTurns, func(other string) bool {
		return strings.HasSuffix(before, other) || anywhere && strings.Contains(before, other)
	})
}

// piecesInOrder reports whether the pieces stand in the text in this order. Where they
// speak of a mailbox, no other thing may stand between two: of 受信者のドメインが
// 見つかりません it is the domain that is missing.
func piecesInOrder(text string, pieces []string, straight bool) bool {
	for i, piece := range pieces {
		before, rest, ok := strings.Cut(text, piece)
		if !ok {
			return false
		}
		if i > 0 && straight {
			for _, place := range unspacedPlaces {
				before = strings.ReplaceAll(before, place, "")
			}
			if slices.ContainsFunc(unspacedTurns, func(other string) bool { return strings.Contains(before, other) }) {
				return false
			}
		}
		text = rest
	}
	return true
}

// match reports whether the words begin with the pattern from the nth part on.
func (p *pattern) match(words []string, n int) bool {
	if !p.parts[n].is(words[0]) {
		return false
	}
	if n+1 == len(p.parts) {
		return true
	}
	most := map[gap]int{nothing: 0, fillers: mostSmall, anything: mostWords}[p.parts[n+1].gap]
	if len(words) == 1 {
		return n+2 == len(p.parts) && p.parts[n+1].is("")
	}
	for k := 1; k < len(words) && k <= most+1; k++ {
		if p.match(words[k:], n+1) {
			return true
		}
		if place := placeAt(words[k:]); place > 0 {
			k, most = k+place-1, most+place
			continue
		}
		if p.parts[n+1].gap == fillers && !smallWords[words[k]] || turningWords[words[k]] {
			return false
		}
	}
	return false
}

// placeAt returns how many words make up the place that the text goes on with:
// "on this server". A phrase may go on behind it.
func placeAt(words []string) int {
	switch {
	case len(words) > 2 && placedBy[words[0]] && thisOne[words[1]] && turningWords[words[2]]:
		return 3
	case len(words) > 1 && oneWord[words[0]] && turningWords[words[1]]:
		return 2
	default:
		return 0
	}
}

func (p *part) is(word string) bool {
	for _, want := range p.words {
		if not, ok := strings.CutPrefix(want, "!"); ok {
			return word != not
		}
		open := strings.HasSuffix(want, "*")
		if want == word || open && strings.HasPrefix(word, want[:len(want)-1]) {
			return true
		}
		if strings.Contains(word, "?") && isLike(word, strings.TrimSuffix(want, "*"), open) {
			return true
		}
	}
	return false
}

// isLike compares a word with letters missing. Where it was more than one octet
// that got lost, there are as many question marks.
func isLike(word, want string, open bool) bool {
	for want != "" {
		if word == "" {
			return false
		}
		if word[0] == '?' {
			word = strings.TrimLeft(word, "?")
			want = want[1:]
			continue
		}
		if word[0] != want[0] {
			return false
		}
		word, want = word[1:], want[1:]
	}
	return word == "" || open
}

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for word := range strings.FieldsSeq(fold(words)) {
		m[word] = true
	}
	return m
}
