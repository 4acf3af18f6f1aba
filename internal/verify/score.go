package verify

import "time"

// ScoreParts are what a score is made of; they add up to it.
type ScoreParts struct {
	Verdict int `json:"verdict" doc:"For the verdict and its reason." example:"90"`
	Pattern int `json:"pattern,omitempty" doc:"The name looks like those of the domain's valid addresses, or like none of them." example:"0"`
	Role    int `json:"role,omitempty" doc:"It belongs to a role, not to a person." example:"0"`
	Free    int `json:"free,omitempty" doc:"The domain is a public mailbox provider's." example:"0"`
	Alias   int `json:"alias,omitempty" doc:"The domain is a relay." example:"0"`
	Age     int `json:"age,omitempty" doc:"How old the evidence is." example:"0"`
	Bounds  int `json:"bounds,omitempty" doc:"Keeps the score within its verdict's bounds." example:"0"`
}

func (p *ScoreParts) sum() int {
	return p.Verdict + p.Pattern + p.Role + p.Free + p.Alias + p.Age + p.Bounds
}

// Points that parts give and take.
const (
	patternMatch    = 15
	patternMismatch = -10
	rolePoints      = -10
	freePoints      = -5
	aliasPoints     = -5
	agePoints       = -10 // at most, one for each agePerPoint
	agePerPoint     = 3 * 24 * time.Hour
)

// bounds keep the verdicts apart: a valid address scores above every other, one
// that may exist above one that is thrown away, and invalid is 0.
var bounds = map[Verdict][2]int{
	Valid:      {70, 100},
	CatchAll:   {10, 69},
	Unknown:    {10, 69},
	Risky:      {10, 69},
	Disposable: {1, 9},
	Invalid:    {0, 0},
}

// basis is the score that a verdict begins with.
func basis(v Verdict, r Reason) int {
	switch v {
	case Valid:
		return 100
	case CatchAll:
		return 50
	case Risky:
		return 30
	case Disposable:
		return 5
	case Invalid:
		return 0
	case Unknown:
	}
	switch r { //nolint:exhaustive // all others tell nothing
	case CatchAllUnknown: // the host took the address
		return 55
	case Greylisted:
		return 45
	case ConnectFailed, DNSError, ConnectionLost, ProtocolError:
		return 25
	}
	return 40
}

// SetScore gives a result its score as of a time: 0 to 100, the higher the
// likelier a mail to the address reaches the person. It is monotone: a better
// fact about an address, all others the same, never lowers its score.
func SetScore(r *Result, now time.Time) {
	p := ScoreParts{Verdict: basis(r.Verdict, r.Reason)}
	if r.Verdict == CatchAll || r.Verdict == Unknown {
		p.Pattern = patternPoints(r.Pattern)
	}
	if r.Verdict != Invalid && r.Verdict != Disposable {
		if r.Role {
			p.Role = rolePoints
		}
		if r.Free {
			p.Free = freePoints
		}
		if r.Alias {
			p.Alias = aliasPoints
		}
		p.Age = max(-int(max(now.Sub(r.CheckedAt), 0)/agePerPoint), agePoints)
	}
	within := bounds[r.Verdict]
	total := p.sum()
	p.Bounds = min(max(total, within[0]), within[1]) - total
	r.Score, r.ScoreParts = p.sum(), p
}

func patternPoints(p Pattern) int {
	switch p {
	case PatternMatch:
		return patternMatch
	case PatternMismatch:
		return patternMismatch
	case PatternUnknown:
	}
	return 0
}
