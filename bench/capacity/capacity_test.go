package capacity

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var write = flag.Bool("write", false, "write the tables into docs/scale.md instead of comparing them")

const (
	page  = "../../docs/scale.md"
	begin = "<!-- computed by bench/capacity -->\n"
	end   = "<!-- end of what is computed -->\n"
)

// TestThePageShowsWhatTheFiguresSay: after new measurements the page is written
// again with -write.
func TestThePageShowsWhatTheFiguresSay(t *testing.T) {
	tables, err := Tables("../results")
	require.NoError(t, err)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	shown, after, found := strings.Cut(rest, end)
	require.True(t, found)
	if *write {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+"\n"+tables+"\n"+end+after), 0o644))
		return
	}
	require.Equal(t, tables, strings.TrimSuffix(strings.TrimPrefix(shown, "\n"), "\n"), "go test ./capacity -write in bench/ writes the page again")
}

func TestMoneyFollowsTheSteps(t *testing.T) {
	perMonth := func(millions float64) float64 { return cloud(millions*1e6/daysOfMonth, 0) }
	require.InDelta(t, 5*50+500, perMonth(5), 0.01, "the plan's least")
	require.InDelta(t, 5*50+5*45+1.25*40+500, perMonth(11.25), 0.01, "the example of Temporal's page, and the plan")
	require.InDelta(t, (5*50+5*45+10*40+30*35+50*30+100*25+100*25)*1.1, perMonth(300), 0.01, "a tenth of the use for the plan")
	require.InDelta(t, 744*retainedGBh*retentionDays+500, cloud(0, 1e9), 0.01, "a GB a day, kept for a week")
}

func TestAFigureThatIsMissingIsNamed(t *testing.T) {
	_, err := costs("../results", 5)
	require.ErrorContains(t, err, `for [order 5]`)
}
