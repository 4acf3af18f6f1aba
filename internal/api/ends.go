package api

import (
	"context"
	"net/http"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/metadata"
)

func (a *API) ends() {
	add(a, route{
		method: http.MethodPatch, path: "/orgs/{org}", name: "updateOrg", tag: "Organizations", needs: admin,
		summary: "Change the name, the time zone or the metadata of an organization",
		about: "A new time zone moves the beginnings of the credit periods to come: the next one begins where it says, but not later than it would have. " +
			"An admin changes the name and the time zone; metadata is the operator's.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Name     string  `json:"name,omitempty" doc:"Stays when left out." example:"Acme Inc."`
			TimeZone string  `json:"time_zone,omitempty" doc:"IANA name; stays when left out." example:"Europe/Berlin"`
			Metadata *Labels `json:"metadata,omitempty" doc:"Takes the place of all that was there; stays when left out."`
		}
	},
	) (*answer[account.Org], error) {
		if in.Body.Metadata != nil && callerOf(ctx).role < operator {
			return nil, newProblem(http.StatusForbidden, "The metadata of an organization is the operator's; leave it out.")
		}
		defer a.keys.forget()
		if in.Body.Metadata != nil {
			if err := a.Accounts.SetMetadata(ctx, callerOf(ctx).org.ID, metadata.Data(*in.Body.Metadata)); err != nil {
				return nil, err
			}
		}
		org := callerOf(ctx).org
		return body(a.Billing.Update(ctx, org.ID, in.Body.Name, in.Body.TimeZone, org.Time(time.Now())))
	})
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/suspend", name: "suspendOrg", tag: "Organizations", needs: operator,
		summary: "Suspend an organization: it starts no orders", about: "Orders that run are finished; what it has can be read. Sent again, nothing changes.",
	}, func(ctx context.Context, _ *none) (*answer[account.Org], error) {
		defer a.keys.forget()
		return body(a.Accounts.Suspend(ctx, callerOf(ctx).org.ID))
	})
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/resume", name: "resumeOrg", tag: "Organizations", needs: operator,
		summary: "Let a suspended organization order again",
	}, func(ctx context.Context, _ *none) (*answer[account.Org], error) {
		defer a.keys.forget()
		return body(a.Accounts.Resume(ctx, callerOf(ctx).org.ID))
	})
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/close", name: "closeOrg", tag: "Organizations", errors: []int{http.StatusConflict}, needs: operator,
		summary: "Close an organization for good",
		about: "Its keys are revoked, its credits expire and its periods are not reset any more. While orders are not settled it is suspended alone, and the answer is 409. " +
			"Its orders, charges and history stay; with erase, the contact data of its orders and lists does not. Sent again, it gets the same answer.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"For the journal; no contact data."`
			Erase  bool   `json:"erase,omitempty" doc:"Erase the contact data of its orders and lists."`
		}
	},
	) (*answer[billing.Closed], error) {
		defer a.keys.forget()
		id := callerOf(ctx).org.ID
		closed, err := a.Billing.CloseOrg(ctx, id, in.Body.Reason)
		if err != nil || !in.Body.Erase {
			return body(closed, err)
		}
		if err := a.Erasures.EraseOrg(ctx, id); err != nil {
			return nil, err
		}
		return body(closed, a.Accounts.MarkErased(ctx, id))
	})
	a.removals()
}

// removals is the route that ends a licence.
func (a *API) removals() {
	add(a, route{
		method: http.MethodDelete, path: "/orgs/{org}/members/{member}", name: "removeMember", tag: "Organizations", status: http.StatusOK, needs: admin,
		summary: "Remove a member", about: "The licence ends at once: keys are revoked, and unused credits of the member's own expire. What the member revealed stays the organization's. Sent again, it gets the same answer.",
	}, func(ctx context.Context, in *struct {
		Member string `path:"member"`
	},
	) (*answer[billing.Removed], error) {
		defer a.keys.forget()
		return body(a.Billing.RemoveMember(ctx, callerOf(ctx).org.ID, in.Member))
	})
}
