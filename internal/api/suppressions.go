package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/suppression"
)

const (
	maxSuppressions   = 64 << 20 // bytes of an uploaded list
	suppressedAtATime = 10_000
)

func (a *API) suppressions() {
	add(a, route{
		method: http.MethodPost, path: "/suppressions", name: "addSuppressions", tag: "Suppressions", needs: admin, anyOrg: true,
		summary: "Suppress addresses and domains", about: "No order of the organization delivers them from now on. Entries are kept as hashes, so a list cannot be read back. Added again, nothing changes. With the operator key and without org, here and below: the list that holds for all organizations.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			Entries []string `json:"entries" minItems:"1" maxItems:"10000" doc:"Addresses (ann@example.com) and whole domains (example.com or @example.com)." example:"[\"ann@example.com\",\"partner.example\"]"`
			Reason  string   `json:"reason,omitempty" maxLength:"500" doc:"For people; no contact data." example:"asked to"`
		}
	},
	) (*answer[suppressed], error) {
		added, err := a.Suppressions.Add(ctx, callerOf(ctx).org.ID, in.Body.Reason, in.Body.Entries)
		if err != nil {
			return nil, badEntry(err, "body.entries")
		}
		return a.suppressed(ctx, suppressed{Added: added})
	})
	add(a, route{
		method: http.MethodPost, path: "/suppressions/remove", name: "removeSuppressions", tag: "Suppressions", needs: admin, anyOrg: true,
		summary: "Take addresses and domains off the suppression list", about: "Entries that are not on it are left as they are. Those that hold for all organizations stay.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Entries []string `json:"entries" minItems:"1" maxItems:"10000" doc:"As they were added." example:"[\"ann@example.com\"]"`
		}
	},
	) (*answer[suppressed], error) {
		removed, err := a.Suppressions.Remove(ctx, callerOf(ctx).org.ID, in.Body.Entries)
		if err != nil {
			return nil, badEntry(err, "body.entries")
		}
		return a.suppressed(ctx, suppressed{Removed: removed})
	})
	add(a, route{
		method: http.MethodPost, path: "/suppressions/check", name: "checkSuppressions", tag: "Suppressions", needs: member, anyOrg: true,
		summary: "Say which addresses and domains are suppressed", about: "By the organization's list, or for all organizations; an address also by its domain.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Entries []string `json:"entries" minItems:"1" maxItems:"10000" doc:"Addresses and domains." example:"[\"ann@example.com\"]"`
		}
	},
	) (*answer[suppressionCheck], error) {
		found, err := a.Suppressions.Suppressed(ctx, callerOf(ctx).org.ID, in.Body.Entries)
		if err != nil {
			return nil, badEntry(err, "body.entries")
		}
		check := suppressionCheck{Results: make([]suppressionState, len(found))}
		for i := range found {
			check.Results[i] = suppressionState{in.Body.Entries[i], found[i]}
		}
		return body(check, nil)
	})
	add(a, route{
		method: http.MethodPost, path: "/suppressions/upload", name: "uploadSuppressions", tag: "Suppressions", needs: admin, anyOrg: true, stream: true,
		upload: true, maxBody: maxSuppressions,
		summary: "Upload a suppression list", about: "An address or domain a line; of a CSV the first column, and a first line without one is its header. A bad line is reported with its number; the lines before it are kept, so the upload can be repeated.",
	}, a.uploadSuppressions)
	add(a, route{
		method: http.MethodGet, path: "/suppressions", name: "listSuppressions", tag: "Suppressions", needs: admin, anyOrg: true,
		summary: "List the entries of the suppression list, newest first", about: "Each as its SHA-256 in hexadecimal, of the address in lower case or of @ and the domain: what was added is not kept.",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[suppressionPage], error) {
		list, next, err := readPage(in.Page, func(before time.Time, hash string, limit int) ([]suppression.Entry, error) {
			return a.Suppressions.Entries(ctx, callerOf(ctx).org.ID, before, hash, limit)
		}, func(e suppression.Entry) (time.Time, string) { return e.AddedAt, e.Hash })
		return body(suppressionPage{list, next}, err)
	})
}

type suppressed struct {
	Added   int64 `json:"added" doc:"Entries that were new." example:"2"`
	Removed int64 `json:"removed" doc:"Entries that were taken off." example:"0"`
	Entries int64 `json:"entries" doc:"Entries of the organization's list now." example:"120"`
}

type suppressionCheck struct {
	Results []suppressionState `json:"results" doc:"One for each entry, in its order."`
}

type suppressionState struct {
	Entry      string `json:"entry" doc:"The entry." example:"ann@example.com"`
	Suppressed bool   `json:"suppressed" doc:"No order of the organization delivers it." example:"true"`
}

type suppressionPage struct {
	Suppressions []suppression.Entry `json:"suppressions" doc:"The entries."`
	NextCursor   string              `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) suppressed(ctx context.Context, done suppressed) (*answer[suppressed], error) {
	var err error
	done.Entries, err = a.Suppressions.Count(ctx, callerOf(ctx).org.ID)
	return body(done, err)
}

// badEntry names the entry that is neither an address nor a domain.
func badEntry(err error, where string) error {
	var bad *suppression.InvalidError
	if errors.As(err, &bad) {
		return invalid(fmt.Sprintf("%s[%d]", where, bad.Line-1), bad.Error())
	}
	return err
}

func (a *API) uploadSuppressions(ctx context.Context, in *struct {
	Repeatable
	Reason string `query:"reason" maxLength:"500" doc:"For people; no contact data." example:"asked to"`
},
) (*answer[suppressed], error) {
	ctx, cancel := context.WithTimeout(ctx, uploadWithin)
	defer cancel()
	source, ok := ctx.Value(uploadKey{}).(io.Reader)
	if !ok {
		return nil, invalid("body", "The list is empty; send it as the body.")
	}
	var done suppressed
	var entries []string
	line, first := 0, 0
	keep := func() error {
		if len(entries) == 0 {
			return nil
		}
		added, err := a.Suppressions.Add(ctx, callerOf(ctx).org.ID, in.Reason, entries)
		var bad *suppression.InvalidError
		if errors.As(err, &bad) {
			return invalid("body", fmt.Sprintf("Line %d is neither an address (ann@example.com) nor a domain (example.com).", first+bad.Line-1))
		}
		done.Added += added
		entries, first = entries[:0], line+1
		return err
	}
	lines := bufio.NewScanner(source)
	for first = 1; lines.Scan(); {
		line++
		entry := strings.TrimPrefix(lines.Text(), "\ufeff")
		if at := strings.IndexAny(entry, ",;\t"); at >= 0 {
			entry = entry[:at]
		}
		entry = strings.Trim(strings.TrimSpace(entry), `"`)
		if line == 1 && !strings.Contains(entry, ".") { // a header
			first = 2
			continue
		}
		if entry == "" {
			entry = "empty" // refused, with its line
		}
		if entries = append(entries, entry); len(entries) == suppressedAtATime {
			if err := keep(); err != nil {
				return nil, err
			}
		}
	}
	if err := errors.Join(lines.Err(), keep()); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, invalid("body", fmt.Sprintf("Line %d is too long.", line+1))
		}
		return nil, err
	}
	return a.suppressed(ctx, done)
}
