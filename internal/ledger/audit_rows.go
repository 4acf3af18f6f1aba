package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// lookupRows is how many rows the audit looks up at a time.
const lookupRows = 4096

// row tells a finding about one row of the organization at hand.
func (a *auditor) row(invariant, table, key, format string, args ...any) {
	a.found(invariant, table, a.replay.owner+"/"+key, fmt.Sprintf(format, args...))
}

// finite reads a time that Go can represent: what is not finite is no time that
// the journal knows either.
func finite(column string) string {
	return `CASE WHEN ` + column + ` IS NULL OR isfinite(` + column + `) THEN ` + column + ` ELSE '0002-01-01Z' END`
}

// checkClosed looks up the holds that were closed lately. They are forgotten
// then, except those a later reversal will come back to.
func (a *auditor) checkClosed(ctx context.Context) error {
	closed := a.replay.closed
	a.replay.closed = nil
	return a.compareHolds(ctx, closed, func(h *hold, row *holdRow) bool {
		return row == nil || row.Reversed == h.sums().Reversed
	})
}

// checkHolds looks up all other holds, and finds holds that were never opened.
func (a *auditor) checkHolds(ctx context.Context) error {
	rest := make([]*hold, 0, len(a.replay.holds))
	for _, h := range a.replay.holds {
		rest = append(rest, h)
	}
	if err := a.compareHolds(ctx, rest, func(*hold, *holdRow) bool { return true }); err != nil {
		return err
	}
	var n int64
	if err := a.lookup.QueryRow(ctx, `SELECT count(*) FROM credit_hold WHERE owner = $1`, a.replay.owner).Scan(&n); err != nil {
		return err
	}
	a.report.Holds += n
	if n <= a.replay.opened {
		return nil // missing ones have been reported
	}
	rows, err := a.lookup.Query(ctx, `SELECT id FROM credit_hold h WHERE owner = $1 AND NOT EXISTS (
		SELECT FROM credit_entry e WHERE e.owner = h.owner AND e.hold_id = h.id AND e.kind IN ('hold', 'charge'))`, a.replay.owner)
	if err != nil {
		return err
	}
	strangers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range strangers {
		a.row("I4", "credit_hold", id, "no journal entry opens this hold")
	}
	return err
}

// holdRow is a row of credit_hold.
type holdRow struct {
	ID                                   string
	Amount, Captured, Released, Reversed int64
	Closed                               bool
	Body                                 []byte
}

// compareHolds looks up rows for holds and reports differences. Where done says
// so the hold is dealt with; otherwise it stays for the end.
func (a *auditor) compareHolds(ctx context.Context, holds []*hold, done func(*hold, *holdRow) bool) error {
	for part := range slices.Chunk(holds, lookupRows) {
		ids := make([]string, len(part))
		for i, h := range part {
			ids[i] = h.id
		}
		rows, err := a.lookup.Query(ctx, `SELECT h.id, h.amount, h.captured, h.released, h.reversed, h.closed, convert_to(h.body::text, 'UTF8') AS body
			FROM unnest($2::text[]) k (id)
			CROSS JOIN LATERAL (SELECT * FROM credit_hold h WHERE h.owner = $1 AND h.id = k.id LIMIT 1) h`, a.replay.owner, ids)
		if err != nil {
			return err
		}
		read, err := pgx.CollectRows(rows, pgx.RowToStructByName[holdRow])
		if err != nil {
			return err
		}
		byID := make(map[string]*holdRow, len(read))
		for i := range read {
			byID[read[i].ID] = &read[i]
		}
		for _, h := range part {
			row := byID[h.id]
			if !done(h, row) {
				continue
			}
			delete(a.replay.holds, h.id)
			if row == nil {
				a.row("I4", "credit_hold", h.id, "the journal opens this hold, the row is missing")
			} else if problem := row.differs(h); problem != "" {
				a.row("I4", "credit_hold", h.id, "%s", problem)
			}
		}
	}
	return nil
}

// differs says how a row differs from the hold the journal makes.
func (r *holdRow) differs(h *hold) string {
	sum := h.sums()
	if r.Amount != sum.Amount || r.Captured != sum.Captured || r.Released != sum.Released || r.Reversed != sum.Reversed {
		return fmt.Sprintf("it says %d held, %d captured, %d released, %d reversed; the journal says %d, %d, %d, %d",
			r.Amount, r.Captured, r.Released, r.Reversed, sum.Amount, sum.Captured, sum.Released, sum.Reversed)
	}
	if r.Closed != h.closed {
		return fmt.Sprintf("closed is %t, the journal says %t", r.Closed, h.closed)
	}
	var body holdBody
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return fmt.Sprintf("its body cannot be read: %s", err)
	}
	lines := 0
	for i := range body.Lines {
		l := &body.Lines[i]
		lines++
		want := h.line(l.Type)
		if want == nil || !slices.Equal(l.Slices, want.Slices) {
			return fmt.Sprintf("its %s slices differ from the journal's", l.Type)
		}
		if l.Budget != want.Budget {
			return fmt.Sprintf("its %s line draws under budget %q, the journal says %q", l.Type, l.Budget, want.Budget)
		}
	}
	if lines != len(h.lines) || !slices.Equal(body.Captures, h.captures) {
		return "its lines or captures differ from the journal's"
	}
	return ""
}

func (a *auditor) checkOwner(ctx context.Context) error {
	var seq, grants int64
	var head []byte
	var at time.Time
	err := a.lookup.QueryRow(ctx, `SELECT seq, head, `+finite("at")+`, grants FROM credit_owner WHERE owner = $1`, a.replay.owner).
		Scan(&seq, &head, &at, &grants)
	r := a.replay
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		a.found("I6", "credit_owner", r.owner, "the organization has journal entries, its row is missing")
	case err != nil:
		return err
	case seq != r.seq || !bytes.Equal(head, r.head):
		a.found("I6", "credit_owner", r.owner, fmt.Sprintf(
			"it points to entry %d, the journal ends with entry %d, or the hash differs: entries are missing or were changed", seq, r.seq))
	case r.seq > 0 && !at.Equal(r.at) || grants != r.grants:
		a.found("I6", "credit_owner", r.owner, fmt.Sprintf(
			"it counts %d grants until %s, the journal %d until %s", grants, at.UTC(), r.grants, r.at.UTC()))
	}
	return nil
}

func (a *auditor) checkAccounts(ctx context.Context) error {
	rows, err := a.lookup.Query(ctx, `SELECT pool, type, available, held, carry, carry_priority,
		`+finite("carry_until")+` AS carry_until, `+finite("carry_burn_by")+` AS carry_burn_by, alert_at::text AS alert_at FROM credit_account WHERE owner = $1`, a.replay.owner)
	if err != nil {
		return err
	}
	type accountRow struct {
		Pool, Type      string
		Available, Held int64
		Carry           *int64
		CarryPriority   int32
		CarryUntil      *time.Time
		CarryBurnBy     *time.Time
		AlertAt         *string
	}
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[accountRow])
	if err != nil {
		return err
	}
	a.report.Accounts += int64(len(read))
	seen := make(map[accountID]bool, len(read))
	for _, row := range read {
		id := accountID{row.Pool, row.Type}
		seen[id] = true
		want := a.replay.accounts[id]
		key := row.Pool + "/" + row.Type
		if want == nil {
			a.row("I1", "credit_account", key, "the journal knows no such account")
			continue
		}
		if row.Available != want.available || row.Held != want.held {
			a.row("I1", "credit_account", key, "it says %d available and %d held, the journal says %d and %d",
				row.Available, row.Held, want.available, want.held)
		}
		var is carry
		if row.Carry != nil {
			is = carry{Left: *row.Carry, Priority: row.CarryPriority, Until: orZero(row.CarryUntil), BurnBy: orZero(row.CarryBurnBy)}
		}
		var should carry
		if want.carry != nil {
			should = *want.carry
		}
		if (row.Carry == nil) != (want.carry == nil) || is.Left != should.Left || is.Priority != should.Priority ||
			!is.Until.Equal(should.Until) || !is.BurnBy.Equal(should.BurnBy) {
			a.row("I10", "credit_account", key, "what may still roll over differs from the journal's")
		}
		if alert := arrayText(want.alertAt); (row.AlertAt == nil) != (alert == nil) || alert != nil && *row.AlertAt != *alert {
			a.row("I6", "credit_account", key, "its alert differs from the journal's")
		}
	}
	for id := range a.replay.accounts {
		if !seen[id] {
			a.row("I1", "credit_account", id.pool+"/"+id.kind, "the journal moves credits in this account, the row is missing")
		}
	}
	return nil
}

func (a *auditor) checkGrants(ctx context.Context) error {
	rows, err := a.lookup.Query(ctx, `SELECT no, pool, type, source, priority, `+finite("expires_at")+`, `+finite("burn_by")+`, `+finite("granted_at")+`,
		amount, available, held, captured, expired, voided, renewed, `+finite("starts_at")+`, waiting FROM credit_grant WHERE owner = $1`, a.replay.owner)
	if err != nil {
		return err
	}
	seen := make(map[int64]bool, len(a.replay.lots))
	var l lot
	var starts, expires, burnBy *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&l.no, &l.pool, &l.kind, &l.source, &l.priority, &expires, &burnBy, &l.grantedAt, &l.amount,
		&l.bucket[available], &l.bucket[held], &l.bucket[captured], &l.bucket[expired], &l.bucket[voided], &l.renewed,
		&starts, &l.bucket[waiting],
	}, func() error {
		a.report.Grants++
		seen[l.no] = true
		l.startsAt, l.expiresAt, l.burnBy = orZero(starts), orZero(expires), orZero(burnBy)
		want := a.replay.lots[l.no]
		key := strconv.FormatInt(l.no, 10)
		switch {
		case want == nil:
			a.row("I3", "credit_grant", key, "no journal entry begins this grant")
		case l.accountID != want.accountID || l.source != want.source || l.priority != want.priority ||
			!l.startsAt.Equal(want.startsAt) || !l.expiresAt.Equal(want.expiresAt) || !l.burnBy.Equal(want.burnBy) || !l.grantedAt.Equal(want.grantedAt):
			a.row("I3", "credit_grant", key, "its pool, type, source, priority or times differ from the journal's")
		case l.amount != want.amount || l.bucket != want.bucket:
			a.row("I3", "credit_grant", key,
				"it says %d credits as available, held, captured, expired, voided, waiting %v; the journal says %d as %v",
				l.amount, l.bucket, want.amount, want.bucket)
		case l.renewed != want.renewed:
			a.row("I10", "credit_grant", key, "renewed is %t, the journal says %t", l.renewed, want.renewed)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for no := range a.replay.lots {
		if !seen[no] {
			a.row("I3", "credit_grant", strconv.FormatInt(no, 10), "the journal begins this grant, the row is missing")
		}
	}
	return nil
}

func (a *auditor) checkBudgets(ctx context.Context) error {
	rows, err := a.lookup.Query(ctx, `SELECT name, type, used FROM credit_budget WHERE owner = $1`, a.replay.owner)
	if err != nil {
		return err
	}
	seen := map[budgetID]bool{}
	var id budgetID
	var used int64
	_, err = pgx.ForEachRow(rows, []any{&id.name, &id.kind, &used}, func() error {
		seen[id] = true
		if want := a.replay.budgets[id]; used != want {
			a.row("I8", "credit_budget", id.name+"/"+id.kind, "it says %d credits used, the journal says %d", used, want)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, want := range a.replay.budgets {
		if !seen[id] && want != 0 {
			a.row("I8", "credit_budget", id.name+"/"+id.kind, "%d credits were drawn under it, the row is missing", want)
		}
	}
	return nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
