package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/order"
)

var (
	exampleTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	exampleEnd  = exampleTime.AddDate(0, 1, 0)
	exampleOrg  = Org{Org: "acme", At: exampleTime}

	exampleMoved  = CreditsMoved{Org: "acme", Type: "email", Amount: 500, Balance: 1500, Entry: 42, Reason: "invoice 2026-0007", At: exampleTime}
	exampleVoided = CreditsVoidedOf{CreditsMoved: exampleMoved, GrantID: 7}
	exampleReset  = CreditsWereReset{
		Org: "acme", Plan: "rollover-boost", Start: exampleTime, End: exampleEnd,
		Credits: []ResetCredit{{Type: "email", Granted: 12000, RolledOver: 300}},
	}
	exampleList = ReadyList{
		Org: "acme", Member: "jane", ID: "lst_7d2k4m", Columns: []string{"name", "email"}, Rows: 1000, Unique: 940, Matchable: 20, Malformed: 12, At: exampleTime,
	}
)

// Example returns an example of the data of a topic, as JSON.
func Example(topic string) (json.RawMessage, error) {
	for _, t := range Topics {
		if t.Name != topic {
			continue
		}
		data, err := json.Marshal(t.Data)
		if err != nil {
			return nil, fmt.Errorf("the example of %s cannot be written: %w", topic, err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("there is no topic %s", topic)
}

// exampleOrder is an order as it stands with an event about it.
func exampleOrder(topic string) order.Order {
	o := order.Order{
		ID: "ord_4k2n6v", Kind: order.LeadList, Org: "acme", Member: "jane", Requested: 10000, CreatedAt: exampleTime,
		Credits: []order.Credit{{Type: "email", Held: 10000}},
	}
	later := exampleTime.Add(2 * time.Minute)
	refund := later.Add(5 * time.Minute)
	switch topic {
	case OrderReserved:
		o.Status = order.Reserved
		return o
	case OrderRejected:
		o.Status, o.SettledAt, o.Credits = order.Rejected, &exampleTime, []order.Credit{}
		o.Failure = &order.Failure{
			Code: order.CodeInsufficientCredits, Message: "The order needs 10,000 email credits; 9,000 are available.",
			Missing: []order.Amount{{Type: "email", Amount: 1000}},
		}
		return o
	}
	o.Selected = 10000
	if running(topic, &o) {
		return o
	}
	o.Tally = order.Tally{Valid: 5000, Invalid: 4000, CatchAll: 1000}
	o.Credits[0].Captured = 5000
	switch topic {
	case OrderCompleted:
		o.Status, o.CompletedAt, o.RefundAt = order.Completed, &later, &refund
		return o
	case OrderCancelled:
		o.Status, o.CancelRequestedAt, o.SettledAt = order.Cancelled, &later, &later
	case OrderFailed:
		o.Status, o.SettledAt = order.Failed, &later
		o.Failure = &order.Failure{Code: order.CodeInternal, Message: "The order cannot be finished."}
	default:
		o.Status, o.CompletedAt, o.RefundAt, o.SettledAt = order.Settled, &later, &refund, &refund
	}
	o.Credits[0].Released = 5000
	return o
}

// running completes the example of an order that runs, where the topic is about one.
func running(topic string, o *order.Order) bool {
	o.Status = order.Verifying
	o.Progress = &order.Pace{Total: o.Selected}
	if topic == OrderStarted {
		return true
	}
	o.Tally, o.Progress.Done = order.Tally{Valid: 2500, Invalid: 2000, CatchAll: 500}, 5000
	switch topic {
	case OrderPaused:
		o.Paused, o.Waiting = true, &order.Wait{For: order.WaitResume, Reason: "The order is paused; resume it to continue."}
	case OrderOutage:
		again := exampleTime.Add(3 * time.Minute)
		o.Waiting = &order.Wait{For: order.WaitVerification, Reason: "Mail hosts cannot be reached on port 25.", Until: &again}
	case OrderResumed:
	default:
		o.Tally, o.Progress = order.Tally{}, nil
		return false
	}
	return true
}
