package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
)

const (
	// SessionIdle is how long a session lives without a request.
	SessionIdle = 12 * time.Hour
	// SessionLife is how long a session lives at most.
	SessionLife = 7 * 24 * time.Hour

	// LoginLinkLife is how long a login link can be used where nothing else is said.
	LoginLinkLife = 15 * time.Minute

	maxLoginLinkLife = 24 * time.Hour

	linkStart = "hl_" // of the secrets of login links
)

// Session is a login of the dashboard: of a member, or of the operator.
type Session struct {
	ID       string
	Org      string // empty for the operator
	Member   string
	Role     Role // what the session may do; empty for the operator
	Operator bool
}

// operatorMark is what a session keeps of a proof of the operator, which is the
// operator key or an address in the list of operators: when the key changes or the
// address leaves the list, the sessions that began with it end.
func operatorMark(proof string) []byte {
	sum := sha256.Sum256([]byte("operator session\x00" + proof))
	return sum[:]
}

// OperatorEmail is the proof of an operator known to single sign-on.
func OperatorEmail(email string) string { return "e-mail\x00" + strings.ToLower(email) }

// OpenSession begins a session with an API key that Authenticate has returned.
// It returns the secret for the cookie.
func (a *Accounts) OpenSession(ctx context.Context, key Key) (secret string, err error) {
	return a.openSession(ctx, a.pool, key.Org, key.Member, &key.ID, nil)
}

// OpenOperatorSession begins a session of the operator, with the operator key or
// with OperatorEmail.
func (a *Accounts) OpenOperatorSession(ctx context.Context, proof string) (secret string, err error) {
	return a.openSession(ctx, a.pool, "", "", nil, operatorMark(proof))
}

func (a *Accounts) openSession(ctx context.Context, db database.Writer, org, member string, key *string, operator []byte) (string, error) {
	secret := "hs_" + random(32)
	hash := sha256.Sum256([]byte(secret))
	if _, err := db.Exec(ctx, `
		INSERT INTO session (hash, id, org, member, key_id, operator) VALUES ($1, $2, nullif($3, ''), nullif($4, ''), $5, $6)`,
		hash[:], "ses_"+random(10), org, member, key, operator); err != nil {
		return "", fmt.Errorf("the session was not opened: %w", err)
	}
	return secret, nil
}

// Session returns the session that a secret belongs to. ErrNotFound where there
// is none or it has ended: by logging out, by time, because its key was revoked
// or the operator key changed, its member was removed or the organization closed.
// proofs are those of the operator that are valid now.
func (a *Accounts) Session(ctx context.Context, secret string, proofs []string) (Session, error) {
	hash := sha256.Sum256([]byte(secret))
	marks := make([][]byte, 0, len(proofs))
	for _, proof := range proofs {
		marks = append(marks, operatorMark(proof))
	}
	var s Session
	var stale bool
	err := a.pool.QueryRow(ctx, `
		SELECT s.id, coalesce(s.org, ''), coalesce(s.member, ''), coalesce(k.role, m.role, ''), s.operator IS NOT NULL,
			s.seen_at NOT BETWEEN now() - interval '1 minute' AND now() OR s.created_at > now()
		FROM session s
		LEFT JOIN member m ON m.org = s.org AND m.id = s.member
		LEFT JOIN organization o ON o.id = s.org
		LEFT JOIN api_key k ON k.id = s.key_id
		WHERE s.hash = $1 AND s.seen_at BETWEEN now() - $2::interval AND now() + $3::interval AND s.created_at BETWEEN now() - $3::interval AND now() + $3::interval
			AND CASE WHEN s.operator IS NOT NULL THEN s.operator = ANY ($4)
				ELSE m.removed_at IS NULL AND o.closed_at IS NULL AND k.revoked_at IS NULL END`,
		hash[:], SessionIdle, SessionLife, marks).
		Scan(&s.ID, &s.Org, &s.Member, &s.Role, &s.Operator, &stale)
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, errcode.Say(ErrNotFound, "The session has ended; log in again.")
	}
	if err == nil && stale {
		_, err = a.pool.Exec(ctx, `UPDATE session SET seen_at = now(), created_at = least(created_at, now()) WHERE hash = $1`, hash[:])
	}
	if err != nil {
		return Session{}, fmt.Errorf("the session cannot be read: %w", err)
	}
	return s, nil
}

// CloseSession ends a session, and clears away those that time has ended.
func (a *Accounts) CloseSession(ctx context.Context, secret string) error {
	hash := sha256.Sum256([]byte(secret))
	if _, err := a.pool.Exec(ctx, `
		DELETE FROM session WHERE hash = $1 OR seen_at NOT BETWEEN now() - $2::interval AND now() + $3::interval`, hash[:], SessionIdle, SessionLife); err != nil {
		return fmt.Errorf("the session was not closed: %w", err)
	}
	return nil
}

// CreateLoginLink makes a secret that logs a member in once, within life; 0 is
// LoginLinkLife. Without a member it is for the organization's only admin.
// ErrNotFound where there is no such member, ErrInvalid where it is not clear
// which admin is meant or life is too long. The same request again, by its
// idempotency key, gets the same link. Some links whose time is over are cleared
// away.
func (a *Accounts) CreateLoginLink(ctx context.Context, org, member string, life time.Duration) (m Member, secret string, err error) {
	if life == 0 {
		life = LoginLinkLife
	}
	if life < time.Second || life > maxLoginLinkLife {
		return m, "", errcode.Say(ErrInvalid, "A login link lives from 1 second to 24 hours; give a time between them.")
	}
	o, err := a.Org(ctx, org)
	if err != nil {
		return m, "", err
	}
	if member == "" {
		m, err = a.onlyAdmin(ctx, org)
	} else {
		m, err = a.Member(ctx, org, member)
	}
	if err == nil {
		err = o.open()
	}
	if err == nil {
		err = m.Active()
	}
	if err != nil {
		return m, "", err
	}
	made := idempotency.Made{ID: m.ID, Salt: idempotency.NewSalt(ctx)}
	secret = newSecret(ctx, linkStart, made.Salt)
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		before, again, err := idempotency.Claim(ctx, tx, org, "login_link", made)
		if err != nil {
			return err
		}
		if again { // the same link, used or not
			secret = newSecret(ctx, linkStart, before.Salt)
			return nil
		}
		hash := sha256.Sum256([]byte(secret))
		_, err = tx.Exec(ctx, `
			INSERT INTO login_link (hash, org, member, expires_at) VALUES ($1, $2, $3, now() + $4::interval)`,
			hash[:], org, m.ID, life)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM login_link WHERE hash IN (SELECT hash FROM login_link WHERE expires_at NOT BETWEEN now() AND now() + $1::interval LIMIT 100 FOR UPDATE SKIP LOCKED)`,
			2*maxLoginLinkLife)
		return err
	})
	if err != nil && !errcode.Permanent(err) {
		err = fmt.Errorf("the login link was not made: %w", err)
	}
	return m, secret, err
}

func (a *Accounts) onlyAdmin(ctx context.Context, org string) (admin Member, err error) {
	members, err := a.Members(ctx, org)
	if err != nil {
		return admin, err
	}
	n := 0
	for _, m := range members {
		if m.Role == RoleAdmin {
			admin = m
			n++
		}
	}
	if n != 1 {
		return admin, errcode.Say(ErrInvalid, "The organization %s has %d admins; name the member who logs in.", org, n)
	}
	return admin, nil
}

// UseLoginLink begins a session with the secret of a login link, which cannot be
// used again. ErrNotFound where it is unknown, used or too old.
func (a *Accounts) UseLoginLink(ctx context.Context, secret string) (session string, err error) {
	hash := sha256.Sum256([]byte(secret))
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		var org, member string
		err := tx.QueryRow(ctx, `
			UPDATE login_link SET used_at = now() WHERE hash = $1 AND used_at IS NULL AND expires_at BETWEEN now() AND now() + $2::interval
			RETURNING org, member`, hash[:], 2*maxLoginLinkLife).Scan(&org, &member)
		if errors.Is(err, pgx.ErrNoRows) {
			return errcode.Say(ErrNotFound, "The login link was used before or is too old; ask for a new one.")
		}
		if err != nil {
			return fmt.Errorf("the login link cannot be used: %w", err)
		}
		session, err = a.openSession(ctx, tx, org, member, nil, nil)
		return err
	})
	return session, err
}
