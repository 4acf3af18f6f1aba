package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/maillab"
)

// labGreylist is how long the mail lab's greylisting hosts turn us away where
// nothing else is said; real ones take minutes.
const labGreylist = 2 * time.Second

// ServerOptions say where servers keep their data and how their progress is reported.
type ServerOptions struct {
	// Dir holds all data, in the folders postgres and temporal. It outlives Stop.
	Dir string
	// Lab is the mail lab to start.
	Lab maillab.Config
	// PostgresSettings are given to PostgreSQL beside ours. Unsynced is as in
	// PostgresOptions.
	PostgresSettings []string
	Unsynced         bool
	// Stock starts a Temporal server without our dynamic configuration, Unfair one
	// that ignores fairness keys, Namespaces one that has these besides default.
	Stock      bool
	Unfair     bool
	Namespaces []string
	// Cluster starts Temporal as it runs in production: its data in databases of the
	// same PostgreSQL, its services in processes of their own.
	Cluster bool
	// Note, when set, is called for anything that takes long; Up for every part
	// that answers, with its address and how long that took. Never two calls at once.
	Note func(text string)
	Up   func(part, where string, took time.Duration)
}

// Servers are the three that Holdfast stands on. Each was started here, or is the
// one that the configuration names.
type Servers struct {
	Config   config.Config // the given one, pointed at these servers
	Postgres *Postgres
	Temporal *Temporal
	Lab      *maillab.Lab // nil where HOLDFAST_DNS_SERVERS names another mail world
}

// StartServers starts side by side what cfg does not say is running elsewhere.
// When one part fails, or ctx ends, those that were started are stopped.
func StartServers(ctx context.Context, cfg config.Config, o ServerOptions) (*Servers, error) {
	if o.Dir == "" {
		return nil, errors.New("servers need a directory for their data")
	}
	var telling sync.Mutex
	note := func(text string) {
		telling.Lock()
		defer telling.Unlock()
		if o.Note != nil {
			o.Note(text)
		}
	}
	up := func(part, where string, began time.Time) {
		telling.Lock()
		defer telling.Unlock()
		if o.Up != nil {
			o.Up(part, where, time.Since(began))
		}
	}
	s, database := &Servers{Config: cfg}, make(chan struct{})
	starting, startCtx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		began := time.Now()
		s.Postgres, err = StartPostgres(startCtx, PostgresOptions{
			URL: cfg.DatabaseURL, Dir: filepath.Join(o.Dir, "postgres"), Settings: o.PostgresSettings, Unsynced: o.Unsynced, Note: note,
		})
		if err == nil {
			up("PostgreSQL", "", began)
			close(database)
		}
		return err
	})
	starting.Go(func() (err error) {
		began := time.Now()
		temporal := TemporalOptions{
			Address: cfg.TemporalAddress, Dir: filepath.Join(o.Dir, "temporal"), Stock: o.Stock, Unfair: o.Unfair, Namespaces: o.Namespaces, Note: note,
		}
		if o.Cluster {
			if err := s.cluster(startCtx, database, &temporal); err != nil {
				return err
			}
		}
		s.Temporal, err = StartTemporal(startCtx, temporal)
		if err == nil {
			up("Temporal", cmp.Or(s.Temporal.UIURL, s.Temporal.Address), began)
		}
		return err
	})
	if len(cfg.DNSServers) == 0 {
		starting.Go(func() (err error) {
			began := time.Now()
			if s.Lab, err = maillab.Start(o.Lab); err != nil {
				return fmt.Errorf("the mail lab did not start: %w", err)
			}
			up("Mail lab", fmt.Sprintf("DNS %s, SMTP port %d", s.Lab.DNSAddr(), s.Lab.SMTPPort()), began)
			return nil
		})
	}
	if err := starting.Wait(); err != nil {
		if ctx.Err() != nil { // how a part says that it was interrupted is of no interest
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, s.Stop())
	}
	s.configure(cfg, o)
	return s, nil
}

// cluster has Temporal keep its data in PostgreSQL, once that has started.
func (s *Servers) cluster(ctx context.Context, started <-chan struct{}, o *TemporalOptions) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-started:
		return s.Postgres.keep(ctx, o)
	}
}

// configure says in the configuration where the servers are.
func (s *Servers) configure(cfg config.Config, o ServerOptions) {
	s.Config.DatabaseURL = s.Postgres.URL
	s.Config.TemporalAddress = s.Temporal.Address
	if s.Lab != nil {
		s.Config.DNSServers = []string{s.Lab.DNSAddr()}
		s.Config.SMTPPort = s.Lab.SMTPPort()
		s.Config.SMTPAllow = slices.Concat(cfg.SMTPAllow, maillab.Networks())
		// The default of five minutes, right for real hosts, is long in a lab; what
		// the environment says is meant.
		lab := cmp.Or(o.Lab.GreylistDelay, labGreylist) + time.Second/2
		if os.Getenv("HOLDFAST_SMTP_GREYLIST_RETRY") == "" && (cfg.GreylistRetry <= 0 || cfg.GreylistRetry > lab) {
			s.Config.GreylistRetry = lab
		}
	}
	if s.Lab == nil && len(cfg.SMTPAllow) == 0 && onLoopback(cfg.DNSServers) {
		s.Config.SMTPAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
}

// onLoopback reports whether all of the name servers run on this machine: then
// so do the mail hosts of their world.
func onLoopback(servers []string) bool {
	return !slices.ContainsFunc(servers, func(server string) bool {
		at, err := netip.ParseAddrPort(server)
		return err != nil || !at.Addr().IsLoopback()
	})
}

// Stop ends in order what StartServers started. The worker must have ended.
func (s *Servers) Stop() error {
	if s.Lab != nil {
		s.Lab.Close()
	}
	return errors.Join(s.Temporal.Stop(), s.Postgres.Stop())
}

// Failed returns an error when a server that was started here has ended by
// itself, and nil when ctx does.
func (s *Servers) Failed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Postgres.Done():
		return s.Postgres.stopped()
	case <-s.Temporal.Done():
		return s.Temporal.stopped()
	}
}
