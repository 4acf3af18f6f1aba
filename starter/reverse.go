package main

import (
	"strings"

	"holdfast/internal/billing"
	"holdfast/internal/plan"
)

// checkReversal refuses a reversal that cannot be meant.
func checkReversal(reason, kind string, amount int64, leads []string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return &usageError{billing.ErrNoReason}
	case amount < 0, amount > 0 && kind == "", amount > 0 && len(leads) > 0:
		return &usageError{billing.ErrPart}
	}
	return nil
}

func (a *app) showReversed(r billing.Reversed) {
	a.say("%s credited back for order %s: %s.", creditsText(r.Credits), r.OrderID, r.Reason)
}

// creditsText lists amounts for people.
func creditsText(credits []plan.Amount) string {
	var words []string
	for _, c := range credits {
		words = append(words, count(c.Amount, c.Type+" credit"))
	}
	if len(words) == 0 {
		return "Nothing was left to be"
	}
	return strings.Join(words, " and ")
}
