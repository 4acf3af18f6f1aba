-- Lists are bounded and end. Constraint names carry the invariant numbers of
-- internal/lead/README.md.

-- +goose Up
ALTER TABLE list
    ADD COLUMN member    text        NOT NULL DEFAULT '', -- who uploaded it first
    ADD COLUMN bytes     bigint      NOT NULL DEFAULT 0,  -- of its content, unpacked; 0 where it came before this was counted
    ADD COLUMN uploaded  boolean     NOT NULL DEFAULT false, -- as a file, not in the body of an order
    ADD COLUMN wanted_at timestamptz NOT NULL DEFAULT now(), -- when it last came, or an order asked for it
    ADD COLUMN used_at   timestamptz,                     -- when an order first took its rows; NULL = none has
    ADD CONSTRAINT list_c13_bytes CHECK (bytes >= 0);
UPDATE list SET used_at = created_at WHERE id IN (SELECT list_id FROM order_selection);

-- What a quota counts: few rows, for used lists from the bodies of orders are in none.
CREATE INDEX list_unused ON list (org) INCLUDE (rows, bytes) WHERE used_at IS NULL;
CREATE INDEX list_uploaded ON list (org, created_at, id) INCLUDE (rows, bytes) WHERE uploaded;

-- +goose Down
DROP INDEX list_uploaded;
DROP INDEX list_unused;
ALTER TABLE list DROP COLUMN used_at, DROP COLUMN wanted_at, DROP COLUMN uploaded, DROP COLUMN bytes, DROP COLUMN member;
