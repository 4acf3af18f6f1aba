package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/maillab"
)

// workers is how many addresses the baseline has under way.
const workers = 50

// At a host where each command takes time, the baseline has more under way, and
// a list is one as people have.
const (
	slowWorkers   = 65
	slowAddresses = 2_000
)

// measureBaseline verifies each address by itself, as one calls the usual
// libraries: from a pool of goroutines, with the standard library's SMTP client,
// in plain text or with STARTTLS where it is offered.
func measureBaseline(ctx context.Context, lab *maillab.Lab, emails []string, secure bool, atOnce int) (figures, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, lab.DNSAddr())
	}}
	verdicts := make([]string, len(emails))
	start := begin(lab)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, email := range emails {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			verdict, err := verifyAlone(ctx, resolver, lab.SMTPPort(), email, secure)
			if err != nil {
				verdict = "unknown"
			}
			verdicts[i] = verdict
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return figures{}, err
	}
	return tell(lab, start, emails, verdicts), nil
}

// verifyAlone looks the mail host up, connects, and asks for a mailbox that
// cannot exist and for the one that is wanted.
func verifyAlone(ctx context.Context, resolver *net.Resolver, port int, email string, secure bool) (string, error) {
	domain := email[strings.LastIndexByte(email, '@')+1:]
	mx, err := resolver.LookupMX(ctx, domain)
	if err != nil {
		return "", err
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip4", mx[0].Host)
	if err != nil {
		return "", err
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(addrs[0].String(), strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	client, err := smtp.NewClient(conn, mx[0].Host)
	if err != nil {
		_ = conn.Close() // nothing was said
		return "", err
	}
	defer client.Close() //nolint:errcheck // after QUIT nothing is left to be lost
	if err := client.Hello("bench.test"); err != nil {
		return "", err
	}
	if offered, _ := client.Extension("STARTTLS"); offered && secure {
		if err := client.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil { //nolint:gosec // as in the engine
			return "", err
		}
	}
	if err := client.Mail("verify@bench.test"); err != nil {
		return "", err
	}
	everyone, err := accepts(client, fmt.Sprintf("probe%d@%s", rand.Uint64(), domain))
	if err != nil {
		return "", err
	}
	exists, err := accepts(client, email)
	if err != nil {
		return "", err
	}
	if err := client.Quit(); err != nil {
		return "", err
	}
	switch {
	case everyone:
		return "catch_all", nil
	case exists:
		return "valid", nil
	}
	return "invalid", nil
}

// accepts asks for one recipient. Only a permanent refusal is a no.
func accepts(client *smtp.Client, email string) (bool, error) {
	err := client.Rcpt(email)
	if reply, ok := err.(*textproto.Error); ok && reply.Code/100 == 5 { //nolint:errorlint // returned unwrapped
		return false, nil
	}
	return err == nil, err
}
