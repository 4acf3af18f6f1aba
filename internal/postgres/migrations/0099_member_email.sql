-- The e-mail address by which single sign-on knows a member. Constraint names carry
-- the invariant numbers of internal/account/README.md.

-- +goose Up
ALTER TABLE member
    ADD COLUMN email text, -- lower case; NULL = the member does not log in by single sign-on
    ADD CONSTRAINT member_s3_email CHECK (email IS NULL OR email = lower(email) AND position('@' IN email) > 1 AND removed_at IS NULL);
CREATE UNIQUE INDEX member_email ON member (email, org) WHERE email IS NOT NULL;

-- +goose Down
DROP INDEX member_email;
ALTER TABLE member DROP COLUMN email;
