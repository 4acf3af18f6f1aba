package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
)

const (
	secretStart  = "hf_"
	prefixLength = len(secretStart) + 8

	maxKeys = 1000 // that an organization may have in use
)

// Key is an API key as it may be shown. The secret is not kept: it has 256
// random bits, so its SHA-256 is enough to recognise it and useless to a thief.
type Key struct {
	ID         string     `json:"id"`
	Org        string     `json:"org"`
	Member     string     `json:"member"`
	Role       Role       `json:"role"`
	Prefix     string     `json:"prefix"` // how the secret begins
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"` // exact to a minute; nil = never
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`   // nil = in use
}

const selectKey = `
	SELECT id, org, member, role, prefix, created_at, last_used_at, revoked_at FROM api_key`

// CreateKey makes an API key for a member and returns it with its secret,
// which cannot be had again. Role "" is the member's own. ErrNotFound where
// there is no such member, ErrInvalid where the role exceeds the member's or the
// organization has too many keys.
//
// The same request again, by its idempotency key, gets the same key; its secret
// is empty where it cannot be had again.
func (a *Accounts) CreateKey(ctx context.Context, org, member string, role Role) (Key, string, error) {
	if made, again, err := idempotency.Find(ctx, a.pool, org, "key"); err != nil {
		return Key{}, "", err
	} else if again {
		return a.madeKey(ctx, made)
	}
	o, err := a.Org(ctx, org)
	if err != nil {
		return Key{}, "", err
	}
	m, err := a.Member(ctx, org, member)
	if err := cmp.Or(err, o.open(), m.Active()); err != nil {
		return Key{}, "", err
	}
	if role == "" {
		role = m.Role
	}
	if err := checkRole(role); err != nil {
		return Key{}, "", err
	}
	if role == RoleAdmin && m.Role != RoleAdmin {
		return Key{}, "", errcode.Say(ErrInvalid, "%s is not an admin and cannot have an admin's key; ask for the role member.", member)
	}
	made := idempotency.Made{ID: "key_" + random(10), Salt: idempotency.NewSalt(ctx)}
	secret := newSecret(ctx, secretStart, made.Salt)
	var again bool
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) (err error) {
		if made, again, err = idempotency.Claim(ctx, tx, org, "key", made); err != nil || again {
			return err
		}
		if err := mayHaveKey(ctx, tx, m); err != nil {
			return err
		}
		hash := sha256.Sum256([]byte(secret))
		_, err = tx.Exec(ctx, `INSERT INTO api_key (id, org, member, role, hash, prefix) VALUES ($1, $2, $3, $4, $5, $6)`,
			made.ID, org, member, role, hash[:], secret[:prefixLength])
		return err
	})
	switch {
	case errcode.Permanent(err):
		return Key{}, "", err
	case err != nil:
		return Key{}, "", fmt.Errorf("the key was not created: %w", err)
	case again:
		return a.madeKey(ctx, made)
	}
	key, err := a.keyOf(ctx, made.ID)
	return key, secret, err
}

// madeKey is a key that an earlier request made.
func (a *Accounts) madeKey(ctx context.Context, made idempotency.Made) (Key, string, error) {
	key, err := a.keyOf(ctx, made.ID)
	if err != nil || made.Salt == nil {
		return key, "", err
	}
	secret := newSecret(ctx, secretStart, made.Salt)
	if secret[:prefixLength] != key.Prefix { // its caller had another key the first time
		secret = ""
	}
	return key, secret, nil
}

// newSecret makes a secret with a beginning by which people recognize what it is
// for. With a salt, a repeated request makes the same one again.
func newSecret(ctx context.Context, start string, salt []byte) string {
	if salt == nil {
		return start + random(32)
	}
	return start + lower(idempotency.Secret(ctx, salt))
}

func (a *Accounts) keyOf(ctx context.Context, id string) (Key, error) {
	rows, _ := a.pool.Query(ctx, selectKey+` WHERE id = $1`, id)
	key, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
	if err != nil {
		return Key{}, fmt.Errorf("the key cannot be read: %w", err)
	}
	return key, nil
}

// mayHaveKey is nil where a key may be made for a member, until tx ends: the
// organization is open and has room for it, and the member was not removed.
func mayHaveKey(ctx context.Context, tx pgx.Tx, m Member) error {
	if err := room(ctx, tx, m.Org, "keys in use", maxKeys, `SELECT count(*) FROM api_key WHERE org = $1 AND revoked_at IS NULL`); err != nil {
		return err
	}
	var removed *time.Time
	if err := tx.QueryRow(ctx, `SELECT removed_at FROM member WHERE org = $1 AND id = $2 FOR SHARE`, m.Org, m.ID).Scan(&removed); err != nil {
		return err
	}
	if removed != nil {
		return m.removed()
	}
	return nil
}

// room is nil, or ErrInvalid where an organization has as many of something as it
// may, or ErrSuspended where it was closed just now. Until tx ends, nothing else is
// counted for this organization: the count stays true.
func room(ctx context.Context, tx pgx.Tx, org, what string, most int64, count string) error {
	var closed bool
	if err := tx.QueryRow(ctx, `SELECT closed_at IS NOT NULL FROM organization WHERE id = $1 FOR NO KEY UPDATE`, org).Scan(&closed); err != nil {
		return err
	}
	if closed {
		return Org{ID: org, Status: StatusClosed}.MayOrder()
	}
	var n int64
	if err := tx.QueryRow(ctx, count, org).Scan(&n); err != nil {
		return err
	}
	if n >= most {
		return errcode.Say(ErrInvalid, "An organization may have %d %s; remove one first.", most, what)
	}
	return nil
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails: it ends the program rather than return less
	return lower(b)
}

func lower(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// Authenticate returns the key that a secret belongs to, and ErrNotFound where
// there is none or it has been revoked.
func (a *Accounts) Authenticate(ctx context.Context, secret string) (Key, error) {
	hash := sha256.Sum256([]byte(secret))
	rows, _ := a.pool.Query(ctx, selectKey+` WHERE hash = $1 AND revoked_at IS NULL`, hash[:])
	key, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
	if errors.Is(err, pgx.ErrNoRows) {
		return Key{}, errcode.Say(ErrNotFound, "The API key is not known or has been revoked; create a new one.")
	}
	if err != nil {
		return Key{}, fmt.Errorf("the API key cannot be checked: %w", err)
	}
	if key.LastUsedAt != nil && time.Since(*key.LastUsedAt) < time.Minute {
		return key, nil // a write a minute per key, not one per request
	}
	if _, err := a.pool.Exec(ctx, `UPDATE api_key SET last_used_at = now() WHERE id = $1`, key.ID); err != nil {
		return Key{}, fmt.Errorf("the use of the API key was not noted: %w", err)
	}
	return key, nil
}

// Keys lists an organization's keys, newest first, the revoked ones too.
func (a *Accounts) Keys(ctx context.Context, org string) ([]Key, error) {
	if _, err := a.Org(ctx, org); err != nil {
		return nil, err
	}
	rows, _ := a.pool.Query(ctx, selectKey+` WHERE org = $1 ORDER BY created_at DESC, id`, org)
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByName[Key])
	if err != nil {
		return nil, fmt.Errorf("the keys of %s cannot be listed: %w", org, err)
	}
	return keys, nil
}

// RevokeKey ends a key for good; revoking it again changes nothing.
// ErrNotFound where the organization has no such key.
func (a *Accounts) RevokeKey(ctx context.Context, org, id string) error {
	tag, err := a.pool.Exec(ctx, `
		UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE org = $1 AND id = $2`, org, id)
	if err != nil {
		return fmt.Errorf("the key %s was not revoked: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return errcode.Say(ErrNotFound, "The organization %s has no key %q.", org, id)
	}
	return nil
}
