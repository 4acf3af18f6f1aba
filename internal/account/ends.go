package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
	"holdfast/internal/errcode"
	"holdfast/internal/metadata"
	"holdfast/internal/outbox"
	"holdfast/internal/plan"
)

// Status says what an organization may do.
type Status string

// The statuses of an organization.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended" // starts nothing, finishes what runs
	StatusClosed    Status = "closed"    // for good: no credits, keys or resets
)

// never is when the next period of a subscription is due that has ended.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// MayOrder is nil, or ErrSuspended where the organization is suspended or closed.
func (o Org) MayOrder() error {
	switch o.Status {
	case StatusSuspended:
		return errcode.Say(ErrSuspended, "The organization %s is suspended: it starts no orders until it is resumed.", o.ID)
	case StatusClosed:
		return errcode.Say(ErrSuspended, "The organization %s is closed.", o.ID)
	case StatusActive:
	}
	return nil
}

// open is nil, or ErrSuspended where the organization is closed.
func (o Org) open() error {
	if o.Status == StatusClosed {
		return o.MayOrder()
	}
	return nil
}

// Active is nil, or ErrNotFound where the member was removed.
func (m Member) Active() error {
	if m.RemovedAt != nil {
		return m.removed()
	}
	return nil
}

func (m Member) removed() error {
	return errcode.Say(ErrNotFound, "The member %s of %s was removed.", m.ID, m.Org)
}

// Suspend keeps an organization from starting orders; those that run are
// finished. Suspending it again changes nothing. ErrSuspended where it is closed.
func (a *Accounts) Suspend(ctx context.Context, org string) (Org, error) {
	return a.switchOrg(ctx, org, outbox.OrgSuspended, `UPDATE organization SET suspended_at = `+clock.SQL("id", "now()")+` WHERE id = $1 AND suspended_at IS NULL`)
}

// Resume lets a suspended organization order again. ErrSuspended where it is
// closed: that is for good.
func (a *Accounts) Resume(ctx context.Context, org string) (Org, error) {
	return a.switchOrg(ctx, org, outbox.OrgResumed, `UPDATE organization SET suspended_at = NULL WHERE id = $1 AND suspended_at IS NOT NULL`)
}

func (a *Accounts) switchOrg(ctx context.Context, id, topic, update string) (Org, error) {
	err := a.changeOrg(ctx, id, func(tx pgx.Tx, _ Org) error {
		tag, err := tx.Exec(ctx, update, id)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return announce(ctx, tx, id, topic, plain)
	})
	if err != nil {
		return Org{}, err
	}
	return a.Org(ctx, id)
}

// changeOrg changes an open organization, one change at a time.
func (a *Accounts) changeOrg(ctx context.Context, id string, change func(pgx.Tx, Org) error) error {
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM organization WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		org, err := a.readOrg(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := org.open(); err != nil {
			return err
		}
		return change(tx, org)
	})
	if err != nil {
		return fmt.Errorf("the organization %s was not changed: %w", id, err)
	}
	return nil
}

// announce puts an event about accounts into the outbox, in the transaction that
// makes it true. data is given the organization and the time.
func announce(ctx context.Context, tx pgx.Tx, org, topic string, data func(outbox.Org) any) error {
	of := outbox.Org{Org: org}
	if err := tx.QueryRow(ctx, `SELECT `+clock.SQL("$1", "now()"), org).Scan(&of.At); err != nil {
		return err
	}
	of.At = of.At.UTC()
	event, err := outbox.New(org, topic, data(of), uuid.New())
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, event)
}

// plain is for an event that says nothing more.
func plain(of outbox.Org) any { return of }

// CloseOrg ends an organization for good: its keys are revoked, its periods are
// not reset any more. Closing it again changes nothing. What its credits come to
// is for the caller.
func (a *Accounts) CloseOrg(ctx context.Context, id string) (Org, error) {
	org, err := a.Org(ctx, id)
	if err != nil || org.Status == StatusClosed {
		return org, err
	}
	err = a.changeOrg(ctx, id, func(tx pgx.Tx, _ Org) error {
		for _, end := range []string{
			`UPDATE organization SET closed_at = ` + clock.SQL("id", "now()") + ` WHERE id = $1`,
			`UPDATE api_key SET revoked_at = now() WHERE org = $1 AND revoked_at IS NULL`,
		} {
			if _, err := tx.Exec(ctx, end, id); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE subscription SET due_at = $2 WHERE org = $1`, id, never); err != nil {
			return err
		}
		return announce(ctx, tx, id, outbox.OrgClosed, plain)
	})
	if err != nil {
		return Org{}, err
	}
	return a.Org(ctx, id)
}

// MarkErased notes that the contact data of a closed organization was erased, and
// erases the e-mail addresses of its members.
func (a *Accounts) MarkErased(ctx context.Context, org string) error {
	if _, err := a.pool.Exec(ctx, `
		WITH erased AS (
			UPDATE organization SET erased_at = coalesce(erased_at, now()) WHERE id = $1 AND closed_at IS NOT NULL RETURNING id)
		UPDATE member SET email = NULL WHERE org IN (SELECT id FROM erased)`, org); err != nil {
		return fmt.Errorf("the erasure of %s was not noted: %w", org, err)
	}
	return nil
}

// RemoveMember ends a member's licence for good: their keys are revoked, their
// own periods are not reset any more. Removing them again changes nothing. What
// their own credits come to is for the caller.
func (a *Accounts) RemoveMember(ctx context.Context, org, id string) (Member, error) {
	m, err := a.Member(ctx, org, id)
	if err != nil || m.RemovedAt != nil {
		return m, err
	}
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE member SET email = NULL, removed_at = `+clock.SQL("org", "now()")+` WHERE org = $1 AND id = $2 AND removed_at IS NULL`, org, id)
		if err != nil || tag.RowsAffected() == 0 { // another call did, just now
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE api_key SET revoked_at = now() WHERE org = $1 AND member = $2 AND revoked_at IS NULL`, org, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE subscription SET due_at = $3 WHERE org = $1 AND member = $2`, org, id, never); err != nil {
			return err
		}
		return announce(ctx, tx, org, outbox.MemberRemoved, func(of outbox.Org) any { return outbox.FormerMember{Org: of, Member: id} })
	})
	if err != nil {
		return Member{}, fmt.Errorf("the member %s was not removed: %w", id, err)
	}
	return a.Member(ctx, org, id)
}

// Rename changes the name and the time zone of an organization; an empty one
// stays. A time zone moves the beginnings of the periods that are to come: the
// next one begins where the new zone says, but not later than it would have, so
// that no time lies between two periods.
func (a *Accounts) Rename(ctx context.Context, id, name, zone string) (Org, error) {
	if name != "" {
		if err := checkName("the organization", name); err != nil {
			return Org{}, err
		}
	}
	loc, err := location(cmp.Or(zone, "UTC"))
	if err != nil {
		return Org{}, err
	}
	err = a.changeOrg(ctx, id, func(tx pgx.Tx, org Org) error {
		if _, err := tx.Exec(ctx, `UPDATE organization SET name = $2, time_zone = $3 WHERE id = $1`,
			id, cmp.Or(name, org.Name), cmp.Or(zone, org.TimeZone)); err != nil {
			return err
		}
		if zone == "" || zone == org.TimeZone {
			return nil
		}
		return movePeriods(ctx, tx, id, loc)
	})
	if err != nil {
		return Org{}, err
	}
	return a.Org(ctx, id)
}

// MemberChange is what changes about a member; what is empty or nil stays.
type MemberChange struct {
	Name     string
	Role     Role
	Email    *string // empty: the member does not log in by single sign-on any more
	Metadata metadata.Data
}

func (c MemberChange) check() error {
	if c.Name != "" {
		if err := checkName("the member", c.Name); err != nil {
			return err
		}
	}
	if c.Role != "" {
		if err := checkRole(c.Role); err != nil {
			return err
		}
	}
	if c.Email != nil {
		return checkEmail(strings.ToLower(*c.Email))
	}
	return nil
}

// UpdateMember changes a member. Keys keep the role that they have, but an admin
// who becomes a member has no admin's keys any more. ErrExists where another
// member has the e-mail address.
func (a *Accounts) UpdateMember(ctx context.Context, org, id string, c MemberChange) (Member, error) {
	if err := c.check(); err != nil {
		return Member{}, err
	}
	m, err := a.Member(ctx, org, id)
	if err := cmp.Or(err, m.Active()); err != nil {
		return Member{}, err
	}
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE member SET name = $3, role = $4 WHERE org = $1 AND id = $2`,
			org, id, cmp.Or(c.Name, m.Name), cmp.Or(c.Role, m.Role)); err != nil {
			return err
		}
		if c.Role == RoleMember {
			if _, err := tx.Exec(ctx, `
				UPDATE api_key SET revoked_at = now() WHERE org = $1 AND member = $2 AND role = 'admin' AND revoked_at IS NULL`, org, id); err != nil {
				return err
			}
		}
		if c.Email != nil {
			if err := setEmail(ctx, tx, org, id, strings.ToLower(*c.Email)); err != nil {
				return err
			}
		}
		if c.Metadata == nil {
			return nil
		}
		return metadata.Set(ctx, tx, org, metadata.Member, id, c.Metadata)
	})
	var bad *metadata.InvalidError
	if errors.As(err, &bad) {
		return Member{}, err
	}
	if violates(err, "member_email") {
		return Member{}, emailTaken(org, *c.Email)
	}
	if err != nil {
		return Member{}, fmt.Errorf("the member %s was not changed: %w", id, err)
	}
	return a.Member(ctx, org, id)
}

// SetMetadata replaces the metadata of an organization.
func (a *Accounts) SetMetadata(ctx context.Context, org string, data metadata.Data) error {
	return metadata.Set(ctx, a.pool, org, metadata.Organization, org, data)
}

// movePeriods makes the next periods of an organization due where a time zone
// says, unless they are due earlier.
func movePeriods(ctx context.Context, tx pgx.Tx, org string, loc *time.Location) error {
	type next struct {
		Member string
		Anchor time.Time
		N      int
	}
	rows, _ := tx.Query(ctx, `SELECT member, anchor, next_period AS n FROM subscription WHERE org = $1 AND due_at < $2 FOR UPDATE`, org, never)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[next])
	if err != nil {
		return err
	}
	for _, s := range all {
		start := plan.PeriodN(s.Anchor, s.N, loc).Start
		if _, err := tx.Exec(ctx, `UPDATE subscription SET due_at = least(due_at, $3) WHERE org = $1 AND member = $2`, org, s.Member, start); err != nil {
			return err
		}
	}
	return nil
}
