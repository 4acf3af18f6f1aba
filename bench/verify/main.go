// Command verify measures the verification engine against a client that does as
// the usual libraries do: look the MX up and open a connection for every single
// address. Both talk to the mail lab on loopback, in the same run.
//
//	go run -C bench ./verify
//
// To compare with an older engine, measure it just before on the same machine:
//
//	git worktree add /tmp/before 405e5e5
//	(cd /tmp/before && go run ./bench/verify --stream 0 --out /tmp/before-results)
//	go run -C bench ./verify --stream 0 --before /tmp/before-results/verify.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/bench/report"
	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

type options struct {
	addresses, domains, baseline, runs, stream int
	only, out, profile, before                 string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.addresses, "addresses", 20_000, "addresses to verify")
	flag.IntVar(&o.domains, "domains", 2_000, "domains they are at")
	flag.IntVar(&o.baseline, "baseline", 4_000, "addresses the baseline verifies where a round trip takes time or is encrypted; its rate does not depend on it")
	flag.IntVar(&o.runs, "runs", 3, "runs to take the median of")
	flag.IntVar(&o.stream, "stream", 1_000_000, "addresses to send through starter verify while its memory is watched; 0 for none")
	flag.StringVar(&o.only, "only", "", "measure only the hosts whose name contains this")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the engine's runs, mail hosts included, to this file")
	flag.StringVar(&o.before, "before", "", "compare the rates with this earlier JSON result, such as that of an older checkout, measured just before")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result and the plot")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures the verification engine against one connection per address.\n\nExample: go run -C bench ./verify --runs 1\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		stop()
		os.Exit(1)
	}
}

// world is one set of mail hosts to measure against.
type world struct {
	name    string
	kind    maillab.Kind
	latency time.Duration
	pause   time.Duration // for each reply, of one shared host
	target  float64       // how many times the baseline's rate is wanted
}

// figures are those of one run.
type figures struct {
	rate        float64 // addresses a second
	cpu         float64 // µs for an address, of client and mail hosts together
	connections float64 // for every 1,000 addresses
	queries     float64
	wrong       int
	unknown     int
}

func run(ctx context.Context, o options) error {
	if o.addresses < o.domains || o.domains < 1 || o.runs < 1 || o.baseline < 1 {
		return errors.New("there have to be runs, a baseline, domains, and at least as many addresses as domains")
	}
	worlds := []world{
		{"own hosts, 0 ms", maillab.Ordinary, 0, 0, 7},
		{"own hosts, 20 ms", maillab.Ordinary, 20 * time.Millisecond, 0, 10},
		{"5 shared hosts, 0 ms", maillab.Shared, 0, 0, 30},
		{"5 shared hosts, 20 ms", maillab.Shared, 20 * time.Millisecond, 0, 30},
		{"1 shared host, 20 ms a command", maillab.Shared, 0, 20 * time.Millisecond, 1.5},
	}
	worlds = slices.DeleteFunc(worlds, func(w world) bool { return !strings.Contains(w.name, o.only) })
	var before rates
	if o.before != "" {
		var err error
		if before, err = readRates(o.before); err != nil {
			return err
		}
	}
	var now []comparison
	r := report.New("verify", fmt.Sprintf("Verifying %d addresses at %d domains, median of %d runs", o.addresses, o.domains, o.runs))
	table := r.Table("", "hosts", "client", "addresses/s", "CPU µs each", "connections/1,000", "DNS queries/1,000", "unknown/1,000", "times the rate", "times less CPU", "target")
	var labels []string
	var ours, theirs []float64
	for _, w := range worlds {
		runs := make([]measurement, o.runs)
		for i := range runs {
			var err error
			if runs[i], err = measure(ctx, w, o); err != nil {
				return err
			}
		}
		m := median(runs)
		if wrong := m.engine.wrong + m.secureEngine.wrong; wrong > 0 {
			return fmt.Errorf("%s: the engine gave %d wrong verdicts", w.name, wrong)
		}
		row := func(hosts, client string, f, than figures, target string) {
			now = append(now, comparison{w.name, client, f.rate})
			table.Add(hosts, client, f.rate, f.cpu, f.connections, f.queries, f.unknown, f.rate/than.rate, than.cpu/f.cpu, target)
		}
		row(w.name, "one connection each", m.baseline, m.baseline, "")
		row("", "engine", m.engine, m.baseline, fmt.Sprintf("≥ %g", w.target))
		row("", "one connection each, STARTTLS where offered", m.secureBaseline, m.secureBaseline, "")
		row("", "engine, STARTTLS where offered", m.secureEngine, m.secureBaseline, "")
		labels = append(labels, w.name)
		ours, theirs = append(ours, m.engine.rate), append(theirs, m.baseline.rate)
	}
	r.Note("The baseline keeps %d addresses under way; each costs an MX query, a connection, EHLO, MAIL, RCPT for a random and for the asked mailbox, QUIT. Rates and CPU time are compared in plain text, and with STARTTLS, which the engine uses by default. At the host where each command takes 20 ms it keeps %d under way, and %d addresses are verified. Client and mail hosts share this machine.", workers, slowWorkers, slowAddresses)
	if before != nil {
		before.compare(r, now)
	}
	if o.stream > 0 {
		if err := measureStream(ctx, o.stream, r); err != nil {
			return err
		}
	}
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if _, err := r.Save(o.out); err != nil {
		return err
	}
	if len(labels) == 0 {
		return nil
	}
	_, err := report.Bars(o.out, "verify", report.Axes{Title: "Addresses verified a second", Y: "addresses/s"}, labels,
		report.Series{Name: "one connection each", Y: theirs}, report.Series{Name: "engine", Y: ours})
	return err
}

// measurement is one run of all clients against the same hosts.
type measurement struct{ engine, secureEngine, baseline, secureBaseline figures }

// measure lets all clients loose on fresh mail hosts.
func measure(ctx context.Context, w world, o options) (m measurement, err error) {
	config := maillab.Config{Domains: o.domains, Only: []maillab.Kind{w.kind}, Latency: w.latency}
	if w.pause > 0 {
		config.SharedHosts, config.SharedPause = 1, w.pause
		o.addresses = min(o.addresses, slowAddresses)
		config.Domains = min(o.domains, max(1, o.addresses/10))
		o.domains = config.Domains
	}
	lab, err := maillab.Start(config)
	if err != nil {
		return m, err
	}
	defer lab.Close()
	emails := make([]string, 0, o.addresses)
	for i := range o.addresses / o.domains {
		for _, domain := range lab.World().Domains() {
			emails = append(emails, lab.World().Mailboxes(domain, i+1)[i])
		}
	}
	err = profiled(o.profile, func() error {
		if m.engine, err = measureEngine(ctx, lab, emails, verify.TLSNever); err != nil {
			return err
		}
		m.secureEngine, err = measureEngine(ctx, lab, emails, verify.TLSOpportunistic)
		return err
	})
	if err != nil {
		return m, err
	}
	few, atOnce := emails[:min(o.baseline, len(emails))], workers
	if w.pause > 0 {
		atOnce = slowWorkers
	}
	if m.secureBaseline, err = measureBaseline(ctx, lab, few, true, atOnce); err != nil {
		return m, err
	}
	if w.latency == 0 {
		few = emails
	}
	m.baseline, err = measureBaseline(ctx, lab, few, false, atOnce)
	return m, err
}

// profiled writes a CPU profile of what do does, where a file is named.
func profiled(file string, do func() error) error {
	if file == "" {
		return do()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

func measureEngine(ctx context.Context, lab *maillab.Lab, emails []string, tls verify.TLSMode) (figures, error) {
	e, err := verify.New(verify.Config{DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), Helo: "bench.test", TLS: tls})
	if err != nil {
		return figures{}, err
	}
	defer e.Close()
	verdicts := make([]string, len(emails))
	start := begin(lab)
	if err := e.Verify(ctx, emails, func(i int, r verify.Result) { verdicts[i] = string(r.Verdict) }); err != nil {
		return figures{}, err
	}
	return tell(lab, start, emails, verdicts), nil
}

// beginning is what the counters say when a measurement begins.
type beginning struct {
	at    time.Time
	cpu   time.Duration
	stats maillab.Stats
}

func begin(lab *maillab.Lab) beginning {
	return beginning{time.Now(), cpuTime(), lab.Stats()}
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tell makes figures of what the mail hosts have counted.
func tell(lab *maillab.Lab, start beginning, emails, verdicts []string) figures {
	took, cpu := time.Since(start.at), cpuTime()-start.cpu
	after := lab.Stats()
	n := float64(len(emails))
	f := figures{
		rate:        n / took.Seconds(),
		cpu:         float64(cpu.Microseconds()) / n,
		connections: 1000 * float64(after.Connections-start.stats.Connections) / n,
		queries:     1000 * float64(after.Queries-start.stats.Queries) / n,
	}
	for i, email := range emails {
		truth := lab.Truth(email)
		switch {
		case verdicts[i] == "unknown" && truth.Verdict != "unknown":
			f.unknown++
		case truth.Wrong(verdicts[i]):
			f.wrong++
		}
	}
	f.unknown = f.unknown * 1000 / len(emails)
	return f
}

// median takes the middle of each figure; wrong verdicts add up.
func median(runs []measurement) measurement {
	middle := func(of func(measurement) figures) (m figures) {
		pick := func(figure func(figures) float64) float64 {
			xs := make([]float64, len(runs))
			for i, run := range runs {
				xs[i] = figure(of(run))
			}
			return report.Median(xs)
		}
		for _, run := range runs {
			m.wrong += of(run).wrong
			m.unknown = max(m.unknown, of(run).unknown)
		}
		m.rate = pick(func(f figures) float64 { return f.rate })
		m.cpu = pick(func(f figures) float64 { return f.cpu })
		m.connections = pick(func(f figures) float64 { return f.connections })
		m.queries = pick(func(f figures) float64 { return f.queries })
		return m
	}
	return measurement{
		engine:         middle(func(m measurement) figures { return m.engine }),
		secureEngine:   middle(func(m measurement) figures { return m.secureEngine }),
		baseline:       middle(func(m measurement) figures { return m.baseline }),
		secureBaseline: middle(func(m measurement) figures { return m.secureBaseline }),
	}
}
