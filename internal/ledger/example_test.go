package ledger_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// Credits are granted, held, captured for what is new, and the rest is released.
// Each operation has a key: the same one again has the same result and no effect.
func ExampleLedger() {
	pgtest.Example(func(pool *pgxpool.Pool) {
		ctx := context.Background()
		l := ledger.New(pool)
		defer l.Close()
		if _, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 100, Source: ledger.SourcePack}); err != nil {
			log.Fatal(err)
		}
		held, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "hold", HoldID: "order", Lines: []ledger.Line{{Type: "email", Amount: 10, Pools: []string{""}}}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("held:", held.Held)
		capture := ledger.Capture{
			Owner: "acme", Key: "capture", HoldID: "order", Type: "email", UnitCost: 1,
			Facts: []ledger.Fact{{Subject: [16]byte{1}}, {Subject: [16]byte{2}}},
		}
		for range 2 { // as after a crash
			captured, err := l.Capture(ctx, capture)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("charged:", captured.Charged)
		}
		released, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "release", HoldID: "order"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("released:", released.Released[0].Amount)
		balances, err := l.Balances(ctx, "acme")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("available:", balances[0].Available)
	})
	// Output:
	// held: true
	// charged: 2
	// charged: 2
	// released: 8
	// available: 98
}
