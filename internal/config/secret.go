package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"holdfast/internal/verify/provider"
)

// variables are the names of all variables; true for those that hold secrets.
func variables() map[string]bool {
	known := map[string]bool{}
	var note func(of reflect.Type, prefix string)
	note = func(of reflect.Type, prefix string) {
		for f := range of.Fields() {
			own, options, _ := strings.Cut(f.Tag.Get("env"), ",")
			if f.Type.Kind() == reflect.Struct {
				note(f.Type, strings.TrimPrefix(strings.TrimSpace(options), "prefix="))
				continue
			}
			if own == "" {
				continue // not read from the variables of the struct
			}
			known[prefix+own] = f.Tag.Get("secret") != ""
		}
	}
	note(reflect.TypeFor[Config](), "")
	for _, s := range provider.Services() {
		note(reflect.TypeFor[Service](), servicePrefix(s.Name))
	}
	return known
}

// Names are all variables.
func Names() []string { return slices.Sorted(maps.Keys(variables())) }

// SecretNames are the variables that hold secrets, sorted. Each can be given as a
// file: NAME_FILE is the file's path.
func SecretNames() []string {
	var names []string
	for name, secret := range variables() {
		if secret {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// secretFiles looks up secrets in files, where the environment names files. The
// interface has no errors: they are kept.
type secretFiles struct {
	envconfig.Lookuper

	names    []string
	problems []error
}

// Lookup is the value of a variable.
func (s *secretFiles) Lookup(name string) (string, bool) {
	value, set := s.Lookuper.Lookup(name)
	if !slices.Contains(s.names, name) {
		return value, set
	}
	path, _ := s.Lookuper.Lookup(name + "_FILE")
	if path == "" {
		return value, set
	}
	if value != "" {
		s.problems = append(s.problems, fmt.Errorf("%s and %s_FILE are both set; unset one", name, name))
		return value, set
	}
	text, err := os.ReadFile(path)
	if err != nil {
		s.problems = append(s.problems, fmt.Errorf("%s_FILE cannot be read: %w", name, err))
		return "", false
	}
	value = strings.TrimRight(string(text), "\r\n")
	if value == "" {
		s.problems = append(s.problems, fmt.Errorf("%s_FILE names an empty file; write the secret into it", name))
	}
	return value, value != ""
}

// putPassword puts the password that was given apart into the database's URL.
func (c *Config) putPassword() error {
	if c.DatabasePassword == "" || c.Cells != "" { // cells get theirs one by one
		return nil
	}
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || u.User == nil || u.Host == "" {
		return errors.New("HOLDFAST_DATABASE_PASSWORD needs HOLDFAST_DATABASE_URL with a user: write postgres://user@host:5432/database")
	}
	u.User = url.UserPassword(u.User.Username(), c.DatabasePassword)
	c.DatabaseURL = u.String()
	return nil
}
