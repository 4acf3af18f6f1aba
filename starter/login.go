package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/internal/account"
	"holdfast/internal/build"
	"holdfast/internal/client"
	"holdfast/internal/config"
)

// profile is what "login" keeps: a server and a key for it.
type profile struct {
	URL string `json:"url"`
	Key string `json:"key"`
}

// profilePath is where the profile is, by the XDG Base Directory Specification.
func profilePath() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("there is no place for the profile; set XDG_CONFIG_HOME: %w", err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "holdfast", "profile.json"), nil
}

// readProfile reads the profile; it is empty where there is none.
func readProfile() (profile, error) {
	var p profile
	path, err := profilePath()
	if err != nil {
		return p, nil //nolint:nilerr // without a home there is no profile
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return p, fmt.Errorf("%s holds a key and can be read by others; run chmod 600 %s", path, path)
	}
	text, readErr := os.ReadFile(path)
	if err := cmp.Or(err, readErr); err != nil {
		return p, fmt.Errorf("the profile cannot be read: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("%s is not a profile; write it again with \"%s login\": %w", path, program(), err)
	}
	return p, nil
}

// me is who a key belongs to.
type me struct {
	Role   string          `json:"role"`
	KeyID  string          `json:"key_id"`
	Org    *account.Org    `json:"org,omitempty"`
	Member *account.Member `json:"member,omitempty"`
}

func (m me) String() string {
	if m.Org == nil || m.Member == nil {
		return "the operator"
	}
	return fmt.Sprintf("%s of %s, %s", m.Member.ID, m.Org.ID, m.Role)
}

func (a *app) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "login",
		Short: "Keep the address of a server and a key for it",
		Long: `Keeps the address of a server and an API key, so that all other commands work
there. The key is taken from --key or HOLDFAST_API_KEY; else it is asked for, or
read from the standard input. Both are kept in holdfast/profile.json below
XDG_CONFIG_HOME (~/.config), which only you can read.`,
		Example: examples(
			"holdfast login --url https://holdfast.example",
			"holdfast login --url https://holdfast.example < key.txt"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			p := profile{cmp.Or(a.at.url, cfg.URL), cmp.Or(a.at.key, cfg.APIKey)}
			if p.URL == "" {
				return usagef("say where to log in: --url https://holdfast.example")
			}
			if p.Key == "" {
				if p.Key, err = a.askKey(); err != nil {
					return err
				}
			}
			return a.login(cmd.Context(), p)
		},
	}
}

// askKey reads a key that is not shown.
func (a *app) askKey() (string, error) {
	var text string
	if file, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		_, _ = fmt.Fprint(a.err, "API key: ")
		secret, err := term.ReadPassword(int(file.Fd()))
		a.note("")
		if err != nil {
			return "", fmt.Errorf("the key cannot be read: %w", err)
		}
		text = string(secret)
	} else {
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("the key cannot be read: %w", err)
		}
		text = line
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", usagef("there is no key; give --key, or the key on the standard input")
	}
	return text, nil
}

// login tries a profile and keeps it.
func (a *app) login(ctx context.Context, p profile) error {
	c, err := client.New(client.Config{URL: p.URL, Key: p.Key, Agent: "holdfast/" + build.Read().ID()})
	if err != nil {
		return &usageError{err}
	}
	var who me
	if err := c.Get(ctx, "/me", nil, &who); err != nil {
		return err
	}
	path, err := profilePath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("the profile cannot be kept: %w", err)
	}
	if err := writeJSONFile(path, p); err != nil {
		return fmt.Errorf("the profile cannot be kept: %w", err)
	}
	return answer(a, who, func(who me) { a.say("Logged in at %s as %s. The key is kept in %s.", c.Server(), who, path) })
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "Remove the key that login has kept",
		Long:    "Removes the address and the key that login has kept. The key itself stays valid;\n\"key revoke\" ends it.",
		Example: examples("holdfast logout"),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := profilePath()
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the profile cannot be removed: %w", err)
			}
			a.note("Logged out.")
			return nil
		},
	}
}

func (a *app) meCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "me",
		Short:   "Show which server commands talk to, and who the key belongs to",
		Example: examples("holdfast me", "holdfast me --json"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				return ask(ctx, a, s, fetch("/me", nil), func(who me) { a.say("The key of %s at %s.", who, s.Server()) })
			})
		},
	}
}
