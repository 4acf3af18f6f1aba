package api

import (
	"context"
	"net/http"

	"holdfast/internal/erasure"
)

// ErasureBody names the people to erase.
type ErasureBody struct {
	Emails  []string `json:"emails,omitempty" maxItems:"100" doc:"Their addresses." example:"[\"ann@example.com\"]"`
	LeadIDs []string `json:"lead_ids,omitempty" maxItems:"100" doc:"Ids of their leads."`
}

func (a *API) erasures() {
	add(a, route{
		method: http.MethodPost, path: "/erasures", name: "erasePeople", tag: "Erasures", needs: operator, noOrg: true, stream: true,
		summary: "Erase personal data (GDPR)",
		about: "Removes people from the catalogue, the items of all orders, uploaded lists and remembered verdicts of all organizations. They are added to the suppression list of all organizations: " +
			"no import takes them in and no order delivers them again. What orders have counted and charged stays. Safe to repeat.",
	}, func(ctx context.Context, in *struct {
		Body ErasureBody
	},
	) (*answer[erasure.Report], error) {
		report, err := a.Erasures.Erase(ctx, erasure.Request{Emails: in.Body.Emails, LeadIDs: in.Body.LeadIDs})
		return body(report, err)
	})
}
