package api

import (
	"context"
	"net/http"

	"holdfast/internal/payment"
)

func (a *API) topUps() {
	add(a, route{
		method: http.MethodGet, path: "/top-ups", name: "getTopUpRules", tag: "Payments", needs: admin,
		summary: "Show when credits are bought automatically",
	}, func(ctx context.Context, _ *struct{}) (*answer[ruleList], error) {
		rules, err := a.Payments.TopUpRules(ctx, callerOf(ctx).org.ID)
		return body(ruleList{rules}, err)
	})
	add(a, route{
		method: http.MethodPut, path: "/top-ups", name: "setTopUpRule", tag: "Payments", needs: admin, errors: []int{http.StatusConflict},
		summary: "Buy credits of a type automatically when the balance falls",
		about: "The saved card is charged once for each fall of the shared pool's balance to `below`, within the monthly caps. Save a card with `save_card` of `POST /checkout`. " +
			"A refused charge stops the rule, and `stopped` says why; setting the rule again tries that charge once more where the balance is still low. " +
			"A new threshold that the balance is not above counts as a fall.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Type           string `json:"type" minLength:"1" maxLength:"63" example:"email" doc:"Credit type."`
			Enabled        bool   `json:"enabled" example:"true" doc:"false buys nothing and keeps the rule."`
			Below          int64  `json:"below" minimum:"0" maximum:"1000000000000" example:"1000" doc:"Credits are bought when the available credits of the shared pool fall to this number."`
			Price          string `json:"price" minLength:"1" maxLength:"255" example:"price_1" doc:"A price that the operator has mapped to credits of the type."`
			Quantity       int64  `json:"quantity,omitempty" minimum:"1" maximum:"1000000" example:"1" doc:"How many units each time; 1 when left out."`
			MonthlyCredits int64  `json:"monthly_credits" minimum:"1" maximum:"1000000000000" example:"50000" doc:"At most so many credits in a calendar month of the organization."`
			MonthlyAmount  int64  `json:"monthly_amount" minimum:"1" maximum:"1000000000000" example:"50000" doc:"At most so much money in a calendar month, in the smallest unit of the currency (cents)."`
			Currency       string `json:"currency" pattern:"^[a-z]{3}$" example:"eur" doc:"Of the cap, and of the price. ISO 4217, in small letters."`
		}
	},
	) (*answer[payment.TopUpRule], error) {
		b := in.Body
		return body(a.Payments.SetTopUp(ctx, callerOf(ctx).org, payment.TopUpRule{
			Type: b.Type, Enabled: b.Enabled, Below: b.Below, Price: b.Price, Quantity: max(b.Quantity, 1),
			MonthlyCredits: b.MonthlyCredits, MonthlyAmount: b.MonthlyAmount, Currency: b.Currency,
		}))
	})
	add(a, route{
		method: http.MethodGet, path: "/top-ups/charges", name: "listTopUps", tag: "Payments", needs: admin,
		summary: "List automatic purchases, newest first", about: "Also those that were refused or would have exceeded a cap, and why.",
	}, func(ctx context.Context, in *struct {
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[topUpPage], error) {
		page, next, err := a.Payments.TopUps(ctx, callerOf(ctx).org.ID, in.Cursor, in.Limit)
		return body(topUpPage{page, next}, err)
	})
}

type ruleList struct {
	Rules []payment.TopUpRule `json:"rules" doc:"By credit type."`
}

type topUpPage struct {
	Charges    []payment.TopUp `json:"charges" doc:"Newest first."`
	NextCursor string          `json:"next_cursor,omitempty"`
}
