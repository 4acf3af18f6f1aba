// Package value identifies pieces of information: an address, a telephone
// number, a profile. Two spellings of the same information have the same key,
// under any id of the catalogue. See README.md.
package value

import (
	"crypto/sha256"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// Keys are the keys of the content of a field: one, of telephone numbers one for each.
// country says in whose plan a number without a + is read. A lead as a whole has none.
func Keys(field order.Field, text, country string) []uuid.UUID {
	switch field {
	case order.EmailField, order.DirectEmailField:
		key, _ := Address(text)
		return []uuid.UUID{key}
	case order.PhoneField:
		_, keys := Numbers(text, country)
		return keys
	case order.ProfileField:
		return []uuid.UUID{Profile(text)}
	case order.LeadField:
	}
	return nil
}

// Address is the key of an email address: the domain in its ASCII form, letter
// case aside in both parts. ok is false where the text cannot be an address; it
// has a key all the same.
//
// Two addresses with one key are the same information. They may be different
// mailboxes, so that a verdict about one says nothing about the other.
func Address(text string) (key uuid.UUID, ok bool) {
	a, err := verify.ParseAddress(text)
	if err != nil {
		return digest("address:", strings.ToLower(strings.TrimSpace(text))), false
	}
	return digest("address:", strings.ToLower(a.String())), true
}

// Number is the key of a telephone number: of its E.164 form. country says in
// whose plan a number without a + is read. What is no number is known by its
// digits, and without any by its text.
func Number(text, country string) uuid.UUID {
	number, plain := international(text)
	if plain {
		return digest("number:", number)
	}
	if r := verify.CheckPhone(text, country); r.E164 != "" {
		return digest("number:", r.E164)
	}
	if strings.Trim(number, "+") == "" {
		number = strings.ToLower(strings.TrimSpace(text))
	}
	return digest("number:", number)
}

// Country codes: those of two digits, where all others but 1 and 7 have three,
// and those whose numbers are written with a national prefix other than 0 now
// and then.
const (
	twoDigits = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	prefixed  = " 36 52 370 375 992 993 994 996 998 "
)

// international is the digits of a number behind its +, if it has one, and
// whether that is its E.164 form for certain: it has nothing but digits and what
// people write between them, and nothing that could be a national prefix.
// Reading a number in its country's plan takes a hundred times as long.
func international(text string) (number string, plain bool) {
	text = strings.TrimSpace(text)
	plain = strings.LastIndexByte(text, '+') == 0
	digits := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			plain = plain && r <= '9'
			return r
		case !strings.ContainsRune("+ -.()", r):
			plain = false
		}
		return -1
	}, text)
	if strings.HasPrefix(text, "+") {
		number = "+"
	}
	return number + digits, plain && withoutPrefix(digits)
}

// withoutPrefix reports whether digits are a country code and a national number
// that certainly has no national prefix in front.
func withoutPrefix(digits string) bool {
	const shortest, longest = 8, 15
	if len(digits) < shortest || len(digits) > longest {
		return false
	}
	if digits[0] == '1' {
		return len(digits) == 11 && digits[1] > '1'
	}
	code := digits[:3]
	if strings.Contains(twoDigits, " "+digits[:2]+" ") {
		code = digits[:2]
	}
	return digits[0] != '7' && digits[0] != '0' && digits[len(code)] != '0' && !strings.Contains(prefixed, " "+code+" ")
}

// Numbers takes a cell with telephone numbers apart, which has semicolons
// between them. The cell comes back with each number once, and keys has the key
// of each, in the same order.
func Numbers(cell, country string) (clean string, keys []uuid.UUID) {
	if cell == "" {
		return "", nil
	}
	var numbers []string
	seen := map[uuid.UUID]bool{}
	for number := range strings.SplitSeq(cell, ";") {
		if number = strings.TrimSpace(number); number == "" {
			continue
		}
		key := Number(number, country)
		if seen[key] {
			continue
		}
		seen[key] = true
		numbers, keys = append(numbers, number), append(keys, key)
	}
	return strings.Join(numbers, ";"), keys
}

// Profile is the key of a profile: of its text.
func Profile(text string) uuid.UUID { return digest("profile:", text) }

// Lead is what the keys of a lead's values are. Where it has no such value, or
// the email cannot be an address, the key is the nil UUID.
type Lead struct {
	Email, Direct, Profile uuid.UUID
	Phone                  string // the cell with each number once
	Numbers                []uuid.UUID
}

// OfLead makes the keys of a lead's values.
func OfLead(email, phone, direct, profile, country string) Lead {
	of := Lead{Numbers: []uuid.UUID{}}
	if key, ok := Address(email); ok {
		of.Email = key
	}
	if direct != "" {
		of.Direct, _ = Address(direct)
	}
	if profile != "" {
		of.Profile = Profile(profile)
	}
	if clean, keys := Numbers(phone, country); len(keys) > 0 {
		of.Phone, of.Numbers = clean, keys
	}
	return of
}

func digest(kind, value string) uuid.UUID {
	sum := sha256.Sum256([]byte(kind + value))
	return uuid.UUID(sum[:16])
}
