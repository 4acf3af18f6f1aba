package billing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
)

// History is a page of movements of credits.
type History struct {
	Entries    []Entry `json:"entries"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// Entry is one movement of credits.
type Entry struct {
	Entry   int64     `json:"entry" doc:"Number of the journal entry; one entry may move credits of several pools."`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Type    string    `json:"type"`
	Pool    string    `json:"pool" enum:"member,organization"`
	Holder  string    `json:"pool_member,omitempty" doc:"The member that has the pool, where it is not the shared one."`
	Amount  int64     `json:"amount" doc:"Credits moved."`
	Change  int64     `json:"change" doc:"What it did to the balance. Added up, they are the balance: a capture of what was held changes nothing any more."`
	Balance int64     `json:"balance" doc:"Available in this pool afterwards."`
	OrderID string    `json:"order_id,omitempty"`
	Action  string    `json:"action,omitempty"`
	Member  string    `json:"member,omitempty"`
	Source  string    `json:"source,omitempty" doc:"Of the credits: allotment, pack, promotion, adjustment, rollover or reinstated."`
	Reason  string    `json:"reason,omitempty"`
	Leads   int64     `json:"leads,omitempty" doc:"How many leads, or fields of them, were charged or credited back, each in one line of its entry; /credits/history/{entry}/leads lists them."`
	LeadID  string    `json:"lead_id,omitempty" doc:"Which lead, where it is one and still in the catalogue."`

	Contacts []Contact            `json:"contacts,omitempty" doc:"With expand=leads: what it charged for or credited back, and what each cost."`
	Charged  []ledger.ChargedFact `json:"-"`
}

// Contact is a piece of information that a movement charged for or credited back.
type Contact struct {
	LeadID  string `json:"lead_id,omitempty" doc:"The lead; absent where it is an address that the organization has sent, or the lead is not in the catalogue any more."`
	Field   string `json:"field,omitempty" doc:"The piece of information." enum:"email,phone,direct_email,profile,lead" example:"email"`
	Name    string `json:"name,omitempty" doc:"The lead's name; of the last name the initial alone where the value may not be seen." example:"Ann Smith"`
	Contact string `json:"contact,omitempty" doc:"The value, where the organization has paid for it; absent where it was credited back." example:"ann@example.com"`
	Cost    int64  `json:"cost" doc:"Credits of this movement."`
}

// History returns a page of an organization's movements, with the lead where a
// movement concerns one.
func (b *Billing) History(ctx context.Context, f ledger.HistoryFilter) (History, error) {
	if err := b.settle(ctx, f.Owner); err != nil {
		return History{}, err
	}
	page, err := b.ledger.History(ctx, f)
	if err != nil {
		return History{}, err
	}
	var subjects []uuid.UUID
	var orders []string
	for _, l := range page.Lines {
		if l.Subject != [16]byte{} {
			subjects, orders = append(subjects, l.Subject), append(orders, l.OrderID)
		}
	}
	ids, err := b.leadIDs(ctx, subjects, orders)
	if err != nil {
		return History{}, err
	}
	view := History{Entries: make([]Entry, len(page.Lines)), NextCursor: page.NextCursor}
	for i, l := range page.Lines {
		view.Entries[i] = Entry{
			Entry: l.Seq, At: l.At.UTC(), Kind: l.Kind, Type: l.Type, Pool: PoolName(l.Pool), Holder: l.Pool, Amount: l.Amount, Change: l.Change, Balance: l.Balance,
			OrderID: l.OrderID, Action: l.Action, Member: l.Member, Source: string(l.Source), Reason: l.Reason, Leads: l.Facts,
		}
		if f.Charged {
			view.Entries[i].Charged = page.Charged[i]
		}
		if l.Subject != [16]byte{} {
			view.Entries[i].LeadID = ids[l.Subject]
		}
	}
	return view, nil
}

// Settle carries out everything that time has brought an organization by now:
// changes of plan that waited, periods that have begun, credits that start or
// expire. What cannot be renewed as it is stays due; the sweep reports it.
func (b *Billing) Settle(ctx context.Context, orgID string) error {
	pending, err := b.accounts.PendingOf(ctx, orgID)
	if err != nil {
		return err
	}
	for _, p := range pending {
		if _, err := b.apply(ctx, p); err != nil && !errcode.Permanent(err) {
			return err
		}
	}
	return b.settle(ctx, orgID)
}

// settle sees to it that the journal says what time has done to an organization's
// credits: periods that have ended, credits that have expired.
func (b *Billing) settle(ctx context.Context, orgID string) error {
	if _, err := b.Current(ctx, orgID); err != nil {
		return err
	}
	expired, err := b.ledger.Overdue(ctx, orgID)
	if err != nil || !expired {
		return err
	}
	_, err = b.ledger.Expire(ctx, ledger.Expire{Owner: orgID})
	return err
}

// Leads is a page of the leads that one journal entry charged or credited back.
type Leads struct {
	LeadIDs    []string `json:"lead_ids" doc:"Without duplicates; leads that are not in the catalogue any more are left out."`
	NextCursor string   `json:"next_cursor,omitempty"`
}

// LeadsOfEntry lists the leads of a journal entry of an organization, at most
// limit facts at a time. member, when not empty, is whose entry it must be.
// ledger.ErrNoEntry where there is none, ledger.ErrInvalid for a wrong cursor.
func (b *Billing) LeadsOfEntry(ctx context.Context, org, member string, entry int64, cursor string, limit int) (Leads, error) {
	facts, err := b.ledger.EntryFacts(ctx, org, entry)
	if err != nil {
		return Leads{}, err
	}
	if member != "" && facts.Member != member {
		return Leads{}, ledger.ErrNoEntry
	}
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 || from > len(facts.Subjects) {
			return Leads{}, fmt.Errorf("%w: the cursor %q is not one that a page gave", ledger.ErrInvalid, cursor)
		}
	}
	to := min(from+limit, len(facts.Subjects))
	subjects := make([]uuid.UUID, 0, to-from)
	for _, s := range facts.Subjects[from:to] {
		subjects = append(subjects, s)
	}
	ids, err := b.leadIDs(ctx, subjects, []string{facts.OrderID})
	if err != nil {
		return Leads{}, err
	}
	page := Leads{LeadIDs: []string{}}
	for _, s := range subjects {
		if id := ids[s]; id != "" && !slices.Contains(page.LeadIDs, id) {
			page.LeadIDs = append(page.LeadIDs, id)
		}
	}
	if to < len(facts.Subjects) {
		page.NextCursor = strconv.Itoa(to)
	}
	return page, nil
}

// leadIDs names the leads that subjects of the ledger stand for.
func (b *Billing) leadIDs(ctx context.Context, subjects []uuid.UUID, orders []string) (map[uuid.UUID]string, error) {
	ids := map[uuid.UUID]string{}
	if len(subjects) == 0 {
		return ids, nil
	}
	found, err := b.book.LeadsOfFacts(ctx, subjects, orders)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		ids[f.Subject] = f.ID
	}
	return ids, nil
}
