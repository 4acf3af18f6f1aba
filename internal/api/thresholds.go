package api

import (
	"context"
	"net/http"

	"holdfast/internal/account"
	"holdfast/internal/billing"
)

// Rule is a threshold as it is set.
type Rule struct {
	Credits *int64 `json:"credits,omitempty" minimum:"0" maximum:"1000000000000" example:"1000" doc:"A number of credits."`
	Percent *int64 `json:"percent,omitempty" minimum:"1" maximum:"100" example:"20" doc:"In place of credits: a part of the plan's allotment per period, where it allots something to this pool."`
}

func (a *API) thresholds() {
	add(a, route{
		method: http.MethodGet, path: "/credits/thresholds", name: "getThresholds", tag: "Credits", needs: member,
		summary: "Show the balances that are called low", about: "Of the shared pool and, with a member, of that member's own. When the credits fall to one, the event `credits.low` says so.",
	}, func(ctx context.Context, in *struct {
		Member string `query:"member" maxLength:"100"`
	},
	) (*answer[watchList], error) {
		whose, err := a.poolOf(ctx, in.Member)
		if err != nil {
			return nil, err
		}
		list, err := a.Billing.Thresholds(ctx, callerOf(ctx).org, whose)
		return body(watchList{list}, err)
	})
	add(a, route{
		method: http.MethodPut, path: "/credits/thresholds", name: "setThresholds", tag: "Credits", needs: member,
		summary: "Set thresholds of your own for one pool and credit type",
		about: "They take the place of the plan's; an empty list means no alerts. A new threshold that the balance is not above is announced at once. " +
			"A member's key sets those of that member's own credits alone.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Type       string `json:"type" minLength:"1" maxLength:"63"`
			Member     string `json:"member,omitempty" maxLength:"100" doc:"The member that has the credits; the shared pool when left out."`
			Thresholds []Rule `json:"thresholds" maxItems:"10" doc:"Each is either credits or percent."`
		}
	},
	) (*answer[watchList], error) {
		rules := make([]account.Threshold, len(in.Body.Thresholds))
		for i, r := range in.Body.Thresholds {
			rules[i] = account.Threshold(r)
		}
		return body(a.setThresholds(ctx, in.Body.Member, in.Body.Type, rules))
	})
	add(a, route{
		method: http.MethodDelete, path: "/credits/thresholds", name: "resetThresholds", tag: "Credits", needs: member, status: http.StatusOK,
		summary: "Return to the plan's thresholds for one pool and credit type",
	}, func(ctx context.Context, in *struct {
		Type   string `query:"type" required:"true" minLength:"1" maxLength:"63" doc:"Credit type."`
		Member string `query:"member" maxLength:"100" doc:"The member that has the credits; the shared pool when left out."`
	},
	) (*answer[watchList], error) {
		return body(a.setThresholds(ctx, in.Member, in.Type, nil))
	})
}

type watchList struct {
	Thresholds []billing.Watch `json:"thresholds" doc:"By pool and credit type."`
}

func (a *API) setThresholds(ctx context.Context, named, creditType string, rules []account.Threshold) (list watchList, err error) {
	c := callerOf(ctx)
	if only := c.only(); only != "" && named != only {
		return list, newProblem(http.StatusForbidden, "A member's key sets the thresholds of that member's own credits; name that member or use an admin's key.")
	}
	if err := a.Billing.SetThresholds(ctx, c.org, named, creditType, rules); err != nil {
		return list, err
	}
	list.Thresholds, err = a.Billing.Thresholds(ctx, c.org, named)
	return list, err
}

// poolOf is the member whose own pool a request asks about.
func (a *API) poolOf(ctx context.Context, asked string) (string, error) {
	c := callerOf(ctx)
	whose, err := c.concerns(asked)
	if err == nil && whose != "" && whose != c.member {
		_, err = a.Accounts.Member(ctx, c.org.ID, whose)
	}
	return whose, err
}
