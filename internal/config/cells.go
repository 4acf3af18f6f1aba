package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// cell is one entry of the file that HOLDFAST_CELLS names.
type cell struct {
	Name              string `json:"name"`
	DatabaseURL       string `json:"database_url"`
	TemporalAddress   string `json:"temporal_address"` // empty: TEMPORAL_ADDRESS
	TemporalNamespace string `json:"temporal_namespace"`
}

var cellName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// EachCell is the configuration of every cell, in the order of the file; nothing
// where HOLDFAST_CELLS is not set.
func (c Config) EachCell() ([]Config, error) {
	if c.Cells == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Cells)
	if err != nil {
		return nil, fmt.Errorf("HOLDFAST_CELLS names a file that cannot be read: %w", err)
	}
	var cells []cell
	if err := json.Unmarshal(text, &cells); err != nil {
		return nil, fmt.Errorf("HOLDFAST_CELLS names %s, which is no JSON list of cells: %w", c.Cells, err)
	}
	if len(cells) == 0 {
		return nil, fmt.Errorf("HOLDFAST_CELLS names %s, which lists no cell", c.Cells)
	}
	list := make([]Config, len(cells))
	for i, one := range cells {
		if list[i], err = c.inCell(one); err != nil {
			return nil, err
		}
		for _, other := range list[:i] {
			switch {
			case other.Cell == one.Name:
				return nil, fmt.Errorf("HOLDFAST_CELLS has the cell %s twice; write it once", one.Name)
			case other.DatabaseURL == list[i].DatabaseURL:
				return nil, fmt.Errorf("HOLDFAST_CELLS: the cells %s and %s have the same database_url; each needs a database of its own", other.Cell, one.Name)
			case other.TemporalAddress == list[i].TemporalAddress && other.TemporalNamespace == list[i].TemporalNamespace:
				return nil, fmt.Errorf("HOLDFAST_CELLS: the cells %s and %s have the same namespace; write a temporal_namespace of its own for each", other.Cell, one.Name)
			}
		}
	}
	return list, nil
}

func (c Config) inCell(one cell) (Config, error) {
	if !cellName.MatchString(one.Name) {
		return c, fmt.Errorf("HOLDFAST_CELLS has a cell named %q; write up to 32 small letters, digits and hyphens", one.Name)
	}
	u, err := url.Parse(one.DatabaseURL)
	if err != nil || u.Host == "" { // not shown: it may hold a password
		return c, fmt.Errorf("HOLDFAST_CELLS: the database_url of the cell %s is not of the form postgres://user@host:5432/database", one.Name)
	}
	if _, given := u.User.Password(); !given && u.User != nil && c.DatabasePassword != "" {
		u.User = url.UserPassword(u.User.Username(), c.DatabasePassword)
		one.DatabaseURL = u.String()
	}
	c.Cell, c.DatabaseURL = one.Name, one.DatabaseURL
	if one.TemporalAddress != "" {
		c.TemporalAddress = one.TemporalAddress
	}
	if one.TemporalNamespace != "" {
		c.TemporalNamespace = one.TemporalNamespace
	}
	return c, nil
}

// InCell is the configuration of the cell with a name.
func (c Config) InCell(name string) (Config, error) {
	cells, err := c.EachCell()
	if err != nil {
		return c, err
	}
	for _, one := range cells {
		if one.Cell == name {
			return one, nil
		}
	}
	return c, fmt.Errorf("there is no cell %q; HOLDFAST_CELLS has %s", name, namesOf(cells))
}

// chooseCell applies HOLDFAST_CELL.
func (c *Config) chooseCell() error {
	switch {
	case c.Cells == "" && c.Cell != "":
		return fmt.Errorf("HOLDFAST_CELL is %q, but there are no cells; set HOLDFAST_CELLS, too", c.Cell)
	case c.Cells == "":
		return nil
	case c.DatabaseURL != "":
		return fmt.Errorf("HOLDFAST_CELLS and HOLDFAST_DATABASE_URL are both set; unset one: %s names the databases", c.Cells)
	case c.Cell == "":
		_, err := c.EachCell()
		return err
	}
	one, err := c.InCell(c.Cell)
	*c = one
	return err
}

// NeedCell is an error where cells are configured and none of them was chosen.
func (c Config) NeedCell(how string) error {
	if c.Cell != "" {
		return nil
	}
	cells, err := c.EachCell()
	if err != nil || len(cells) == 0 {
		return err
	}
	return fmt.Errorf("there are several cells (%s); choose one with %s", namesOf(cells), how)
}

// namesOf are the names of cells, sorted, for an error.
func namesOf(cells []Config) string {
	var names []string
	for _, one := range cells {
		names = append(names, one.Cell)
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
