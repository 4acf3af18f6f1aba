// Orders leads with a Go client that oapi-codegen generates from the API's
// description: quote, order, wait, download. Every answer is typed, also a refusal.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast/examples/go-client/holdfast"
)

func main() {
	if err := run(context.Background(), os.Getenv("HOLDFAST_URL"), os.Getenv("HOLDFAST_API_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, key string) error {
	client, err := holdfast.NewClientWithResponses(url, holdfast.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
	if err != nil {
		return err
	}
	count, err := strconv.ParseInt(os.Getenv("COUNT"), 10, 64)
	if err != nil {
		count = 20
	}
	var body holdfast.NewOrder
	if err := body.FromLeadListOrder(holdfast.LeadListOrder{Kind: holdfast.LeadListOrderKindLeadList, Count: count}); err != nil {
		return err
	}
	quote, err := client.QuoteOrderWithResponse(ctx, nil, body)
	if err != nil {
		return err
	}
	if quote.JSON200 == nil {
		return errors.New(quote.Status())
	}
	fmt.Printf("quote: %d candidates, covered: %v\n", quote.JSON200.Candidates, quote.JSON200.Covered)

	wait := "30s"
	placed, err := client.CreateOrderWithResponse(ctx, &holdfast.CreateOrderParams{IdempotencyKey: fmt.Sprint("go-", count), Wait: &wait}, body)
	if err != nil {
		return err
	}
	if p := placed.ApplicationproblemJSON402; p != nil {
		var missing []string
		for _, m := range *p.Missing {
			missing = append(missing, fmt.Sprintf("%d %s", m.Amount, m.Type))
		}
		return fmt.Errorf("%d %s: missing %s", p.Status, p.Code, strings.Join(missing, ", "))
	}
	if placed.JSON201 == nil {
		return errors.New(placed.Status())
	}
	return follow(ctx, client, placed.JSON201.Id)
}

// follow waits until an order is over and reads what it delivered.
func follow(ctx context.Context, client *holdfast.ClientWithResponses, id string) error {
	var order *holdfast.Order
	for order == nil || order.Status != holdfast.OrderStatusSettled {
		answer, err := client.GetOrderWithResponse(ctx, id, nil)
		if err != nil {
			return err
		}
		if order = answer.JSON200; order == nil {
			return errors.New(answer.Status())
		}
		time.Sleep(100 * time.Millisecond)
	}
	file, err := client.DownloadNdjsonWithResponse(ctx, id, nil)
	if err != nil {
		return err
	}
	leads, charged := 0, int64(0)
	for line := range strings.Lines(string(file.Body)) {
		var lead holdfast.LeadRow
		if err := json.Unmarshal([]byte(line), &lead); err != nil {
			return err
		}
		if leads++; leads <= 3 {
			fmt.Printf("%s %s: %s (%s, %s)\n", lead.FirstName, lead.LastName, lead.Email, lead.Verdict, lead.Reason)
		}
	}
	for _, c := range order.Credits {
		charged += c.Captured
	}
	fmt.Printf("%s: %d leads, %d credits charged\n", order.Status, leads, charged)
	return nil
}
