package wire

import (
	"context"
	"fmt"
	"slices"

	"holdfast/activities"
	"holdfast/internal/config"
	"holdfast/internal/verify"
	"holdfast/internal/verify/provider"
)

// Verification is who verifies, as HOLDFAST_VERIFY_PROVIDERS says: our engine,
// another service, or several one after the other.
type Verification struct {
	provider.Verifier

	engine *verify.Engine // nil where it is not asked
}

// OpenVerification makes the verifiers ready; nothing is asked yet. recent
// returns mail hosts that worked lately, for our engine; it may be nil.
func OpenVerification(cfg config.Config, recent func(context.Context) []string) (*Verification, error) {
	v := &Verification{}
	var steps provider.Waterfall
	names := cfg.Providers
	if len(names) == 0 { // the configuration was not read from the environment, which has a default
		names = []string{config.OwnEngine}
	}
	for _, name := range names {
		if name == config.OwnEngine {
			of := EngineConfig(cfg)
			of.RecentHosts = recent
			engine, err := verify.New(of)
			if err != nil {
				return nil, err
			}
			v.engine = engine
			steps = append(steps, engine)
			continue
		}
		of, _ := cfg.Provider(name) // New has a sentence for a name that nobody knows
		p, err := provider.New(provider.Config{Name: name, URL: of.URL, Key: of.Key, MaxSpend: of.MaxSpend})
		if err != nil {
			v.Close()
			return nil, fmt.Errorf("HOLDFAST_VERIFY_PROVIDERS cannot be followed: %w", err)
		}
		steps = append(steps, p)
	}
	v.Verifier = steps
	if len(steps) == 1 {
		v.Verifier = steps[0]
	}
	return v, nil
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
func OpenPhones(cfg config.Config) (activities.Phones, error) {
	if cfg.PhoneLookup != config.PhoneTwilio {
		return activities.PhonePatterns{}, nil
	}
	lookup, err := provider.NewPhones(provider.Config{URL: cfg.Twilio.URL, Key: cfg.Twilio.Key, MaxSpend: cfg.Twilio.MaxSpend})
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
