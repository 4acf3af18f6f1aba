package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func TestCells(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cells.json")
	with := func(cells string, more ...string) (Config, error) {
		require.NoError(t, os.WriteFile(file, []byte(cells), 0o600))
		env := map[string]string{"HOLDFAST_CELLS": file}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return load(t.Context(), envconfig.MapLookuper(env))
	}
	const two = `[{"name":"a","database_url":"postgres://u@a/h"},{"name":"b","database_url":"postgres://u:own@b/h","temporal_address":"t:7233","temporal_namespace":"b"}]`

	c, err := with(two, "HOLDFAST_DATABASE_PASSWORD", "secret", "TEMPORAL_NAMESPACE", "first")
	require.NoError(t, err)
	require.Empty(t, c.DatabaseURL)
	require.ErrorContains(t, c.NeedCell("HOLDFAST_CELL"), "a, b")
	cells, err := c.EachCell()
	require.NoError(t, err)
	require.Len(t, cells, 2)
	require.Equal(t, "postgres://u:secret@a/h", cells[0].DatabaseURL)
	require.Equal(t, "first", cells[0].TemporalNamespace)
	require.Equal(t, "postgres://u:own@b/h", cells[1].DatabaseURL)
	require.Equal(t, []string{"b", "t:7233", "b"}, []string{cells[1].Cell, cells[1].TemporalAddress, cells[1].TemporalNamespace})

	c, err = with(two, "HOLDFAST_CELL", "b")
	require.NoError(t, err)
	require.Equal(t, "postgres://u:own@b/h", c.DatabaseURL)
	require.NoError(t, c.NeedCell(""))

	for text, what := range map[string]string{
		`{}`: "no JSON list", `[]`: "lists no cell",
		`[{"name":"A","database_url":"postgres://u@a/h"}]`:                                                                 "small letters",
		`[{"name":"a","database_url":"host=a password=secret"}]`:                                                           "database_url of the cell a",
		`[{"name":"a","database_url":"postgres://u@a/h"},{"name":"a","database_url":"postgres://u@b/h"}]`:                  "twice",
		`[{"name":"a","database_url":"postgres://u@a/h"},{"name":"b","database_url":"postgres://u@a/h"}]`:                  "same database_url",
		`[{"name":"a","database_url":"postgres://u@a/h"},{"name":"b","database_url":"postgres://u@b/h"}]`:                  "same namespace",
		`[{"name":"a","database_url":"postgres://u@a/h","temporal_namespace":"x"},{"name":"b","database_url":"nonsense"}]`: "cell b",
	} {
		_, err := with(text)
		require.ErrorContains(t, err, what, text)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err = with(two, "HOLDFAST_CELL", "c")
	require.ErrorContains(t, err, "HOLDFAST_CELLS has a, b")
	_, err = with(two, "HOLDFAST_DATABASE_URL", "postgres://u@a/h")
	require.ErrorContains(t, err, "both set")
	_, err = load(t.Context(), envconfig.MapLookuper(map[string]string{"HOLDFAST_CELL": "a"}))
	require.ErrorContains(t, err, "there are no cells")
}
