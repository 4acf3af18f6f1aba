package verify_test

import (
	"context"
	"fmt"
	"log"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// An engine asks the mail hosts themselves, here those of the mail lab.
func ExampleEngine_Verify() {
	lab, err := maillab.Start(maillab.Config{Domains: 1, Only: []maillab.Kind{maillab.Ordinary}})
	if err != nil {
		log.Fatal(err)
	}
	defer lab.Close()
	engine, err := verify.New(verify.Config{
		DNSServers: []string{lab.DNSAddr()}, SMTPPort: lab.SMTPPort(), Allow: maillab.Networks(), Helo: "verifier.test",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	emails := []string{"not an address", "ann@nowhere.test", "no-such-mailbox-here@" + lab.World().Domains()[0]}
	results := make([]verify.Result, len(emails))
	err = engine.Verify(context.Background(), emails, func(i int, r verify.Result) { results[i] = r })
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Verdict, r.Reason)
	}
	// Output:
	// invalid syntax
	// invalid no_domain
	// invalid no_such_user
}
