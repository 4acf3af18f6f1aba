package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/url"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	v12 "go.temporal.io/server/schema/postgresql/v12"
)

// postgresShards is what Temporal's own images have; fixed for the life of a
// database.
const postgresShards = 4

// postgresStore is a database that a postgres:// URL names.
func postgresStore(text string) (*config.SQL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || len(u.Path) < 2 {
		return nil, fmt.Errorf("not a PostgreSQL URL: write postgres://user:password@host:5432/database")
	}
	password, _ := u.User.Password()
	store := &config.SQL{
		PluginName: postgresql.PluginNamePGX, ConnectProtocol: "tcp", ConnectAddr: u.Host, DatabaseName: u.Path[1:],
		User: u.User.Username(), Password: password, MaxConns: 20, MaxIdleConns: 20, ConnectAttributes: map[string]string{},
	}
	for name, values := range u.Query() {
		store.ConnectAttributes[name] = values[0]
	}
	return store, nil
}

// preparePostgres makes Temporal's schema where there is none.
func preparePostgres(o options, logger log.Logger) (stores map[string]*config.SQL, err error) {
	stores = map[string]*config.SQL{}
	for _, part := range []struct{ name, url, version string }{
		{"temporal", o.postgres, v12.Version}, {"visibility", o.postgresVisibility, v12.VisibilityVersion},
	} {
		store, err := postgresStore(part.url)
		if err != nil {
			return nil, fmt.Errorf("the database for %s: %w", part.name, err)
		}
		stores[part.name] = store
		if !o.frontend() {
			continue
		}
		if err := makeSchema(store, part.name, part.version, logger); err != nil {
			return nil, fmt.Errorf("the schema %s cannot be made: %w", part.name, err)
		}
	}
	return stores, nil
}

func makeSchema(store *config.SQL, name, version string, logger log.Logger) error {
	db, err := persistencesql.NewSQLAdminDB(sqlplugin.DbKindUnknown, store, resolver.NewNoopResolver(), logger, metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := db.CreateSchemaVersionTables(); err != nil {
		return err
	}
	if have, err := db.ReadSchemaVersion(store.DatabaseName); err == nil && have == version {
		return nil
	}
	text, err := fs.ReadFile(schema.Assets(), "postgresql/v12/"+name+"/schema.sql")
	if err != nil {
		return err
	}
	statements, err := persistence.LoadAndSplitQueryFromReaders([]io.Reader{bytes.NewReader(text)})
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := db.Exec(statement); err != nil {
			return err
		}
	}
	return db.UpdateSchemaVersion(store.DatabaseName, version, version)
}
