// Package idempotency makes requests that create something safe to repeat: the
// key of a request is kept in the transaction that makes the thing, so that the
// same request again finds it, also when programs crashed in between. Orders and
// movements of credits do not need it: their ids are made of their keys. See
// README.md.
package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

// ErrReused says that a key was used for another request.
var ErrReused = errcode.New(errcode.KeyReused, "this idempotency key was used for another request; use a new key for a new one")

// Request is a request that has a key.
type Request struct {
	Key    string
	Hash   [sha256.Size]byte // of what it asks for
	Secret []byte            // that only its caller knows; nil = none

	replayed bool
}

type requestKey struct{}

// With returns a context that carries a request with a key to all that it makes.
func With(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

func from(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// Key is the key of the request of ctx; empty where it has none.
func Key(ctx context.Context) string {
	if r := from(ctx); r != nil {
		return r.Key
	}
	return ""
}

// Asks says what the request of ctx asks for where that is known late only, such
// as the content of an upload.
func Asks(ctx context.Context, what string) {
	if r := from(ctx); r != nil {
		r.Hash = sha256.Sum256([]byte(what))
	}
}

// MarkReplayed notes that the answer to the request of ctx is that of an earlier
// one.
func MarkReplayed(ctx context.Context) {
	if r := from(ctx); r != nil {
		r.replayed = true
	}
}

// Replayed says whether the answer is that of an earlier request.
func (r *Request) Replayed() bool { return r.replayed }

// Made is a thing that a request has made.
type Made struct {
	ID   string
	Salt []byte // nil where it has no secret that can be shown again
}

// Find returns what the request of ctx made before; ok is false where it made
// nothing or has no key. ErrReused where its key stands for another request.
func Find(ctx context.Context, db database.Reader, org, thing string) (made Made, ok bool, err error) {
	r := from(ctx)
	if r == nil || r.Key == "" {
		return made, false, nil
	}
	var hash []byte
	err = db.QueryRow(ctx, `SELECT id, salt, request FROM idempotency_key WHERE org = $1 AND thing = $2 AND key = $3`,
		org, thing, r.Key).Scan(&made.ID, &made.Salt, &hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return made, false, nil
	case err != nil:
		return made, false, fmt.Errorf("the idempotency key cannot be read: %w", err)
	case !hmac.Equal(hash, r.Hash[:]):
		return made, false, ErrReused
	}
	r.replayed = true
	return made, true, nil
}

// Claim notes in the transaction that makes a thing that the request of ctx has
// made it. Where an equal request was faster, ok is true and made is that one's:
// the caller then makes nothing.
func Claim(ctx context.Context, tx pgx.Tx, org, thing string, mine Made) (made Made, ok bool, err error) {
	r := from(ctx)
	if r == nil || r.Key == "" {
		return mine, false, nil
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO idempotency_key (org, thing, key, request, id, salt) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (org, thing, key) DO NOTHING`, org, thing, r.Key, r.Hash[:], mine.ID, mine.Salt)
	if err != nil {
		return mine, false, fmt.Errorf("the idempotency key was not kept: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return mine, false, nil
	}
	return Find(ctx, tx, org, thing)
}

// NewSalt returns a salt for Secret, or nil where the request of ctx cannot show
// a secret again: it has no key, or its caller no secret of their own.
func NewSalt(ctx context.Context) []byte {
	r := from(ctx)
	if r == nil || r.Key == "" || len(r.Secret) == 0 {
		return nil
	}
	salt := make([]byte, sha256.Size)
	_, _ = rand.Read(salt) // never fails: it ends the program rather than return less
	return salt
}

// Secret makes a secret of 32 bytes from a salt, the idempotency key and the
// caller's own secret: it takes all three to make it again, and the database has
// the salt alone.
func Secret(ctx context.Context, salt []byte) []byte {
	r := from(ctx)
	mac := hmac.New(sha256.New, r.Secret)
	_, _ = fmt.Fprintf(mac, "%x %s", salt, r.Key) // a hash takes everything
	return mac.Sum(nil)
}
