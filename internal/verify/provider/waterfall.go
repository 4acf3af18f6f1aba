package provider

import (
	"context"
	"errors"
	"slices"

	"holdfast/internal/verify"
)

// Verifier is what a waterfall asks: verify.Engine and Provider are two.
type Verifier interface {
	Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error
	// Preflight returns an *verify.OutageError while there is no use in asking.
	Preflight(ctx context.Context) error
}

// Waterfall asks one verifier after the other: what is unknown to one, or left
// without an answer by its outage, falls through to the next. When none of them
// knows, the first answer stands, with its time to come back.
type Waterfall []Verifier

// Preflight succeeds when any of the verifiers can be asked; else the error is
// the first one's.
func (w Waterfall) Preflight(ctx context.Context) error {
	var first error
	for _, step := range w {
		err := step.Preflight(ctx)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Verify has the contract of verify.Engine.Verify. It returns an
// *verify.OutageError only when there are addresses for which no verifier could be
// asked.
func (w Waterfall) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	left := make([]int, len(emails)) // indices without a verdict
	for i := range left {
		left[i] = i
	}
	unknown := make(map[int]verify.Result) // the first answer about them
	var outage *verify.OutageError         // the first one
	for _, step := range w {
		if len(left) == 0 {
			break
		}
		err := verifyLeft(ctx, step, emails, &left, func(i int, r verify.Result) {
			if r.Verdict != verify.Unknown {
				delete(unknown, i)
				each(i, r)
			} else if _, seen := unknown[i]; !seen {
				unknown[i] = r
			}
		})
		var o *verify.OutageError
		switch {
		case errors.As(err, &o):
			if outage == nil {
				outage = o
			}
		case err != nil:
			return err
		}
	}
	unasked := false
	for _, i := range left {
		if r, ok := unknown[i]; ok {
			each(i, r)
		} else {
			unasked = true
		}
	}
	if unasked && outage != nil {
		return outage
	}
	return nil
}

// verifyLeft asks a verifier for the addresses that are left, and keeps in left
// those that it gave no verdict about.
func verifyLeft(ctx context.Context, step Verifier, emails []string, left *[]int, each func(i int, r verify.Result)) error {
	indices := *left
	list := make([]string, len(indices))
	for k, i := range indices {
		list[k] = emails[i]
	}
	decided := make([]bool, len(indices))
	err := step.Verify(ctx, list, func(k int, r verify.Result) {
		decided[k] = r.Verdict != verify.Unknown
		each(indices[k], r)
	})
	k := -1
	*left = slices.DeleteFunc(indices, func(int) bool { k++; return decided[k] })
	return err
}
