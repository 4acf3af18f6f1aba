package verify

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

// phrases is a reply's text as words in lower case and without accents, one
// space around each. Addresses, URLs and names of hosts are left out: what
// stands in them is a name, not what the host says. The address that was asked
// for is the word "@": spam.victim@… must not make a refusal of spam,
// unknown.user@… not an unknown user.
type phrases string

// asked stands for the address that was asked for.
const asked = "@"

// newPhrases takes a text apart into words.
func newPhrases(text string, about Address) phrases {
	text = fold(text)
	local := fold(about.Local)
	var b strings.Builder
	b.Grow(len(text) + 2)
	b.WriteByte(' ')
	for field := range strings.FieldsSeq(text) {
		for _, mark := range []string{"http:", "https:", "www."} {
			field, _, _ = strings.Cut(field, mark)
		}
		addWords(&b, withoutAddresses(field, local, about.Domain), local, about.Domain)
	}
	return phrases(b.String())
}

// fold makes letters comparable: lower case, without accents.
func fold(s string) string {
	s = strings.ToLower(s)
	if isASCII(s) {
		return s
	}
	return plainLetters.Replace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s)))
}

// plainLetters are those that have no accent to be taken off.
var plainLetters = strings.NewReplacer("ß", "ss", "ø", "o", "ł", "l", "đ", "d", "æ", "ae", "œ", "oe", "ı", "i", "’", "'", "`", "'")

// withoutAddresses puts asked where the asked address stands, and a space where
// another one does.
func withoutAddresses(field, local, domain string) string {
	for {
		at := strings.IndexByte(field, '@')
		if at < 0 || field == asked {
			return field
		}
		from, to := at, at+1
		if from > 0 && field[from-1] == '"' {
			from = max(strings.LastIndexByte(field[:from-1], '"'), 0)
		} else {
			for from > 0 && isLocalByte(field[from-1]) {
				from--
			}
		}
		for to < len(field) && isNameByte(field[to]) {
			to++
		}
		instead := " "
		if host := strings.Trim(field[at+1:to], ".-"); field[from:at] == local && (host == "" || host == domain) {
			instead = " \x00 "
		}
		field = field[:from] + instead + field[to:]
	}
}

// isLocalByte reports what a local part is made of, as far as it is needed to
// find where one begins.
func isLocalByte(c byte) bool {
	return c > ' ' && !strings.ContainsRune(`<>()[]{}",:;=@`, rune(c)) && c != 0
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || isDigit(c) || c >= 0x80 || c == '-' || c == '.'
}

// addWords adds the words of a field, each with a space after it.
func addWords(b *strings.Builder, field, local, domain string) {
	if local != "" && isLocal(field, local) {
		field = "\x00"
	}
	for i := 0; i < len(field); {
		if field[i] == 0 {
			b.WriteString(asked + " ")
			i++
			continue
		}
		end := i
		for end < len(field) && (isNameByte(field[end]) || isJoker(field, end)) {
			end++
		}
		if end == i {
			i++
			continue
		}
		name := strings.Trim(field[i:end], ".-")
		i = end
		if name == domain || isHostName(name) {
			if _, err := netip.ParseAddr(name); err == nil && strings.HasSuffix(b.String(), " address ") {
				b.WriteString("ipnumber ")
			}
			continue
		}
		for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '-' }) {
			b.WriteString(word)
			b.WriteByte(' ')
		}
	}
}

// isJoker reports a letter that did not survive the way: a question mark within
// a word.
func isJoker(s string, i int) bool {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c == '?' }
	return s[i] == '?' && i > 0 && i+1 < len(s) && letter(s[i-1]) && letter(s[i+1])
}

// isLocal reports whether the field is the asked local part, standing as an
// address: within brackets or quotes, or with a character that words do not
// have. "User" of "User unknown" is none, although there may be a user@.
func isLocal(field, local string) bool {
	core := strings.Trim(field, `<>()[]"':;,.`)
	if core != strings.Trim(local, `"`) {
		return false
	}
	return strings.ContainsAny(field, `<>()[]"'`) || strings.ContainsAny(core, "0123456789._-+")
}

// isHostName reports whether a text with dots in it is the name or the address
// of a host, and not words whose space after the full stop is missing.
func isHostName(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	switch s[dot+1:] {
	case "test", "local", "localdomain", "lan", "internal", "invalid", "example":
		return true
	}
	if s[dot+1:] == "" || isDigit(s[dot+1]) {
		return false
	}
	_, icann := publicsuffix.PublicSuffix(s)
	return icann
}

// words reports whether there is any word at all.
func (p phrases) words() bool {
	return strings.ContainsFunc(string(p), unicode.IsLetter)
}

func (p phrases) withoutAsides() phrases {
	text := string(p)
	for _, aside := range asides {
		text = strings.ReplaceAll(text, aside, " ")
	}
	return phrases(text)
}

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
