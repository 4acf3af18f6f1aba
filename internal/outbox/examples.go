package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/order"
)

var exampleTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Example returns an example of the data of a topic, as JSON.
func Example(topic string) (json.RawMessage, error) {
	for _, t := range Topics {
		if t.Name != topic {
			continue
		}
		data, err := json.Marshal(t.example())
		if err != nil {
			return nil, fmt.Errorf("the example of %s cannot be written: %w", topic, err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("there is no topic %s", topic)
}

// example is a value of the type that the topic's data have.
func (t Topic) example() any {
	org := Org{Org: "acme", At: exampleTime}
	moved := CreditsMoved{Org: "acme", Type: "email", Amount: 500, Balance: 1500, Entry: 42, Reason: "invoice 2026-0007", At: exampleTime}
	granted := CreditsVoidedOf{CreditsMoved: moved, GrantID: 7}
	end := exampleTime.AddDate(0, 1, 0)
	switch t.Data.(type) {
	case order.Order:
		return exampleOrder(t.Name)
	case CreditsAreLow:
		return CreditsAreLow{Org: "acme", Type: "email", Available: 95, Threshold: 100, At: exampleTime}
	case CreditsWereReset:
		return CreditsWereReset{
			Org: "acme", Plan: "rollover-boost", Start: exampleTime, End: end,
			Credits: []ResetCredit{{Type: "email", Granted: 12000, RolledOver: 300}},
		}
	case CreditsMoved:
		return moved
	case CreditsVoidedOf:
		return granted
	case CreditsGrantedTo:
		return CreditsGrantedTo{CreditsVoidedOf: granted, Source: "pack", ExpiresAt: &end}
	case ReadyList:
		return ReadyList{Org: "acme", Member: "jane", ID: "lst_7d2k4m", Columns: []string{"name", "email"}, Rows: 1000, Unique: 940, Matchable: 20, Malformed: 12, At: exampleTime}
	case NewMember:
		return NewMember{Org: org, Member: "jane", Role: "member"}
	case FormerMember:
		return FormerMember{Org: org, Member: "jane"}
	case NewPlan:
		return NewPlan{Org: org, Plan: "rollover-power", Version: 1, Since: end, AtPeriodEnd: true}
	case Org:
		return org
	case FailedTopUp:
		return FailedTopUp{Org: "acme", ID: 12, Type: "email", Status: "failed", Reason: "Your card was declined.", Stopped: true, At: exampleTime}
	case DisabledWebhook:
		return DisabledWebhook{Org: "acme", ID: "wh_7f3a2c", URL: "https://example.com/holdfast", Reason: "The endpoint answered 410 Gone."}
	}
	return t.Data
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
