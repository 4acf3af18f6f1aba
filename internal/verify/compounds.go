package verify

import "strings"

// withoutCompounds leaves the head of each compound: "unknown address family"
// is an unknown family, the "server of the recipient" a server. A "service
// account" is none that mail is sent to, nor are the "account of the reseller"
// and what is not taken "from this address".
func withoutCompounds(words []string) []string {
	kept := make([]string, 0, len(words))
	for i, word := range words {
		if !boxes[word] && word != "quota" || !isModifier(words[i+1:]) && !belongsToThing(words[:i], word) &&
			!(i > 0 && technical[words[i-1]]) && !ownedByOther(words[i+1:]) && !isOrigin(words[:i]) {
			kept = append(kept, word)
		}
	}
	return kept
}

// isModifier reports whether what stands behind a mailbox is what the compound is
// about.
func isModifier(after []string) bool {
	return len(after) > 0 && (heads[after[0]] || after[0] == "access" && len(after) > 1 && (after[1] == "for" || after[1] == "from"))
}

// belongsToThing reports whether the words before a mailbox name a thing that it
// only tells apart: "the server of the recipient", "le filtre de l'utilisateur",
// "le service de vérification des destinataires", "the certificate's user".
func belongsToThing(before []string, box string) bool {
	belongs, things := genitives[box], false
	for i := len(before) - 1; i >= 0; i-- {
		word := before[i]
		switch {
		case isPlace(word):
			return belongs
		case belongsTo[word]:
			belongs, things = true, things || thingsOf[word] && !(word == "de" && dutch[box])
		case (articles[word] || thisOne[word]) && !(belongs && things):
		case things:
			return !boxes[word] && !measures[word] || i > 0 && technical[before[i-1]]
		default:
			return false
		}
	}
	return false
}

// ownedByOther reports whether the words behind a mailbox name another owner:
// "of the reseller", "Ihres Anbieters", "de quejas", but not "of this name" or
// "de correo".
func ownedByOther(after []string) bool {
	if len(after) < 2 || !ownersOf[after[0]] {
		return false
	}
	sure, one := after[0] != "of" && after[0] != "de", false
	for _, word := range after[1:] {
		switch {
		case after[0] == "of" && (word == "a" || word == "an"):
			one = true
		case articles[word]:
			sure = true
		case one && word == "mail":
		case one:
			return !boxes[word] && !measures[word] && !owners[word]
		case yours[word]:
			return true
		default:
			return (sure || after[0] == "de") && !boxes[word] && !measures[word] && !owners[word] && !isPlace(word) && !turningWords[word] && !smallWords[word] && !thisOne[word]
		}
	}
	return false
}

// isOrigin reports whether the words before a mailbox say that something comes
// from it.
func isOrigin(before []string) bool {
	for i := len(before) - 1; i >= 0; i-- {
		if !articles[before[i]] && !thisOne[before[i]] {
			return origins[before[i]]
		}
	}
	return false
}

// namesOurs reports whether the text speaks of something of ours that is not the
// message: "votre réseau", "Ваш сервер".
func namesOurs(words []string) bool {
	for i, word := range words {
		if yours[word] && i+1 < len(words) && !isMessage(words[i+1]) && !thisOne[words[i+1]] || yoursBehind[word] && i > 0 && !isMessage(words[i-1]) {
			return true
		}
	}
	return false
}

func isMessage(word string) bool {
	for _, stem := range messageStems {
		if strings.HasPrefix(word, stem) {
			return true
		}
	}
	return false
}

// isPlace reports whether a word is a thing that has mailboxes, in any of its forms.
func isPlace(word string) bool {
	if places[word] {
		return true
	}
	for _, stem := range placeStems {
		if strings.HasPrefix(word, stem) {
			return true
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
