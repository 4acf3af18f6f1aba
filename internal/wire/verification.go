package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"holdfast/activities"
	"holdfast/internal/config"
	"holdfast/internal/verify"
	"holdfast/internal/verify/provider"
)

// Verification is who verifies, as HOLDFAST_VERIFY_PROVIDERS says: our engine,
// another service, or several one after the other.
type Verification struct {
	provider.Verifier

	engine engine // nil where it is not asked
	seenAs string // how mail hosts see it, see seenAs
	steps  []namedVerifier
}

// engine is ours: one, or a pool of one for each identity.
type engine interface {
	provider.Verifier
	Stats() verify.Stats
	Load() verify.Load
	Health() error
	Close()
}

// namedVerifier is one of those who verify, by its name in the configuration.
type namedVerifier struct {
	name   string
	closed func() bool // whether it is not asked at the moment
}

// OpenVerification makes the verifiers ready; nothing is asked yet. recent
// returns mail hosts that worked lately, for our engine; spending counts what
// identities and services are asked for. Both may be nil.
func OpenVerification(cfg config.Config, recent func(context.Context) []string, spending verify.Spending) (*Verification, error) {
	v := &Verification{}
	var steps provider.Waterfall
	names := cfg.Providers
	if len(names) == 0 { // the configuration was not read from the environment, which has a default
		names = []string{config.OwnEngine}
	}
	for _, name := range names {
		if name == config.OwnEngine {
			engine, list, err := openEngine(cfg, recent, spending)
			if err != nil {
				v.Close()
				return nil, err
			}
			if v.seenAs, err = seenAs(cfg, list); err != nil {
				engine.Close()
				v.Close()
				return nil, err
			}
			v.engine = engine
			v.steps = append(v.steps, namedVerifier{name, func() bool { return engine.Health() != nil }})
			steps = append(steps, engine)
			continue
		}
		of := cfg.Services[name] // New has a sentence for a name that is not known
		p, err := provider.New(provider.Config{Name: name, URL: of.URL, Key: of.Key, MaxSpend: of.MaxSpend, Spending: spending})
		if err != nil {
			v.Close()
			return nil, fmt.Errorf("HOLDFAST_VERIFY_PROVIDERS cannot be followed: %w", err)
		}
		v.steps = append(v.steps, namedVerifier{name, func() bool { return p.Preflight(context.Background()) != nil }}) // which sends nothing
		steps = append(steps, p)
	}
	v.Verifier = steps
	if len(steps) == 1 {
		v.Verifier = steps[0]
	}
	return v, nil
}

// openEngine also returns the identities of a file that names them.
func openEngine(cfg config.Config, recent func(context.Context) []string, spending verify.Spending) (engine, []verify.Identity, error) {
	of := EngineConfig(cfg)
	of.RecentHosts = recent
	if cfg.SMTPIdentities == "" {
		one, err := verify.New(of)
		return one, nil, err
	}
	list, err := identities(cfg)
	if err != nil {
		return nil, nil, err
	}
	pool, err := verify.NewPool(of, list, spending)
	return pool, list, err
}

// identities are those of the file that HOLDFAST_SMTP_IDENTITIES names.
func identities(cfg config.Config) ([]verify.Identity, error) {
	list, err := verify.ReadIdentities(cfg.SMTPIdentities)
	if err != nil {
		return nil, fmt.Errorf("HOLDFAST_SMTP_IDENTITIES cannot be used: %w", err)
	}
	return list, nil
}

// seenAs says in one word how mail hosts see this process: it is the same for
// processes with the same names and addresses, and another one for all others.
// Without a list there is one identity, that of the configuration.
func seenAs(cfg config.Config, list []verify.Identity) (string, error) {
	if len(list) == 0 {
		one := verify.Identity{
			Helo: cfg.SMTPHelo, From: cfg.SMTPFrom, SourceAddr: cfg.SMTPSource, Proxy: cfg.SMTPProxy, PublicAddr: cfg.SMTPAddress,
		}
		if one.Helo == "" {
			var err error
			if one.Helo, err = verify.DefaultHelo(); err != nil {
				return "", err
			}
		}
		list = []verify.Identity{one}
	}
	sum := sha256.New()
	for _, id := range list {
		proxy := id.Proxy
		if u, err := url.Parse(proxy); err == nil {
			proxy = u.Host // who logs in there makes no difference
		}
		fmt.Fprintf(sum, "%q %q %q %q %q %q\n", id.Name, id.Helo, id.From, id.SourceAddr, proxy, id.PublicAddr)
	}
	return list[0].Helo + ":" + hex.EncodeToString(sum.Sum(nil)[:4]), nil
}

// CheckIdentities finds out how mail hosts see each of our identities.
func CheckIdentities(ctx context.Context, cfg config.Config) ([]verify.IdentityReport, error) {
	if cfg.SMTPIdentities == "" {
		report, err := verify.CheckIdentity(ctx, EngineConfig(cfg))
		return []verify.IdentityReport{report}, err
	}
	list, err := identities(cfg)
	if err != nil {
		return nil, err
	}
	return verify.CheckIdentities(ctx, EngineConfig(cfg), list)
}

// unready stands in for a verification that the configuration does not allow: it
// is an outage, which orders wait for and /readyz shows, and all else works.
type unready struct{ why *verify.OutageError }

// Verify returns why nothing can be verified.
func (u unready) Verify(context.Context, []string, func(int, verify.Result)) error { return u.why }

// Preflight returns it, too.
func (u unready) Preflight(context.Context) error { return u.why }

// openOrExplain opens the verification, or one that only says what to set.
func openOrExplain(cfg config.Config, recent func(context.Context) []string, spending verify.Spending) (*Verification, error) {
	v, err := OpenVerification(cfg, recent, spending)
	var helo *verify.HeloError
	if errors.As(err, &helo) {
		why := &verify.OutageError{Reason: verify.SenderRefused, Since: time.Now(), Sentence: helo.Error()}
		return &Verification{Verifier: unready{why}}, nil
	}
	return v, err
}

// Stats counts what our engine has done; zero where it is not asked.
func (v *Verification) Stats() verify.Stats {
	if v.engine == nil {
		return verify.Stats{}
	}
	return v.engine.Stats()
}

// Close ends all mail sessions politely.
func (v *Verification) Close() {
	if v.engine != nil {
		v.engine.Close()
	}
}

// OpenPhones makes ready who checks telephone numbers, as HOLDFAST_PHONE_LOOKUP
// says; nothing is asked yet.
func OpenPhones(cfg config.Config, spending verify.Spending) (activities.Phones, error) {
	if cfg.PhoneLookup != config.PhoneTwilio {
		return activities.PhonePatterns{}, nil
	}
	lookup, err := provider.NewPhones(provider.Config{URL: cfg.Twilio.URL, Key: cfg.Twilio.Key, MaxSpend: cfg.Twilio.MaxSpend, Spending: spending})
	if err != nil {
		return nil, fmt.Errorf("HOLDFAST_PHONE_LOOKUP cannot be followed: %w", err)
	}
	return lookup, nil
}

// EngineConfig is what the environment says about our engine.
func EngineConfig(cfg config.Config) verify.Config {
	tls := verify.TLSMode(cfg.SMTPTLS)
	if cfg.SMTPTLS == "opportunistic" {
		tls = verify.TLSOpportunistic
	}
	return verify.Config{
		DNSServers: cfg.DNSServers, SMTPPort: cfg.SMTPPort, Helo: cfg.SMTPHelo, From: cfg.SMTPFrom,
		SourceAddr: cfg.SMTPSource, Proxy: cfg.SMTPProxy, TLS: tls, Allow: cfg.SMTPAllow, Canaries: cfg.SMTPCanaries, MaxSessionsPerHost: cfg.SMTPHostSessions,
		PublicAddr: cfg.SMTPAddress, DNSBLZones: dnsblZones(cfg.DNSBLZones),
		ProbeSecret: cfg.ProbeSecret, ListFile: cfg.ListsFile, GreylistRetry: cfg.GreylistRetry,
	}
}

// noZones is what HOLDFAST_DNSBL_ZONES has for no list at all.
const noZones = "none"

func dnsblZones(zones []string) []string {
	if slices.Equal(zones, []string{noZones}) {
		return []string{}
	}
	return zones // nil: the usual ones
}
