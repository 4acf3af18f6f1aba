package verify

import "regexp"

var addressInText = regexp.MustCompile(`[^\s"'<>(),;:=]+@[^\s"'<>(),;]+`)

// WithoutAddresses takes everything that looks like an address out of a text, so that
// it may be kept where contact data may not: mail hosts and databases like to
// repeat what they were asked for.
func WithoutAddresses(text string) string {
	return addressInText.ReplaceAllString(text, "[address]")
}
