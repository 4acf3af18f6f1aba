package account

import (
	"context"
	"fmt"
	"net/mail"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
)

// checkEmail is about an address in lower case, or none.
func checkEmail(email string) error {
	if email == "" {
		return nil
	}
	if parsed, err := mail.ParseAddress(email); err != nil || parsed.Address != email || len(email) > 254 {
		return errcode.Say(ErrInvalid, "The e-mail address of the member is not valid; write one such as jane@example.com.")
	}
	return nil
}

func emailTaken(org, email string) error {
	return errcode.Say(ErrExists, "Another member of %s has the e-mail address %s; take it away from them first.", org, email)
}

// setEmail changes by which address single sign-on knows a member. Sessions that
// did not begin with a key may have begun with the old one: they end.
func setEmail(ctx context.Context, tx pgx.Tx, org, id, email string) error {
	tag, err := tx.Exec(ctx, `
		UPDATE member SET email = nullif($3, '') WHERE org = $1 AND id = $2 AND email IS DISTINCT FROM nullif($3, '')`, org, id, email)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM session WHERE org = $1 AND member = $2 AND key_id IS NULL`, org, id)
	return err
}

// MembersByEmail are the members, in any organization that is not closed, known
// to single sign-on by an e-mail address.
func (a *Accounts) MembersByEmail(ctx context.Context, email string) ([]Member, error) {
	rows, _ := a.pool.Query(ctx, selectMember+`
		JOIN organization o ON o.id = m.org AND o.closed_at IS NULL
		WHERE m.email = $1 AND m.removed_at IS NULL ORDER BY m.org`, strings.ToLower(email))
	members, err := pgx.CollectRows(rows, pgx.RowToStructByName[Member])
	if err != nil {
		return nil, fmt.Errorf("the members of an e-mail address cannot be read: %w", err)
	}
	return members, nil
}

// OpenMemberSession begins a session of a member whose identity single sign-on has proved.
func (a *Accounts) OpenMemberSession(ctx context.Context, m Member) (secret string, err error) {
	return a.openSession(ctx, a.pool, m.Org, m.ID, nil, nil)
}
