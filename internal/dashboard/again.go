package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"holdfast/internal/api"
)

// What people typed is not lost: a form that is refused comes again as it was sent,
// and one that could not be carried out, or came after its session had ended, can be
// sent again. Browsers do not restore the fields of pages that may not be stored.

// kept is a form that can be sent again.
type kept struct {
	Action string
	Upload bool // a list: its text is kept, a file has to be chosen again
	Fields [][2]string
	Shown  [][2]string // what the person entered, for reading
}

// notTyped are fields that pages fill in.
var notTyped = []string{"csrf", "key", "order"}

func keep(r *http.Request, form url.Values) *kept {
	k := &kept{Action: r.URL.RequestURI()}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			if name == "csrf" {
				continue
			}
			k.Fields = append(k.Fields, [2]string{name, value})
			if value != "" && !slices.Contains(notTyped, name) {
				k.Shown = append(k.Shown, [2]string{name, value})
			}
		}
	}
	return k
}

// sent reads the fields of a form, of an upload those before its file.
func sent(w http.ResponseWriter, r *http.Request) *kept {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if parts, err := r.MultipartReader(); err == nil {
		k := keep(r, textParts(parts))
		k.Upload = true
		return k
	}
	if err := r.ParseForm(); err != nil {
		return nil
	}
	return keep(r, r.PostForm)
}

func textParts(parts *multipart.Reader) url.Values {
	form := url.Values{}
	for {
		part, err := parts.NextPart()
		if err != nil || part.FileName() != "" {
			return form
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return form
		}
		form.Set(part.FormName(), string(text))
	}
}

// showAgain shows the page that a refused form was on: the form as it was sent, and
// above it why it was refused. It says whether it could.
func (v *visit) showAgain(p *api.Problem, says []string) bool {
	from := v.back()
	at, err := url.Parse(from)
	if from == "" || err != nil || v.r.PostForm == nil || p.Status >= http.StatusInternalServerError || errors.Is(p, errToken) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), pageWithin)
	defer cancel()
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return false
	}
	get.Host, get.RemoteAddr, get.Header = v.r.Host, v.r.RemoteAddr, v.r.Header.Clone()
	get.Header.Del("Referer")
	query := at.Query()
	for _, name := range []string{"done", "added", "sent", "taken"} { // what was done before is no news
		query.Del(name)
	}
	get.URL.RawQuery = query.Encode()
	page := &recorder{header: http.Header{}}
	v.handler.ServeHTTP(page, get)
	if page.status != http.StatusOK {
		return false
	}
	text, ok := refill(page.Bytes(), v.r.URL.Path, v.r.PostForm, says, fieldsOf(p))
	if !ok {
		return false
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(p.Status)
	_, _ = v.w.Write(text) // a client that is gone needs no page
	return true
}

// fieldsOf are the names of the fields that a problem is about.
func fieldsOf(p *api.Problem) (names []string) {
	for _, f := range p.Errors {
		name, _, _ := strings.Cut(f.Field[strings.LastIndex(f.Field, ".")+1:], "[")
		names = append(names, name)
	}
	return names
}

// refill puts what was sent into the form of a page that it came from, and why it
// was refused above it.
func refill(page []byte, action string, form url.Values, says, wrong []string) ([]byte, bool) {
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, false
	}
	into := formOf(doc, action, form)
	if into == nil {
		return nil, false
	}
	var first *html.Node // that takes the focus
	marked := false
	for n := range into.Descendants() {
		if n.Type != html.ElementNode || !isField(n) {
			continue
		}
		fill(n, form)
		name := attr(n, "name")
		if slices.Contains(wrong, name) && !marked {
			first, marked = n, true
		}
		if slices.Contains(wrong, name) {
			set(n, "aria-invalid", "true")
		}
		first = cmp.Or(first, n)
	}
	if first != nil {
		set(first, "autofocus", "")
	}
	for n := into; n != nil; n = n.Parent {
		if n.DataAtom == atom.Details {
			set(n, "open", "")
		}
	}
	reason := &html.Node{Type: html.ElementNode, Data: "p", DataAtom: atom.P, Attr: []html.Attribute{{Key: "class", Val: "notice bad refused"}, {Key: "role", Val: "alert"}}}
	reason.AppendChild(&html.Node{Type: html.TextNode, Data: strings.Join(says, " ")})
	into.InsertBefore(reason, into.FirstChild)
	var out bytes.Buffer
	if err := html.Render(&out, doc); err != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// formOf finds the form that leads to an address; of several, the one that the
// fields belong to which a page fills in.
func formOf(doc *html.Node, action string, form url.Values) *html.Node {
	var best *html.Node
	most := -1
	for n := range doc.Descendants() {
		if n.DataAtom != atom.Form || attr(n, "method") != "post" {
			continue
		}
		to, err := url.Parse(attr(n, "action"))
		if err != nil || path.Clean(to.Path) != path.Clean(action) {
			continue
		}
		fits := 0
		for field := range n.Descendants() {
			name := attr(field, "name")
			switch {
			case field.DataAtom == atom.Input && attr(field, "type") == "hidden":
				if slices.Contains(form[name], attr(field, "value")) {
					fits += 10
				}
			case isField(field) && form.Has(name):
				fits++
			}
		}
		if fits > most {
			best, most = n, fits
		}
	}
	return best
}

// isField says whether people write or choose something there.
func isField(n *html.Node) bool {
	switch n.DataAtom { //nolint:exhaustive // others are none
	case atom.Textarea, atom.Select:
		return true
	case atom.Input:
		return !slices.Contains([]string{"hidden", "file", "password"}, attr(n, "type"))
	}
	return false
}

// fill sets a field to what was sent.
func fill(n *html.Node, form url.Values) {
	values := form[attr(n, "name")]
	switch kind := attr(n, "type"); {
	case n.DataAtom == atom.Textarea:
		for n.FirstChild != nil {
			n.RemoveChild(n.FirstChild)
		}
		n.AppendChild(&html.Node{Type: html.TextNode, Data: "\n" + strings.Join(values, "\n")})
	case n.DataAtom == atom.Select:
		for o := range n.Descendants() {
			if o.DataAtom == atom.Option {
				mark(o, "selected", slices.Contains(values, optionValue(o)))
			}
		}
	case kind == "checkbox" || kind == "radio":
		mark(n, "checked", slices.Contains(values, cmp.Or(attr(n, "value"), "on")))
	default:
		set(n, "value", strings.Join(values, ", "))
	}
}

func optionValue(o *html.Node) string {
	for _, a := range o.Attr {
		if a.Key == "value" {
			return a.Val
		}
	}
	if o.FirstChild != nil {
		return o.FirstChild.Data
	}
	return ""
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func set(n *html.Node, name, value string) {
	for i := range n.Attr {
		if n.Attr[i].Key == name {
			n.Attr[i].Val = value
			return
		}
	}
	n.Attr = append(n.Attr, html.Attribute{Key: name, Val: value})
}

func mark(n *html.Node, name string, on bool) {
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if on {
		set(n, name, "")
	}
}
