// Command verify measures the verification engine against a client that does as
// the usual libraries do: look the MX up and open a connection for every single
// address. Both talk to the mail lab on loopback, in the same run.
//
//	go run ./bench/verify
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/bench/report"
	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

type options struct {
	addresses, domains, baseline, runs int
	out                                string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.addresses, "addresses", 20_000, "addresses to verify")
	flag.IntVar(&o.domains, "domains", 2_000, "domains they are at")
	flag.IntVar(&o.baseline, "baseline", 4_000, "addresses the baseline verifies where a round trip takes time; its rate does not depend on it")
	flag.IntVar(&o.runs, "runs", 3, "runs to take the median of")
	flag.StringVar(&o.out, "out", "bench/results", "folder for the JSON result and the plot")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures the verification engine against one connection per address.\n\nExample: go run ./bench/verify --runs 1\n\n")
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
	target  float64 // how many times the baseline's rate is wanted
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
		{"own hosts, 0 ms", maillab.Ordinary, 0, 7},
		{"own hosts, 20 ms", maillab.Ordinary, 20 * time.Millisecond, 10},
		{"5 shared hosts, 0 ms", maillab.Shared, 0, 30},
		{"5 shared hosts, 20 ms", maillab.Shared, 20 * time.Millisecond, 30},
	}
	r := report.New("verify", fmt.Sprintf("Verifying %d addresses at %d domains, median of %d runs", o.addresses, o.domains, o.runs))
	table := r.Table("", "hosts", "client", "addresses/s", "CPU µs each", "connections/1,000", "DNS queries/1,000", "unknown/1,000", "times the baseline", "target")
	var labels []string
	var ours, theirs []float64
	for _, w := range worlds {
		var engine, secure, baseline []figures
		for range o.runs {
			e, s, b, err := measure(ctx, w, o)
			if err != nil {
				return err
			}
			engine, secure, baseline = append(engine, e), append(secure, s), append(baseline, b)
		}
		e, s, b := median(engine), median(secure), median(baseline)
		if wrong := e.wrong + s.wrong; wrong > 0 {
			return fmt.Errorf("%s: the engine gave %d wrong verdicts", w.name, wrong)
		}
		table.Add(w.name, "one connection each", b.rate, b.cpu, b.connections, b.queries, b.unknown, "1", "")
		table.Add("", "engine", e.rate, e.cpu, e.connections, e.queries, e.unknown, e.rate/b.rate, fmt.Sprintf("≥ %.0f", w.target))
		table.Add("", "engine, STARTTLS where offered", s.rate, s.cpu, s.connections, s.queries, s.unknown, s.rate/b.rate, "")
		labels = append(labels, w.name)
		ours, theirs = append(ours, e.rate), append(theirs, b.rate)
	}
	r.Note("The baseline keeps %d addresses under way; each costs an MX query, a connection, EHLO, MAIL, RCPT for a random and for the asked mailbox, QUIT, all in plain text, as the engine does in the first of its rows. Client and mail hosts share this machine.", workers)
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if _, err := r.Save(o.out); err != nil {
		return err
	}
	_, err := report.Bars(o.out, "verify", report.Axes{Title: "Addresses verified a second", Y: "addresses/s"}, labels,
		report.Series{Name: "one connection each", Y: theirs}, report.Series{Name: "engine", Y: ours})
	return err
}

// measure lets both clients loose on fresh mail hosts.
func measure(ctx context.Context, w world, o options) (engine, secure, baseline figures, err error) {
	lab, err := maillab.Start(maillab.Config{Domains: o.domains, Only: []maillab.Kind{w.kind}, Latency: w.latency})
	if err != nil {
		return engine, secure, baseline, err
	}
	defer lab.Close()
	emails := make([]string, 0, o.addresses)
	for i := range o.addresses / o.domains {
		for _, domain := range lab.World().Domains() {
			emails = append(emails, lab.World().Mailboxes(domain, i+1)[i])
		}
	}
	if engine, err = measureEngine(ctx, lab, emails, verify.TLSNever); err != nil {
		return engine, secure, baseline, err
	}
	if secure, err = measureEngine(ctx, lab, emails, verify.TLSOpportunistic); err != nil {
		return engine, secure, baseline, err
	}
	if w.latency > 0 {
		emails = emails[:min(o.baseline, len(emails))]
	}
	baseline, err = measureBaseline(ctx, lab, emails)
	return engine, secure, baseline, err
}

func measureEngine(ctx context.Context, lab *maillab.Lab, emails []string, tls verify.TLSMode) (figures, error) {
	e, err := verify.New(verify.Config{DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Helo: "bench.test", TLS: tls})
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
func median(runs []figures) figures {
	pick := func(of func(figures) float64) float64 {
		xs := make([]float64, len(runs))
		for i, f := range runs {
			xs[i] = of(f)
		}
		return report.Median(xs)
	}
	m := figures{
		rate:        pick(func(f figures) float64 { return f.rate }),
		cpu:         pick(func(f figures) float64 { return f.cpu }),
		connections: pick(func(f figures) float64 { return f.connections }),
		queries:     pick(func(f figures) float64 { return f.queries }),
		unknown:     slices.MaxFunc(runs, func(a, b figures) int { return a.unknown - b.unknown }).unknown,
	}
	for _, f := range runs {
		m.wrong += f.wrong
	}
	return m
}
