package lead

import (
	"encoding/json"
	"time"

	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// extraColumns are what results say of an address besides the verdict and its
// evidence, in the order of extrasOf.
var extraColumns = []string{"role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts"}

// evidenceColumns are the server that gave a verdict, what it said, and when.
var evidenceColumns = []string{"mx_host", "smtp_code", "smtp_enhanced", "checked_at"}

// Evidence are the values of evidenceColumns.
type Evidence struct {
	MXHost       string     `json:"mx_host" doc:"The mail host that gave the verdict; empty where none was asked." example:"mx1.example.com"`
	SMTPCode     *int64     `json:"smtp_code" doc:"Its reply code; null where there was none." example:"250"`
	SMTPEnhanced string     `json:"smtp_enhanced" doc:"Its enhanced status code (RFC 3463); empty where there was none." example:"2.1.5"`
	CheckedAt    *time.Time `json:"checked_at" doc:"When it was checked; null where nothing was." example:"2026-03-01T12:00:00Z"`
}

// evidenceOf is the evidence of the item i in SQL. What is on file was not checked.
const evidenceOf = `coalesce(i.mx_host, ''), i.smtp_code::bigint, coalesce(i.smtp_enhanced, ''), CASE WHEN i.reason <> '` + order.ReasonOnFile + `' THEN i.checked_at END`

func (e *Evidence) values() []any {
	return []any{e.MXHost, e.SMTPCode, e.SMTPEnhanced, utc(e.CheckedAt)}
}

// Extras are the values of extraColumns; nil where they are not known.
type Extras struct {
	Role       *bool           `json:"role" doc:"The address belongs to a role such as info@, not to a person. Null, as the next ones, where nothing is known." example:"false"`
	Free       *bool           `json:"free" doc:"The domain is a public mailbox provider's." example:"false"`
	Disposable *bool           `json:"disposable" doc:"The domain gives out throwaway addresses." example:"false"`
	Alias      *bool           `json:"alias" doc:"The domain is a relay that passes mail on to an address it hides." example:"false"`
	Cleaned    *bool           `json:"cleaned" doc:"The address was taken out of what was sent; see address." example:"false"`
	Doubtful   *bool           `json:"doubtful" doc:"Invalid, at a host that has accepted no address of the domain." example:"false"`
	DidYouMean string          `json:"did_you_mean" doc:"The address that was probably meant, where the domain takes no mail." example:"ann@example.com"`
	Provider   string          `json:"provider" doc:"Who runs the domain's mail hosts: google, microsoft and others, or other; empty where it has none." example:"google"`
	Score      *int64          `json:"score" doc:"From 0 to 100: how likely mail arrives." example:"90"`
	ScoreParts json.RawMessage `json:"score_parts" doc:"What the score is made of; the parts add up to it."`
}

// extrasOf says in SQL what is known of the address of the item i, where it may
// be shown. The address that was meant has its local part. A score without parts is
// the verdict's alone.
func extrasOf(shown string) string {
	return `(i.flags & 1) <> 0, (i.flags & 2) <> 0, (i.flags & 4) <> 0, (i.flags & 8) <> 0, (i.flags & 16) <> 0, (i.flags & 32) <> 0,
		CASE WHEN ` + shown + ` AND i.value <> '' AND i.meant_domain IS NOT NULL THEN regexp_replace(i.value, '@[^@]*$', '@') || i.meant_domain ELSE '' END,
		coalesce(i.provider, ''), i.score::bigint,
		CASE WHEN i.score IS NOT NULL THEN coalesce(i.score_parts, jsonb_build_object('verdict', i.score)) END`
}

// complete adds what follows from an address and its mail host alone where nothing
// was kept with the verdict: of what is owned, for one.
func (x *Extras) complete(address, mxHost string) {
	if x.Role != nil || address == "" {
		return
	}
	r := verify.Result{Email: address, MXHost: mxHost}
	verify.DescribeByLists(&r)
	x.Role, x.Free, x.Disposable, x.Alias, x.Cleaned, x.Doubtful = &r.Role, &r.Free, &r.Disposable, &r.Alias, &r.Cleaned, &r.Doubtful
	x.Provider = r.Provider
}

// targets are where a row of extrasOf is read into.
func (x *Extras) targets() []any {
	return []any{&x.Role, &x.Free, &x.Disposable, &x.Alias, &x.Cleaned, &x.Doubtful, &x.DidYouMean, &x.Provider, &x.Score, &x.ScoreParts}
}

// values are those of extraColumns.
func (x *Extras) values() []any {
	return []any{x.Role, x.Free, x.Disposable, x.Alias, x.Cleaned, x.Doubtful, x.DidYouMean, x.Provider, x.Score, x.ScoreParts}
}

// cell is a value as a CSV has it.
func cell(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case *int64:
		return number(value)
	case *bool:
		if value == nil {
			return ""
		}
		if *value {
			return "true"
		}
		return "false"
	case *time.Time:
		return moment(value)
	case json.RawMessage:
		if string(value) == "null" {
			return ""
		}
		return string(value)
	}
	return ""
}
