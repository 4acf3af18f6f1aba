package dashboard

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithCardTables(t *testing.T) {
	wide := `<p>a</p><table><thead><tr><th scope="col">A &amp; B</th><th>C</th><th class="num"><small>D</small></th><th></th></tr></thead>` +
		`<tbody><tr><td>1</td><td class="num">2<br>3</td><td> </td><td><a href="/x">&lt;</a></td></tr></tbody></table><p>z</p>`
	require.Equal(t, `<p>a</p><table role="table" class="cards-on-phones"><thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">A &amp; B</th>`+
		`<th role="columnheader">C</th><th class="num" role="columnheader"><small>D</small></th><th role="columnheader"></th></tr></thead>`+
		`<tbody role="rowgroup"><tr role="row"><td role="cell" data-label="A &amp; B">1</td><td class="num" role="cell" data-label="C">2<br>3</td>`+
		`<td role="cell" data-label="D"></td><td role="cell"><a href="/x">&lt;</a></td></tr></tbody></table><p>z</p>`, string(withCardTables([]byte(wide))))
	for _, same := range []string{
		"", "<p>no table</p>", "<table>never ends", "<table><tr><td>no headings</td></tr></table>",
		`<table><thead><tr><th>A</th><th>B</th><th>C</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>`,
	} {
		require.Equal(t, same, string(withCardTables([]byte(same))))
	}
}
