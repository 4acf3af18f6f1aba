package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/maillab"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

// Addresses are verified in chunks, so that many of one mail host share its
// sessions. chunksAhead of them run at once; the output keeps the input's
// order, so this bounds both memory and what a slow host can hold up.
const (
	chunkSize   = 2000
	chunksAhead = 20
	maxLine     = 64 << 10

	// A list of any length passes through within 256 MB resident: what is not
	// heap takes the rest. GOMEMLIMIT overrules it.
	verifyMemory = 176 << 20
)

func (a *app) verifyCommand() *cobra.Command {
	var summary, lab, identity bool
	var skip int64
	cmd := &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Verify addresses with the engine alone: no database, no Temporal",
		Long: `Verifies the addresses of a file, one a line, or of a CSV file with a column
"email" (commas, semicolons or tabs; UTF-8, UTF-16 or what spreadsheets write).
One JSON result a line comes out, in the order of the input, while verification
runs. Empty lines are left out.

When nothing can be verified (port 25 closed, our address listed, DNS down), or
it is interrupted (Ctrl-C), the command prints the results up to the first
address without one, says how many those are, and ends. Run it again with --skip and that number to
continue; both outputs together are complete and in order.

Verification talks to the mail servers of the world: it needs port 25 open and
an identity to greet with (HOLDFAST_SMTP_HELO, HOLDFAST_SMTP_FROM). Addresses
of the synthetic catalogue exist only in the mail lab of a running "dev" stack:
--lab asks that one.

--check-identity verifies no address: it checks what mail hosts see of you (the
EHLO name, reverse DNS, the sender's domain and its SPF record, lists of bad
senders, port 25) and says what to do about each point that fails. The exit code
is 1 when one does.`,
		Example: examples(
			"holdfast verify addresses.txt > verdicts.ndjson",
			"holdfast verify addresses.txt --skip 120000 > rest.ndjson",
			"echo someone@example.org | holdfast verify - --summary",
			"holdfast verify --check-identity"),
		Args: func(cmd *cobra.Command, args []string) error {
			if identity {
				return cobra.NoArgs(cmd, args)
			}
			return oneArgument("the file (- for the standard input)")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			if lab {
				dev, err := a.findDev(cfg)
				if err != nil {
					return err
				}
				cfg.DNSServers, cfg.SMTPPort = []string{dev.DNSAddr}, dev.SMTPPort
				cfg.SMTPAllow = append(cfg.SMTPAllow, maillab.Networks()...)
			}
			if identity {
				return a.checkIdentity(cmd.Context(), cfg)
			}
			if skip < 0 {
				return usagef("--skip is %d; give the number of results that you have", skip)
			}
			in, closeInput, err := a.input(args[0])
			if err != nil {
				return err
			}
			defer closeInput()
			return a.verify(cmd.Context(), cfg, in, skip, summary)
		},
	}
	cmd.Flags().BoolVar(&summary, "summary", false, "print counts by verdict and reason on the standard error at the end")
	cmd.Flags().Int64Var(&skip, "skip", 0, "leave out so many addresses at the beginning, to continue after an outage")
	cmd.Flags().BoolVar(&identity, "check-identity", false, "check what mail hosts see of you instead of verifying")
	cmd.Flags().BoolVar(&lab, "lab", false, "ask the mail lab of the running dev stack instead of the world")
	return cmd
}

// chunk is a part of the input on its way through the engine.
type chunk struct {
	emails  []string
	results []verify.Result
	done    chan error // answers once, when all results are there
}

func (a *app) verify(ctx context.Context, cfg config.Config, in io.Reader, skip int64, summary bool) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(verifyMemory))
	}
	verification, err := wire.OpenVerification(cfg, nil, nil)
	if err != nil {
		return err
	}
	defer verification.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	queue, readError := verifyAhead(ctx, verification, in, skip)
	counts := outcomes{}
	out := bufio.NewWriter(a.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	progress := a.newMeter("verifying", "addresses", 0)
	defer progress.close()
	start := time.Now()
	for c := range queue {
		err := <-c.done
		var outage *verify.OutageError
		interrupted := errors.Is(err, context.Canceled)
		if err != nil && !interrupted && !errors.As(err, &outage) {
			return err
		}
		scoreBeside(c.results)
		for _, r := range c.results {
			if r.Verdict == "" {
				break // without an answer, and so is the order of what follows
			}
			counts.add(string(r.Verdict), string(r.Reason))
			if err := enc.Encode(r); err != nil {
				return fmt.Errorf("the results could not be written: %w", err)
			}
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("the results could not be written: %w", err)
		}
		progress.set(counts.total(), "")
		done := skip + counts.total()
		if interrupted {
			progress.close()
			a.screen.note("Interrupted after %s; to continue, use --skip %d.", count(done, "result"), done)
			return err
		}
		if outage != nil {
			return fmt.Errorf("%w; it stopped after %s: when it works again, continue with --skip %d", outage, count(done, "result"), done)
		}
	}
	if err := <-readError; err != nil {
		return err
	}
	if summary {
		progress.close()
		a.summarize(counts, time.Since(start), verification.Stats())
	}
	return nil
}

// verifyAhead reads addresses behind the first ones that are skipped, and verifies
// them some chunks ahead of who takes them from the queue, in their order. Behind
// the last chunk stands what reading came to.
func verifyAhead(ctx context.Context, verification *wire.Verification, in io.Reader, skip int64) (<-chan *chunk, <-chan error) {
	queue := make(chan *chunk, chunksAhead)
	readError := make(chan error, 1)
	go func() {
		defer close(queue)
		left := skip
		readError <- readAddresses(in, func(emails []string) error {
			n := min(left, int64(len(emails)))
			if left, emails = left-n, emails[n:]; len(emails) == 0 {
				return nil
			}
			c := &chunk{emails: emails, results: make([]verify.Result, len(emails)), done: make(chan error, 1)}
			select {
			case queue <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() {
				c.done <- verification.Verify(ctx, c.emails, func(i int, r verify.Result) { c.results[i] = r })
			}()
			return nil
		})
	}()
	return queue, readError
}

func (a *app) summarize(counts outcomes, elapsed time.Duration, stats verify.Stats) {
	s := *a.screen
	s.json = true // the standard output belongs to the results
	total := counts.total()
	s.print(outcomeTable("addresses", counts.list(), total))
	s.note("%s addresses in %s, %s a second; %s, %s, %s.", number(total), took(elapsed),
		number(perSecond(total, elapsed)), count(stats.Connections, "connection"),
		count(stats.Queries, "DNS query"), count(stats.Transactions, "mail transaction"))
}
