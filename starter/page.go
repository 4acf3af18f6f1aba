package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// addPageFlags adds the flags that say which page of a list a command shows.
func addPageFlags(cmd *cobra.Command, limit *int, cursor *string, most int) {
	cmd.Flags().IntVar(limit, "limit", 50, fmt.Sprintf("how many, at most %d", most))
	cmd.Flags().StringVar(cursor, "cursor", "", "continue after the page before")
}

// pageQuery are the parameters of these flags.
func pageQuery(limit int, cursor string) url.Values { return inPage(url.Values{}, limit, cursor) }

// inPage asks for one page of a list.
func inPage(query url.Values, limit int, cursor string) url.Values {
	return set(query, "cursor", cursor, "limit", strconv.Itoa(limit))
}

// addSpanFlags adds the flags that limit a list to a range of time.
func addSpanFlags(cmd *cobra.Command, from, to *string) {
	cmd.Flags().StringVar(from, "from", "", "from this date or time on")
	cmd.Flags().StringVar(to, "to", "", "before this date or time")
}

// more says how to continue after a page.
func (a *app) more(cursor string) {
	if cursor != "" {
		a.note("More: --cursor %s", cursor)
	}
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	words []string
}

func oneOf(value string, words ...string) *choice { return &choice{value, words} }

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "string" }

// Set refuses what is none of the words.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return fmt.Errorf("use %s", c.choices())
	}
	c.value = text
	return nil
}

// choices lists the words for people.
func (c *choice) choices() string {
	last := len(c.words) - 1
	return strings.Join(c.words[:last], ", ") + " or " + c.words[last]
}
