package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBody is how many bytes a body may have where a route says nothing else.
const maxBody = 1 << 20

// readBody takes in the whole body, in bounded time and size, before anything
// is done: a request that is cut off changes nothing. Text that no database
// column can hold is refused here, once for all fields.
func (a *API) readBody(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if strings.Contains(r.URL.Path+r.URL.RawQuery, "\x00") || strings.Contains(r.URL.RawQuery, "%00") || !utf8.ValidString(r.URL.Path) {
		a.refuse(ctx, a.problem(ctx.Context(), newProblem(http.StatusBadRequest, "The address holds a zero character or is not UTF-8; take it out.")))
		return
	}
	if r.Body == nil || r.Body == http.NoBody {
		next(ctx)
		return
	}
	limit := int64(maxBody)
	control := http.NewResponseController(w)
	route, _ := ctx.Operation().Metadata["route"].(route)
	packed, err := encoding(r.Header)
	if err != nil || packed && !route.upload {
		ctx.SetHeader("Accept-Encoding", accepted(route))
		a.refuse(ctx, a.problem(ctx.Context(), newProblem(http.StatusUnsupportedMediaType, "The body is encoded in a way that is not taken here; send it as it is, or a list with Content-Encoding gzip.")))
		return
	}
	if route.upload {
		source := io.Reader(&arriving{http.MaxBytesReader(w, r.Body, route.maxBody), control, a.BodyWithin})
		if packed {
			source = &unpacking{packed: source, left: route.maxBody}
		}
		next(huma.WithValue(ctx, uploadKey{}, source))
		return
	}
	_ = control.SetReadDeadline(time.Now().Add(a.BodyWithin)) // not every connection has one
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = control.SetReadDeadline(time.Time{})
	switch {
	case err != nil:
		a.refuse(ctx, a.problem(ctx.Context(), unread(err)))
	case !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 || bytes.Contains(body, []byte(`\u0000`)):
		a.refuse(ctx, a.problem(ctx.Context(), newProblem(http.StatusBadRequest, "The body is not UTF-8 or holds a zero character; take it out.")))
	default:
		if problem := ambiguous(body); problem != "" {
			a.refuse(ctx, a.problem(ctx.Context(), newProblem(http.StatusBadRequest, problem)))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(ctx)
	}
}

// unread says why a body was not read to its end.
func unread(err error) *Problem {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return newProblem(http.StatusRequestEntityTooLarge, "The body is too large; send it in parts.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, "The body did not arrive in time; send it again.")
	}
	return newProblem(http.StatusBadRequest, "The body was cut off; send it again.")
}

// patient is a writer to a client that must keep taking what it is given. A
// stream may take long; a client that has stopped reading may not.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
}

func (a *API) patient(w http.ResponseWriter) *patient {
	return &patient{w, http.NewResponseController(w), a.WritesWithin}
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.within)) // not every connection has one
	return p.w.Write(b)
}

func (p *patient) flush() error { return p.control.Flush() }

// breakOff ends the connection in the middle of an answer, so that the client
// cannot take a part for the whole.
func (p *patient) breakOff() {
	if conn, _, err := p.control.Hijack(); err == nil {
		_ = conn.Close()
	}
}

// arriving is a body that is read while it arrives; it must keep arriving.
type arriving struct {
	body    io.Reader
	control *http.ResponseController
	within  time.Duration // for every part
}

func (a *arriving) Read(b []byte) (int, error) {
	_ = a.control.SetReadDeadline(time.Now().Add(a.within)) // not every connection has one
	n, err := a.body.Read(b)
	_ = a.control.SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, io.EOF) {
		return n, unread(err)
	}
	return n, err
}

// encoding says whether a body is packed with gzip. The error is any other encoding.
func encoding(h http.Header) (packed bool, err error) {
	for _, value := range h.Values("Content-Encoding") {
		for name := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "", "identity":
			case "gzip", "x-gzip":
				if packed {
					return false, errors.ErrUnsupported // twice
				}
				packed = true
			default:
				return false, errors.ErrUnsupported
			}
		}
	}
	return packed, nil
}

// accepted is what a route says in Accept-Encoding, RFC 9110 section 12.5.3.
func accepted(r route) string {
	if r.upload {
		return "gzip, identity"
	}
	return "identity"
}

// unpacking unpacks a body while it is read, up to a number of bytes: a small
// body cannot become a large one.
type unpacking struct {
	packed io.Reader
	left   int64
	from   *gzip.Reader
}

func (u *unpacking) Read(b []byte) (int, error) {
	if u.from == nil {
		from, err := gzip.NewReader(u.packed)
		if err != nil {
			return 0, notPacked(err)
		}
		u.from = from
	}
	n, err := u.from.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, newProblem(http.StatusRequestEntityTooLarge, "The body is too large once it is unpacked; send it in parts.")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = notPacked(err)
	}
	return n, err
}

// notPacked is what a body that cannot be unpacked is answered with.
func notPacked(err error) error {
	var p *Problem
	if errors.As(err, &p) { // it did not arrive
		return p
	}
	return newProblem(http.StatusBadRequest, "The body is not gzip, as its Content-Encoding says, or was cut off; send it again.")
}
