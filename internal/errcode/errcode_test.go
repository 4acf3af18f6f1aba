package errcode_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/errcode"
)

func TestAnErrorCarriesItsCode(t *testing.T) {
	missing := errcode.New(errcode.NotFound, "not found")
	gone := errcode.Narrow(errcode.WebhookNotFound, "there is no such webhook")
	for name, c := range map[string]struct {
		err       error
		kind      *errcode.Kind
		code      string
		permanent bool
	}{
		"with a code":          {missing, errcode.NotFound, "not_found", true},
		"wrapped":              {fmt.Errorf("order 7: %w", missing), errcode.NotFound, "not_found", true},
		"with a narrower code": {gone, errcode.NotFound, "webhook_not_found", true},
		"without a code":       {errors.New("the database is away"), errcode.Internal, "internal", false},
	} {
		t.Run(name, func(t *testing.T) {
			info := errcode.Of(c.err)
			require.Equal(t, errcode.Info{Kind: c.kind, Code: c.code, Text: c.err.Error()}, info)
			require.Equal(t, c.permanent, errcode.Permanent(c.err))
			restored := errcode.Info{Code: info.Code, Field: "count", Text: info.Text}.Restore()
			require.Equal(t, c.kind, errcode.Of(restored).Kind, "a border that keeps the code keeps the kind")
			require.Equal(t, "count", errcode.Of(restored).Field)
			require.Equal(t, c.err.Error(), restored.Error())
		})
	}
	require.False(t, errcode.Permanent(nil))
}

func TestCodesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range errcode.Kinds() {
		require.False(t, seen[k.Code], k.Code)
		seen[k.Code] = true
		require.NotEmpty(t, k.Title)
		require.NotEmpty(t, k.About)
		require.GreaterOrEqual(t, k.Status, 400)
		require.Equal(t, k, errcode.KindOf(k.Code))
	}
}

// Errors that no caller of the product meets as they are: a package below handles
// them, or the program ends.
var plain = []string{
	"client.ErrUnreachable", "ledger.ErrClock", "ledger.ErrClosed", "ledger.ErrPeriodOver", "lead.ErrBadCursor", "netguard.ErrNotPublic",
	"postgres.ErrSchemaNew", "postgres.ErrSchemaOld", "postgres.ErrUnreachable", "verify.ErrClosed", "wire.ErrNoTemporal",
}

func TestEveryErrorOfAPackageCarriesACode(t *testing.T) {
	files, err := filepath.Glob("../*/*.go")
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		found += strings.Count(string(source), "= errcode.New(") + strings.Count(string(source), "= errcode.Narrow(")
		for _, m := range regexp.MustCompile(`(?m)^(?:var |\t)(Err\w+)\s*= errors\.New\(`).FindAllStringSubmatch(string(source), -1) {
			require.Contains(t, plain, filepath.Base(filepath.Dir(file))+"."+m[1], "make it with errcode.New")
		}
	}
	require.Greater(t, found, 25)
}

func TestAnErrorWithATextOfItsOwnKeepsItsKind(t *testing.T) {
	missing := errcode.New(errcode.NotFound, "not found")
	said := errcode.Say(missing, "There is no order %d.", 7)
	require.ErrorIs(t, said, missing)
	require.Equal(t, errcode.Info{Kind: errcode.NotFound, Code: "not_found", Text: "There is no order 7."}, withText(said))

	require.Equal(t, errcode.Info{Kind: errcode.Invalid, Code: "invalid_request", Field: "count", Text: "count is 0"}, errcode.Of(&fieldError{}),
		"an error may leave its code and its text to its kind and to Error")
	require.Equal(t, errcode.Internal, errcode.KindOf("no_such_code"))
}

// withText is what a border reads of an error that only has another text than its kind.
func withText(err error) errcode.Info {
	info := errcode.Of(err)
	info.Text = err.Error()
	return info
}

type fieldError struct{}

func (*fieldError) Error() string { return "count is 0" }

func (*fieldError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, Field: "count"}
}
