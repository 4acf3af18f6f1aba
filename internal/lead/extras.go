package lead

import "encoding/json"

// extraColumns are what results say of an address besides the verdict and its
// evidence, in the order of extrasOf.
var extraColumns = []string{"role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts"}

// extras are the values of extraColumns; nil where they are not known.
type extras struct {
	Role       *bool           `json:"role"`
	Free       *bool           `json:"free"`
	Disposable *bool           `json:"disposable"`
	Alias      *bool           `json:"alias"`
	Cleaned    *bool           `json:"cleaned"`
	Doubtful   *bool           `json:"doubtful"`
	DidYouMean string          `json:"did_you_mean"`
	Provider   string          `json:"provider"`
	Score      *int64          `json:"score"`
	ScoreParts json.RawMessage `json:"score_parts"`
}

// extrasOf says in SQL what is known of the address of the item i, where it may
// be shown. The address that was meant has its local part.
func extrasOf(shown string) string {
	return `(i.flags & 1) <> 0, (i.flags & 2) <> 0, (i.flags & 4) <> 0, (i.flags & 8) <> 0, (i.flags & 16) <> 0, (i.flags & 32) <> 0,
		CASE WHEN ` + shown + ` AND i.value <> '' THEN coalesce(regexp_replace(i.value, '@[^@]*$', '@') || i.meant_domain, '') ELSE '' END,
		coalesce(i.provider, ''), i.score::bigint, i.score_parts`
}

// targets are where a row of extrasOf is read into.
func (x *extras) targets() []any {
	return []any{&x.Role, &x.Free, &x.Disposable, &x.Alias, &x.Cleaned, &x.Doubtful, &x.DidYouMean, &x.Provider, &x.Score, &x.ScoreParts}
}

// values are those of extraColumns.
func (x *extras) values() []any {
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
	case json.RawMessage:
		return string(value)
	}
	return ""
}
