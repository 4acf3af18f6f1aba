package verify

// withoutCompounds leaves the head of each compound: "unknown address family"
// is an unknown family, the "server of the recipient" a server. A "service
// account" is none that mail is sent to.
func withoutCompounds(words []string) []string {
	kept := make([]string, 0, len(words))
	for i, word := range words {
		if !boxes[word] && word != "quota" || !(i+1 < len(words) && heads[words[i+1]]) && !belongsToPlace(words[:i], word) && !(i > 0 && technical[words[i-1]]) {
			kept = append(kept, word)
		}
	}
	return kept
}

// belongsToPlace reports whether the words before a mailbox name a place that it
// only tells apart.
func belongsToPlace(before []string, box string) bool {
	belongs := genitives[box]
	for i := len(before) - 1; i >= 0; i-- {
		word := before[i]
		switch {
		case places[word]:
			return belongs
		case belongsTo[word]:
			belongs = true
		case !articles[word]:
			return false
		}
	}
	return false
}

// isSupposed reports whether what follows is only supposed: "if the user is
// unknown" says nothing about this one.
func isSupposed(before []string) bool {
	for i := len(before) - 1; i >= 0; i-- {
		if conditions[before[i]] {
			return true
		}
		if !smallWords[before[i]] {
			return false
		}
	}
	return false
}

func isMany(word string) bool { return manyBoxes[word] }

func isOne(word string) bool {
	return boxes[word] && !manyBoxes[word] || word == "name" || word == "local"
}
