package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"holdfast/internal/verify/provider"
)

// Each number, duration and switch is refused by name where it cannot be read, and
// each number and duration where it is below what makes sense.
func TestEveryVariableSaysWhatIsWrongWithIt(t *testing.T) {
	tried := 0
	refused := func(name, value string) {
		t.Helper()
		tried++
		_, err := load(t.Context(), envconfig.MapLookuper(map[string]string{name: value}))
		require.ErrorContains(t, err, name, "%s=%s", name, value)
		require.NotContains(t, fmt.Sprint(err), "\n", "%s=%s", name, value)
	}
	var look func(of reflect.Type, prefix string)
	look = func(of reflect.Type, prefix string) {
		for f := range of.Fields() {
			own, options, _ := strings.Cut(f.Tag.Get("env"), ",")
			name := prefix + own
			switch {
			case f.Type == reflect.TypeFor[time.Duration]():
				refused(name, "soon")
				refused(name, "-5s")
			case f.Type.Kind() == reflect.Struct:
				look(f.Type, strings.TrimPrefix(strings.TrimSpace(options), "prefix="))
			case f.Type.Kind() == reflect.Bool:
				refused(name, "maybe")
			case f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Int64:
				refused(name, "many")
				refused(name, "-1")
			}
		}
	}
	look(reflect.TypeFor[Config](), "")
	for _, s := range provider.Services() {
		look(reflect.TypeFor[Service](), servicePrefix(s.Name))
	}
	require.Greater(t, tried, 30)
}
