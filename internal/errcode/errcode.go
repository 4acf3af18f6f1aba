// Package errcode is the one table of errors: an error carries its code, and the
// code says what kind of error it is, which HTTP status it has and whether the
// same call may succeed later. The borders to Temporal and HTTP read it from the
// error; neither has a list of errors of its own. It is pure: standard library
// only.
package errcode

import (
	"errors"
	"fmt"
)

// Error is an error with a code. Its text is one sentence for the caller.
type Error struct {
	Info
	text string
}

// Info is what a border needs to know of an error.
type Info struct {
	Kind   *Kind
	Code   string // the kind's, or a narrower one
	InBody bool   // the error is about the body of the request
	Field  string // the offending field of the body; "" = the body as a whole
	Text   string // one sentence for the caller
}

// Coder is an error that knows its code. Types that carry more than a text, such
// as one for an offending field, have this method; Text may be left empty.
type Coder interface {
	error
	ErrorInfo() Info
}

// New returns an error of a kind, to be compared with errors.Is.
func New(kind *Kind, text string) error { return &Error{Info{Kind: kind, Code: kind.Code}, text} }

// Narrow returns an error with a code that says more than its kind.
func Narrow(code, text string) error { return &Error{Info{Kind: KindOf(code), Code: code}, text} }

// Say returns an error that is kind to errors.Is and has a text of its own: one
// sentence for the caller.
func Say(kind error, format string, args ...any) error {
	return &said{kind, fmt.Sprintf(format, args...)}
}

type said struct {
	kind error
	text string
}

func (s *said) Error() string { return s.text }
func (s *said) Unwrap() error { return s.kind }

// Error is the sentence for the caller.
func (e *Error) Error() string { return e.text }

// ErrorInfo is what is known of the error.
func (e *Error) ErrorInfo() Info { return e.Info }

// Of finds out what an error is. It is Internal where no code is carried.
func Of(err error) Info {
	var coder Coder
	if !errors.As(err, &coder) {
		return Info{Kind: Internal, Code: Internal.Code, Text: err.Error()}
	}
	info := coder.ErrorInfo()
	if info.Code == "" {
		info.Code = info.Kind.Code
	}
	if info.Text == "" {
		info.Text = err.Error()
	}
	return info
}

// Permanent reports whether the same call would fail again in the same way.
func Permanent(err error) bool { return err != nil && !Of(err).Kind.Passes }

// Restore makes an error of what a border has kept of one.
func (i Info) Restore() error {
	i.Kind = KindOf(i.Code)
	return &Error{i, i.Text}
}
