package ledger

import (
	"errors"
	"time"

	"holdfast/internal/errcode"
)

// Errors of operations. An operation that ends in one of them has changed
// nothing and may be sent again; "not enough credits" is no error but a stored
// result.
var (
	// ErrKeyReused says that the key already stands for another request.
	ErrKeyReused = errcode.New(errcode.KeyReused, "this idempotency key was already used for a different request")
	// ErrUnknownHold says that there is no hold under this id.
	ErrUnknownHold = errcode.New(errcode.Conflict, "there is no such hold")
	// ErrUnknownGrant says that there is no grant of this number.
	ErrUnknownGrant = errcode.New(errcode.NotFound, "there is no such grant")
	// ErrHoldClosed says that the hold has already been released.
	ErrHoldClosed = errcode.Narrow(errcode.HoldClosed, "the hold is already closed")
	// ErrHoldExhausted says that more was asked for than the hold still has.
	ErrHoldExhausted = errcode.Narrow(errcode.HoldExhausted, "the hold has fewer credits left than asked for")
	// ErrInvalid says that the request makes no sense as written.
	ErrInvalid = errcode.Narrow(errcode.InvalidInLedger, "the ledger request is invalid")
	// ErrPeriodOver says that the time is over up to which a hold or a charge
	// was meant: a credit period has ended since, make it again.
	ErrPeriodOver = errors.New("a credit period has ended since the request was made")
	// ErrClosed says that the ledger has been closed.
	ErrClosed = errors.New("the ledger is closed")
)

// Amount is a number of credits of one type.
type Amount struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
}

// Source says where a grant's credits come from.
type Source string

// The sources of grants.
const (
	SourceAllotment  Source = "allotment"  // a period's credits
	SourcePack       Source = "pack"       // bought
	SourcePromotion  Source = "promotion"  // given away
	SourceAdjustment Source = "adjustment" // an operator's correction
	SourceRollover   Source = "rollover"   // left over from an earlier period
	SourceReinstated Source = "reinstated" // came back after its grant had expired
)

// LateRelease says what becomes of credits that return to a grant which has
// expired since.
type LateRelease string

// The ways to treat a late return. The empty value means Reinstate.
const (
	LateReinstate LateRelease = "reinstate" // a new grant of the same amount
	LateExpire    LateRelease = "expire"    // they expire, too
)

// Memo describes an operation for the history. It is not part of the request's
// identity: a retry may word it differently. It never holds contact data.
type Memo struct {
	OrderID string
	Action  string
	Member  string
	Reason  string
}

// Grant gives credits to a pool of an organization.
type Grant struct {
	Owner     string // organization id
	Key       string // idempotency key, unique in the organization
	Pool      string // "" is shared by the organization, otherwise a member id
	Type      string
	Amount    int64 // > 0
	Source    Source
	Priority  int32     // lower burns first
	StartsAt  time.Time // the credits are not there before; zero = at once
	ExpiresAt time.Time // zero = never
	BurnBy    time.Time // some of it is lost then, so it is spent before what lives longer; zero = with its expiry
	Memo      Memo
}

// GrantResult is the result of a Grant.
type GrantResult struct {
	GrantID int64 `json:"grant_id"` // number of the grant within the organization
}

// Grants gives several grants at once, all or none.
type Grants struct {
	Owner string
	Key   string
	Lines []GrantLine // at most 1,000
	Memo  Memo
}

// GrantLine is one grant of several.
type GrantLine struct {
	Pool      string
	Type      string
	Amount    int64
	Source    Source
	Priority  int32
	StartsAt  time.Time
	ExpiresAt time.Time
	BurnBy    time.Time
}

// GrantsResult is the result of Grants.
type GrantsResult struct {
	GrantIDs []int64 `json:"grant_ids"` // in the order of the request
}

// Line is what a hold reserves of one credit type.
type Line struct {
	Type   string
	Amount int64    // ≥ 0
	Pools  []string // in burn order
	Budget Budget   // optional cap on what may come from the shared pool
}

// Budget caps what may be drawn from the shared pool under one name: a member
// and period, for example "bob/2026-11". The zero Budget is no cap.
type Budget struct {
	Name string
	Cap  int64 // credits, held and spent together
}

// Hold reserves credits, all lines or none.
type Hold struct {
	Owner  string
	Key    string
	HoldID string    // unique in the organization
	Lines  []Line    // one per credit type
	Before time.Time // from then on it is ErrPeriodOver, when it was not carried out before; zero = always good
	Memo   Memo
}

// HoldResult is the result of a Hold.
type HoldResult struct {
	Held    bool     `json:"held"`
	Missing []Amount `json:"missing,omitempty"` // missing credits when !Held
	// OverBudget is how many of the missing credits the shared pool has, but the
	// budget withholds.
	OverBudget []Amount `json:"over_budget,omitempty"`
}

// Fact is a piece of information that is charged once within its scope.
type Fact struct {
	Scope   string // "" = once per organization, member id = once per member, order id = in every order
	Subject [16]byte
	// With are the subjects of the same scope that come with it, free. Where all
	// of them are owned already the fact is known; charged or known by itself, it
	// makes all of them owned.
	With [][16]byte
}

// Capture charges a hold: UnitCost for each fact that is new to the
// organization, or a plain Amount. A closed hold can be charged nothing, but
// facts that cost nothing may still be recorded under it.
type Capture struct {
	Owner    string
	Key      string
	HoldID   string
	Type     string
	Facts    []Fact
	UnitCost int64 // credits per new fact
	Amount   int64 // credits, instead of facts
	Memo     Memo
}

// CaptureResult is the result of a Capture, or of one line of a Charge.
type CaptureResult struct {
	Charged    int64 `json:"charged"` // credits
	NewFacts   int64 `json:"new_facts,omitempty"`
	KnownFacts int64 `json:"known_facts,omitempty"` // already paid for: free
}

// Charge is a hold and its capture in one operation, all lines or none. It
// leaves a closed hold behind, so that it can be reversed like any other.
type Charge struct {
	Owner  string
	Key    string
	HoldID string // defaults to Key
	Lines  []ChargeLine
	Before time.Time // as in Hold
	Memo   Memo
}

// ChargeLine is what a charge takes of one credit type: UnitCost for each new
// fact, or a plain Amount.
type ChargeLine struct {
	Type     string
	Pools    []string // in burn order
	Facts    []Fact
	UnitCost int64
	Amount   int64
	Budget   Budget
}

// ChargeResult is the result of a Charge.
type ChargeResult struct {
	Charged bool     `json:"charged"`
	Missing []Amount `json:"missing,omitempty"` // missing credits when !Charged
	// OverBudget is how many of the missing credits the budget withholds.
	OverBudget []Amount        `json:"over_budget,omitempty"`
	Lines      []CaptureResult `json:"lines,omitempty"` // in the order of the request
}

// Release gives back all that is left of a hold and closes it.
type Release struct {
	Owner          string
	Key            string
	HoldID         string
	Late           LateRelease
	ReinstateUntil Until
	Memo           Memo
}

// Until is when credits expire that come back after their own grant has: those
// of the shared pool, and those of a member's own. The zero time is never.
type Until struct {
	Shared time.Time
	Own    time.Time
}

func (u Until) of(pool string) time.Time {
	if pool == "" {
		return u.Shared
	}
	return u.Own
}

// ReleaseResult is the result of a Release.
type ReleaseResult struct {
	Released []Amount `json:"released,omitempty"` // left in the hold, by type, in the order of its lines
}

// Reverse credits back captured credits. With Facts, what those facts cost,
// once per charge of a fact, in each hold where it was charged (HoldID may be empty then);
// with Amount, that many credits of Type captured from the hold; with neither,
// all that the hold captured (of Type, or of every type) and its facts with it.
// A reversed fact is no longer owned and costs again when charged again.
// Credits whose grant has expired come back as a new grant.
//
// With AtMost, facts take back what they cost as far as the hold still has
// credits that can be reversed, in the order of the request: an earlier reversal
// by amount may have left less than they cost. A fact that gets nothing stays
// owned. The facts' With belong to them: they are reversed together or not at all.
type Reverse struct {
	Owner          string
	Key            string
	HoldID         string
	Type           string
	Facts          []Fact
	AtMost         bool // needs HoldID and Facts
	Amount         int64
	ReinstateUntil Until
	Memo           Memo
}

// ReverseResult is the result of a Reverse.
type ReverseResult struct {
	Reversed int64    `json:"reversed"` // credits, all types together
	Amounts  []Amount `json:"amounts,omitempty"`
	Facts    int64    `json:"facts,omitempty"` // facts that were paid for and are no longer owned
	// Each is what became of each fact of an AtMost, in the order of the request.
	Each []FactReversal `json:"each,omitempty"`
}

// FactReversal is what a reversal did about one fact.
type FactReversal struct {
	Reversed int64    `json:"reversed,omitempty"` // credits
	Kept     KeptFact `json:"kept,omitempty"`     // why none
}

// KeptFact says why nothing was credited back for a fact.
type KeptFact string

// The reasons not to credit a fact back.
const (
	KeptReversed KeptFact = "reversed" // it was credited back before
	KeptNoRest   KeptFact = "no_rest"  // the hold has nothing left that can be reversed
	KeptUnpaid   KeptFact = "unpaid"   // this hold did not pay for it
)

// Void takes credits of one grant back, as far as they are available: for a
// purchase that was refunded or a grant made by mistake. What is held or spent
// stays, and the result says how much that is.
type Void struct {
	Owner  string
	Key    string
	Grant  int64 // number of the grant within the organization
	Amount int64 // at most so many credits; 0 = all that is available
	Memo   Memo
}

// VoidResult is the result of a Void. All numbers but Voided are the grant's
// after it.
type VoidResult struct {
	Pool      string `json:"pool,omitempty"`
	Type      string `json:"type"`
	Voided    int64  `json:"voided"`              // taken back by this operation
	Available int64  `json:"available,omitempty"` // left in the grant
	Waiting   int64  `json:"waiting,omitempty"`   // left in a grant that has not started
	Held      int64  `json:"held,omitempty"`      // reserved by open holds
	Spent     int64  `json:"spent,omitempty"`     // captured and not reversed
	Expired   int64  `json:"expired,omitempty"`
}

// End writes off all that a member's pool has, or all pools: what is available
// or waits expires, and so does what orders give back later.
type End struct {
	Owner string
	Key   string
	Pool  string // a member's
	All   bool   // instead of Pool: every pool of the organization
	Memo  Memo
}

// EndResult is the result of an End.
type EndResult struct {
	Expired []Amount `json:"expired,omitempty"` // per type
}

// Expire writes off every credit of the organization whose time is over, except
// those that wait for the end of their period (Renew). The books are right
// without it: expiry is enforced whenever credits are touched. It makes the
// journal say so, in entries that bear the times at which the credits expired;
// it has no entry of its own, and repeating it is harmless.
type Expire struct {
	Owner string
}

// ExpireResult is the result of an Expire.
type ExpireResult struct {
	Expired []Amount `json:"expired,omitempty"` // per type
}

// Renew ends a period of one pool and begins the next, in one entry: what is
// available of the old allotment rolls over up to a cap, the rest expires, the
// new allotment is granted. Allotments whose time is over are not spent but wait
// for it, so that it decides what becomes of them however late it comes. Held
// credits stay held; released later, they use what is left of the cap.
type Renew struct {
	Owner string
	Key   string // once per subscription and period
	Pool  string
	Lines []Renewal // one per credit type
	At    time.Time // when the period ends: the entry's time, unless the journal is past it; zero or a time to come = now
	Memo  Memo
}

// Renewal is what a Renew does to one credit type.
type Renewal struct {
	Type            string
	Amount          int64     // new allotment; 0 = none
	Priority        int32     // of the new allotment
	ExpiresAt       time.Time // of the new allotment; zero = never (a plan that rolls over)
	BurnBy          time.Time // of the new allotment and what rolls over, as in Grant
	Rollover        bool      // false: the old allotment expires
	Cap             int64     // most credits that roll over; < 0 = all of them
	CarriedPriority int32     // of the rolled-over credits
	CarriedUntil    time.Time // expiry of the rolled-over credits; zero = never
}

// RenewResult is the result of a Renew.
type RenewResult struct {
	Lines []RenewedLine `json:"lines,omitempty"` // in the order of the request
}

// RenewedLine is what a Renew did to one credit type.
type RenewedLine struct {
	Type    string `json:"type"`
	Rolled  int64  `json:"rolled,omitempty"`
	Expired int64  `json:"expired,omitempty"` // with this entry
	Granted int64  `json:"granted,omitempty"`
}

// Alert watches one account: whenever its available credits fall to one of the
// thresholds, a credits.low event that names the threshold goes to the outbox,
// once until they have risen above it again. A threshold that is new to the
// account and not below its credits has its event at once. It takes the place
// of the alert before; no thresholds end the watch.
type Alert struct {
	Owner      string
	Key        string
	Pool       string
	Type       string
	Thresholds []int64 // credits; in any order
	Begin      bool    // the account's first watch: that it is still empty is no event
	Memo       Memo
}

// AlertResult is the result of an Alert.
type AlertResult struct {
	Low bool `json:"low"` // the account is at or below one of them already
}
