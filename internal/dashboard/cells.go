package dashboard

import (
	"bytes"
	"html"
	"slices"
	"strings"

	tokens "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// fewColumns fit beside each other on a phone.
const fewColumns = 3

// withCardTables gives each cell of a wide table the label of its column, so that
// the style sheet can show rows as cards where the page is narrow. The roles keep a
// table a table there, to those who hear the page.
func withCardTables(page []byte) []byte {
	const table = "<table"
	var out bytes.Buffer
	out.Grow(len(page) + len(page)/4)
	for {
		at := bytes.Index(page, []byte(table))
		if at < 0 {
			break
		}
		end := bytes.Index(page[at:], []byte("</table>"))
		if end < 0 {
			break
		}
		out.Write(page[:at])
		writeTable(&out, page[at:at+end])
		page = page[at+end:]
	}
	out.Write(page)
	return out.Bytes()
}

func writeTable(out *bytes.Buffer, table []byte) {
	columns := headings(table)
	if len(columns) <= fewColumns {
		out.Write(table)
		return
	}
	z := tokens.NewTokenizer(bytes.NewReader(table))
	column, opened := 0, false // opened: a cell has just begun
	for z.Next() != tokens.ErrorToken {
		raw := slices.Clone(z.Raw())
		t := z.Token()
		if opened && t.Type == tokens.TextToken && strings.TrimSpace(t.Data) == "" {
			continue // a cell with nothing but a space in it is an empty one
		}
		opened = t.Type == tokens.StartTagToken && t.DataAtom == atom.Td
		role, more := "", ""
		if t.Type == tokens.StartTagToken {
			switch t.DataAtom { //nolint:exhaustive // what else a table has stays as it is
			case atom.Table:
				role, more = "table", ` class="cards-on-phones"`
			case atom.Thead, atom.Tbody:
				role = "rowgroup"
			case atom.Tr:
				role, column = "row", 0
			case atom.Th:
				role = "columnheader"
			case atom.Td:
				role = "cell"
				if column < len(columns) && columns[column] != "" {
					more = ` data-label="` + html.EscapeString(columns[column]) + `"`
				}
				column++
			}
		}
		if role == "" {
			out.Write(raw)
			continue
		}
		out.Write(bytes.TrimSuffix(raw, []byte(">")))
		out.WriteString(` role="` + role + `"` + more + ">")
	}
}

// headings are the texts of a table's column headings.
func headings(table []byte) (texts []string) {
	head, _, ok := bytes.Cut(table, []byte("</thead>"))
	if !ok {
		return nil
	}
	z := tokens.NewTokenizer(bytes.NewReader(head))
	within := false
	for {
		switch z.Next() { //nolint:exhaustive // comments and the like say nothing
		case tokens.ErrorToken:
			return texts
		case tokens.StartTagToken:
			if name, _ := z.TagName(); string(name) == "th" {
				within, texts = true, append(texts, "")
			}
		case tokens.EndTagToken:
			if name, _ := z.TagName(); string(name) == "th" {
				within = false
			}
		case tokens.TextToken:
			if within {
				last := &texts[len(texts)-1]
				*last = strings.TrimSpace(*last + string(z.Text()))
			}
		}
	}
}
